/* A convolution and the pool of maxima that alone reads it. */
#pragma once
#include "windows.h"
#include "pools.h"

/* `weft_convolve` into `between` and `weft_pool_max` of that, or both at once, and `between` stays as it is. */
WEFT_SHARED void weft_convolve_pool(long images, const weft_windows *g, const weft_windows *p, const float *x, const float *w, const float *kept,
    float *between, float *y, int *place, float *scratch, float *planes);
