/* Pools and their adjoints: every channel by itself; what falls outside x is left out. */
#pragma once
#include "geometry.h"

/* The maxima, and the number of the first tap that attains each, -1 where none does, if somebody asks for `place`. */
WEFT_SHARED void weft_pool_max(long images, const weft_windows *g, const float *x, float *restrict y, int *restrict place);
/* Each window gives its cotangent to the element that won. */
WEFT_SHARED void weft_pool_max_put(long images, const weft_windows *g, const int *place, const float *d, float *restrict dx);
/* The first element of a window that attains its maximum gets the cotangent; `open` tells who is still looking. */
WEFT_SHARED void weft_pool_max_input(long images, const weft_windows *g, const float *x, const float *y, const float *d,
    float *restrict dx, float *restrict open);
/* What e has where a window first attains its maximum; e lies as x does. */
WEFT_SHARED void weft_pool_max_pick(long images, const weft_windows *g, const float *x, const float *y, const float *e, float *restrict v,
    float *restrict open);
WEFT_SHARED void weft_pool_sum(long images, const weft_windows *g, const float *x, float *restrict y);
WEFT_SHARED void weft_pool_sum_input(long images, const weft_windows *g, const float *d, float *restrict dx);
