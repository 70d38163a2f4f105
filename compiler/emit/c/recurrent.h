/* Recurrent layers: a block of samples walks through all of time; a step is one product and one loop over the units. */
enum { WEFT_RNN, WEFT_LSTM, WEFT_GRU, WEFT_ROWS_OF_TIME = 64 };

/* One sample and step: gates g and what the state makes of them z, for `n` units; h and c before, y the states after. */
#define WEFT_UNITS _Pragma("omp simd") for (long j = 0; j < n; ++j)
static __attribute__((noinline, unused)) void weft_cell(int cell, long n, const float *restrict g, const float *restrict z,
    const float *restrict h, const float *restrict c, float *restrict y)
{
    if (cell == WEFT_RNN) WEFT_UNITS y[j] = weft_tanh(g[j] + z[j]);
    else if (cell == WEFT_LSTM) WEFT_UNITS {
        const float in = weft_sigmoid(g[j] + z[j]), forget = weft_sigmoid(g[n + j] + z[n + j]);
        const float fresh = weft_tanh(g[2 * n + j] + z[2 * n + j]), out = weft_sigmoid(g[3 * n + j] + z[3 * n + j]);
        const float cell_state = forget * c[j] + in * fresh;
        y[j] = out * weft_tanh(cell_state);
        y[n + j] = cell_state;
    }
    else WEFT_UNITS {
        const float reset = weft_sigmoid(g[j] + z[j]), update = weft_sigmoid(g[n + j] + z[n + j]);
        const float fresh = weft_tanh(g[2 * n + j] + reset * z[2 * n + j]);
        y[j] = (1.0f - update) * fresh + update * h[j];
    }
}

/* The same backwards: y the states after, dh and dc their cotangents; o gets those of the gates, v what goes on to the product
   with the weight, eh and ec what goes straight to the states before. */
static __attribute__((noinline, unused)) void weft_cell_back(int cell, long n, const float *restrict g, const float *restrict z,
    const float *restrict h, const float *restrict c, const float *restrict y, const float *restrict dh, const float *restrict dc,
    float *restrict o, float *restrict v, float *restrict eh, float *restrict ec)
{
    if (cell == WEFT_RNN) WEFT_UNITS {
        o[j] = v[j] = dh[j] * (1.0f - y[j] * y[j]);
        eh[j] = 0.0f;
    }
    else if (cell == WEFT_LSTM) WEFT_UNITS {
        const float in = weft_sigmoid(g[j] + z[j]), forget = weft_sigmoid(g[n + j] + z[n + j]);
        const float fresh = weft_tanh(g[2 * n + j] + z[2 * n + j]), out = weft_sigmoid(g[3 * n + j] + z[3 * n + j]);
        const float squashed = weft_tanh(y[n + j]), d = dc[j] + dh[j] * out * (1.0f - squashed * squashed);
        o[j] = v[j] = d * fresh * in * (1.0f - in);
        o[n + j] = v[n + j] = d * c[j] * forget * (1.0f - forget);
        o[2 * n + j] = v[2 * n + j] = d * in * (1.0f - fresh * fresh);
        o[3 * n + j] = v[3 * n + j] = dh[j] * squashed * out * (1.0f - out);
        eh[j] = 0.0f;
        ec[j] = d * forget;
    }
    else WEFT_UNITS {
        const float reset = weft_sigmoid(g[j] + z[j]), update = weft_sigmoid(g[n + j] + z[n + j]);
        const float fresh = weft_tanh(g[2 * n + j] + reset * z[2 * n + j]);
        const float d = dh[j] * (1.0f - update) * (1.0f - fresh * fresh), dr = d * z[2 * n + j] * reset * (1.0f - reset);
        const float du = dh[j] * (h[j] - fresh) * update * (1.0f - update);
        o[j] = v[j] = dr;
        o[n + j] = v[n + j] = du;
        o[2 * n + j] = d;
        v[2 * n + j] = d * reset;
        eh[j] = dh[j] * update;
    }
}

/* All states of `samples` sequences of `time` steps: gates [time][G n], weights with strides wu (of a unit) and wg (of a gate). */
static __attribute__((noinline, unused)) void weft_recurrence(int cell, long samples, long time, long n, const float *gates,
    const float *w, long wu, long wg, const float *bias, const float *h, long hr, long hc, const float *c, long cr, long cc,
    float *states, float *scratch, float *planes)
{
    const long count = cell == WEFT_LSTM ? 4 : cell == WEFT_GRU ? 3 : 1, kept = cell == WEFT_LSTM ? 2 : 1;
    const long wide = count * n, own = kept * n, held = weft_kept_floats(wide, n);
    const int is_kept = time > 2 && weft_keep(samples, wide, n, w, wu, wg, planes);
    for (long first = 0; first < samples; first += WEFT_ROWS_OF_TIME) {
        const long rows = samples - first < WEFT_ROWS_OF_TIME ? samples - first : WEFT_ROWS_OF_TIME;
        float *const before = planes + held, *const inner = before + rows * own;
        for (long r = 0; r < rows; ++r) for (long j = 0; j < n; ++j) {
            before[r * own + j] = h[(first + r) * hr + j * hc];
            if (kept > 1) before[r * own + n + j] = c[(first + r) * cr + j * cc];
        }
        const float *last = before;
        long step = own;
        for (long t = 0; t < time; ++t) {
            for (long r = 0; r < rows; ++r) memcpy(inner + r * wide, bias, (size_t)wide * sizeof(float));
            weft_gemm_kept(rows, wide, n, last, step, w, wu, wg, is_kept, planes, inner, wide, 1, scratch);
            for (long r = 0; r < rows; ++r)
                weft_cell(cell, n, gates + ((first + r) * time + t) * wide, inner + r * wide, last + r * step, last + r * step + n,
                    states + ((first + r) * time + t) * own);
            last = states + (first * time + t) * own;
            step = time * own;
        }
    }
}

/* The adjoint: result [time][G n + states], cotangents of the gates, then of the states before the step. */
static __attribute__((noinline, unused)) void weft_recurrence_input(int cell, long samples, long time, long n, const float *gates,
    const float *inner, const float *w, long wg, long wu, const float *states, const float *begin, long br, long bc, const float *d,
    float *result, float *scratch, float *planes)
{
    const long count = cell == WEFT_LSTM ? 4 : cell == WEFT_GRU ? 3 : 1, kept = cell == WEFT_LSTM ? 2 : 1;
    const long wide = count * n, own = kept * n, all = wide + own, held = weft_kept_floats(n, wide);
    const int is_kept = time > 2 && weft_keep(samples, n, wide, w, wg, wu, planes);
    for (long first = 0; first < samples; first += WEFT_ROWS_OF_TIME) {
        const long rows = samples - first < WEFT_ROWS_OF_TIME ? samples - first : WEFT_ROWS_OF_TIME;
        float *const before = planes + held, *const later = before + rows * own, *const through = later + rows * own;
        for (long r = 0; r < rows; ++r) for (long j = 0; j < own; ++j) before[r * own + j] = begin[(first + r) * br + j * bc];
        memset(later, 0, (size_t)(rows * own) * sizeof(float));
        for (long t = time - 1; t >= 0; --t) {
            for (long r = 0; r < rows; ++r) {
                const long at = (first + r) * time + t;
                const float *const old = t ? states + (at - 1) * own : before + r * own;
                float *const sum = later + r * own, *const out = result + at * all;
                for (long j = 0; j < own; ++j) sum[j] += d[at * own + j];
                weft_cell_back(cell, n, gates + at * wide, inner + at * wide, old, old + n, states + at * own, sum, sum + n, out,
                    through + r * wide, out + wide, out + wide + n);
            }
            float *const out = result + (first * time + t) * all + wide;
            weft_gemm_kept(rows, n, wide, through, wide, w, wg, wu, is_kept, planes, out, time * all, 1, scratch);
            for (long r = 0; r < rows; ++r) memcpy(later + r * own, out + r * time * all, (size_t)own * sizeof(float));
        }
    }
}
