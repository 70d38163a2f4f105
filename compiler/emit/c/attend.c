/* Attention by tiles of scores: queries in blocks, keys that pass by, nothing as large as all scores.
   What products read again and again is packed once: in strips for register tiles, or, where a position has many numbers, in planes for
   tile units. What is not finite stays as it is. */
#include "weft.h"
#include "attend.h"
#include "tile_units.h"

enum { WEFT_PLAIN, WEFT_STRIPS, WEFT_PLANES, WEFT_BROAD_HEAD = 96 };

#if defined(WEFT_TILES)
#define WEFT_PLANES_OF(side) ((uint16_t *)(side)->packed)
#define WEFT_STEPS(count) (((count) + 31) / 32)
/* Are planes worth it, and can they be made?  Neighbours lie side by side along one of the axes. */
WEFT_INLINE int weft_in_planes(const weft_side *s)
{
    return weft_tiles_allowed && s->width >= WEFT_BROAD_HEAD && (s->unit == 1 || s->step == 1);
}
#endif

/* 32 of `count` columns after the other, `depth` deep */
static __attribute__((noinline, unused)) void weft_pack_strips(long count, long depth, const float *x, long row, long column, float *to)
{
    for (long j = 0; j < count; j += WEFT_STRIP)
        weft_pack_strip(weft_smaller(count - j, WEFT_STRIP), depth, x + j * column, row, column, to + j * depth);
}
/* `count` queries, the left side of scores */
WEFT_SHARED void weft_pack_queries(weft_side *q, long count)
{
    q->how = WEFT_PLAIN;
    q->count = count;
#if defined(WEFT_TILES)
    if (weft_in_planes(q) && weft_cut_a(count, q->width, q->x, q->step, q->unit, WEFT_PLANES_OF(q))) q->how = WEFT_PLANES;
#endif
}
/* `count` keys, the right side of scores */
WEFT_SHARED void weft_pack_keys(weft_side *k, long count)
{
    k->count = count;
#if defined(WEFT_TILES)
    if (weft_in_planes(k)) {
        k->how = weft_cut_b(count, k->width, k->x, k->unit, k->step, WEFT_PLANES_OF(k)) ? WEFT_PLANES : WEFT_PLAIN;
        return;
    }
#endif
    weft_pack_strips(count, k->width, k->x, k->unit, k->step, k->packed);
    k->how = WEFT_STRIPS;
}
/* `count` rows that are added up, each as often as its weight says: all keys', or those of a block of queries */
WEFT_SHARED void weft_pack_block(weft_side *v, long count)
{
    v->count = count;
    weft_pack_strips(v->width, count, v->x, v->step, v->unit, v->packed);
    v->how = WEFT_STRIPS;
}
WEFT_SHARED void weft_pack_values(weft_side *v, long count)
{
#if defined(WEFT_TILES)
    if (weft_in_planes(v)) {
        v->count = count;
        v->how = weft_cut_b(v->width, count, v->x, v->step, v->unit, WEFT_PLANES_OF(v)) ? WEFT_PLANES : WEFT_PLAIN;
        return;
    }
#endif
    weft_pack_block(v, count);
}

/* scores[i, j] = queries[i] . keys[at + j]; `at` is a multiple of 32, rows of scores lie `lead` apart, a multiple of 16 */
WEFT_SHARED void weft_scores(long high, long wide, const weft_side *q, const weft_side *k, long at,
    float *scores, long lead, float *scratch)
{
#if defined(WEFT_TILES)
    if (q->how == WEFT_PLANES && k->how == WEFT_PLANES) {
        const long steps = WEFT_STEPS(q->width), piece = steps * WEFT_PIECE;
        weft_tiled(weft_whole_tiles(high), weft_whole_tiles(wide), steps, WEFT_PLANES_OF(q), piece, WEFT_PLANES_OF(k) + at / 16 * piece,
            piece, scores, lead, 0);
        return;
    }
#endif
    if (k->how == WEFT_STRIPS)
        weft_gemm_strips(high, wide, k->width, q->x, q->step, q->unit, k->packed + at * k->width, WEFT_STRIP, WEFT_STRIP * k->width, scores,
            lead, 0);
    else weft_gemm_plain(high, wide, k->width, q->x, q->step, q->unit, k->x + at * k->step, k->unit, k->step, scores, lead, 0, scratch);
}
/* sum[i] += sum_j weights[i, j] * values[at + j] for i below `high`; weights lie `row` and `column` apart; `planes` for the weights */
WEFT_SHARED void weft_weigh(long high, long wide, const float *weights, long row, long column, const weft_side *v,
    long at, float *sum, long lead, float *planes, float *scratch)
{
#if defined(WEFT_TILES)
    if (v->how == WEFT_PLANES && weft_cut_a(high, wide, weights, row, column, (uint16_t *)planes)) {
        const long steps = WEFT_STEPS(wide);
        weft_tiled(weft_whole_tiles(high), weft_whole_tiles(v->width), steps, (uint16_t *)planes, steps * WEFT_PIECE,
            WEFT_PLANES_OF(v) + at / 32 * WEFT_PIECE, WEFT_STEPS(v->count) * WEFT_PIECE, sum, lead, 1);
        return;
    }
#else
    (void)planes;
#endif
    if (v->how == WEFT_STRIPS)
        weft_gemm_strips(high, v->width, wide, weights, row, column, v->packed + at * WEFT_STRIP, WEFT_STRIP, WEFT_STRIP * v->count, sum, lead, 1);
    else weft_gemm_plain(high, v->width, wide, weights, row, column, v->x + at * v->step, v->step, v->unit, sum, lead, 1, scratch);
}
