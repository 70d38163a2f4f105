/* Groups of few channels: lanes are outputs.  What lane o reads of a pixel for depth k of its group is laid out once, vector by vector of outputs, so that every
   tap is a multiply-add for all lanes, however small the groups are; channels by themselves are groups of one. */
#if WEFT_VECTOR_BYTES == 64
#include <immintrin.h>
#endif
enum { WEFT_SMALL_GROUP = 4, WEFT_PIXELS_AT_ONCE = WEFT_VECTOR_BYTES == 64 ? 8 : 6, WEFT_RUN = WEFT_VECTOR_BYTES == 64 ? 6 : 4 };
/* `in`: channels of a group, `out`: its outputs; `vectors` of all outputs; pixels of what a block reads: `depth` planes of `high` rows of `wide`.  Where they lie:
   `x`, and from one plane, row, pixel and vector to the next; channels by themselves are read where they are. */
typedef struct {
    long in, out, vectors, last, depth, high, wide, plane, row, column, next;
    float *w, *padded, *laid;
    const float *x;
} weft_grouped;

WEFT_INLINE int weft_in_lanes(const weft_windows *g)
{
    const long in = g->channels / g->groups, out = g->outputs / g->groups;
    return g->groups > 1 && out <= WEFT_SMALL_GROUP && in <= 2 * WEFT_SMALL_GROUP;
}
static __attribute__((noinline, unused)) weft_grouped weft_groups_of(const weft_windows *g, const weft_axis *a, float *planes)
{
    weft_grouped n = {.in = g->channels / g->groups, .out = g->outputs / g->groups, .vectors = (g->outputs + WEFT_LANES - 1) / WEFT_LANES};
    n.last = g->outputs - (n.vectors - 1) * WEFT_LANES;
    n.depth = weft_reach(a, 1), n.high = weft_reach(a + 1, g->block), n.wide = weft_reach(a + 2, a[2].count);
    n.w = planes;
    n.padded = n.w + n.vectors * WEFT_LANES * n.in * g->kernel[0] * g->kernel[1] * g->kernel[2];
    n.laid = n.padded + g->after;
    return n;
}
/* The weight as [vector][tap][depth][lane]. */
static __attribute__((noinline, unused)) void weft_lane_weights(const weft_windows *g, const weft_grouped *n, const float *w)
{
    float *to = n->w;
    const long taps = g->kernel[0] * g->kernel[1] * g->kernel[2];
    for (long v = 0; v < n->vectors; ++v) for (long t = 0; t < taps; ++t) for (long k = 0; k < n->in; ++k, to += WEFT_LANES)
        for (long lane = 0; lane < WEFT_LANES; ++lane) {
            const long o = v * WEFT_LANES + lane;
            to[lane] = o < g->outputs ? w[t * g->tap + k * g->lead + o / n->out * g->group + o % n->out] : 0.0f;
        }
}
/* Pixels, `view` of them, as [vector][pixel][depth][lane]. */
static __attribute__((noinline, unused)) void weft_lay_lanes(const weft_windows *g, const weft_grouped *n, weft_view view, long rows)
{
    const long c = g->channels, in = n->in;
    for (long v = 0; v < n->vectors; ++v) {
        const long first = v * WEFT_LANES / n->out * in;
        int from[WEFT_LANES];                                           /* the channel of a lane, from `first` on */
        for (long lane = 0; lane < WEFT_LANES; ++lane) {
            const long o = v * WEFT_LANES + lane, channel = (o < g->outputs ? o : g->outputs - 1) / n->out * in;
            from[lane] = (int)(channel - first);
        }
        for (long z = 0; z < n->depth; ++z) for (long i = 0; i < rows; ++i) {
            const float *p = view.at + z * view.plane + i * view.row + first;
            float *to = n->laid + v * n->next + z * n->plane + i * n->row;
#if WEFT_VECTOR_BYTES == 64
            if (in <= n->out && WEFT_LANES % n->out == 0) {             /* all lanes read one vector */
                const __m512i where = _mm512_loadu_si512(from), one = _mm512_set1_epi32(1);
                const __mmask16 some = weft_first(WEFT_LANES / n->out * in < c - first ? WEFT_LANES / n->out * in : c - first);
                for (long q = 0; q < n->wide; ++q, p += c) {
                    const __m512 pixel = _mm512_maskz_loadu_ps(some, p);
                    __m512i lanes = where;
                    for (long k = 0; k < in; ++k, to += 16, lanes = _mm512_add_epi32(lanes, one))
                        _mm512_storeu_ps(to, _mm512_permutexvar_ps(lanes, pixel));
                }
                continue;
            }
#endif
            for (long q = 0; q < n->wide; ++q, p += c) for (long k = 0; k < in; ++k, to += WEFT_LANES)
                for (long lane = 0; lane < WEFT_LANES; ++lane) to[lane] = p[from[lane] + k];
        }
    }
}
/* `count` neighbouring results of one vector of outputs */
WEFT_INLINE void weft_lane_pixels(const int count, const weft_windows *g, const weft_axis *a, const weft_grouped *n, const float *x, const float *w, weft_mask some,
    float *y)
{
    const long step = a[2].step * n->column;
    weft_vector sum[8];
    WEFT_UNROLL for (int q = 0; q < count; ++q) sum[q] = (weft_vector){0};
    for (long i = 0; i < a[0].taps; ++i) for (long j = 0; j < a[1].taps; ++j) for (long k = 0; k < a[2].taps; ++k) {
        const float *p = x + i * a[0].gap * n->plane + j * a[1].gap * n->row + k * a[2].gap * n->column;
        const float *v = w + weft_tap(g, a, i, j, k) * n->in * WEFT_LANES;
        for (long c = 0; c < n->in; ++c, p += WEFT_LANES, v += WEFT_LANES) {
            const weft_vector u = *(const weft_vector *)v;
            WEFT_UNROLL for (int q = 0; q < count; ++q) sum[q] += u * *(const weft_vector *)(p + q * step);
        }
    }
    WEFT_UNROLL for (int q = 0; q < count; ++q) weft_store(y + q * a[2].stride * g->outputs, sum[q], some);
}
#define WEFT_LANE_PIXELS(count) \
static __attribute__((noinline, unused)) void weft_lane_pixels_##count(const weft_windows *g, const weft_axis *a, const weft_grouped *n, const float *x, \
    const float *w, weft_mask some, float *y) \
{ weft_lane_pixels(count, g, a, n, x, w, some, y); }
WEFT_LANE_PIXELS(8) WEFT_LANE_PIXELS(6) WEFT_LANE_PIXELS(3) WEFT_LANE_PIXELS(1)
/* Rows of windows, a few columns at a time: so what they share stays in the first-level cache.  The last columns of long rows are made with some of
   those before them once more. */
static __attribute__((noinline, unused)) void weft_lane_rows(const weft_windows *g, const weft_axis *a, const weft_grouped *n, long rows, const float *x,
    const float *w, weft_mask some, float *y)
{
    const long many = WEFT_PIXELS_AT_ONCE, count = a[2].count;
    for (long q = 0, width; q < count; q += width) {
        width = count - q >= many ? many : count >= many ? many : count - q >= 3 ? 3 : 1;
        if (q > count - width) q = count - width;
        for (long i = 0; i < rows; ++i) {
            const float *const from = x + i * a[1].step * n->row + q * a[2].step * n->column;
            float *const to = y + (i * a[1].stride * a[2].out + q * a[2].stride) * g->outputs;
            (width == 8 ? weft_lane_pixels_8 : width == 6 ? weft_lane_pixels_6 : width == 3 ? weft_lane_pixels_3 : weft_lane_pixels_1)
                (g, a, n, from, w, some, to);
        }
    }
}
/* What a block of rows reads. */
static __attribute__((noinline, unused)) void weft_lane_block(const weft_windows *g, const weft_axis *a, weft_grouped *n, const float *x, long q0, long top,
    long rows)
{
    const weft_view view = weft_look(g, a, x, q0, top, rows, n->padded);
    if (g->groups == g->channels && n->out == 1 && n->last == WEFT_LANES) {
        n->x = view.at, n->plane = view.plane, n->row = view.row, n->column = view.column, n->next = WEFT_LANES;
        return;
    }
    n->column = n->in * WEFT_LANES, n->row = n->wide * n->column, n->plane = n->high * n->row, n->next = n->depth * n->plane;
    n->x = n->laid;
    weft_lay_lanes(g, n, view, weft_reach(a + 1, rows));
}
/* All windows of a few images. */
static __attribute__((noinline, unused)) void weft_lane_images(long images, const weft_windows *g, const weft_axis *a, const float *x, const float *w, float *y,
    float *planes)
{
    const long image = a[0].out * a[1].out * a[2].out * g->outputs, pixel = (g->channels / g->groups) * WEFT_LANES;
    weft_grouped n = weft_groups_of(g, a, planes);
    weft_lane_weights(g, &n, w);
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0) for (long top = 0; top < a[1].count; top += g->block) {
        const long rows = a[1].count - top < g->block ? a[1].count - top : g->block;
        weft_lane_block(g, a, &n, x + b * g->xb, q0, top, rows);
        for (long v = 0; v < n.vectors; ++v) {
            const long plane = a[0].first + q0 * a[0].stride, row = a[1].first + top * a[1].stride;
            float *const to = y + b * image + ((plane * a[1].out + row) * a[2].out + a[2].first) * g->outputs + v * WEFT_LANES;
            const weft_mask some = weft_first(v + 1 < n.vectors ? WEFT_LANES : n.last);
            weft_lane_rows(g, a, &n, rows, n.x + v * n.next, n.w + v * (pixel * g->kernel[0] * g->kernel[1] * g->kernel[2]), some, to);
        }
    }
}

/* sums[row][vector] += what is read times the cotangent: `high` rows of taps, `run` vectors of each. */
#define WEFT_LANE_SUMS long rows, long count, const float *x, long down, long right, long below, long apart, const float *d, long next, weft_mask some, weft_vector *sums
WEFT_INLINE void weft_lane_sums(const int high, const int run, WEFT_LANE_SUMS)
{
    weft_vector sum[18];
    WEFT_UNROLL for (int t = 0; t < high * run; ++t) sum[t] = (weft_vector){0};
    for (long i = 0; i < rows; ++i, x += down) {
        const float *p = x;
        for (long q = 0; q < count; ++q, p += right, d += next) {
            const weft_vector u = weft_load(d, some);
            WEFT_UNROLL for (int r = 0; r < high; ++r) WEFT_UNROLL for (int t = 0; t < run; ++t)
                sum[r * run + t] += u * *(const weft_vector *)(p + r * below + t * apart);
        }
    }
    WEFT_UNROLL for (int t = 0; t < high * run; ++t) sums[t] = sum[t];
}
#define WEFT_LANES_OF(high, run) \
static __attribute__((noinline, unused)) void weft_lane_sums_##high##run(WEFT_LANE_SUMS) \
{ weft_lane_sums(high, run, rows, count, x, down, right, below, apart, d, next, some, sums); }
WEFT_LANES_OF(1, 1) WEFT_LANES_OF(1, 2) WEFT_LANES_OF(1, 3) WEFT_LANES_OF(1, 4) WEFT_LANES_OF(1, 5) WEFT_LANES_OF(1, 6)
WEFT_LANES_OF(3, 1) WEFT_LANES_OF(3, 2) WEFT_LANES_OF(3, 3) WEFT_LANES_OF(3, 4) WEFT_LANES_OF(3, 5) WEFT_LANES_OF(3, 6)
static void (*const weft_lane_sums_of[2][6])(WEFT_LANE_SUMS) = {
    {weft_lane_sums_11, weft_lane_sums_12, weft_lane_sums_13, weft_lane_sums_14, weft_lane_sums_15, weft_lane_sums_16},
    {weft_lane_sums_31, weft_lane_sums_32, weft_lane_sums_33, weft_lane_sums_34, weft_lane_sums_35, weft_lane_sums_36}};
/* The adjoint in the weight of one vector of outputs, for a block of rows whose cotangents begin at d. */
static __attribute__((noinline, unused)) void weft_lane_weight(const weft_windows *g, const weft_axis *a, const weft_grouped *n, long rows, long v, const float *d,
    float *w)
{
    const long line = g->kernel[2] * n->in, apart = n->in == 1 ? a[2].gap * n->column : WEFT_LANES;
    const long together = n->in == 1 || a[2].gap == 1 ? line : n->in, walks = line / together;       /* vectors, as many `apart` */
    const weft_mask some = weft_first(v + 1 < n->vectors ? WEFT_LANES : n->last);
    weft_vector sums[18];
    for (long i = 0; i < g->kernel[0]; ++i) for (long j = 0, high; j < g->kernel[1]; j += high) {
        high = g->kernel[1] - j >= 3 ? 3 : 1;
        for (long k = 0; k < walks; ++k) for (long t = 0, run; t < together; t += run) {
            run = together - t < WEFT_RUN ? together - t : WEFT_RUN;
            const float *const x = n->x + v * n->next + i * a[0].gap * n->plane + j * a[1].gap * n->row + k * a[2].gap * n->column + t * apart;
            weft_lane_sums_of[high == 3][run - 1](rows, a[2].count, x, a[1].step * n->row, a[2].step * n->column, a[1].gap * n->row, apart, d + v * WEFT_LANES, g->outputs, some,
                sums);
            for (long r = 0; r < high; ++r) for (long u = 0; u < run; ++u) {
                const long at = k * n->in + t + u;                       /* in a row of taps */
                float *const to = w + ((i * g->kernel[1] + j + r) * g->kernel[2] + at / n->in) * g->tap + at % n->in * g->lead + v * WEFT_LANES;
                weft_store(to, weft_load(to, some) + sums[r * run + u], some);
            }
        }
    }
}
static __attribute__((noinline, unused)) void weft_lane_gradients(long images, const weft_windows *g, const weft_axis *a, const float *x, const float *d, float *w,
    float *planes)
{
    weft_grouped n = weft_groups_of(g, a, planes);
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0) for (long top = 0; top < a[1].count; top += g->block) {
        const long rows = a[1].count - top < g->block ? a[1].count - top : g->block;
        weft_lane_block(g, a, &n, x + b * g->xb, q0, top, rows);
        const float *const from = d + ((b * a[0].count + q0) * a[1].count + top) * a[2].count * g->outputs;
        for (long v = 0; v < n.vectors; ++v) weft_lane_weight(g, a, &n, rows, v, from, w);
    }
}
