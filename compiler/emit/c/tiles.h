/* Products on tile units (AMX), where a processor has them: C[i*cr + j] (+)= sum_k A[i*ar + k*ac] * B[k*br + j*bc].
   A float is the exact sum of three bfloat16 x = h + m + l, each 8 bits of its significand.  Of the nine products of two such sums the
   six of at least 2^-16 are added in float, what is left out is below the rounding of one float product.  The error is that of
   multiply-adds, whose peak is 2.4 times lower.  Inf and NaN go the ordinary way; sums below 2^-126 count as zero. */
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BW__) && defined(__linux__)
#define WEFT_TILES 1
#include <immintrin.h>
#include <unistd.h>
#include <sys/syscall.h>
enum { WEFT_DEEP = 128, WEFT_BROAD = 256, WEFT_PIECE = 3 * 512,        /* blocks of k and of columns; halves in the planes of a tile */
       WEFT_FEW = 2 * WEFT_DEEP / 32 * WEFT_PIECE, WEFT_MANY = WEFT_BROAD / 16 * WEFT_DEEP / 32 * WEFT_PIECE };
static int weft_tiles_allowed;                                          /* the kernel saves tiles only for those who asked */
__attribute__((constructor)) static void weft_ask_for_tiles(void) { weft_tiles_allowed = syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

typedef struct { uint8_t palette, start, rest[14]; uint16_t bytes[16]; uint8_t rows[16]; } weft_tile_shape;
static const weft_tile_shape weft_tile_shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

/* ---- packing: 16 rows of A, or columns of B, by 32 of k, as three planes of bfloat16; `sum` is NaN where a number is not finite ---- */
#define WEFT_UPPER _mm512_set1_epi32((int)0xffff0000u)
#define WEFT_ODD _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, \
    31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1)
WEFT_INLINE __m512 weft_rest(__m512 x)                                  /* what the upper half of a float leaves, exactly */
{
    return _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), WEFT_UPPER)));
}
/* 32 of k for a row of A; two of k for 16 columns of B, side by side: the upper halves of a and b in the order `in_turn`, or as pairs */
WEFT_INLINE __m512i weft_upper_halves(__m512 a, __m512 b, int in_turn)
{
    const __m512i x = _mm512_castps_si512(a), y = _mm512_castps_si512(b);
    return in_turn ? _mm512_permutex2var_epi16(x, WEFT_ODD, y)
                   : _mm512_ternarylogic_epi32(_mm512_srli_epi32(x, 16), y, WEFT_UPPER, 0xf8);              /* x >> 16 | y & upper */
}
WEFT_INLINE void weft_split(__m512 a, __m512 b, const int in_turn, uint16_t *to, long apart, __m512 *sum)
{
    WEFT_UNROLL for (int plane = 0; plane < 3; ++plane) {
        _mm512_store_si512(to + plane * apart, weft_upper_halves(a, b, in_turn));
        if (plane == 2) break;
        a = weft_rest(a);
        b = weft_rest(b);
    }
    *sum = _mm512_fmadd_ps(a, b, *sum);
}
WEFT_INLINE void weft_split_line(__m512 a, __m512 b, uint16_t *to, __m512 *sum) { weft_split(a, b, 1, to, 512, sum); }
WEFT_INLINE void weft_split_pair(__m512 a, __m512 b, uint16_t *to, __m512 *sum) { weft_split(a, b, 0, to, 512, sum); }
WEFT_INLINE __mmask16 weft_lanes_of(long count) { return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1); }
/* Columns 4 q .. 4 q + 3 of 16 rows: quarters of rows are put side by side while they are loaded, the rest is done inside quarters. */
WEFT_INLINE void weft_turn(const int whole, long rows, long columns, const float *x, long step, const int q, __m512 *r)
{
    const __mmask8 some = weft_lanes_of(columns - 4 * q) & 15;
    __m512 v[4], t[4];
    WEFT_UNROLL for (int i = 0; i < 4; ++i) {
        v[i] = _mm512_setzero_ps();
        WEFT_UNROLL for (int lane = 0; lane < 4; ++lane) {
            const float *const p = x + (4 * lane + i) * step + 4 * q;
            if (whole) v[i] = _mm512_mask_broadcast_f32x4(v[i], 15 << (4 * lane), _mm_loadu_ps(p));
            else if (4 * lane + i < rows) v[i] = _mm512_mask_broadcast_f32x4(v[i], 15 << (4 * lane), _mm_maskz_loadu_ps(some, p));
        }
    }
    t[0] = _mm512_unpacklo_ps(v[0], v[1]); t[1] = _mm512_unpackhi_ps(v[0], v[1]);
    t[2] = _mm512_unpacklo_ps(v[2], v[3]); t[3] = _mm512_unpackhi_ps(v[2], v[3]);
    WEFT_UNROLL for (int h = 0; h < 2; ++h) {
        const __m512d low = _mm512_castps_pd(t[h]), high = _mm512_castps_pd(t[2 + h]);
        r[2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
        r[2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
}
/* 32 rows of A or columns of B by a step of k, in four parts, the pieces `beside` each other.
   Lines: rows of A that run along k.  Pairs: columns of B, whose rows run along them.  Turned: from memory that lies the other way. */
typedef void weft_packer(int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum);
static __attribute__((noinline, unused)) void weft_lines_of_a(int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum)
{
    __m512 total = *sum;
    x += 8 * part * step;
    to += (part >> 1) * beside + (part & 1) * 256;
    WEFT_UNROLL for (int i = 0; i < 8; ++i, x += step) weft_split_line(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16), to + i * 32, &total);
    *sum = total;
}
WEFT_INLINE void weft_pairs(const int ahead, int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum)
{
    __m512 total = *sum;
    x += (part >> 1) * 16 + (part & 1) * 16 * step;
    to += (part >> 1) * beside + (part & 1) * 256;
    WEFT_UNROLL for (int i = 0; i < 8; ++i, x += 2 * step) {
        if (ahead) __builtin_prefetch(x + 32), __builtin_prefetch(x + step + 32);
        weft_split_pair(_mm512_loadu_ps(x), _mm512_loadu_ps(x + step), to + i * 32, &total);
    }
    *sum = total;
}
static __attribute__((noinline, unused)) void weft_pairs_of_b(int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum)
{
    weft_pairs(0, part, x, step, to, beside, sum);
}
/* The same, and the next 32 columns are fetched: their rows lie too far apart for the processor to guess. */
static __attribute__((noinline, unused)) void weft_pairs_ahead(int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum)
{
    weft_pairs(1, part, x, step, to, beside, sum);
}
static __attribute__((noinline, unused)) void weft_turned_a(int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum)
{
    __m512 total = *sum;
    x += (part >> 1) * 16;
    x += (part & 1) * 8;
    to += (part >> 1) * beside + (part & 1) * 256;
    WEFT_UNROLL for (int q = 0; q < 2; ++q) {
        __m512 low[4], high[4];
        weft_turn(1, 16, 16, x, step, q, low);
        weft_turn(1, 16, 16, x + 16 * step, step, q, high);
        WEFT_UNROLL for (int i = 0; i < 4; ++i) weft_split_line(low[i], high[i], to + (4 * q + i) * 32, &total);
    }
    *sum = total;
}
static __attribute__((noinline, unused)) void weft_turned_b(int part, const float *x, long step, uint16_t *to, long beside, __m512 *sum)
{
    __m512 total = *sum;
    x += (part >> 1) * 16 * step + (part & 1) * 16;
    to += (part >> 1) * beside + (part & 1) * 256;
    WEFT_UNROLL for (int q = 0; q < 4; ++q) {
        __m512 r[4];
        weft_turn(1, 16, 16, x, step, q, r);
        weft_split_pair(r[0], r[1], to + 2 * q * 32, &total);
        weft_split_pair(r[2], r[3], to + (2 * q + 1) * 32, &total);
    }
    *sum = total;
}
/* A piece of 16 by 32 at an edge, zeros beyond: `rows` of A or columns of B, `deep` of k, from memory that runs along k or across it. */
static __attribute__((noinline, unused)) void weft_pack_edge(int left, int along, long rows, long deep, const float *x, long step, uint16_t *to,
    __m512 *sum)
{
    const __mmask16 low = weft_lanes_of(deep), high = weft_lanes_of(deep - 16), some = weft_lanes_of(rows);
    if (left && along) for (long i = 0; i < 16; ++i)
        weft_split_line(_mm512_maskz_loadu_ps(i < rows ? low : 0, x + i * step), _mm512_maskz_loadu_ps(i < rows ? high : 0, x + i * step + 16),
            to + i * 32, sum);
    else if (!left && !along) for (long i = 0; i < 16; ++i)
        weft_split_pair(_mm512_maskz_loadu_ps(2 * i < deep ? some : 0, x + 2 * i * step),
            _mm512_maskz_loadu_ps(2 * i + 1 < deep ? some : 0, x + (2 * i + 1) * step), to + i * 32, sum);
    else if (left) WEFT_UNROLL for (int q = 0; q < 4; ++q) {
        __m512 near[4], far[4];
        weft_turn(0, deep, rows, x, step, q, near);
        weft_turn(0, deep - 16, rows, x + 16 * step, step, q, far);
        WEFT_UNROLL for (int i = 0; i < 4; ++i) weft_split_line(near[i], far[i], to + (4 * q + i) * 32, sum);
    }
    else for (long half = 0; half < 32; half += 16) WEFT_UNROLL for (int q = 0; q < 4; ++q) {
        __m512 r[4];
        weft_turn(0, rows, deep - half, x + half, step, q, r);
        weft_split_pair(r[0], r[1], to + (half / 2 + 2 * q) * 32, sum);
        weft_split_pair(r[2], r[3], to + (half / 2 + 2 * q + 1) * 32, sum);
    }
}

/* One side of a product: rows of A (`left`) or columns of B, `xr` apart, `xk` from one of k to the next; one of them is 1, the other `step`. */
typedef struct { const float *x; long count, xr, xk, step; int left, along; weft_packer *pack; } weft_operand;
WEFT_INLINE weft_operand weft_left(const float *a, long m, long ar, long ac)
{
    return (weft_operand){a, m, ar, ac, ac == 1 ? ar : ac, 1, ac == 1, ac == 1 ? weft_lines_of_a : weft_turned_a};
}
WEFT_INLINE weft_operand weft_right(const float *b, long n, long br, long bc)
{
    return (weft_operand){b, n, bc, br, bc == 1 ? br : bc, 0, bc != 1, bc == 1 ? weft_pairs_of_b : weft_turned_b};
}
WEFT_INLINE long weft_least(long a, long b) { return a < b ? a : b; }
/* rows `from` .. `from + count`, `depth` of k from `k`: [16 rows][step of k][plane] */
static __attribute__((noinline, unused)) void weft_pack(const weft_operand *side, long from, long count, long k, long depth, uint16_t *to,
    __m512 *sum)
{
    const long steps = (depth + 31) / 32, beside = steps * WEFT_PIECE;
    for (long i = 0; i < count; i += 32) for (long step = 0; step < steps; ++step) {
        const float *const x = side->x + (from + i) * side->xr + (k + 32 * step) * side->xk;
        uint16_t *const piece = to + i / 16 * beside + step * WEFT_PIECE;
        if (count - i >= 32 && depth - 32 * step >= 32) for (int part = 0; part < 4; ++part) side->pack(part, x, side->step, piece, beside, sum);
        else for (long half = 0; half < 32 && half < count - i; half += 16)
            weft_pack_edge(side->left, side->along, weft_least(count - i - half, 16), weft_least(depth - 32 * step, 32), x + half * side->xr,
                side->step, piece + half / 16 * beside, sum);
    }
}
WEFT_INLINE int weft_finite(__m512 sum) { return _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q) == 0; }
/* `count` rows of A, or columns of B, by `depth` of k; are all of them finite? */
static __attribute__((noinline, unused)) int weft_split_a(long count, long depth, const float *a, long ar, long ac, uint16_t *to)
{
    const weft_operand left = weft_left(a, count, ar, ac);
    __m512 sum = _mm512_setzero_ps();
    weft_pack(&left, 0, count, 0, depth, to, &sum);
    return weft_finite(sum);
}
static __attribute__((noinline, unused)) int weft_split_b(long count, long depth, const float *b, long br, long bc, uint16_t *to)
{
    const weft_operand right = weft_right(b, count, br, bc);
    __m512 sum = _mm512_setzero_ps();
    weft_pack(&right, 0, count, 0, depth, to, &sum);
    return weft_finite(sum);
}
/* Packing that is done while tile units multiply: 32 rows of a side by `steps` of k. */
typedef struct { weft_packer *pack; const float *x; long step, next; uint16_t *to; long beside; __m512 *sum; } weft_errand;
WEFT_INLINE weft_errand weft_errand_for(const weft_operand *side, long from, long k, long steps, uint16_t *to, __m512 *sum)
{
    return (weft_errand){side->pack, side->x + from * side->xr + k * side->xk, side->step, 32 * side->xk, to, steps * WEFT_PIECE, sum};
}


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
#define WEFT_RUN(part) if (errand.pack) errand.pack(part, errand.x, errand.step, errand.to, errand.beside, errand.sum);
WEFT_INLINE void weft_tiles_of(const int rows, const int columns, long steps, const uint16_t *a, long below, const uint16_t *b, long beside,
    float *c, long cr, long m, long n, int accumulate, weft_errand errand)
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
        WEFT_LOAD_A(0) WEFT_LOAD_B(2) WEFT_DOT_TILES WEFT_RUN(0)
        WEFT_LOAD_B(1) WEFT_DOT_TILES WEFT_RUN(1)
        WEFT_LOAD_A(1) WEFT_DOT_TILES
        WEFT_LOAD_B(0) WEFT_DOT_TILES WEFT_RUN(2)
        WEFT_LOAD_A(2) WEFT_DOT_TILES WEFT_RUN(3)
        WEFT_LOAD_A(0) WEFT_DOT_TILES
        errand.x += errand.next;
        errand.to += WEFT_PIECE;
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
{ weft_tiles_of(rows, columns, steps, a, below, b, beside, c, cr, m, n, accumulate, (weft_errand){0}); }
WEFT_TILES_OF(1, 1) WEFT_TILES_OF(1, 2) WEFT_TILES_OF(1, 3) WEFT_TILES_OF(1, 4) WEFT_TILES_OF(2, 1)
static __attribute__((noinline, unused)) void weft_tiles_22(long steps, const uint16_t *a, long below, const uint16_t *b, long beside,
    float *c, long cr, long m, long n, int accumulate, const weft_errand *errand)
{
    weft_tiles_of(2, 2, steps, a, below, b, beside, c, cr, m, n, accumulate, errand ? *errand : (weft_errand){0});
}

/* C from packed operands, whose tiles lie `below` and `beside` each other: small enough that they stay in cache.  Blocks of 32 x 32 run
   `errands` in their order, as long as there are some; how many were run. */
static __attribute__((noinline, unused)) long weft_tiled_meanwhile(long m, long n, long steps, const uint16_t *a, long below, const uint16_t *b,
    long beside, float *c, long cr, int accumulate, const weft_errand *errands, long count)
{
    long run = 0;
#define WEFT_CALL(rows, columns) weft_tiles_##rows##columns(steps, left, below, right, beside, to, cr, m - i, n - j, accumulate)
    for (long i = 0; i < m; i += 32) for (long j = 0; j < n; j += m - i > 16 ? 32 : 64) {
        const uint16_t *const left = a + i / 16 * below, *const right = b + j / 16 * beside;
        float *const to = c + i * cr + j;
        if (m - i > 16 && n - j > 16) {
            weft_tiles_22(steps, left, below, right, beside, to, cr, m - i, n - j, accumulate, run < count ? errands + run : 0);
            run += run < count;
        }
        else if (m - i > 16) WEFT_CALL(2, 1);
        else if (n - j > 48) WEFT_CALL(1, 4);
        else if (n - j > 32) WEFT_CALL(1, 3);
        else if (n - j > 16) WEFT_CALL(1, 2);
        else WEFT_CALL(1, 1);
    }
    return run;
}
static __attribute__((noinline, unused)) void weft_tiled(long m, long n, long steps, const uint16_t *a, long below, const uint16_t *b,
    long beside, float *c, long cr, int accumulate)
{
    weft_tiled_meanwhile(m, n, steps, a, below, b, beside, c, cr, accumulate, 0, 0);
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
/* The shorter side is packed as a whole, at most 256 of it; 32 of the longer one at a time.  While a block is multiplied, what later
   blocks need is packed: the next 32, and the shorter side of the next step of k.  What is not finite goes the ordinary way. */
static __attribute__((noinline, unused)) void weft_gemm_tiles(long m, long n, long depth, const float *a, long ar, long ac, const float *b,
    long br, long bc, float *c, long cr, int accumulate, float *scratch)
{
    const int flat = m < n;
    const weft_operand left = weft_left(a, m, ar, ac), right = weft_right(b, n, br, bc);
    const weft_operand shorter = flat ? left : right;
    weft_operand longer = flat ? right : left;
    if (longer.pack == weft_pairs_of_b) longer.pack = weft_pairs_ahead;
    const int twice = shorter.count <= WEFT_BROAD / 2;                    /* is there room for two steps of k? */
    uint16_t *const few[2] = {(uint16_t *)scratch, (uint16_t *)scratch + WEFT_FEW}, *const all = few[1] + WEFT_FEW;
    uint16_t *const many[2] = {all, twice ? all + WEFT_MANY / 2 : all};
    for (long outer = 0; outer < shorter.count; outer += WEFT_BROAD) {
        const long broad = weft_least(shorter.count - outer, WEFT_BROAD);
        __m512 of_few[2], of_many[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        long packed = 0;                                                /* of the shorter side, for the step of k at hand */
        int side = 0, way = 0, next = 0;                                /* `next`: are the 32 of the longer side packed? */
        for (long k = 0; k < depth; k += WEFT_DEEP, side ^= 1) {
            const long deep = weft_least(depth - k, WEFT_DEEP), steps = (deep + 31) / 32, piece = steps * WEFT_PIECE;
            const int more = accumulate || k > 0, again = twice && depth - k >= 2 * WEFT_DEEP;
            if (packed < broad)
                weft_pack(&shorter, outer + packed, broad - packed, k, deep, many[side] + packed / 16 * piece, of_many + side);
            packed = 0;
            of_many[!side] = _mm512_setzero_ps();
            for (long inner = 0; inner < longer.count; inner += 32, way ^= 1) {
                const long some = weft_least(longer.count - inner, 32), i = flat ? outer : inner, j = flat ? inner : outer;
                const long rows = flat ? broad : some, columns = flat ? some : broad;
                weft_errand errands[1 + WEFT_BROAD / 32];
                long count = 0, done = 0;
                if (!next) {
                    of_few[way] = _mm512_setzero_ps();
                    weft_pack(&longer, inner, some, k, deep, few[way], of_few + way);
                }
                next = deep == WEFT_DEEP && longer.count - inner >= 64;
                if (next) {
                    of_few[!way] = _mm512_setzero_ps();
                    errands[count++] = weft_errand_for(&longer, inner + 32, k, steps, few[!way], of_few + !way);
                }
                if (again) for (long unit = packed; unit + 32 <= broad; unit += 32)
                    errands[count++] = weft_errand_for(&shorter, outer + unit, k + WEFT_DEEP, steps, many[!side] + unit / 16 * piece,
                        of_many + !side);
                if (weft_finite(of_few[way]) && weft_finite(of_many[side]))
                    done = weft_tiled_meanwhile(rows, columns, steps, flat ? many[side] : few[way], piece, flat ? few[way] : many[side], piece,
                        c + i * cr + j, cr, more, errands, count);
                else weft_gemm_plain(rows, columns, deep, a + i * ar + k * ac, ar, ac, b + k * br + j * bc, br, bc, c + i * cr + j, cr, more,
                    scratch);
                next = next && done > 0;
                packed += 32 * (done - next);
            }
        }
    }
}
#endif
enum { WEFT_GEMM_SCRATCH = 12288 + 49152 };                             /* on every machine: planes of 2 x 32 and of 256 by 128 of k */

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
