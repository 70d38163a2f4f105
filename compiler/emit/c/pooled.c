/* A convolution and the pool of two by two behind it, by multiply-adds: lanes are windows of the pool, so no lane idles for want of outputs, and what
   the convolution makes never leaves the registers. */
#include "weft.h"
#include "pooled.h"
#include "vectors.h"
#if WEFT_VECTOR_BYTES == 64
#include <immintrin.h>
#endif

typedef int weft_truths __attribute__((vector_size(WEFT_VECTOR_BYTES), aligned(4), may_alias));
typedef float weft_quad __attribute__((vector_size(16), aligned(4), may_alias));
enum { WEFT_POOLED_FLOATS = 1 << 15, WEFT_POOLED_TAPS = 64, WEFT_POOLED_OUTPUTS = WEFT_REGISTERS == 32 ? 6 : WEFT_VECTOR_BYTES == 32 ? 3 : 2 };

/* Padded rows in phases: `down` by `right` of them, pixels (i * down + a, k * right + b) side by side in one, which is `phase` floats long and
   has rows of `wide`.  So windows of the pool that are neighbours read neighbours.  Lanes are windows, and a few between their rows; or, `gathered`, what
   all windows read of a phase is laid out without those.  `vectors` of lanes; floats of the phases, of what is gathered, and of the maxima. */
typedef struct { long down, right, high, wide, phase, vectors, phases, gathered, made; } weft_phases;
WEFT_INLINE long weft_pooled_up(long count, long by) { return (count + by - 1) / by * by; }
static __attribute__((noinline, unused)) int weft_phases_of(const weft_windows *g, const weft_windows *p, weft_phases *f)
{
    const int images = g->in[0] * g->out[0] * g->kernel[0] == 1 && g->groups == 1;
    const int chained = g->stride[1] * g->stride[2] * g->dilation[1] * g->dilation[2] * p->dilation[1] * p->dilation[2] == 1;
    const int square = p->kernel[0] == 1 && p->kernel[1] == 2 && p->kernel[2] == 2 && p->low[1] == 0 && p->low[2] == 0 && p->out[1] * p->out[2] > 0;
    if (!images || !chained || !square || g->kernel[1] >= WEFT_POOLED_TAPS || g->kernel[2] >= WEFT_POOLED_TAPS) return 0;
    const long c = g->channels, o = g->outputs, taps = g->kernel[1] * g->kernel[2], shifts = (g->kernel[1] + 1) * (g->kernel[2] + 1);
    *f = (weft_phases){.down = p->stride[1], .right = p->stride[2], .made = 2 * weft_pooled_up(o, 4) * WEFT_LANES};
    f->high = p->out[1] + g->kernel[1] / f->down;
    f->wide = p->out[2] + g->kernel[2] / f->right;
    f->phase = f->high * f->wide;
    f->phases = weft_pooled_up(c * f->down * f->right * f->phase, WEFT_LANES) + 2 * WEFT_LANES;
    const long between = (p->out[1] - 1) * f->wide + p->out[2], some = (between + WEFT_LANES - 1) / WEFT_LANES;
    const long few = (p->out[1] * p->out[2] + WEFT_LANES - 1) / WEFT_LANES, room = WEFT_POOLED_FLOATS - f->phases - f->made;
    const long made = weft_pooled_up((o + WEFT_LANES - 1) / WEFT_LANES, WEFT_LANES == 16 ? 1 : 2), floats = c * shifts * few * WEFT_LANES;
    const long plain = some * 4 * o * taps * c, packed = few * (4 * o * taps + 4 * shifts) * c;     /* vectors of multiply-adds */
    const int gather = floats <= room && packed < plain;
    f->vectors = gather ? few : some;
    f->gathered = gather ? floats : 0;
    /* As measured.  With few registers single vectors of outputs take as long as two, and here few sums are made at once. */
    const long pooled = (gather ? packed : plain) * (WEFT_POOLED_OUTPUTS > 2 ? 18 : 22), rows = taps * c + (WEFT_LANES == 16 ? 5 : 3);
    return room >= 0 && pooled < 16 * g->out[1] * g->out[2] * made * rows;
}
/* Of few channels, number for number; of more, a vector of pixels of a phase at a time, turned. */
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
static __attribute__((noinline, unused)) void weft_turn_phases(const weft_windows *g, const weft_phases *f, const float *x, float *to)
{
    const long pixels = f->down * f->right * f->phase;
    static const float nothing[WEFT_LANES] = {0};
    for (long from = 0, a = 0, b = 0, i = 0, j = 0; from < pixels; from += WEFT_LANES) {                /* pixel (i, j) of phase (a, b) */
        const float *at[WEFT_LANES];
        for (long lane = 0; lane < WEFT_LANES; ++lane) {
            const long r = i * f->down + a - g->low[1], k = j * f->right + b - g->low[2];
            at[lane] = a < f->down && r >= 0 && r < g->in[1] && k >= 0 && k < g->in[2] ? x + r * g->xs[1] + k * g->xs[2] : 0;
            if (++j == f->wide) j = 0, ++i;
            if (i == f->high) i = 0, ++b;
            if (b == f->right) b = 0, ++a;
        }
        for (long c = 0; c < g->channels; c += WEFT_LANES) {
            const long some = weft_least(g->channels - c, WEFT_LANES), wide = weft_least(pixels - from, WEFT_LANES);
            const weft_mask read = weft_first(some), written = weft_first(wide);
            weft_vector v[WEFT_LANES], u[WEFT_LANES];
            WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) v[t] = weft_load(at[t] ? at[t] + c : nothing, read);
            WEFT_TURN(v, u)
            WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) if (t < some) weft_store(to + (c + t) * pixels + from, v[t], written);
        }
    }
}
/* What windows read of a channel's phases, shift for shift: `row`, `column` say where those of taps begin. */
static __attribute__((noinline, unused)) void weft_gather_windows(const weft_windows *g, const weft_windows *p, const weft_phases *f, const long *row,
    const long *column, const float *x, float *to)
{
    const long channel = f->down * f->right * f->phase, across = p->out[2], lanes = f->vectors * WEFT_LANES;
#if WEFT_VECTOR_BYTES == 64
    if (15 + (15 / across + 1) * (f->wide - across) < 32) {              /* a vector's windows are among two vectors */
        for (long v = 0, r = 0, k = 0; v < f->vectors; ++v) {             /* window (r, k) */
            const long first = r * f->wide + k;
            int where[16];
            for (long lane = 0; lane < 16; ++lane) {
                where[lane] = r < p->out[1] ? (int)(r * f->wide + k - first) : 0;
                if (++k == across) k = 0, ++r;
            }
            const __m512i picks = _mm512_loadu_si512(where);
            const float *from = x + first;
            float *place = to + 16 * v;
            for (long c = 0; c < g->channels; ++c, from += channel) for (long i = 0; i <= g->kernel[1]; ++i) for (long j = 0; j <= g->kernel[2]; ++j) {
                const float *const at = from + row[i] + column[j];
                _mm512_storeu_ps(place, _mm512_permutex2var_ps(_mm512_loadu_ps(at), picks, _mm512_loadu_ps(at + 16)));
                place += lanes;
            }
        }
        return;
    }
#endif
    for (long c = 0; c < g->channels; ++c, x += channel) for (long i = 0; i <= g->kernel[1]; ++i) for (long j = 0; j <= g->kernel[2]; ++j, to += lanes) {
        const float *from = x + row[i] + column[j];
        float *place = to;
        *(weft_vector *)(to + lanes - WEFT_LANES) = (weft_vector){0};
        for (long r = 0; r < p->out[1]; ++r, from += f->wide, place += across) {             /* what is copied too much comes next, or is nobody's */
            *(weft_quad *)place = *(const weft_quad *)from;
            for (long k = 4; k < across; k += 4) *(weft_quad *)(place + k) = *(const weft_quad *)(from + k);
        }
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
#if WEFT_REGISTERS == 32
        weft_vector u[4] = {*(const weft_vector *)(upper + column[0]), {0}, *(const weft_vector *)(lower + column[0]), {0}};
        for (long j = 0; j < g->kernel[2]; ++j, v += next) {
            u[1] = *(const weft_vector *)(upper + column[j + 1]);
            u[3] = *(const weft_vector *)(lower + column[j + 1]);
            WEFT_UNROLL for (int o = 0; o < count; ++o) WEFT_UNROLL for (int t = 0; t < 4; ++t) sum[4 * o + t] += v[o] * u[t];
            u[0] = u[1];
            u[2] = u[3];
        }
#else                                                                   /* what four windows read is loaded four times: it has a register, the sums the others */
        for (long j = 0; j < g->kernel[2]; ++j, v += next) {
            weft_vector each[WEFT_POOLED_OUTPUTS];
            WEFT_UNROLL for (int o = 0; o < count; ++o) { each[o] = (weft_vector){0} + v[o]; WEFT_KEEP(each[o]); }
            WEFT_UNROLL for (int t = 0; t < 4; ++t) {
                const float *at = (t < 2 ? upper : lower) + column[j + t % 2];
                __asm__ volatile("" : "+r"(at));                         /* what it reads would be kept from one tap to the next */
                weft_vector u = *(const weft_vector *)at;
                WEFT_FENCE(u);
                WEFT_UNROLL for (int o = 0; o < count; ++o) { sum[4 * o + t] += each[o] * u; WEFT_FENCE(sum[4 * o + t]); }
            }
        }
#endif
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
#if WEFT_VECTOR_BYTES == 32
WEFT_POOL_OUTPUTS(3)
#elif WEFT_REGISTERS == 32
WEFT_POOL_OUTPUTS(3) WEFT_POOL_OUTPUTS(4) WEFT_POOL_OUTPUTS(5) WEFT_POOL_OUTPUTS(6)
#endif
/* A vector of windows for all outputs, which lie output for output, to where windows belong: `to` says where, `nowhere` is for those that are none. */
static __attribute__((noinline, unused)) void weft_turn_pooled(long outputs, const float *made, const long *to, float *y, float *nowhere)
{
    for (; outputs >= WEFT_LANES; outputs -= WEFT_LANES, made += WEFT_LANES * WEFT_LANES, y += WEFT_LANES) {
        weft_vector v[WEFT_LANES], u[WEFT_LANES];
        WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) v[t] = ((const weft_vector *)made)[t];
        WEFT_TURN(v, u)
        WEFT_UNROLL for (int lane = 0; lane < WEFT_LANES; ++lane) *(weft_vector *)(to[lane] < 0 ? nowhere : y + to[lane]) = v[lane];
    }
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
#if WEFT_VECTOR_BYTES == 32
        weft_pool_outputs_3,
#elif WEFT_REGISTERS == 32
        weft_pool_outputs_3, weft_pool_outputs_4, weft_pool_outputs_5, weft_pool_outputs_6,
#endif
    };
    const long o = g->outputs, blocks = (o + WEFT_POOLED_OUTPUTS - 1) / WEFT_POOLED_OUTPUTS, across = f->gathered ? p->out[2] : f->wide;
    long row[WEFT_POOLED_TAPS + 1], column[WEFT_POOLED_TAPS + 1], channel = f->down * f->right * f->phase;
    for (long i = 0; i <= g->kernel[1]; ++i) row[i] = i % f->down * f->right * f->phase + i / f->down * f->wide;
    for (long j = 0; j <= g->kernel[2]; ++j) column[j] = j % f->right * f->phase + j / f->right;
    float *const most = planes + f->phases + f->gathered;
    int *const won = (int *)(most + f->made / 2);
    float nowhere[WEFT_LANES];
    (g->channels > 4 && g->xc == 1 ? weft_turn_phases : weft_lay_phases)(g, f, x, planes);
    for (long t = g->channels * channel; t < f->phases; ++t) planes[t] = 0.0f;           /* idle lanes read on: integers there would be slow as numbers */
    x = planes;
    if (f->gathered) {
        weft_gather_windows(g, p, f, row, column, planes, planes + f->phases);
        x = planes + f->phases;
        const long lanes = f->vectors * WEFT_LANES;
        for (long i = 0; i <= g->kernel[1]; ++i) row[i] = i * (g->kernel[2] + 1) * lanes;
        for (long j = 0; j <= g->kernel[2]; ++j) column[j] = j * lanes;
        channel = (g->kernel[1] + 1) * (g->kernel[2] + 1) * lanes;
    }
    for (long v = 0, from = 0; v < f->vectors; ++v, from += WEFT_LANES) {
        for (long block = 0; block < blocks; ++block) {
            const long at = o * block / blocks, count = o * (block + 1) / blocks - at;
            pool[count - 1](g, row, column, channel, x + from, w + at, most + at * WEFT_LANES, won + at * WEFT_LANES);
        }
        long to[WEFT_LANES];
        for (long lane = 0, r = from / across, k = from % across; lane < WEFT_LANES; ++lane) {
            to[lane] = r < p->out[1] && k < p->out[2] ? (r * p->out[2] + k) * o : -1;
            if (++k == across) k = 0, ++r;
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
