/* The moments of every channel: rows, their mean, the sum of squares about it, `lead` numbers apart. */
#pragma once

/* Adds `rows` rows of `wide` channels. */
WEFT_SHARED void weft_moments(long rows, long wide, long lead, const float *restrict x, float *restrict out);
/* out = the moments of all parts, merged in their order: the channels of share `me` of `size`. */
WEFT_SHARED void weft_finish_moments(long parts, long stride, long wide, long lead, const float *partial, float *out, long me, long size);
