/* Products on tile units (AMX), where a processor has them: C[i*cr + j] (+)= sum_k A[i*ar + k*ac] * B[k*br + j*bc].
   A float is the exact sum of three bfloat16 x = h + m + l, each 8 bits of its significand.  Of the nine products of two such sums the
   six of at least 2^-16 are added in float, what is left out is below the rounding of one float product.  The error is that of
   multiply-adds, whose peak is 2.4 times lower.  Inf and NaN go the ordinary way; sums below 2^-126 count as zero. */
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BW__) && defined(__linux__)
#define WEFT_TILES 1
#include <immintrin.h>
#include <unistd.h>
#include <sys/syscall.h>
enum { WEFT_DEEP = 128, WEFT_BROAD = 256, WEFT_PIECE = 3 * 512 };     /* blocks of k and of columns; halves in the planes of a tile */
static int weft_tiles_allowed;                                          /* the kernel saves tiles only for those who asked */
__attribute__((constructor)) static void weft_ask_for_tiles(void) { weft_tiles_allowed = syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

typedef struct { uint8_t palette, start, rest[14]; uint16_t bytes[16]; uint8_t rows[16]; } weft_tile_shape;
static const weft_tile_shape weft_tile_shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

/* ---- packing: 16 rows of A, or columns of B, by 32 of k, as three planes of bfloat16; `sum` is NaN where a number is not finite ---- */
WEFT_INLINE __m512 weft_rest(__m512 x)                                  /* what the upper half of a float leaves, exactly */
{
    return _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32((int)0xffff0000u))));
}
WEFT_INLINE void weft_split(__m512 a, __m512 b, __m512i halves, uint16_t *to, __m512 *sum)
{
    WEFT_UNROLL for (int plane = 0; plane < 3; ++plane) {
        _mm512_store_si512(to + plane * 512, _mm512_permutex2var_epi16(_mm512_castps_si512(a), halves, _mm512_castps_si512(b)));
        if (plane == 2) break;
        a = weft_rest(a);
        b = weft_rest(b);
    }
    *sum = _mm512_add_ps(*sum, _mm512_add_ps(a, b));
}
WEFT_INLINE __mmask16 weft_lanes_of(long count) { return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1); }
/* column t of 16 rows in r[t]: quarters of rows are put side by side while they are loaded, the rest is done inside quarters */
WEFT_INLINE void weft_turn(long rows, long columns, const float *x, long step, __m512 *r)
{
    const __mmask8 some[4] = {weft_lanes_of(columns) & 15, weft_lanes_of(columns - 4) & 15, weft_lanes_of(columns - 8) & 15,
        weft_lanes_of(columns - 12) & 15};
    const int whole = rows >= 16 && columns >= 16;
    WEFT_UNROLL for (int q = 0; q < 4; ++q) {
        __m512 v[4], t[4];
        WEFT_UNROLL for (int i = 0; i < 4; ++i) {
            v[i] = _mm512_setzero_ps();
            WEFT_UNROLL for (int lane = 0; lane < 4; ++lane) {
                const float *const p = x + (4 * lane + i) * step + 4 * q;
                if (whole) v[i] = _mm512_mask_broadcast_f32x4(v[i], 15 << (4 * lane), _mm_loadu_ps(p));
                else if (4 * lane + i < rows) v[i] = _mm512_mask_broadcast_f32x4(v[i], 15 << (4 * lane), _mm_maskz_loadu_ps(some[q], p));
            }
        }
        t[0] = _mm512_unpacklo_ps(v[0], v[1]); t[1] = _mm512_unpackhi_ps(v[0], v[1]);
        t[2] = _mm512_unpacklo_ps(v[2], v[3]); t[3] = _mm512_unpackhi_ps(v[2], v[3]);
        WEFT_UNROLL for (int h = 0; h < 2; ++h) {
            const __m512d low = _mm512_castps_pd(t[h]), high = _mm512_castps_pd(t[2 + h]);
            r[4 * q + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            r[4 * q + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
}
#define WEFT_ODD _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, \
    31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1)
#define WEFT_BOTH _mm512_set_epi16(63, 31, 61, 29, 59, 27, 57, 25, 55, 23, 53, 21, 51, 19, 49, 17, \
    47, 15, 45, 13, 43, 11, 41, 9, 39, 7, 37, 5, 35, 3, 33, 1)
/* `lines` rows (16 at most) of `along` numbers (32 at most), `step` apart: zeros beyond */
WEFT_INLINE void weft_split_lines(long lines, long along, const float *x, long step, uint16_t *to, __m512 *sum)
{
    const __m512i odd = WEFT_ODD;
    const __mmask16 low = weft_lanes_of(along), high = weft_lanes_of(along - 16);
    long i = 0;
    for (; i < (lines < 16 ? lines : 16); ++i, x += step)
        weft_split(_mm512_maskz_loadu_ps(low, x), _mm512_maskz_loadu_ps(high, x + 16), odd, to + i * 32, sum);
    for (; i < 16; ++i) weft_split(_mm512_setzero_ps(), _mm512_setzero_ps(), odd, to + i * 32, sum);
}
/* `lines` of k (32 at most), `along` numbers (16 at most) each: two of k side by side */
WEFT_INLINE void weft_split_pairs(long lines, long along, const float *x, long step, uint16_t *to, __m512 *sum)
{
    const __m512i both = WEFT_BOTH;
    const __mmask16 some = weft_lanes_of(along);
    const __m512 zero = _mm512_setzero_ps();
    long i = 0;
    for (; i + 2 <= lines && i < 32; i += 2, x += 2 * step)
        weft_split(_mm512_maskz_loadu_ps(some, x), _mm512_maskz_loadu_ps(some, x + step), both, to + i * 16, sum);
    for (; i < 32; i += 2) weft_split(i < lines ? _mm512_maskz_loadu_ps(some, x) : zero, zero, both, to + i * 16, sum);
}
/* the same from memory that lies the other way: `lines` of k, `along` rows of A; `lines` columns of B, `along` of k */
static __attribute__((noinline, unused)) void weft_turn_lines(long lines, long along, const float *x, long step, uint16_t *to, __m512 *sum)
{
    __m512 low[16], high[16];
    weft_turn(lines, along, x, step, low);
    weft_turn(lines - 16, along, x + 16 * step, step, high);
    WEFT_UNROLL for (int i = 0; i < 16; ++i) weft_split(low[i], high[i], WEFT_ODD, to + i * 32, sum);
}
static __attribute__((noinline, unused)) void weft_turn_pairs(long lines, long along, const float *x, long step, uint16_t *to, __m512 *sum)
{
    for (long half = 0; half < 2; ++half) {
        __m512 r[16];
        weft_turn(lines, along - 16 * half, x + 16 * half, step, r);
        WEFT_UNROLL for (int i = 0; i < 16; i += 2) weft_split(r[i], r[i + 1], WEFT_BOTH, to + half * 256 + i * 16, sum);
    }
}
/* `count` rows of A, or columns of B, by `depth` of k: [16 rows][step of k][plane]; are all of them finite? */
static __attribute__((noinline, unused)) int weft_split_a(long count, long depth, const float *a, long ar, long ac, uint16_t *to)
{
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < count; i += 16) for (long k = 0; k < depth; k += 32, to += WEFT_PIECE) {
        if (ac == 1) weft_split_lines(count - i, depth - k, a + i * ar + k, ar, to, &sum);
        else weft_turn_lines(depth - k, count - i, a + i + k * ac, ac, to, &sum);
    }
    return _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q) == 0;
}
static __attribute__((noinline, unused)) int weft_split_b(long count, long depth, const float *b, long br, long bc, uint16_t *to)
{
    __m512 sum = _mm512_setzero_ps();
    for (long j = 0; j < count; j += 16) for (long k = 0; k < depth; k += 32, to += WEFT_PIECE) {
        if (bc == 1) weft_split_pairs(depth - k, count - j, b + k * br + j, br, to, &sum);
        else weft_turn_pairs(count - j, depth - k, b + j * bc + k, bc, to, &sum);
    }
    return _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q) == 0;
}

WEFT_INLINE long weft_least(long a, long b) { return a < b ? a : b; }

/* ---- rows x columns tiles of C, two by two at most: the largest terms last ---- */
#define WEFT_LOAD_A(plane) \
    _tile_loadd(4, a + (plane) * 512, 64); \
    if (rows > 1) _tile_loadd(5, a + below + (plane) * 512, 64);
#define WEFT_LOAD_B(plane) \
    _tile_loadd(6, b + (plane) * 512, 64); \
    if (columns > 1) _tile_loadd(7, b + beside + (plane) * 512, 64);
#define WEFT_DOT_TILES \
    _tile_dpbf16ps(0, 4, 6); \
    if (columns > 1) _tile_dpbf16ps(1, 4, 7); \
    if (rows > 1) _tile_dpbf16ps(2, 5, 6); \
    if (rows > 1 && columns > 1) _tile_dpbf16ps(3, 5, 7);
#define WEFT_EACH_TILE(DO) \
    if (rows == 1) { DO(0, 0, 0) DO(1, 0, 1) DO(2, 0, 2) DO(3, 0, 3) } \
    else { DO(0, 0, 0) DO(1, 0, 1) DO(2, 1, 0) DO(3, 1, 1) }
#define WEFT_CLEAR_TILE(t, i, j) if (i < rows && j < columns) _tile_zero(t);
#define WEFT_FETCH_TILE(t, i, j) if (i < rows && j < columns) _tile_loadd(t, c + 16 * (i * cr + j), 4 * cr);
#define WEFT_KEEP_TILE(t, i, j) if (i < rows && j < columns) _tile_stored(t, c + 16 * (i * cr + j), 4 * cr);
#define WEFT_SPILL_TILE(t, i, j) if (i < rows && j < columns) _tile_stored(t, edge + 16 * (i * 64 + j), 256);
#define WEFT_COLUMN_OF(j) \
    if (j < columns) { \
        _tile_loadd(7, b + j * beside + 1024, 64); _tile_dpbf16ps(j, 4, 7); \
        _tile_loadd(7, b + j * beside + 512, 64); _tile_dpbf16ps(j, 4, 7); _tile_dpbf16ps(j, 5, 7); \
        _tile_loadd(7, b + j * beside, 64); _tile_dpbf16ps(j, 5, 7); _tile_dpbf16ps(j, 6, 7); _tile_dpbf16ps(j, 4, 7); \
    }
WEFT_INLINE void weft_tiles_of(const int rows, const int columns, long steps, const uint16_t *a, long below, const uint16_t *b, long beside,
    float *c, long cr, long m, long n, int accumulate)
{
    const int whole = m >= 16 * rows && n >= 16 * columns;
    for (long i = 0; i < weft_least(m, 16 * rows); ++i)                  /* the lines of C come while the sums run */
        WEFT_UNROLL for (int j = 0; j < columns; ++j) __builtin_prefetch(c + i * cr + 16 * j, 1);
    if (whole && accumulate) { WEFT_EACH_TILE(WEFT_FETCH_TILE) } else { WEFT_EACH_TILE(WEFT_CLEAR_TILE) }
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += WEFT_PIECE) {
        if (rows == 1) {                                                /* all planes of A, one of B: up to four columns */
            _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
            WEFT_COLUMN_OF(0) WEFT_COLUMN_OF(1) WEFT_COLUMN_OF(2) WEFT_COLUMN_OF(3)
            continue;
        }
        WEFT_LOAD_A(0) WEFT_LOAD_B(2) WEFT_DOT_TILES
        WEFT_LOAD_B(1) WEFT_DOT_TILES
        WEFT_LOAD_A(1) WEFT_DOT_TILES
        WEFT_LOAD_B(0) WEFT_DOT_TILES
        WEFT_LOAD_A(2) WEFT_DOT_TILES
        WEFT_LOAD_A(0) WEFT_DOT_TILES
    }
    if (whole) { WEFT_EACH_TILE(WEFT_KEEP_TILE) return; }
    float edge[2048] __attribute__((aligned(64)));
    WEFT_EACH_TILE(WEFT_SPILL_TILE)
    __asm__ volatile("" ::: "memory");
    for (long i = 0; i < m && i < 16 * rows; ++i) for (long j = 0; j < n && j < 16 * columns; j += 16) {
        const __mmask16 some = n - j >= 16 ? 0xffff : (__mmask16)((1u << (n - j)) - 1);
        __m512 y = _mm512_load_ps(edge + i * 64 + j);
        if (accumulate) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(some, c + i * cr + j));
        _mm512_mask_storeu_ps(c + i * cr + j, some, y);
    }
}
#define WEFT_TILES_OF(rows, columns) \
static __attribute__((noinline, unused)) void weft_tiles_##rows##columns(long steps, const uint16_t *a, long below, const uint16_t *b, \
    long beside, float *c, long cr, long m, long n, int accumulate) \
{ weft_tiles_of(rows, columns, steps, a, below, b, beside, c, cr, m, n, accumulate); }
WEFT_TILES_OF(1, 1) WEFT_TILES_OF(1, 2) WEFT_TILES_OF(1, 3) WEFT_TILES_OF(1, 4) WEFT_TILES_OF(2, 1) WEFT_TILES_OF(2, 2)

/* C from packed operands, whose tiles lie `below` and `beside` each other: small enough that they stay in cache */
static __attribute__((noinline, unused)) void weft_tiled(long m, long n, long steps, const uint16_t *a, long below, const uint16_t *b,
    long beside, float *c, long cr, int accumulate)
{
#define WEFT_CALL(rows, columns) weft_tiles_##rows##columns(steps, left, below, right, beside, to, cr, m - i, n - j, accumulate)
    for (long i = 0; i < m; i += 32) for (long j = 0; j < n; j += m - i > 16 ? 32 : 64) {
        const uint16_t *const left = a + i / 16 * below, *const right = b + j / 16 * beside;
        float *const to = c + i * cr + j;
        if (m - i > 16) { if (n - j > 16) WEFT_CALL(2, 2); else WEFT_CALL(2, 1); }
        else if (n - j > 48) WEFT_CALL(1, 4);
        else if (n - j > 32) WEFT_CALL(1, 3);
        else if (n - j > 16) WEFT_CALL(1, 2);
        else WEFT_CALL(1, 1);
    }
}
WEFT_INLINE long weft_whole_tiles(long count) { return (count + 15) / 16 * 16; }

/* Are tiles quicker?  Cycles of tiles and of packing against those of multiply-adds. */
WEFT_INLINE int weft_prefers_tiles(long m, long n, long depth, long ar, long ac, long br, long bc)
{
    if (!weft_tiles_allowed || (ar != 1 && ac != 1) || (br != 1 && bc != 1) || m < 8 || n < 8 || depth < 16) return 0;
    const double tiles = weft_whole_tiles(m) * (double)weft_whole_tiles(n) * ((depth + 31) / 32 * 32) * (6.8 / 512);
    const double left = m * (ac == 1 ? 0.65 : 0.8), right = n * (bc == 1 ? 0.65 : 0.8);
    return tiles + (left + right) * depth + 800 < m * (double)n * depth * (1.2 / 32);
}
/* The shorter side is packed as a whole, at most 256 of it; 32 of the longer one at a time.  What is not finite goes the ordinary way. */
static __attribute__((noinline, unused)) void weft_gemm_tiles(long m, long n, long depth, const float *a, long ar, long ac, const float *b,
    long br, long bc, float *c, long cr, int accumulate, float *scratch)
{
    uint16_t *const few = (uint16_t *)scratch, *const many = (uint16_t *)(scratch + WEFT_STRIP_SCRATCH);
    const long flat = m < n, high = flat ? WEFT_BROAD : 32, wide = flat ? 32 : WEFT_BROAD;
    for (long outer = 0; outer < (flat ? m : n); outer += WEFT_BROAD) for (long k = 0; k < depth; k += WEFT_DEEP) {
        const long deep = weft_least(depth - k, WEFT_DEEP), steps = (deep + 31) / 32;
        const int more = accumulate || k > 0;
        const int finite = flat ? weft_split_a(weft_least(m - outer, WEFT_BROAD), deep, a + outer * ar + k * ac, ar, ac, many)
                                : weft_split_b(weft_least(n - outer, WEFT_BROAD), deep, b + k * br + outer * bc, br, bc, many);
        for (long inner = 0; inner < (flat ? n : m); inner += 32) {
            const long i = flat ? outer : inner, j = flat ? inner : outer;
            const long rows = weft_least(m - i, high), columns = weft_least(n - j, wide);
            const float *const x = a + i * ar + k * ac, *const y = b + k * br + j * bc;
            float *const to = c + i * cr + j;
            if (finite && (flat ? weft_split_b(columns, deep, y, br, bc, few) : weft_split_a(rows, deep, x, ar, ac, few)))
                weft_tiled(rows, columns, steps, flat ? many : few, steps * WEFT_PIECE, flat ? few : many, steps * WEFT_PIECE, to, cr, more);
            else weft_gemm_plain(rows, columns, deep, x, ar, ac, y, br, bc, to, cr, more, scratch);
        }
    }
}
#endif
enum { WEFT_GEMM_SCRATCH = WEFT_STRIP_SCRATCH + 49152 };                /* on every machine: planes of 256 columns by 128 of k */

WEFT_INLINE void weft_gemm(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc,
    float *c, long cr, int accumulate, float *scratch)
{
#if defined(WEFT_TILES)
    if (weft_prefers_tiles(m, n, depth, ar, ac, br, bc)) {
        _tile_loadconfig(&weft_tile_shapes);
        weft_gemm_tiles(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
        _tile_release();
        return;
    }
#endif
    weft_gemm_plain(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
}
