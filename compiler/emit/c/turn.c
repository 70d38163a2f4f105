/* Matrices turned in registers, as many rows and columns at a time as a vector has lanes: every line is read and written whole. */
#include "weft.h"
#include "vectors.h"
#include "turn.h"

/* At most a vector of rows and of columns; what lies beside them is not touched. */
static void weft_turn_edge(long rows, long columns, const float *from, long row, float *to, long column)
{
    const weft_mask wide = weft_first(columns), high = weft_first(rows);
    weft_vector v[WEFT_LANES], u[WEFT_LANES];
    WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) v[t] = t < rows ? weft_load(from + t * row, wide) : (weft_vector){0};
    WEFT_TURN(v, u)
    WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) if (t < columns) weft_store(to + t * column, v[t], high);
}
WEFT_SHARED void weft_turn(long rows, long columns, const void *from, long row, void *to, long column)
{
    const float *x = from;
    for (long i = 0; i < rows; i += WEFT_LANES, x += WEFT_LANES * row) {
        float *y = (float *)to + i;
        for (long j = 0; j < columns; j += WEFT_LANES, y += WEFT_LANES * column) {
            const long high = rows - i, wide = columns - j;
            if (high < WEFT_LANES || wide < WEFT_LANES) {
                weft_turn_edge(high < WEFT_LANES ? high : WEFT_LANES, wide < WEFT_LANES ? wide : WEFT_LANES, x + j, row, y, column);
                continue;
            }
            weft_vector v[WEFT_LANES], u[WEFT_LANES];
            WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) v[t] = *(const weft_vector *)(x + j + t * row);
            WEFT_TURN(v, u)
            WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) *(weft_vector *)(y + t * column) = v[t];
        }
    }
}
