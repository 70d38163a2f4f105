/* The adjoint of an LSTM on tile units: while cotangents of 16, 32, 48 or 64 states are added up, those of the gates of the ones before are made and
   cut.  What is left of a step, its last states, goes along with the first products of the next. */
#if defined(WEFT_TILES)
/* A block is a row and 16 units: o what opened, e the cell's state after and c before, dh and dc (or NULL) cotangents of the states from above, z and
   lc those from the step after, q gets those of the gates and `to` their planes: two of k for 16 units, the gates side by side. */
typedef struct { const float *o, *e, *c, *dh, *dc, *z; float *lc, *q; uint16_t *to; } weft_lstm_block;
typedef struct { weft_lstm_block first; long gates, states, before, above, wide, own, z, rows, n; } weft_lstm_blocks;                /* from row to row */
WEFT_INLINE weft_lstm_block weft_lstm_block_at(const weft_lstm_blocks *all, long r, long u)
{
    const weft_lstm_block x = all->first;
    return (weft_lstm_block){x.o + r * all->gates + u, x.e + r * all->states + u, x.c + r * all->before + u, x.dh + r * all->above + u,
        x.dc ? x.dc + r * all->above + u : 0, x.z + r * all->z + u, x.lc + r * all->own + u, x.q + r * all->wide + u,
        x.to + u / 8 * WEFT_PIECE + 32 * r};
}
typedef struct { float squashed[16] __attribute__((aligned(64))); __m512 d, in, fresh, q[4]; } weft_lstm_held;
#define WEFT_OF(p) _mm512_maskz_loadu_ps(some, p)
#define WEFT_LESS(x, y) _mm512_fnmadd_ps(x, y, _mm512_set1_ps(1.0f))                                        /* 1 - x y */
WEFT_INLINE void weft_lstm_back_piece(const int piece, long n, __mmask16 some, const weft_lstm_block x, weft_lstm_held *held, __m512 *sum)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    if (piece == 0) {
        _mm512_store_ps(held->squashed, WEFT_OF(x.e));
        WEFT_SIXTEEN held->squashed[j] = weft_tanh(held->squashed[j]);
    }
    if (piece == 1) {
        const __m512 above = _mm512_add_ps(WEFT_OF(x.dh), WEFT_OF(x.z)), squashed = _mm512_load_ps(held->squashed), out = WEFT_OF(x.o + 3 * n);
        const __m512 straight = x.dc ? _mm512_add_ps(WEFT_OF(x.dc), WEFT_OF(x.lc)) : WEFT_OF(x.lc), through = _mm512_mul_ps(above, out);
        held->d = _mm512_fmadd_ps(through, WEFT_LESS(squashed, squashed), straight);
        held->q[3] = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(above, squashed), out), _mm512_sub_ps(one, out));
    }
    if (piece == 2) {
        const __m512 forget = WEFT_OF(x.o + n), d = held->d;
        held->in = WEFT_OF(x.o), held->fresh = WEFT_OF(x.o + 2 * n);
        held->q[0] = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(d, held->fresh), held->in), _mm512_sub_ps(one, held->in));
        held->q[1] = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(d, WEFT_OF(x.c)), forget), _mm512_sub_ps(one, forget));
        _mm512_mask_storeu_ps(x.lc, some, _mm512_mul_ps(d, forget));
    }
    if (piece == 3) {
        held->q[2] = _mm512_mul_ps(_mm512_mul_ps(held->d, held->in), WEFT_LESS(held->fresh, held->fresh));
        WEFT_UNROLL for (int g = 0; g < 4; ++g) _mm512_mask_storeu_ps(x.q + g * n, some, held->q[g]);
    }
    if (piece == 4) weft_split_pair(held->q[0], held->q[1], x.to, sum);
    if (piece == 5) weft_split_pair(held->q[2], held->q[3], x.to + WEFT_PIECE, sum);
}
/* Blocks of some rows: all of 16 units from `u` on, then of the 16 after them, up to `end`. */
typedef struct { weft_lstm_blocks all; long r, u, end; __m512 sum; } weft_lstm_errand;
WEFT_INLINE weft_lstm_errand weft_lstm_errand_of(weft_lstm_blocks all, long end)
{
    return (weft_lstm_errand){all, 0, all.rows ? 0 : all.n, all.rows ? end : all.n, _mm512_setzero_ps()};
}
WEFT_INLINE void weft_lstm_next(weft_lstm_errand *errand)
{
    if (++errand->r == errand->all.rows) errand->r = 0, errand->u += 16;
}
static __attribute__((noinline, unused)) void weft_lstm_until(weft_lstm_errand *errand)
{
    const long n = errand->all.n;
    weft_lstm_held held;
    __m512 sum = errand->sum;
    for (; errand->u < errand->end; weft_lstm_next(errand)) {
        const weft_lstm_block block = weft_lstm_block_at(&errand->all, errand->r, errand->u);
        const __mmask16 some = weft_lanes_of(n - errand->u);
        WEFT_UNROLL for (int piece = 0; piece < 6; ++piece) weft_lstm_back_piece(piece, n, some, block, &held, &sum);
    }
    errand->sum = sum;
}
/* What the block four times 16 units further on reads, or one of the step before: its lines lie too far apart for the processor to guess. */
WEFT_INLINE void weft_lstm_fetch(const weft_lstm_block *x, long u, const weft_lstm_blocks *all)
{
    const long n = all->n, over = u + 64 >= n, on = 64 - over * ((n + 15) / 16 * 16);
    const float *const o = x->o + on - over * 4 * n;
    WEFT_UNROLL for (int g = 0; g < 4; ++g) __builtin_prefetch(o + g * n);
    __builtin_prefetch(x->c + on - over * 2 * n);
    __builtin_prefetch(x->dh + on - over * (x->dc ? 2 * n : n));
}
#define WEFT_BLOCK_PIECE(piece) if (more) weft_lstm_back_piece(piece, n, some, block, &held, &sum);
#define WEFT_BLOCK_BESIDE(t) \
    if (columns > t) { \
        const int more = own.u < own.end; \
        const weft_lstm_block block = weft_lstm_block_at(&own.all, own.r, more ? own.u : 0); \
        const __mmask16 some = weft_lanes_of(n - own.u); \
        WEFT_COLUMN_BESIDE(t, WEFT_BLOCK_PIECE) \
        if (more) { \
            weft_lstm_fetch(&block, own.u, &own.all); \
            weft_lstm_next(&own); \
        } \
    }
/* z = A B for some columns, its rows `zr` apart, and meanwhile as much of an errand as there is time for; all of it before step `due`, which
   multiplies what it cuts. */
WEFT_INLINE void weft_lstm_cotangents(const int columns, long steps, const uint16_t *a, const uint16_t *b, float *z, long zr, weft_lstm_errand *errand,
    long due)
{
    const long n = errand->all.n;
    weft_lstm_errand own = *errand;
    weft_lstm_held held;
    __m512 sum = own.sum;
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += columns * WEFT_PIECE) {
        if (step == due && own.u < own.end) {
            own.sum = sum;
            weft_lstm_until(&own);
            sum = own.sum;
            __asm__ volatile("" ::: "memory");
        }
        _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
        WEFT_BLOCK_BESIDE(0) WEFT_BLOCK_BESIDE(1) WEFT_BLOCK_BESIDE(2) WEFT_BLOCK_BESIDE(3)
    }
    _tile_stored(0, z, 4 * zr);
    if (columns > 1) _tile_stored(1, z + 16, 4 * zr);
    if (columns > 2) _tile_stored(2, z + 32, 4 * zr);
    if (columns > 3) _tile_stored(3, z + 48, 4 * zr);
    __asm__ volatile("" ::: "memory");
    errand->r = own.r, errand->u = own.u, errand->sum = sum;
}
#define WEFT_COTANGENTS(columns) \
static __attribute__((noinline, unused)) void weft_lstm_cotangents_##columns(long steps, const uint16_t *a, const uint16_t *b, float *z, long zr, \
    weft_lstm_errand *errand, long due) { weft_lstm_cotangents(columns, steps, a, b, z, zr, errand, due); }
WEFT_COTANGENTS(1) WEFT_COTANGENTS(2) WEFT_COTANGENTS(3) WEFT_COTANGENTS(4)
/* Groups of at most four times 16 states, as even as they can be; the largest come first. */
WEFT_INLINE long weft_lstm_group(long n, long number)
{
    const long tiles = (n + 15) / 16, groups = (tiles + 3) / 4;
    return tiles / groups + (number < tiles % groups);
}
/* The weight for the adjoint, its gates side by side as blocks have them: [group][two of k for 16 units][tile]; are all numbers finite? */
static __attribute__((unused)) int weft_lstm_keep(long n, const float *w, long wu, uint16_t *to)
{
    int finite = 1;
    for (long j = 0, number = 0, group; j < n; j += 16 * group, ++number) {
        group = weft_lstm_group(n, number);
        for (long k = 0; k < 2 * ((n + 15) / 16); ++k) for (long t = 0; t < group; ++t, to += WEFT_PIECE) {
            const float *const from = w + (j + 16 * t) * wu + k % 2 * 2 * n + k / 2 * 16;
            const __mmask16 some = weft_lanes_of(n - k / 2 * 16);
            float both[16 * 32] __attribute__((aligned(64)));
            for (long i = 0; i < 16; ++i) for (long g = 0; g < 2; ++g)
                _mm512_store_ps(both + 32 * i + 16 * g, _mm512_maskz_loadu_ps(j + 16 * t + i < n ? some : 0, from + i * wu + g * n));
            finite &= weft_cut_b(16, 32, both, 1, 32, to);
        }
    }
    return finite;
}
/* One step: z = A B for all states, once the errand is done, and meanwhile that of `next`, the step before in time, but for its last blocks; was
   everything finite that was cut? */
static __attribute__((unused)) int weft_lstm_step_back(long n, const uint16_t *split, const uint16_t *kept, float *z, long zr, weft_lstm_errand *errand,
    weft_lstm_blocks next)
{
    const long steps = 2 * ((n + 15) / 16);
    for (long j = 0, number = 0, group; j < n; j += 16 * group, ++number) {
        group = weft_lstm_group(n, number);
        (group == 4 ? weft_lstm_cotangents_4 : group == 3 ? weft_lstm_cotangents_3 : group == 2 ? weft_lstm_cotangents_2
            : weft_lstm_cotangents_1)(steps, split, kept, z + j, zr, errand, number ? steps : errand->u / 8);
        kept += group * steps * WEFT_PIECE;
        weft_lstm_until(errand);
        if (!number) {
            if (!weft_finite(errand->sum)) return 0;
            *errand = weft_lstm_errand_of(next, 0);
        }
        if (next.rows) errand->end = weft_least(j + 16 * group, n);
    }
    return 1;
}
/* `weft_recurrence_input` of an LSTM, if tile units are allowed and the weight is finite: was it done? */
static __attribute__((unused)) int weft_lstm_adjoint(long samples, long time, long n, const float *opened, const float *w, long wu,
    const float *states, const float *begin, long br, long bc, const float *d, long dn, const float *given, float *result, float *ended,
    float *scratch, float *planes)
{
    const long tiles = (n + 15) / 16, piece = 2 * tiles * 768, wide = 4 * n, own = 2 * n, zr = 16 * tiles;
    uint16_t *const kept = (uint16_t *)planes;
    if (!weft_tiles_allowed || samples < 5 || n < 16 || !weft_lstm_keep(n, w, wu, kept)) return 0;
    float *const split[2] = {planes + tiles * piece, planes + (tiles + 1) * piece}, *const z = planes + (tiles + 2) * piece;
    float *const before = z + 16 * zr, *const last = before + 16 * own, *const spare = last + 16 * own;
    const long most = weft_rows_of_time(samples, WEFT_AS_PLANES);
    for (long first = 0; first < samples; first += most) {
        const long rows = weft_least(samples - first, most), far = time * own;
        float *const later = ended ? ended + first * own : last;
        for (long r = 0; r < rows; ++r) for (long j = n; j < own; ++j) before[r * own + j] = begin[(first + r) * br + j * bc];
        memset(later, 0, (size_t)(rows * own) * sizeof(float));
        memset(z, 0, (size_t)(16 * zr) * sizeof(float));
        weft_few_rows(rows);
        weft_lstm_errand errand;
        int finite = 0;                                                  /* nothing was cut yet */
        for (long t = time; t >= (ended ? 0 : 1); --t) {                  /* the products of step t, and the blocks of the one before it */
            const long at = first * time + t - 1;
            const float *const above = d + at * dn;
            const weft_lstm_block block = {opened + at * wide, states + at * own + n, t > 1 ? states + (at - 1) * own + n : before + n, above,
                dn > n ? above + n : 0, z, later + n, result ? result + at * wide : spare, (uint16_t *)split[t & 1]};
            const weft_lstm_blocks next = {block, time * wide, far, t > 1 ? far : own, time * dn, result ? time * wide : 0, own, zr, t ? rows : 0, n};
            if (finite && weft_lstm_step_back(n, (const uint16_t *)split[(t + 1) & 1], kept, z, zr, &errand, next)) continue;
            if (t < time) weft_gemm_plain(rows, n, wide, given + (at + 1) * wide, time * wide, 1, w, 1, wu, z, zr, 0, scratch);
            errand = weft_lstm_errand_of(next, n);
            weft_lstm_until(&errand);
            finite = weft_finite(errand.sum);
        }
        weft_lstm_until(&errand);
        if (ended) for (long r = 0; r < rows; ++r) for (long j = 0; j < n; ++j) later[r * own + j] = z[r * zr + j];
        _tile_release();
    }
    return 1;
}
#endif
