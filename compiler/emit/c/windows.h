/* Convolutions and their adjoints. */
#pragma once
#include "geometry.h"

/* The weight in planes, kept for `images` images: where it is, or NULL if tile units are no quicker. */
WEFT_SHARED const float *weft_keep_convolve(long images, const weft_windows *g, const float *w, float *kept);
WEFT_SHARED const float *weft_keep_convolve_input(long images, const weft_windows *g, const float *w, float *kept);

/* y[b, q, o] = sum over taps t and channels c of x[b, q * stride + t * dilation - low, c] w[t, c, o]; `kept` is what
   weft_keep_convolve said. */
WEFT_SHARED void weft_convolve(long images, const weft_windows *g, const float *x, const float *w, const float *kept, float *y,
    float *scratch, float *planes);
/* The adjoint in x, of turned weights: x is the cotangent of the windows, y the gradient of what they read, `kept` what
   weft_keep_convolve_input said. */
WEFT_SHARED void weft_convolve_input(long images, const weft_windows *g, const float *x, const float *w, const float *kept, float *y,
    float *scratch, float *planes);
/* w[t, c, o] += sum over images and windows of x[b, q * stride + t * dilation - low, c] d[b, q, o] */
WEFT_SHARED void weft_convolve_weight(long images, const weft_windows *g, const float *x, const float *d, float *w, float *scratch,
    float *planes);
/* The same where d is what a pool hands to those that won, as `weft_pool_max_put` does, of what `place` says: images by rows and columns. */
WEFT_SHARED void weft_convolve_weight_put(long images, const weft_windows *g, const float *x, const int *place, const float *d, float *w,
    float *scratch, float *planes);
