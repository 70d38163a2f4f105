/* C[i*cr + j] (+)= sum_k A[i*ar + k*ac] * B[k*br + j*bc]: register tiles of GCC vectors, no libraries, no static memory.
   Tiles also add up several such products, `blocks` of them, each `as` and `bs` further on in A and B (weft_gemm_blocks).
   Every element is one chain of fused multiply-adds over k (a few chains for short tiles): bits depend on the call, not on threads. */
#include "weft.h"
#include "tile_units.h"

/* ---- register tile: rows x (vectors * LANES) of C; `split` chains of k where few rows would wait for the adder ---- */
#define WEFT_TERMS(u) \
    weft_vector v[8]; \
    WEFT_UNROLL for (int j = 0; j < vectors; ++j) { \
        v[j] = whole || j + 1 < vectors ? *(const weft_vector *)(b + (u) * br + j * WEFT_LANES) : weft_load(b + (u) * br + j * WEFT_LANES, some); \
        if (WEFT_VECTOR_BYTES < 64 && rows > 1) WEFT_KEEP(v[j]); \
    } \
    WEFT_UNROLL for (int i = 0; i < rows; ++i) { \
        const float *p = (i < 3 ? a0 : i < 6 ? a3 : i < 9 ? a6 : a9) + (u) * ac; \
        const float x = i % 3 == 0 ? p[0] : i % 3 == 1 ? p[ar] : p[2 * ar]; \
        WEFT_UNROLL for (int j = 0; j < vectors; ++j) sum[((u) * rows + i) * vectors + j] += x * v[j]; \
    }
/* Where A lies k by k, each term comes from another line, often another page, which a processor does not foresee: a tile of 24 multiply-adds
   a term has time to ask for the lines of both operands some terms ahead. */
enum { WEFT_AHEAD = 16 };
#define WEFT_ASKS(rows, vectors) (WEFT_VECTOR_BYTES >= 32 && (rows) == WEFT_TILE_ROWS && (vectors) == 2)
#define WEFT_STEP(u) a0 += (u) * ac; a3 += (u) * ac; a6 += (u) * ac; a9 += (u) * ac; b += (u) * br;

WEFT_INLINE void weft_tile(const int rows, const int vectors, const int split, const int whole, long depth, const float *a, long ar, long ac,
    const float *b, long br, float *c, long cr, const float *from, long fr, long last, long blocks, long as, long bs)
{
    const weft_mask some = weft_first(last);
    weft_vector sum[24];
    WEFT_UNROLL for (int t = 0; t < split * rows * vectors; ++t) sum[t] = (weft_vector){0};
    const int spread = rows == 12 && vectors == 2 && blocks == 1;
    if (!spread && depth * blocks >= 64) WEFT_UNROLL for (int i = 0; i < rows; ++i)          /* the lines of C come while the sums run */
        WEFT_UNROLL for (int j = 0; j < vectors; j += 64 / WEFT_VECTOR_BYTES) __builtin_prefetch(c + i * cr + j * WEFT_LANES, 1);
    const float *at = a, *bt = b;
    for (long block = 0; block < blocks; ++block, at += as, bt += bs) {
        const float *a0 = at, *a3 = at + 3 * ar, *a6 = at + 6 * ar, *a9 = at + 9 * ar;
        b = bt;
        long k = 0;
        if (WEFT_ASKS(rows, vectors)) {
            for (long row = 0; k < depth; ++row) {                      /* and one after the other, as many at once would be waited for */
                const long until = spread && row + 1 < rows ? (row + 1) * depth / rows : depth;
                if (spread) __builtin_prefetch(c + row * cr, 1), __builtin_prefetch(c + row * cr + WEFT_LANES, 1);
                if (ar == 1) for (; k < until; ++k) {
                    WEFT_TERMS(0)
                    __builtin_prefetch(a0 + WEFT_AHEAD * ac); if (rows > 6) __builtin_prefetch(a9 + 2 + WEFT_AHEAD * ac);
                    if (rows > 6) __builtin_prefetch(b + WEFT_AHEAD * br), __builtin_prefetch(b + WEFT_AHEAD * br + WEFT_LANES);
                    WEFT_STEP(1)
                }
                else for (; k < until; ++k) { WEFT_TERMS(0) WEFT_STEP(1) }
            }
            continue;
        }
        for (; k + split <= depth; k += split) {
            WEFT_UNROLL for (int u = 0; u < split; ++u) { WEFT_TERMS(u) }
            WEFT_STEP(split)
        }
        if (split > 1) for (; k < depth; ++k) { WEFT_TERMS(0) WEFT_STEP(1) }
    }
    WEFT_UNROLL for (int i = 0; i < rows; ++i) {
        WEFT_UNROLL for (int j = 0; j < vectors; ++j) {
            weft_vector y = sum[i * vectors + j];
            WEFT_UNROLL for (int u = 1; u < split; ++u) y += sum[(u * rows + i) * vectors + j];
            float *q = c + i * cr + j * WEFT_LANES;
            const float *p = from + i * fr + j * WEFT_LANES;
            if (whole || j + 1 < vectors) { if (from) y += *(const weft_vector *)p; *(weft_vector *)q = y; }
            else { if (from) y += weft_load(p, some); weft_store(q, y, some); }
        }
    }
}
#define WEFT_TILE(rows, vectors, split) \
static __attribute__((noinline, unused)) void weft_tile_##rows##_##vectors(long depth, const float *a, long ar, long ac, \
    const float *b, long br, float *c, long cr, const float *from, long fr, long last, long blocks, long as, long bs) \
{ \
    if (WEFT_VECTOR_BYTES < 64 && last == WEFT_LANES) weft_tile(rows, vectors, split, 1, depth, a, ar, ac, b, br, c, cr, from, fr, last, blocks, as, bs); \
    else weft_tile(rows, vectors, split, 0, depth, a, ar, ac, b, br, c, cr, from, fr, last, blocks, as, bs); \
}

WEFT_TILE(1, 1, 4) WEFT_TILE(2, 1, 4) WEFT_TILE(4, 1, 2)
WEFT_TILE(1, 2, 4) WEFT_TILE(2, 2, 2) WEFT_TILE(4, 2, 1)
#if WEFT_VECTOR_BYTES == 64
WEFT_TILE(8, 1, 1) WEFT_TILE(12, 1, 1) WEFT_TILE(8, 2, 1) WEFT_TILE(12, 2, 1)
#elif WEFT_VECTOR_BYTES == 32
WEFT_TILE(6, 1, 2) WEFT_TILE(5, 2, 1) WEFT_TILE(6, 2, 1)
#elif defined(__aarch64__)
WEFT_TILE(1, 4, 1) WEFT_TILE(2, 4, 1) WEFT_TILE(6, 4, 1)
#endif

/* all rows of one column of tiles: the highest tiles first; those lie `below` each other in A */
#define WEFT_ROWS(rows, vectors) \
    for (; m >= (rows); m -= (rows), a += (rows) == WEFT_TILE_ROWS ? below : (rows) * ar, c += (rows) * cr, from += (rows) * fr) \
        weft_tile_##rows##_##vectors(depth, a, ar, ac, b, br, c, cr, from, fr, last, blocks, as, bs);
static __attribute__((noinline, unused)) void weft_rows(long m, long n, long depth, const float *a, long ar, long ac, long below,
    const float *b, long br, float *c, long cr, const float *from, long fr, long blocks, long as, long bs)
{
    const long last = n % WEFT_LANES ? n % WEFT_LANES : WEFT_LANES;
    if (n <= WEFT_LANES) {
#if WEFT_VECTOR_BYTES == 64
        WEFT_ROWS(12, 1) WEFT_ROWS(8, 1)
#elif WEFT_VECTOR_BYTES == 32
        WEFT_ROWS(6, 1)
#endif
        WEFT_ROWS(4, 1) WEFT_ROWS(2, 1) WEFT_ROWS(1, 1)
    } else if (n <= 2 * WEFT_LANES) {
#if WEFT_VECTOR_BYTES == 64
        WEFT_ROWS(12, 2) WEFT_ROWS(8, 2)
#elif WEFT_VECTOR_BYTES == 32
        WEFT_ROWS(6, 2) WEFT_ROWS(5, 2)
#endif
        WEFT_ROWS(4, 2) WEFT_ROWS(2, 2) WEFT_ROWS(1, 2)
    }
#if defined(__aarch64__)
    else { WEFT_ROWS(6, 4) WEFT_ROWS(2, 4) WEFT_ROWS(1, 4) }
#endif
}
/* one strip of up to 32 columns of C, which begin `from` what lies in rows `fr` apart, or from zeros, where `fr` is zero too */
static __attribute__((unused)) void weft_strip(long m, long n, long depth, const float *a, long ar, long ac, long below,
    const float *b, long br, float *c, long cr, const float *from, long fr, long blocks, long as, long bs)
{
    for (long j = 0; j < n; ) {
        const long left = n - j, w = left > 3 * WEFT_LANES && WEFT_TILE_VECTORS == 4 ? 4 * WEFT_LANES : 2 * WEFT_LANES;
        const long width = left < w ? left : w;
        weft_rows(m, width, depth, a, ar, ac, below, b + j, br, c + j, cr, from ? from + j : 0, fr, blocks, as, bs);
        j += width;
    }
}

/* ---- packing: 32 columns of B as [depth][32], zeros to the right ---- */
/* LANES columns by `deep` of k, which lie along k; columns from `n` on are zeros */
WEFT_INLINE void weft_pack_turned(const int whole, long n, long deep, const float *b, long bc, float *packed)
{
    const weft_mask some = weft_first(deep);
    weft_vector v[WEFT_LANES], w[WEFT_LANES];
    WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t)
        v[t] = whole ? *(const weft_vector *)(b + t * bc) : t < n ? weft_load(b + t * bc, some) : (weft_vector){0};
    WEFT_TURN(v, w)
    WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) if (whole || t < deep) *(weft_vector *)(packed + t * WEFT_STRIP) = v[t];
}
WEFT_SHARED void weft_pack_strip(long n, long depth, const float *b, long br, long bc, float *packed)
{
    if (bc == 1 && n == WEFT_STRIP) {
        for (long k = 0; k < depth; ++k, b += br, packed += WEFT_STRIP)
            WEFT_UNROLL for (int j = 0; j < WEFT_STRIP; j += WEFT_LANES) *(weft_vector *)(packed + j) = *(const weft_vector *)(b + j);
    } else if (bc == 1) {
        for (long j = 0; j < WEFT_STRIP; j += WEFT_LANES) {
            if (j >= n) {
                for (long k = 0; k < depth; ++k) *(weft_vector *)(packed + k * WEFT_STRIP + j) = (weft_vector){0};
                continue;
            }
            const weft_mask some = weft_first(n - j < WEFT_LANES ? n - j : WEFT_LANES);
            for (long k = 0; k < depth; ++k) *(weft_vector *)(packed + k * WEFT_STRIP + j) = weft_load(b + k * br + j, some);
        }
    } else if (br == 1) {
        for (long j = 0; j < WEFT_STRIP; j += WEFT_LANES) {
            long k = 0;
            if (n - j >= WEFT_LANES)
                for (; k + WEFT_LANES <= depth; k += WEFT_LANES) weft_pack_turned(1, WEFT_LANES, WEFT_LANES, b + j * bc + k, bc, packed + k * WEFT_STRIP + j);
            for (; k < depth; k += WEFT_LANES)
                weft_pack_turned(0, n - j, weft_least(depth - k, WEFT_LANES), b + j * bc + k, bc, packed + k * WEFT_STRIP + j);
        }
    } else {
        for (long k = 0; k < depth; ++k)
            for (long j = 0; j < WEFT_STRIP; ++j) packed[k * WEFT_STRIP + j] = j < n ? b[k * br + j * bc] : 0.0f;
    }
}

/* ---- dot form: both operands run along k; LANES sums at a time, reduced by one transposing tree ---- */
typedef float weft_part __attribute__((vector_size(4 * WEFT_DOT_COLUMNS), aligned(4), may_alias));
#define WEFT_HALVE(half) \
    WEFT_UNROLL for (int t = 0; t < (half); ++t) sum[t] = WEFT_LOW(sum[t], sum[t + (half)]) + WEFT_HIGH(sum[t], sum[t + (half)]);
#define WEFT_DOT_TERMS(LOAD) \
    weft_vector v[WEFT_LANES]; \
    WEFT_UNROLL for (int j = 0; j < columns; ++j) { v[j] = LOAD(y[j] + k); WEFT_KEEP(v[j]); } \
    WEFT_UNROLL for (int i = 0; i < rows; ++i) { \
        weft_vector u = LOAD(x[i] + k); \
        WEFT_KEEP(u); \
        WEFT_UNROLL for (int j = 0; j < columns; ++j) sum[i * columns + j] += u * v[j]; \
    }
#define WEFT_WHOLE(p) (*(const weft_vector *)(p))
#define WEFT_SOME(p) weft_load(p, some)
WEFT_INLINE void weft_dot_tile(const int rows, const int columns, long m, long n, long depth, const float *a, long ar,
    const float *b, long bc, float *c, long cr, long cc, int accumulate)
{
    const float *x[WEFT_LANES], *y[WEFT_LANES];
    WEFT_UNROLL for (int i = 0; i < rows; ++i) x[i] = a + (i < m ? i : m - 1) * ar;              /* missing rows repeat the last */
    WEFT_UNROLL for (int j = 0; j < columns; ++j) y[j] = b + (j < n ? j : n - 1) * bc;
    weft_vector sum[WEFT_LANES];
    WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) sum[t] = (weft_vector){0};
    long k = 0;
    for (; k + WEFT_LANES <= depth; k += WEFT_LANES) { WEFT_DOT_TERMS(WEFT_WHOLE) }
    if (k < depth) { const weft_mask some = weft_first(depth - k); WEFT_DOT_TERMS(WEFT_SOME) }
#if WEFT_VECTOR_BYTES == 64
    WEFT_HALVE(8)
#endif
#if WEFT_VECTOR_BYTES >= 32
    WEFT_HALVE(4)
#endif
    WEFT_HALVE(2) WEFT_HALVE(1)
    if (columns > 1 && n >= columns) {
        WEFT_UNROLL for (int i = 0; i < rows; ++i) if (i < m) {
            weft_part y = {0};
            WEFT_UNROLL for (int j = 0; j < columns; ++j) y[j] = sum[0][i * columns + j];
            if (accumulate) y += *(const weft_part *)(c + i * cr);
            *(weft_part *)(c + i * cr) = y;
        }
        return;
    }
    if (columns == 1 && cr == 1) {
        const weft_mask some = weft_first(m < WEFT_LANES ? m : WEFT_LANES);
        if (accumulate) sum[0] += weft_load(c, some);
        weft_store(c, sum[0], some);
        return;
    }
    float out[WEFT_LANES];
    *(weft_vector *)out = sum[0];
    for (int i = 0; i < rows && i < m; ++i)
        for (int j = 0; j < columns && j < n; ++j) {
            float *q = c + i * cr + j * cc;
            *q = accumulate ? *q + out[i * columns + j] : out[i * columns + j];
        }
}
WEFT_SHARED void weft_dot(long m, long n, long depth, const float *a, long ar, const float *b, long bc,
    float *c, long cr, int accumulate)
{
    if (n == 1 || m == 1) {
        const float *row = m == 1 ? b : a, *one = m == 1 ? a : b;
        const long count = m == 1 ? n : m, stride = m == 1 ? bc : ar, out = m == 1 ? 1 : cr;
        for (long i = 0; i < count; i += WEFT_LANES)
            for (long k = 0; k < depth; k += 512 * WEFT_LANES)          /* a lane adds up so many terms at most, one after the other */
                weft_dot_tile(WEFT_LANES, 1, count - i, 1, weft_least(depth - k, 512 * WEFT_LANES), row + i * stride + k, stride, one + k, 0, c + i * out,
                    out, 0, accumulate || k > 0);
        return;
    }
    for (long k = 0; k < depth; k += 640)                               /* a few rows this long stay in the first-level cache */
        for (long i = 0; i < m; i += WEFT_DOT_ROWS)
            for (long j = 0; j < n; j += WEFT_DOT_COLUMNS)
                weft_dot_tile(WEFT_DOT_ROWS, WEFT_DOT_COLUMNS, m - i, n - j, depth - k < 640 ? depth - k : 640, a + i * ar + k, ar,
                    b + j * bc + k, bc, c + i * cr + j, cr, 1, accumulate || k > 0);
}

/* ---- drivers ---- */
WEFT_SHARED void weft_clear(long m, long n, float *c, long cr)
{
    for (long i = 0; i < m; ++i) memset(c + i * cr, 0, (size_t)n * sizeof(float));
}
WEFT_SHARED void weft_fill_rows(long m, long n, const float *row, float *c, long cr)
{
    for (long i = 0; i < m; ++i) memcpy(c + i * cr, row, (size_t)n * sizeof(float));
}
/* B in strips: strip s begins at b + s * strip, its rows are br apart (32 when packed). */
static __attribute__((noinline, unused)) void weft_strips_from(long m, long n, long depth, const float *a, long ar, long ac,
    const float *b, long br, long strip, float *c, long cr, const float *from, long fr)
{
    const long blocks = (depth + WEFT_DEPTH - 1) / WEFT_DEPTH, deep = (depth + blocks - 1) / blocks;
    for (long k = 0; k < depth; k += deep, from = c, fr = cr) {
        const long d = depth - k < deep ? depth - k : deep;
        for (long j = 0; j < n; j += WEFT_STRIP)
            weft_strip(m, n - j < WEFT_STRIP ? n - j : WEFT_STRIP, d, a + k * ac, ar, ac, WEFT_TILE_ROWS * ar, b + j / WEFT_STRIP * strip + k * br, br,
                c + j, cr, from ? from + j : 0, fr, 1, 0, 0);
    }
}
WEFT_SHARED void weft_gemm_strips(long m, long n, long depth, const float *a, long ar, long ac,
    const float *b, long br, long strip, float *c, long cr, int accumulate)
{
    weft_strips_from(m, n, depth, a, ar, ac, b, br, strip, c, cr, accumulate ? c : 0, accumulate ? cr : 0);
}
/* the sum of several products, one after the other in each tile: C (+)= sum_t A[t * as] B[t * bs], B with rows of its own */
WEFT_SHARED void weft_gemm_blocks(long blocks, long as, long bs, long m, long n, long depth,
    const float *a, long ar, long ac, const float *b, long br, float *c, long cr, int accumulate)
{
    const long cuts = (depth + WEFT_DEPTH - 1) / WEFT_DEPTH, deep = (depth + cuts - 1) / cuts;
    for (long k = 0; k < depth; k += deep) {
        const long d = depth - k < deep ? depth - k : deep;
        for (long j = 0; j < n; j += WEFT_STRIP)
            weft_strip(m, n - j < WEFT_STRIP ? n - j : WEFT_STRIP, d, a + k * ac, ar, ac, WEFT_TILE_ROWS * ar, b + k * br + j, br, c + j, cr,
                accumulate || k > 0 ? c + j : 0, accumulate || k > 0 ? cr : 0, blocks, as, bs);
    }
}
/* B packed strip by strip into the scratch; 512 x 256 of A stay in the second-level cache.  Where A lies k by k and narrow tiles would read its lines
   again and again, it is packed, too: 6 rows side by side, [rows / 6][depth][6]. */
enum { WEFT_PACKED_ROWS = 474 };                                        /* in the scratch, and a vector too far */
static __attribute__((noinline, unused)) void weft_pack_rows(long m, long depth, const float *a, long ac, float *to)
{
    for (long i = 0; i < m; i += 6, a += 6, to += 6 * depth) {
        const weft_mask some = weft_first(weft_least(m - i, WEFT_LANES));
        if (m - i >= WEFT_LANES) for (long k = 0; k < depth; ++k) *(weft_vector *)(to + 6 * k) = *(const weft_vector *)(a + k * ac);
        else for (long k = 0; k < depth; ++k) *(weft_vector *)(to + 6 * k) = weft_load(a + k * ac, some);       /* what is written too far comes next */
    }
}
static __attribute__((noinline, unused)) void weft_repack_from(long m, long n, long depth, const float *a, long ar, long ac,
    const float *b, long br, long bc, float *c, long cr, const float *from, long fr, float *scratch)
{
    const int packs = weft_packs_rows(m, n, ar, ac);
    const long blocks = (depth + WEFT_DEPTH - 1) / WEFT_DEPTH, deep = (depth + blocks - 1) / blocks, high = packs ? WEFT_PACKED_ROWS : 512;
    for (long i = 0; i < m; i += high) for (long k = 0; k < depth; k += deep) {
        const long d = depth - k < deep ? depth - k : deep, rows = m - i < high ? m - i : high;
        const float *begin = k > 0 ? c + i * cr : from ? from + i * fr : 0, *left = a + i * ar + k * ac;
        long right = ac, below = WEFT_TILE_ROWS * ar;
        if (packs) {
            weft_pack_rows(rows, d, left, ac, scratch + WEFT_STRIP_SCRATCH);
            left = scratch + WEFT_STRIP_SCRATCH, right = 6, below = 6 * d;
        }
        for (long j = 0; j < n; j += WEFT_STRIP) {
            const long w = n - j < WEFT_STRIP ? n - j : WEFT_STRIP;
            weft_pack_strip(w, d, b + k * br + j * bc, br, bc, scratch);
            weft_strip(rows, w, d, left, ar, right, below, scratch, WEFT_STRIP, c + i * cr + j, cr, begin ? begin + j : 0, k > 0 ? cr : fr,
                1, 0, 0);
        }
    }
}
WEFT_SHARED void weft_gemm_repack(long m, long n, long depth, const float *a, long ar, long ac,
    const float *b, long br, long bc, float *c, long cr, int accumulate, float *scratch)
{
    weft_repack_from(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate ? c : 0, accumulate ? cr : 0, scratch);
}
/* products that begin with a row: tiles read it where they would read what lies in C */
WEFT_SHARED void weft_gemm_from_row(long m, long n, long depth, const float *a, long ar, long ac,
    const float *b, long br, long bc, float *c, long cr, const float *row, float *scratch)
{
#if defined(WEFT_TILES)
    if (weft_prefers_tiles(m, n, depth, ar, ac, br, bc)) {
        weft_gemm_tiles(m, n, depth, a, ar, ac, b, br, bc, c, cr, 0, row, scratch);
        return;
    }
#endif
    const int way = weft_way_of(m, n, depth, ar, ac, br, bc);
    if (way == WEFT_BY_STRIPS) weft_strips_from(m, n, depth, a, ar, ac, b, br, WEFT_STRIP, c, cr, row, 0);
    else if (way == WEFT_BY_PACKING) weft_repack_from(m, n, depth, a, ar, ac, b, br, bc, c, cr, row, 0, scratch);
    else {
        weft_fill_rows(m, n, row, c, cr);
        weft_gemm_plain(m, n, depth, a, ar, ac, b, br, bc, c, cr, 1, scratch);
    }
}
/* one column of C: A^T's rows, or dots of A's */
WEFT_SHARED void weft_gemm_column(long m, long depth, const float *a, long ar, long ac,
    const float *b, long br, float *c, long cr, int accumulate, float *scratch)
{
    if (ac == 1 && ar != 1) {
        for (long k = 0; k < depth; k += WEFT_STRIP_SCRATCH) {
            const long d = depth - k < WEFT_STRIP_SCRATCH ? depth - k : WEFT_STRIP_SCRATCH;
            if (br != 1) for (long t = 0; t < d; ++t) scratch[t] = b[(k + t) * br];
            weft_dot(m, 1, d, a + k, ar, br != 1 ? scratch : b + k, 0, c, cr, accumulate || k > 0);
        }
    } else if (ar == 1) {
        for (long i = 0; i < m; i += WEFT_STRIP_SCRATCH) {
            const long rows = m - i < WEFT_STRIP_SCRATCH ? m - i : WEFT_STRIP_SCRATCH;
            float *y = cr == 1 ? c + i : scratch;
            weft_gemm_strips(1, rows, depth, b, 0, br, a + i, ac, WEFT_STRIP, y, rows, accumulate && cr == 1);
            if (cr != 1) for (long t = 0; t < rows; ++t) c[(i + t) * cr] = accumulate ? c[(i + t) * cr] + y[t] : y[t];
        }
    } else weft_gemm_repack(m, 1, depth, a, ar, ac, b, br, 1, c, cr, accumulate, scratch);
}
