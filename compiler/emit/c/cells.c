/* What a step of a recurrent layer makes of its gates, forwards and backwards. */
typedef struct { int count, states, kept; } weft_cell_parts;             /* gates, states, and what of the gates the adjoint reads */
WEFT_INLINE weft_cell_parts weft_parts_of(int cell)
{
    return cell == WEFT_RNN ? (weft_cell_parts){1, 1, 1} : cell == WEFT_LSTM ? (weft_cell_parts){4, 2, 4} : (weft_cell_parts){3, 1, 4};
}

/* ---- cells: one sample and step, `n` units.  Gates lie `gs` apart.  What opens may take the place of the gates, their cotangents that of
   what opened ---- */
#define WEFT_UNITS _Pragma("omp simd") for (long j = 0; j < n; ++j)
/* Gates g, what the state before makes of them z (gates `zs` apart) and its bias b, h and c before; y and e are the states after, o what opens. */
static __attribute__((noinline, unused)) void weft_cell(int cell, long n, long gs, const float *g, const float *restrict b,
    const float *restrict z, long zs, const float *restrict h, const float *restrict c, float *restrict y, float *restrict e, float *o)
{
    if (cell == WEFT_RNN) WEFT_UNITS y[j] = o[j] = weft_tanh(g[j] + (z[j] + b[j]));
    else if (cell == WEFT_LSTM) WEFT_UNITS {
        const float in = weft_sigmoid(g[j] + (z[j] + b[j])), forget = weft_sigmoid(g[gs + j] + (z[zs + j] + b[gs + j]));
        const float fresh = weft_tanh(g[2 * gs + j] + (z[2 * zs + j] + b[2 * gs + j]));
        const float out = weft_sigmoid(g[3 * gs + j] + (z[3 * zs + j] + b[3 * gs + j])), state = forget * c[j] + in * fresh;
        o[j] = in;
        o[gs + j] = forget;
        o[2 * gs + j] = fresh;
        o[3 * gs + j] = out;
        y[j] = out * weft_tanh(state);
        e[j] = state;
    }
    else WEFT_UNITS {
        const float inner = z[2 * zs + j] + b[2 * gs + j];
        const float reset = weft_sigmoid(g[j] + (z[j] + b[j])), update = weft_sigmoid(g[gs + j] + (z[zs + j] + b[gs + j]));
        const float fresh = weft_tanh(g[2 * gs + j] + reset * inner);
        o[j] = reset;
        o[gs + j] = update;
        o[2 * gs + j] = fresh;
        o[3 * gs + j] = inner;
        y[j] = (1.0f - update) * fresh + update * h[j];
    }
}
/* Backwards: o what opened, e the cell's state after; dh and dc (or NULL) cotangents of the states from above, lh and lc those from the step
   after, in whose place come what goes straight to the states before; q gets those of the gates, v (a gru's) what the weight maps. */
static __attribute__((noinline, unused)) void weft_cell_back(int cell, long n, const float *o, const float *restrict h,
    const float *restrict c, const float *restrict e, const float *restrict dh, const float *restrict dc, float *restrict lh,
    float *restrict lc, float *q, float *restrict v)
{
    if (cell == WEFT_RNN) WEFT_UNITS q[j] = (dh[j] + lh[j]) * (1.0f - o[j] * o[j]);
    else if (cell == WEFT_LSTM) WEFT_UNITS {
        const float in = o[j], forget = o[n + j], fresh = o[2 * n + j], out = o[3 * n + j], above = dh[j] + lh[j];
        const float squashed = weft_tanh(e[j]), d = ((dc ? dc[j] : 0.0f) + lc[j]) + above * out * (1.0f - squashed * squashed);
        q[j] = d * fresh * in * (1.0f - in);
        q[n + j] = d * c[j] * forget * (1.0f - forget);
        q[2 * n + j] = d * in * (1.0f - fresh * fresh);
        q[3 * n + j] = above * squashed * out * (1.0f - out);
        lc[j] = d * forget;
    }
    else WEFT_UNITS {
        const float reset = o[j], update = o[n + j], fresh = o[2 * n + j], above = dh[j] + lh[j];
        const float d = above * (1.0f - update) * (1.0f - fresh * fresh), dr = d * o[3 * n + j] * reset * (1.0f - reset);
        const float du = above * (h[j] - fresh) * update * (1.0f - update);
        q[j] = v[j] = dr;
        q[n + j] = v[n + j] = du;
        q[2 * n + j] = d;
        v[2 * n + j] = d * reset;
        lh[j] = above * update;
    }
}
