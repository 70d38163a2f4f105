/* The moments of every channel: rows, their mean, the sum of squares about it, `lead` numbers apart. */
#include "weft.h"
#include "moments.h"

enum { WEFT_MOMENTS = 4096, WEFT_CHANNELS = 256 };

/* What `n` more rows with a mean and squares of their own make of the moments (Chan, Golub & LeVeque). */
WEFT_INLINE void weft_merge(long c, long lead, float n, const float *restrict mean, const float *restrict squares, float *restrict out)
{
    #pragma omp simd
    for (long t = 0; t < c; ++t) {
        const float before = out[t], total = before + n, share = n / total, apart = mean[t] - out[lead + t];
        out[2 * lead + t] += squares[t] + apart * apart * before * share;
        out[lead + t] += apart * share;
        out[t] = total;
    }
}

/* Adds `rows` rows of `wide` channels, a few at a time that stay in the first-level cache: their mean first, then what is left. */
WEFT_SHARED void weft_moments(long rows, long wide, long lead, const float *restrict x,
    float *restrict out)
{
    const long some = wide < WEFT_CHANNELS ? wide : WEFT_CHANNELS, block = WEFT_MOMENTS / some;
    for (long first = 0; first < rows; first += block) for (long c = 0; c < wide; c += WEFT_CHANNELS) {
        const long n = rows - first < block ? rows - first : block, count = wide - c < WEFT_CHANNELS ? wide - c : WEFT_CHANNELS;
        const float *const from = x + first * wide + c;
        const float inverse = 1.0f / (float)n;
        float mean[WEFT_CHANNELS], squares[WEFT_CHANNELS];
        for (long t = 0; t < count; ++t) mean[t] = squares[t] = 0.0f;
        for (long i = 0; i < n; ++i) {
            #pragma omp simd
            for (long t = 0; t < count; ++t) mean[t] += from[i * wide + t];
        }
        for (long t = 0; t < count; ++t) mean[t] *= inverse;
        for (long i = 0; i < n; ++i) {
            #pragma omp simd
            for (long t = 0; t < count; ++t) squares[t] += (from[i * wide + t] - mean[t]) * (from[i * wide + t] - mean[t]);
        }
        weft_merge(count, lead, (float)n, mean, squares, out + c);
    }
}

/* out = the moments of all parts, merged in their order: the channels of share `me` of `size`. */
WEFT_SHARED void weft_finish_moments(long parts, long stride, long wide, long lead, const float *partial,
    float *out, long me, long size)
{
    const long lines = (wide + 15) / 16, first = me * lines / size * 16, last = (me + 1) * lines / size * 16;
    const long end = last < wide ? last : wide;
    if (first >= end) return;
    for (long row = 0; row < 3; ++row) memset(out + row * lead + first, 0, (size_t)(end - first) * sizeof(float));
    for (long part = 0; part < parts; ++part) {
        const float *const from = partial + part * stride;
        if (from[0] == 0.0f) continue;
        weft_merge(end - first, lead, from[0], from + lead + first, from + 2 * lead + first, out + first);
    }
}
