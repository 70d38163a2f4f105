/* A convolution of few channels and the pool of two by two behind it, by multiply-adds: lanes are windows of the pool, so no lane idles for want of
   outputs, and what the convolution makes never leaves the registers. */
#include "weft.h"
#include "pooled.h"
#include "vectors.h"

typedef int weft_truths __attribute__((vector_size(WEFT_VECTOR_BYTES), aligned(4), may_alias));
typedef float weft_quad __attribute__((vector_size(16), aligned(4), may_alias));
enum { WEFT_POOLED_CHANNELS = 4, WEFT_POOLED_FLOATS = 1 << 14, WEFT_POOLED_TAPS = 64, WEFT_POOLED_OUTPUTS = WEFT_VECTOR_BYTES == 64 ? 6 : 2 };

/* Padded rows in phases: `down` by `right` of them, pixels (i * down + a, k * right + b) side by side in one, which is `phase` floats long and
   has rows of `wide`.  So windows of the pool that are neighbours read neighbours.  `lanes`: the windows, and a few between their rows. */
typedef struct { long down, right, high, wide, phase, lanes, floats; } weft_phases;
static __attribute__((noinline, unused)) int weft_phases_of(const weft_windows *g, const weft_windows *p, weft_phases *f)
{
    const int images = g->in[0] * g->out[0] * g->kernel[0] == 1 && g->groups == 1 && g->channels <= WEFT_POOLED_CHANNELS;
    const int chained = g->stride[1] * g->stride[2] * g->dilation[1] * g->dilation[2] * p->dilation[1] * p->dilation[2] == 1;
    const int square = p->kernel[0] == 1 && p->kernel[1] == 2 && p->kernel[2] == 2 && p->low[1] == 0 && p->low[2] == 0;
    if (!images || !chained || !square || g->kernel[1] >= WEFT_POOLED_TAPS || g->kernel[2] >= WEFT_POOLED_TAPS) return 0;
    *f = (weft_phases){.down = p->stride[1], .right = p->stride[2]};
    f->high = p->out[1] + g->kernel[1] / f->down;
    f->wide = p->out[2] + g->kernel[2] / f->right;
    f->phase = f->high * f->wide;
    f->lanes = (p->out[1] - 1) * f->wide + p->out[2];
    f->floats = g->channels * f->down * f->right * f->phase + 2 * WEFT_LANES + 8 * g->outputs * WEFT_LANES;
    const long rows = g->out[1] * g->out[2] * ((g->outputs + WEFT_LANES - 1) / WEFT_LANES * WEFT_LANES);
    return f->floats <= WEFT_POOLED_FLOATS && 4 * (f->lanes + WEFT_LANES) * g->outputs < rows;
}
static __attribute__((noinline, unused)) void weft_lay_phases(const weft_windows *g, const weft_phases *f, const float *x, float *to)
{
    for (long c = 0; c < g->channels; ++c) for (long a = 0; a < f->down; ++a) for (long b = 0; b < f->right; ++b)
        for (long i = 0; i < f->high; ++i, to += f->wide) {
            const long r = i * f->down + a - g->low[1];
            const float *const row = x + r * g->xs[1] + c * g->xc;
            const long before = g->low[2] - b, last = g->in[2] + before, some = r >= 0 && r < g->in[1] ? (last + f->right - 1) / f->right : 0;
            const long begin = before > 0 ? (before + f->right - 1) / f->right : 0, end = some < f->wide ? some : f->wide;
            const float *q = row + (begin * f->right - before) * g->xs[2];
            for (long k = 0; k < begin && k < f->wide; ++k) to[k] = 0.0f;
            for (long k = begin; k < end; ++k, q += f->right * g->xs[2]) to[k] = *q;
            for (long k = begin < end ? end : 0; k < f->wide; ++k) to[k] = 0.0f;
        }
}
/* Maxima of `count` outputs for a vector of windows, and which of the four won; `row`, `column`: where those of taps begin in a channel. */
#define WEFT_POOLING const weft_windows *g, const long *row, const long *column, long channel, const float *x, const float *w, float *most, int *won
WEFT_INLINE void weft_pool_outputs(const int count, WEFT_POOLING)
{
    weft_vector sum[4 * WEFT_POOLED_OUTPUTS];
    WEFT_UNROLL for (int t = 0; t < 4 * count; ++t) sum[t] = (weft_vector){0};
    const long next = g->channels * g->lead;
    for (long c = 0; c < g->channels; ++c, x += channel) for (long i = 0; i < g->kernel[1]; ++i) {
        const float *const upper = x + row[i], *const lower = x + row[i + 1], *v = w + (i * g->kernel[2] * g->channels + c) * g->lead;
        weft_vector u[4] = {*(const weft_vector *)(upper + column[0]), {0}, *(const weft_vector *)(lower + column[0]), {0}};
        for (long j = 0; j < g->kernel[2]; ++j, v += next) {
            u[1] = *(const weft_vector *)(upper + column[j + 1]);
            u[3] = *(const weft_vector *)(lower + column[j + 1]);
            WEFT_UNROLL for (int o = 0; o < count; ++o) WEFT_UNROLL for (int t = 0; t < 4; ++t) sum[4 * o + t] += v[o] * u[t];
            u[0] = u[1];
            u[2] = u[3];
        }
    }
    WEFT_UNROLL for (int o = 0; o < count; ++o) {                       /* as in weft_maxima */
        weft_vector best = sum[4 * o];
        weft_truths first = {0};
        WEFT_UNROLL for (int t = 1; t < 4; ++t) {
            const weft_vector u = sum[4 * o + t];
            const weft_truths better = (u > best) | (u != u);
            best = (weft_vector)(((weft_truths)u & better) | ((weft_truths)best & ~better));
            first = (better & t) | (first & ~better);
        }
        *(weft_vector *)(most + o * WEFT_LANES) = best;
        *(weft_truths *)(won + o * WEFT_LANES) = first | (best != best);
    }
}
#define WEFT_POOL_OUTPUTS(count) \
static __attribute__((noinline, unused)) void weft_pool_outputs_##count(WEFT_POOLING) { weft_pool_outputs(count, g, row, column, channel, x, w, most, won); }
WEFT_POOL_OUTPUTS(1) WEFT_POOL_OUTPUTS(2)
#if WEFT_VECTOR_BYTES == 64
WEFT_POOL_OUTPUTS(3) WEFT_POOL_OUTPUTS(4) WEFT_POOL_OUTPUTS(5) WEFT_POOL_OUTPUTS(6)
#endif
/* A vector of windows for all outputs, which lie output for output, to where windows belong: `to` says where, `nowhere` is for those that are none. */
static __attribute__((noinline, unused)) void weft_turn_pooled(long outputs, const float *made, const long *to, float *y, float *nowhere)
{
    for (long o = 0; o < outputs; o += 4, made += 4 * WEFT_LANES) {
        const weft_vector *const v = (const weft_vector *)made;
        const weft_vector a = WEFT_LOW(v[0], v[2]), b = WEFT_LOW(v[1], v[3]), c = WEFT_HIGH(v[0], v[2]), d = WEFT_HIGH(v[1], v[3]);
        const weft_vector turned[4] = {WEFT_LOW(a, b), WEFT_HIGH(a, b), WEFT_LOW(c, d), WEFT_HIGH(c, d)};
        if (outputs - o >= 4) WEFT_UNROLL for (int lane = 0; lane < WEFT_LANES; ++lane)
            *(weft_quad *)(to[lane] < 0 ? nowhere : y + to[lane] + o) = ((const weft_quad *)turned)[lane];
        else for (long lane = 0; lane < WEFT_LANES; ++lane) if (to[lane] >= 0) for (long t = 0; t < outputs - o; ++t)
            y[to[lane] + o + t] = ((const float *)turned)[4 * lane + t];
    }
}
static __attribute__((noinline, unused)) void weft_pooled_image(const weft_windows *g, const weft_windows *p, const weft_phases *f, const float *x, const float *w,
    float *y, int *place, float *planes)
{
    static void (*const pool[])(WEFT_POOLING) = {weft_pool_outputs_1, weft_pool_outputs_2,
#if WEFT_VECTOR_BYTES == 64
        weft_pool_outputs_3, weft_pool_outputs_4, weft_pool_outputs_5, weft_pool_outputs_6,
#endif
    };
    const long o = g->outputs, blocks = (o + WEFT_POOLED_OUTPUTS - 1) / WEFT_POOLED_OUTPUTS, channel = f->down * f->right * f->phase;
    long row[WEFT_POOLED_TAPS + 1], column[WEFT_POOLED_TAPS + 1];
    for (long i = 0; i <= g->kernel[1]; ++i) row[i] = i % f->down * f->right * f->phase + i / f->down * f->wide;
    for (long j = 0; j <= g->kernel[2]; ++j) column[j] = j % f->right * f->phase + j / f->right;
    float *const most = planes + (g->channels * channel + 2 * WEFT_LANES - 1) / WEFT_LANES * WEFT_LANES;
    int *const won = (int *)(most + (o + 3) / 4 * 4 * WEFT_LANES);
    float nowhere[4];
    weft_lay_phases(g, f, x, planes);
    for (long t = 0; t < WEFT_LANES; ++t) planes[g->channels * channel + t] = 0.0f;      /* idle lanes read on: integers there would be slow as numbers */
    for (long from = 0; from < f->lanes; from += WEFT_LANES) {
        for (long block = 0; block < blocks; ++block) {
            const long at = o * block / blocks, count = o * (block + 1) / blocks - at;
            pool[count - 1](g, row, column, channel, planes + from, w + at, most + at * WEFT_LANES, won + at * WEFT_LANES);
        }
        long to[WEFT_LANES];
        for (long lane = 0, r = from / f->wide, k = from % f->wide; lane < WEFT_LANES; ++lane) {
            to[lane] = r < p->out[1] && k < p->out[2] ? (r * p->out[2] + k) * o : -1;
            if (++k == f->wide) k = 0, ++r;
        }
        weft_turn_pooled(o, most, to, y, nowhere);
        if (place) weft_turn_pooled(o, (const float *)won, to, (float *)place, nowhere);
    }
}
WEFT_SHARED void weft_convolve_pool(long images, const weft_windows *g, const weft_windows *p, const float *x, const float *w, const float *kept,
    float *between, float *y, int *place, float *scratch, float *planes)
{
    const long image = p->out[1] * p->out[2] * p->channels;
    weft_phases f;
    if (!kept && weft_phases_of(g, p, &f)) {
        for (long b = 0; b < images; ++b, x += g->xb, y += image, place += place ? image : 0) weft_pooled_image(g, p, &f, x, w, y, place, planes);
        return;
    }
    weft_convolve(images, g, x, w, kept, between, scratch, planes);
    weft_pool_max(images, p, between, y, place);
}
