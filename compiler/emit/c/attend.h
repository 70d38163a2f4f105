/* Attention by tiles of scores: queries in blocks, keys that pass by, nothing as large as all scores.
   The rows that products read again and again are packed once, for tile units or for register tiles; what is not finite stays as it is. */
typedef struct { const float *x; long step, unit, width, steps; float *packed; int how; } weft_side;   /* `width` numbers a position */
enum { WEFT_PLAIN, WEFT_STRIPS, WEFT_PLANES, WEFT_SHALLOW = 16, WEFT_THIN = 24 };

WEFT_INLINE long weft_smaller(long a, long b) { return a < b ? a : b; }
WEFT_INLINE long weft_larger(long a, long b) { return a > b ? a : b; }

WEFT_INLINE int weft_has_tiles(long width, long least)
{
#if defined(WEFT_TILES)
    return weft_tiles_allowed && width >= least;
#else
    (void)width; (void)least;
    return 0;
#endif
}
#if defined(WEFT_TILES)
#define WEFT_PLANES_OF(rows) ((uint16_t *)(rows)->packed)
#define WEFT_BEGIN_TILES if (weft_tiles_allowed) _tile_loadconfig(&weft_tile_shapes)
#define WEFT_END_TILES if (weft_tiles_allowed) _tile_release()
#else
#define WEFT_BEGIN_TILES (void)0
#define WEFT_END_TILES (void)0
#endif

/* `count` queries, the left side of scores */
static __attribute__((noinline, unused)) void weft_pack_queries(weft_side *q, long count)
{
    q->how = WEFT_PLAIN;
#if defined(WEFT_TILES)
    q->steps = (q->width + 31) / 32;
    if (weft_has_tiles(q->width, WEFT_SHALLOW) && (q->unit == 1 || q->step == 1)
        && weft_split_a(count, q->width, q->x, q->step, q->unit, WEFT_PLANES_OF(q))) q->how = WEFT_PLANES;
#else
    (void)count;
#endif
}
/* `count` keys, the right side of scores */
static __attribute__((noinline, unused)) void weft_pack_keys(weft_side *k, long count)
{
    k->how = WEFT_PLAIN;
#if defined(WEFT_TILES)
    k->steps = (k->width + 31) / 32;
    if (weft_has_tiles(k->width, WEFT_SHALLOW) && (k->unit == 1 || k->step == 1)) {
        if (weft_split_b(count, k->width, k->x, k->unit, k->step, WEFT_PLANES_OF(k))) k->how = WEFT_PLANES;
        return;
    }
#endif
    for (long j = 0; j < count; j += WEFT_STRIP)
        weft_pack_strip(count - j < WEFT_STRIP ? count - j : WEFT_STRIP, k->width, k->x + j * k->step, k->unit, k->step, k->packed + j * k->width);
    k->how = WEFT_STRIPS;
}
/* `count` rows that are added up, each as often as its weight says */
static __attribute__((noinline, unused)) void weft_pack_values(weft_side *v, long count)
{
    v->how = WEFT_PLAIN;
#if defined(WEFT_TILES)
    v->steps = (count + 31) / 32;
    if (weft_has_tiles(v->width, WEFT_THIN) && (v->unit == 1 || v->step == 1)
        && weft_split_b(v->width, count, v->x, v->step, v->unit, WEFT_PLANES_OF(v))) v->how = WEFT_PLANES;
#else
    (void)count;
#endif
}

/* scores[i, j] = queries[i] . keys[at + j]; `at` is a multiple of 32, rows of scores lie `lead` apart, a multiple of 16 */
static __attribute__((noinline, unused)) void weft_scores(long high, long wide, const weft_side *q, const weft_side *k, long at,
    float *scores, long lead, float *scratch)
{
#if defined(WEFT_TILES)
    if (q->how == WEFT_PLANES && k->how == WEFT_PLANES) {
        const long piece = q->steps * WEFT_PIECE;
        weft_tiled(weft_whole_tiles(high), weft_whole_tiles(wide), q->steps, WEFT_PLANES_OF(q), piece, WEFT_PLANES_OF(k) + at / 16 * piece,
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
static __attribute__((noinline, unused)) void weft_weigh(long high, long wide, const float *weights, long row, long column, const weft_side *v,
    long at, float *sum, long lead, float *planes, float *scratch)
{
#if defined(WEFT_TILES)
    if (v->how == WEFT_PLANES && weft_split_a(high, wide, weights, row, column, (uint16_t *)planes)) {
        const long steps = (wide + 31) / 32;
        weft_tiled(weft_whole_tiles(high), weft_whole_tiles(v->width), steps, (uint16_t *)planes, steps * WEFT_PIECE,
            WEFT_PLANES_OF(v) + at / 32 * WEFT_PIECE, v->steps * WEFT_PIECE, sum, lead, 1);
        return;
    }
#else
    (void)planes;
#endif
    weft_gemm_plain(high, v->width, wide, weights, row, column, v->x + at * v->step, v->step, v->unit, sum, lead, 1, scratch);
}
