/* Numbers of 32 bits in another order. */
#pragma once

/* to[j * column + i] = from[i * row + j] for i below `rows`, j below `columns` */
WEFT_SHARED void weft_turn(long rows, long columns, const void *from, long row, void *to, long column);
