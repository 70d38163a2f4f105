/* Operands of tile units (AMX), where a processor has them.  A float is the exact sum of three bfloat16 x = h + m + l, each 8 bits of its
   significand: a plane each.  They are cut while tile units multiply others, a few at a time. */
#include "weft.h"
#include "tile_units.h"

#if defined(WEFT_TILES)
#include <unistd.h>
#include <sys/syscall.h>
int weft_tiles_allowed;
__attribute__((constructor)) static void weft_ask_for_tiles(void) { weft_tiles_allowed = syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

WEFT_SHARED void weft_begin_tiles(void) { if (weft_tiles_allowed) _tile_loadconfig(&weft_tile_shapes); }
WEFT_SHARED void weft_end_tiles(void) { if (weft_tiles_allowed) _tile_release(); }

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
/* Packing of 32 rows of A, or columns of B: 16 units of two lines by 32 of k, the pieces of 16 lie `beside` each other.  Unit i of the four that
   begin at x and `to`.
   Lines: rows of A, which run along k.  Pairs: of two of k for 16 columns of B.  Turned, from memory that lies the other way: the first of two
   units turns four lines, the second one cuts them.  Both operands have the same pairs: neighbours (`in_turn`, as windows need it), or what lies
   16 apart, which is quicker. */
#define WEFT_UNIT const int in_turn, const int i, const float *x, const long step, uint16_t *to, const long beside, float *turned, __m512 sum
WEFT_INLINE __m512 weft_lines(WEFT_UNIT)
{
    (void)turned, (void)beside;
    x += 2 * i * step;
    weft_split(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16), in_turn, to + 64 * i, 512, &sum);
    weft_split(_mm512_loadu_ps(x + step), _mm512_loadu_ps(x + step + 16), in_turn, to + 64 * i + 32, 512, &sum);
    return sum;
}
WEFT_INLINE const float *weft_from_lines(int in_turn, long at, const float *x, long step) { return (void)in_turn, x + (at >> 4) * 32 + 2 * (at & 15) * step; }
WEFT_INLINE uint16_t *weft_to_lines(long at, uint16_t *to, long beside) { return to + (at >> 4) * WEFT_PIECE + (at >> 3 & 1) * beside + (at & 7) * 64; }
WEFT_INLINE __m512 weft_pairs(WEFT_UNIT)
{
    (void)turned;
    x += (in_turn ? 2 * i : i) * step;
    const float *const other = x + (in_turn ? step : 16 * step);
    weft_split_pair(_mm512_loadu_ps(x), _mm512_loadu_ps(other), to + 32 * i, &sum);
    weft_split_pair(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(other + 16), to + beside + 32 * i, &sum);
    return sum;
}
WEFT_INLINE const float *weft_from_pairs(int in_turn, long at, const float *x, long step)
{
    return x + ((at >> 4) * 32 + (at & 15) * (in_turn ? 2 : 1)) * step;
}
WEFT_INLINE uint16_t *weft_to_pairs(long at, uint16_t *to, long beside) { return (void)beside, to + (at >> 4) * WEFT_PIECE + (at & 15) * 32; }
WEFT_INLINE __m512 weft_turned(const int lines, WEFT_UNIT)
{
    (void)beside;
    if (i % 2 == 0) {
        __m512 r[8];
        x += (!lines && in_turn ? 4 : 2) * i;
        weft_turn(1, 16, 16, x, step, 0, r);
        weft_turn(1, 16, 16, x + (lines ? 16 * step : in_turn ? 4 : 16), step, 0, r + 4);
        WEFT_UNROLL for (int j = 0; j < 8; ++j) _mm512_store_ps(turned + 16 * j, r[j]);
    } else WEFT_UNROLL for (int j = 0; j < 4; ++j) {
        const float *const a = turned + 16 * (!lines && in_turn ? 2 * j : j), *const b = a + 16 * (!lines && in_turn ? 1 : 4);
        weft_split(_mm512_load_ps(a), _mm512_load_ps(b), lines && in_turn, to + 64 * (i - 1) + j * 32, 512, &sum);
    }
    return sum;
}
WEFT_INLINE __m512 weft_turned_lines(WEFT_UNIT) { return weft_turned(1, in_turn, i, x, step, to, beside, turned, sum); }
WEFT_INLINE __m512 weft_turned_pairs(WEFT_UNIT) { return weft_turned(0, in_turn, i, x, step, to, beside, turned, sum); }
WEFT_INLINE const float *weft_from_turned_lines(int in_turn, long at, const float *x, long step) { return (void)in_turn, x + (at >> 4) * 32 * step + 2 * (at & 14); }
WEFT_INLINE const float *weft_from_turned_pairs(int in_turn, long at, const float *x, long step)
{
    return x + (at >> 4) * 32 + 16 * (at >> 3 & 1) * step + (at & 6) * (in_turn ? 4 : 2);
}
#define weft_to_turned_lines weft_to_lines
#define weft_to_turned_pairs weft_to_lines
/* Units `at` .. `end`, multiples of four: one step of k after the other */
typedef __m512 weft_packer(long at, long end, const float *x, long step, uint16_t *to, long beside, float *turned, __m512 sum);
#define WEFT_PACKER(order, in_turn, how) \
WEFT_SHARED __m512 weft_##how##_##order(long at, long end, const float *x, long step, uint16_t *to, long beside, \
    float *turned, __m512 sum) \
{ \
    for (; at < end; at += 4) { \
        const float *const from = weft_from_##how(in_turn, at, x, step); \
        uint16_t *const place = weft_to_##how(at, to, beside); \
        WEFT_UNROLL for (int i = 0; i < 4; ++i) sum = weft_##how(in_turn, i, from, step, place, beside, turned, sum); \
    } \
    return sum; \
}
WEFT_PACKER(in_turn, 1, lines) WEFT_PACKER(in_turn, 1, turned_lines) WEFT_PACKER(in_turn, 1, pairs) WEFT_PACKER(in_turn, 1, turned_pairs)
WEFT_PACKER(apart, 0, lines) WEFT_PACKER(apart, 0, turned_lines) WEFT_PACKER(apart, 0, pairs) WEFT_PACKER(apart, 0, turned_pairs)

/* Lines that unit `at` of another 32 will read: what lies in memory is 32 rows of 32 numbers, which run along k or across it. */
WEFT_INLINE void weft_fetch_unit(const int along, long at, const float *x, long step)
{
    const float *const p = x + (at >> 4) * (along ? 32 : 32 * step) + 2 * (at & 15) * step;
    __builtin_prefetch(p), __builtin_prefetch(p + 16), __builtin_prefetch(p + step), __builtin_prefetch(p + step + 16);
}
enum { weft_along_lines = 1, weft_along_turned_lines = 0, weft_along_pairs = 0, weft_along_turned_pairs = 1 };

/* One side of a product: rows of A (`left`) or columns of B, `xr` apart, `xk` from one of k to the next; one of them is 1, the other `step`. */
typedef struct { const float *x; long count, xr, xk, step; int left, along, in_turn; weft_packer *pack; } weft_operand;
WEFT_INLINE weft_operand weft_left(const float *a, long m, long ar, long ac, int in_turn)
{
    weft_packer *const lines = in_turn ? weft_lines_in_turn : weft_lines_apart;
    weft_packer *const turned = in_turn ? weft_turned_lines_in_turn : weft_turned_lines_apart;
    return (weft_operand){a, m, ar, ac, ac == 1 ? ar : ac, 1, ac == 1, in_turn, ac == 1 ? lines : turned};
}
WEFT_INLINE weft_operand weft_right(const float *b, long n, long br, long bc, int in_turn)
{
    weft_packer *const pairs = in_turn ? weft_pairs_in_turn : weft_pairs_apart;
    weft_packer *const turned = in_turn ? weft_turned_pairs_in_turn : weft_turned_pairs_apart;
    return (weft_operand){b, n, bc, br, bc == 1 ? br : bc, 0, bc != 1, in_turn, bc == 1 ? pairs : turned};
}
/* A piece of 16 by 32 at an edge, zeros beyond: `rows` of A or columns of B, `deep` of k. */
static __attribute__((noinline, unused)) __m512 weft_pack_edge(const weft_operand *side, long rows, long deep, const float *x, uint16_t *to, __m512 sum)
{
    const __mmask16 low = weft_lanes_of(deep), high = weft_lanes_of(deep - 16), some = weft_lanes_of(rows);
    const long step = side->step, in_turn = side->in_turn, other = in_turn ? 1 : 16, next = in_turn ? 2 : 1;
    if (side->left && side->along) for (long i = 0; i < 16; ++i)
        weft_split(_mm512_maskz_loadu_ps(i < rows ? low : 0, x + i * step), _mm512_maskz_loadu_ps(i < rows ? high : 0, x + i * step + 16),
            in_turn, to + i * 32, 512, &sum);
    else if (!side->left && !side->along) for (long i = 0; i < 16; ++i)
        weft_split_pair(_mm512_maskz_loadu_ps(next * i < deep ? some : 0, x + next * i * step),
            _mm512_maskz_loadu_ps(next * i + other < deep ? some : 0, x + (next * i + other) * step), to + i * 32, &sum);
    else if (side->left) for (int q = 0; q < 4; ++q) {
        __m512 near[4], far[4];
        weft_turn(0, deep, rows, x, step, q, near);
        weft_turn(0, deep - 16, rows, x + 16 * step, step, q, far);
        WEFT_UNROLL for (int i = 0; i < 4; ++i) weft_split(near[i], far[i], in_turn, to + (4 * q + i) * 32, 512, &sum);
    }
    else {
        __m512 r[32];
        for (int q = 0; q < 8; ++q) weft_turn(0, rows, deep - q / 4 * 16, x + q / 4 * 16, step, q % 4, r + 4 * q);
        for (long i = 0; i < 16; ++i) weft_split_pair(r[next * i], r[next * i + other], to + i * 32, &sum);
    }
    return sum;
}
/* Units `at` .. of 32 rows of A or columns of B, `count` of them, by `depth` of k: whole pieces, then the edge. */
static __attribute__((noinline, unused)) __m512 weft_pack_from(const weft_operand *side, long at, long count, long depth, const float *x,
    uint16_t *to, float *turned, __m512 sum)
{
    const long whole = count >= 32 ? depth / 32 : 0, steps = (depth + 31) / 32, beside = steps * WEFT_PIECE;
    sum = side->pack(at, 16 * whole, x, side->step, to, beside, turned, sum);
    for (long step = whole; step < steps; ++step) for (long half = 0; half < weft_least(count, 32); half += 16)
        sum = weft_pack_edge(side, weft_least(count - half, 16), weft_least(depth - 32 * step, 32), x + half * side->xr + 32 * step * side->xk,
            to + half / 16 * beside + step * WEFT_PIECE, sum);
    return sum;
}
/* A side by `depth` of k: [16 rows][32 of k][plane]; are all numbers finite? */
static __attribute__((noinline, unused)) int weft_pack(const weft_operand *side, long depth, uint16_t *to)
{
    const long beside = (depth + 31) / 32 * WEFT_PIECE;
    float turned[8 * 16] __attribute__((aligned(64)));
    __m512 sum = _mm512_setzero_ps();
    for (long i = 0; i < side->count; i += 32, to += 2 * beside)
        sum = weft_pack_from(side, 0, side->count - i, depth, side->x + i * side->xr, to, turned, sum);
    return weft_finite(sum);
}
#define WEFT_PACK(name, sided, in_turn) \
WEFT_SHARED int name(long count, long depth, const float *x, long row, long column, uint16_t *to) \
{ const weft_operand side = sided(x, count, row, column, in_turn); return weft_pack(&side, depth, to); }
WEFT_PACK(weft_split_a, weft_left, 1) WEFT_PACK(weft_split_b, weft_right, 1)                                /* pairs of neighbours */
WEFT_PACK(weft_cut_a, weft_left, 0) WEFT_PACK(weft_cut_b, weft_right, 0)                                    /* pairs of what lies 16 apart */

/* ---- errands: packing that is done while tile units multiply, a unit after four tiles: more at once would keep them waiting ---- */
/* `ahead`: what is packed next of that side, whose lines are fetched meanwhile: they lie too far apart for the processor to guess. */
typedef struct { const weft_operand *side; const float *x, *ahead; long count, depth, at, end; uint16_t *to; __m512 *sum; } weft_errand;
typedef struct { weft_errand list[2 + WEFT_BROAD / 16]; long count, now; float turned[8 * 16] __attribute__((aligned(64))); } weft_errands;
WEFT_INLINE const float *weft_number(const weft_operand *side, long from, long k) { return side->x + from * side->xr + k * side->xk; }
/* 32 from `from` on of a side, `depth` of k from `k` on; *sum will be NaN if a number is not finite */
WEFT_INLINE void weft_later(weft_errands *e, const weft_operand *side, long from, long limit, long k, long depth, uint16_t *to, __m512 *sum,
    const float *ahead)
{
    *sum = _mm512_setzero_ps();
    const long count = weft_least(limit - from, 32), end = count < 32 ? 0 : depth / 32 * 16;
    e->list[e->count++] = (weft_errand){side, weft_number(side, from, k), ahead, count, depth, 0, end, to, sum};
}
/* The first `count` errands are done. */
static __attribute__((noinline, unused)) void weft_until(weft_errands *e, long count)
{
    for (; e->now < count; ++e->now) {
        const weft_errand *const one = e->list + e->now;
        if (one->ahead) for (long at = one->at; at < one->end; ++at) weft_fetch_unit(one->side->along, at, one->ahead, one->side->step);
        *one->sum = weft_pack_from(one->side, one->at, one->count, one->depth, one->x, one->to, e->turned, *one->sum);
    }
}
#else
WEFT_SHARED void weft_begin_tiles(void) {}
WEFT_SHARED void weft_end_tiles(void) {}
#endif
