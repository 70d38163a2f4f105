/* Recurrent layers: a block of samples walks through all of time; a step is one product and one loop over the units.  The weight is
   rearranged once for all steps, for tile units or for register tiles. */

/* All states of `samples` sequences of `time` steps, unless it is NULL, and what opens, unless it is: gates [time][G n], weights with strides
   wu (of a unit) and wg (of a gate).  The state before a step is read from `given`: the states themselves, or what they are known to be. */
WEFT_SHARED void weft_recurrence(int cell, long samples, long time, long n, const float *gates,
    const float *w, long wu, long wg, const float *bias, const float *h, long hr, long hc, const float *c, long cr, long cc,
    const float *given, float *states, float *opened, float *scratch, float *planes)
{
    const weft_cell_parts parts = weft_parts_of(cell);
    const long wide = parts.count * n, own = parts.states * n, open = parts.kept * n;
    const int how = time > 2 ? weft_keep(samples, parts.count, n, n, w, wu, wg, planes) : WEFT_AS_IT_IS;
    const long most = weft_rows_of_time(samples, how), steps = (n + 31) / 32;
    float *const split = planes + weft_kept_floats(parts.count, n, n), *const before = split + steps * 768;
    float *const inner = before + 2 * WEFT_ROWS_OF_TIME * own;
    float *const spare = inner + WEFT_ROWS_OF_TIME * wide;
    for (long first = 0; first < samples; first += most) {
        const long rows = samples - first < most ? samples - first : most;
        for (long r = 0; r < rows; ++r) for (long j = 0; j < n; ++j) {
            before[r * own + j] = h[(first + r) * hr + j * hc];
            if (parts.states > 1) before[r * own + n + j] = c[(first + r) * cr + j * cc];
        }
        const float *last = before;
        long step = own;
#if defined(WEFT_TILES)
        if (how == WEFT_AS_PLANES) weft_few_rows(rows);
#endif
        for (long t = 0; t < time; ++t) {
            float *const now = states ? states + (first * time + t) * own : before + WEFT_ROWS_OF_TIME * own;
            const long on = states ? time * own : own;
#define WEFT_CELLS(from, units, z, zs, zr) \
            for (long r = 0; r < rows; ++r) { \
                const long at = (first + r) * time + t; \
                weft_cell(cell, units, n, gates + at * wide + from, bias + from, z + r * (zr), zs, last + r * step + from, \
                    last + r * step + n + from, now + r * on + from, now + r * on + n + from, (opened ? opened + at * open : spare) + from); \
            }
#if defined(WEFT_TILES)
            if (how == WEFT_AS_PLANES && weft_cut_few(rows, n, last, step, (uint16_t *)split)) {
                if (cell == WEFT_LSTM) {
                    float *const o = opened ? opened + (first * time + t) * open : spare;
                    const weft_lstm_row row = {gates + (first * time + t) * wide, bias, 0, last + n, now, now + n, o};
                    weft_lstm_step(n, (weft_lstm_rows){row, time * wide, on, step, opened ? time * open : 0, rows}, (const uint16_t *)split,
                        (const uint16_t *)planes, inner);
                } else {
                    const long group = weft_group(parts.count, n), each = parts.count > 1 ? 16 : 16 * group;
                    const uint16_t *some = (const uint16_t *)planes;
                    float *z = inner;                                        /* all products first: tiles and vectors wait for each other */
                    for (long u = 0; u < n; u += each, z += WEFT_TILE_ROWS_OF_64) {
                        const long tiles = parts.count > 1 ? group : (weft_least(n - u, each) + 15) / 16;
                        for (long r = 0; r < rows; ++r) for (long g = 0; g < parts.count; ++g)                       /* what cells will read */
                            weft_fetch_units(gates + ((first + r) * time + t) * wide + g * n + u, weft_least(n - u, each));
                        weft_few_columns(tiles, steps, (const uint16_t *)split, some, z, 64);
                        some += tiles * steps * WEFT_PIECE;
                    }
                    z = inner;
                    for (long u = 0; u < n; u += each, z += WEFT_TILE_ROWS_OF_64) { WEFT_CELLS(u, weft_least(n - u, each), z, 16, 64) }
                }
            } else
#endif
            {
                weft_gemm_kept(rows, wide, n, last, step, w, wu, wg, how, planes, inner, wide, 0, scratch);
                WEFT_CELLS(0, n, inner, n, wide)
            }
            last = given + (first * time + t) * own;
            step = time * own;
        }
#if defined(WEFT_TILES)
        if (how == WEFT_AS_PLANES) _tile_release();
#endif
    }
}

/* The adjoint: `result` [time][G n], cotangents of the gates, unless it is NULL and they are known, `given`; d [time][dn] of
   all states or of h; `ended` [S n], cotangents of the states that began, unless it is NULL. */
WEFT_SHARED void weft_recurrence_input(int cell, long samples, long time, long n, const float *opened,
    const float *w, long wg, long wu, const float *states, const float *begin, long br, long bc, const float *d, long dn,
    const float *given, float *result, float *ended, float *scratch, float *planes)
{
#if defined(WEFT_TILES)
    if (cell == WEFT_LSTM && wg == 1 && time > 2
        && weft_lstm_adjoint(samples, time, n, opened, w, wu, states, begin, br, bc, d, dn, given, result, ended, scratch, planes)) return;
#endif
    const weft_cell_parts parts = weft_parts_of(cell);
    const long wide = parts.count * n, own = parts.states * n, open = parts.kept * n;
    const int how = time > 2 ? weft_keep(samples, 1, n, wide, w, wg, wu, planes) : WEFT_AS_IT_IS;
    const long most = weft_rows_of_time(samples, how);
    float *const split = planes + weft_kept_floats(1, n, wide), *const before = split + (wide + 31) / 32 * 768;
    float *const through = before + WEFT_ROWS_OF_TIME * own, *const last = through + WEFT_ROWS_OF_TIME * wide;
    float *const z = last + WEFT_ROWS_OF_TIME * own, *const spare = z + 16 * 64;
    for (long first = 0; first < samples; first += most) {
        const long rows = samples - first < most ? samples - first : most;
        float *const later = ended ? ended + first * own : last;
        for (long r = 0; r < rows; ++r) for (long j = 0; j < own; ++j) before[r * own + j] = begin[(first + r) * br + j * bc];
        memset(later, 0, (size_t)(rows * own) * sizeof(float));
#if defined(WEFT_TILES)
        if (how == WEFT_AS_PLANES) weft_few_rows(rows);
#endif
        for (long t = time - 1; t >= 0; --t) {
            for (long r = 0; r < rows; ++r) {
                const long at = (first + r) * time + t;
                const float *const old = t ? states + (at - 1) * own : before + r * own, *const above = d + at * dn;
                weft_cell_back(cell, n, opened + at * open, old, old + n, states + at * own + own - n, above, dn > n ? above + n : NULL,
                    later + r * own, later + r * own + n, result ? result + at * wide : spare, through + r * wide);
            }
            if (!t && !ended) break;                                     /* nobody asks for cotangents of what began */
            const float *const from = cell == WEFT_GRU ? through : given + (first * time + t) * wide;
            const long far = cell == WEFT_GRU ? wide : time * wide;
#if defined(WEFT_TILES)
            if (how == WEFT_AS_PLANES && weft_cut_few(rows, wide, from, far, (uint16_t *)split)) {
                const long each = 16 * weft_group(1, n), steps = (wide + 31) / 32;
                const uint16_t *some = (const uint16_t *)planes;
                for (long u = 0; u < n; u += each) {
                    const long count = weft_least(n - u, each), tiles = (count + 15) / 16;
                    weft_few_columns(tiles, steps, (const uint16_t *)split, some, z, 64);
                    some += tiles * steps * WEFT_PIECE;
                    for (long r = 0; r < rows; ++r) for (long j = 0; j < count; ++j)
                        later[r * own + u + j] = z[r * 64 + j] + (cell == WEFT_GRU ? later[r * own + u + j] : 0.0f);
                }
            } else
#endif
            weft_gemm_kept(rows, n, wide, from, far, w, wg, wu, how, planes, later, own, cell == WEFT_GRU, scratch);
        }
#if defined(WEFT_TILES)
        if (how == WEFT_AS_PLANES) _tile_release();
#endif
    }
}
