/* Attention by tiles of scores: queries in blocks, keys that pass by, nothing as large as all scores. */
#pragma once
#include "products.h"

/* One side of a product: `width` numbers a position; `how` they are packed is said by what packs them. */
typedef struct { const float *x; long step, unit, width, count; float *packed; int how; } weft_side;
WEFT_INLINE long weft_smaller(long a, long b) { return a < b ? a : b; }
WEFT_INLINE long weft_larger(long a, long b) { return a > b ? a : b; }

/* `count` queries, the left side of scores */
WEFT_SHARED void weft_pack_queries(weft_side *q, long count);
/* `count` keys, the right side of scores */
WEFT_SHARED void weft_pack_keys(weft_side *k, long count);
/* `count` rows that are added up, each as often as its weight says: all keys', or those of a block of queries */
WEFT_SHARED void weft_pack_block(weft_side *v, long count);
WEFT_SHARED void weft_pack_values(weft_side *v, long count);
/* scores[i, j] = queries[i] . keys[at + j]; `at` is a multiple of 32, rows of scores lie `lead` apart, a multiple of 16 */
WEFT_SHARED void weft_scores(long high, long wide, const weft_side *q, const weft_side *k, long at, float *scores, long lead,
    float *scratch);
/* sum[i] += sum_j weights[i, j] * values[at + j] for i below `high`; weights lie `row` and `column` apart; `planes` for the weights */
WEFT_SHARED void weft_weigh(long high, long wide, const float *weights, long row, long column, const weft_side *v, long at, float *sum,
    long lead, float *planes, float *scratch);
