/* Pools: every channel by itself, a vector of them at a time; what falls outside x is left out. */
#include "weft.h"
#include "pools.h"
#include "vectors.h"

typedef int weft_truths __attribute__((vector_size(WEFT_VECTOR_BYTES), aligned(4), may_alias));
enum { WEFT_POOLED = 256 };

/* Where the taps of one window read, from tap `*next` on, at most WEFT_POOLED of them, and their numbers; returns how many. */
static __attribute__((noinline, unused)) long weft_window(const weft_windows *g, long b, long q0, long q1, long q2, long *next, long *at, int *number)
{
    long count = 0, tap = 0;
    for (long i = 0; i < g->kernel[0]; ++i) {
        const long z = q0 * g->stride[0] + i * g->dilation[0] - g->low[0];
        for (long j = 0; j < g->kernel[1]; ++j) {
            const long r = q1 * g->stride[1] + j * g->dilation[1] - g->low[1], row = b * g->xb + z * g->xs[0] + r * g->xs[1];
            const int outside = z < 0 || z >= g->in[0] || r < 0 || r >= g->in[1];
            for (long k = 0; k < g->kernel[2]; ++k, ++tap) {
                const long s = q2 * g->stride[2] + k * g->dilation[2] - g->low[2];
                if (tap < *next || outside || s < 0 || s >= g->in[2]) continue;
                if (count == WEFT_POOLED) { *next = tap; return count; }
                number[count] = (int)tap;
                at[count++] = row + s * g->xs[2];
            }
        }
    }
    *next = tap;
    return count;
}

/* Where the taps of a window that lies inside read, from its first one on; 0 if there are too many. */
static __attribute__((noinline, unused)) int weft_taps_of_pool(const weft_windows *g, long *from)
{
    if (g->kernel[0] * g->kernel[1] * g->kernel[2] > WEFT_POOLED) return 0;
    for (long i = 0; i < g->kernel[0]; ++i) for (long j = 0; j < g->kernel[1]; ++j) for (long k = 0; k < g->kernel[2]; ++k)
        *from++ = i * g->dilation[0] * g->xs[0] + j * g->dilation[1] * g->xs[1] + k * g->dilation[2] * g->xs[2];
    return 1;
}
WEFT_INLINE int weft_inside(const weft_windows *g, int k, long q)
{
    const long first = q * g->stride[k] - g->low[k];
    return first >= 0 && first + (g->kernel[k] - 1) * g->dilation[k] < g->in[k];
}

/* Does every element lie in one window? */
WEFT_INLINE int weft_tiling(const weft_windows *g)
{
    int tiling = 1;
    for (int k = 0; k < 3; ++k) tiling = tiling && g->stride[k] == g->kernel[k] && g->dilation[k] == 1 && g->low[k] == 0 && g->in[k] == g->out[k] * g->stride[k];
    return tiling;
}

/* Is every element in one window at most? */
WEFT_INLINE int weft_apart(const weft_windows *g)
{
    int apart = 1;
    for (int k = 0; k < 3; ++k) apart = apart && g->stride[k] >= (g->kernel[k] - 1) * g->dilation[k] + 1;
    return apart;
}

/* The windows of all images in turn; `body` sees the channels c .. of one window, `some` of them, at most WEFT_LANES. */
#define WEFT_POOL(body) \
    const long taps = g->kernel[0] * g->kernel[1] * g->kernel[2], channels = g->channels; \
    long at[WEFT_POOLED], from[WEFT_POOLED]; \
    int number[WEFT_POOLED]; \
    const int few = weft_taps_of_pool(g, from); \
    for (long b = 0; b < images; ++b) \
        for (long q0 = 0; q0 < g->out[0]; ++q0) for (long q1 = 0; q1 < g->out[1]; ++q1) for (long q2 = 0; q2 < g->out[2]; ++q2) { \
            const int inside = few && weft_inside(g, 0, q0) && weft_inside(g, 1, q1) && weft_inside(g, 2, q2); \
            const long first = b * g->xb + (q0 * g->stride[0] - g->low[0]) * g->xs[0] + (q1 * g->stride[1] - g->low[1]) * g->xs[1] \
                + (q2 * g->stride[2] - g->low[2]) * g->xs[2]; \
            const long window = (((b * g->out[0] + q0) * g->out[1] + q1) * g->out[2] + q2) * channels; \
            if (inside && taps == 4) {                          /* known to the compiler */ \
                enum { count = 4, whole = 1, next = 4 }; \
                const long at[4] = {first + from[0], first + from[1], first + from[2], first + from[3]}; \
                const int number[4] = {0, 1, 2, 3}; \
                (void)whole; \
                (void)number; \
                WEFT_VECTORS(body) \
            } else for (long next = 0; next < taps; ) { \
                const int whole = next == 0; \
                (void)whole; \
                long count = taps; \
                if (inside) for (next = 0; next < taps; ++next) at[next] = first + from[next], number[next] = (int)next; \
                else count = weft_window(g, b, q0, q1, q2, &next, at, number); \
                WEFT_VECTORS(body) \
            } \
        }
#define WEFT_VECTORS(body) \
    for (long c = 0; c < channels; c += WEFT_LANES) { \
        const weft_mask some = weft_first(channels - c < WEFT_LANES ? channels - c : WEFT_LANES); \
        body \
    }

/* The maxima, and the number of the first tap that attains each, -1 where none does, if somebody asks for `place`. */
WEFT_INLINE void weft_maxima(const int placed, long images, const weft_windows *g, const float *x, float *restrict y, int *restrict place)
{
    WEFT_POOL(
        weft_vector most = (weft_vector){0} - INFINITY;
        weft_truths won = (weft_truths){0} + (count > 0 ? number[0] : -1);          /* the first wins, even where all are -inf */
        if (!whole) most = weft_load(y + window + c, some);
        if (placed && !whole) won = (weft_truths)weft_load((const float *)place + window + c, some);
        for (long t = 0; t < count; ++t) {
            const weft_vector u = weft_load(x + at[t] + c, some);
            const weft_truths better = (u > most) | (u != u);
            most = (weft_vector)(((weft_truths)u & better) | ((weft_truths)most & ~better));
            won = (better & number[t]) | (won & ~better);
        }
        weft_store(y + window + c, most, some);
        won |= most != most;
        if (placed) weft_store((float *)place + window + c, (weft_vector)won, some);
    )
}
WEFT_SHARED void weft_pool_max(long images, const weft_windows *g, const float *x, float *restrict y, int *restrict place)
{
    if (place) weft_maxima(1, images, g, x, y, place);
    else weft_maxima(0, images, g, x, y, place);
}

/* Each window gives its cotangent to the element that won. */
WEFT_SHARED void weft_pool_max_put(long images, const weft_windows *g, const int *place, const float *d, float *restrict dx)
{
    const int apart = weft_apart(g);                       /* then nothing is added to: loads would wait for masked stores */
    if (!weft_tiling(g)) memset(dx, 0, (size_t)(images * g->xb) * sizeof(float));
    WEFT_POOL(
        const weft_truths won = (weft_truths)weft_load((const float *)place + window + c, some);
        const weft_vector share = weft_load(d + window + c, some);
        for (long t = 0; t < count; ++t) {
            weft_vector sum = (weft_vector)((weft_truths)share & (won == number[t]));
            if (!apart) sum += weft_load(dx + at[t] + c, some);
            weft_store(dx + at[t] + c, sum, some);
        }
    )
}

/* The first element of a window that attains its maximum gets the cotangent; `open` tells who is still looking. */
WEFT_SHARED void weft_pool_max_input(long images, const weft_windows *g, const float *x, const float *y,
    const float *d, float *restrict dx, float *restrict open)
{
    const int apart = weft_apart(g);                       /* then nothing is added to: loads would wait for masked stores */
    if (!weft_tiling(g)) memset(dx, 0, (size_t)(images * g->xb) * sizeof(float));
    WEFT_POOL(
        const weft_vector most = weft_load(y + window + c, some);
        const weft_vector share = weft_load(d + window + c, some);
        weft_truths looking = ~(weft_truths){0};
        if (!whole) looking = (weft_truths)weft_load(open + c, some);
        for (long t = 0; t < count; ++t) {
            const weft_truths hit = (weft_load(x + at[t] + c, some) == most) & looking;
            looking &= ~hit;
            weft_vector sum = (weft_vector)((weft_truths)share & hit);
            if (!apart) sum += weft_load(dx + at[t] + c, some);
            weft_store(dx + at[t] + c, sum, some);
        }
        if (next < taps) weft_store(open + c, (weft_vector)looking, some);
    )
}

/* What e has where a window first attains its maximum; e lies as x does. */
WEFT_SHARED void weft_pool_max_pick(long images, const weft_windows *g, const float *x, const float *y,
    const float *e, float *restrict v, float *restrict open)
{
    WEFT_POOL(
        const weft_vector most = weft_load(y + window + c, some);
        weft_truths looking = ~(weft_truths){0};
        weft_truths found = {0};
        if (!whole) {
            looking = (weft_truths)weft_load(open + c, some);
            found = (weft_truths)weft_load(v + window + c, some);
        }
        for (long t = 0; t < count; ++t) {
            const weft_truths hit = (weft_load(x + at[t] + c, some) == most) & looking;
            looking &= ~hit;
            found |= (weft_truths)weft_load(e + at[t] + c, some) & hit;
        }
        weft_store(v + window + c, (weft_vector)found, some);
        if (next < taps) weft_store(open + c, (weft_vector)looking, some);
    )
}

WEFT_SHARED void weft_pool_sum(long images, const weft_windows *g, const float *x, float *restrict y)
{
    WEFT_POOL(
        weft_vector sum = {0};
        if (!whole) sum = weft_load(y + window + c, some);
        for (long t = 0; t < count; ++t) sum += weft_load(x + at[t] + c, some);
        weft_store(y + window + c, sum, some);
    )
}

WEFT_SHARED void weft_pool_sum_input(long images, const weft_windows *g, const float *d, float *restrict dx)
{
    const int apart = weft_apart(g);
    if (!weft_tiling(g)) memset(dx, 0, (size_t)(images * g->xb) * sizeof(float));
    WEFT_POOL(
        const weft_vector share = weft_load(d + window + c, some);
        for (long t = 0; t < count; ++t) {
            weft_vector sum = share;
            if (!apart) sum += weft_load(dx + at[t] + c, some);
            weft_store(dx + at[t] + c, sum, some);
        }
    )
}
