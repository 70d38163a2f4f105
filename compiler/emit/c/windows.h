/* Convolutions and pools, channels last, on the register tiles of weft_gemm: no patches are copied where a row of
   windows already lies as the rows of a matrix. Three spatial axes; unused ones have extent 1. */

/* `in`, `out`: extents of x and y; `low`: zeros in front; `xs`, `xc`: strides of x along its axes and channels, `xb`
   from image to image; `lead`, `tap`, `group`: strides of the weights from one depth, tap and group to the next. */
typedef struct {
    long in[3], out[3], kernel[3], stride[3], dilation[3], low[3];
    long channels, outputs, groups;
    long xb, xs[3], xc, lead, tap, group;
    long block;
} weft_windows;

/* One axis of a walk: place q of the result is written to first + q * stride and reads q * step + least + t * gap with tap
   index + t * skip, for every t below `taps`. */
typedef struct { long count, first, stride, step, taps, least, gap, index, skip, out; } weft_axis;

/* Windows of a convolution along one axis. */
static void weft_forward_axis(weft_axis *axis, const weft_windows *g, int k)
{
    *axis = (weft_axis){.count = g->out[k], .stride = 1, .step = g->stride[k], .taps = g->kernel[k], .least = -g->low[k],
        .gap = g->dilation[k], .skip = 1, .out = g->out[k]};
}

/* Elements first, first + stride, … of an adjoint's result along one axis: those that the same taps reach. `in` is the
   extent of what it reads, `out` that of the result; taps are numbered backwards. */
static void weft_adjoint_axis(weft_axis *axis, const weft_windows *g, int k, long first)
{
    const long s = g->stride[k], count = first < g->out[k] ? (g->out[k] - first + s - 1) / s : 0;
    *axis = (weft_axis){.count = count, .first = first, .stride = s, .step = 1, .out = g->out[k]};
    for (long t = g->kernel[k] - 1; t >= 0; --t) {
        const long shift = first + g->low[k] - t * g->dilation[k];
        if (shift % s) continue;
        const long index = g->kernel[k] - 1 - t, offset = shift / s;
        if (axis->taps == 0) axis->index = index, axis->least = offset;
        if (axis->taps == 1) axis->skip = index - axis->index, axis->gap = offset - axis->least;
        ++axis->taps;
    }
}

/* Elements that `count` windows reach. */
WEFT_INLINE long weft_reach(const weft_axis *axis, long count) { return (count - 1) * axis->step + (axis->taps - 1) * axis->gap + 1; }

/* Rows [top, top + rows) x [left, left + columns) of one plane of x, zeros outside, channels contiguous. */
static __attribute__((noinline, unused)) void weft_plane(const weft_windows *g, const float *x, int inside, long top, long rows,
    long left, long columns, float *to)
{
    const long c = g->channels, begin = left < 0 ? -left : 0, end = g->in[2] - left < columns ? g->in[2] - left : columns;
    for (long i = 0; i < rows; ++i, to += columns * c) {
        if (!inside || top + i < 0 || top + i >= g->in[1] || end <= begin) {
            memset(to, 0, (size_t)(columns * c) * sizeof(float));
            continue;
        }
        memset(to, 0, (size_t)(begin * c) * sizeof(float));
        memset(to + end * c, 0, (size_t)((columns - end) * c) * sizeof(float));
        const float *row = x + (top + i) * g->xs[1] + (left + begin) * g->xs[2];
        if (g->xc == 1 && g->xs[2] == c) memcpy(to + begin * c, row, (size_t)((end - begin) * c) * sizeof(float));
        else for (long j = begin; j < end; ++j, row += g->xs[2])
            for (long t = 0; t < c; ++t) to[j * c + t] = row[t * g->xc];
    }
}

/* The input rows that a block of result rows reads: planes [depth taps][height][width][channels]. Where every window lies
   inside x and its channels are contiguous this is x itself. */
typedef struct { const float *at; long plane, row, column; } weft_view;

WEFT_INLINE weft_view weft_look(const weft_windows *g, const weft_axis *a, const float *x, long q0, long q1, long rows, float *scratch)
{
    const long front = q0 * a[0].step, top = q1 * a[1].step + a[1].least, left = a[2].least;
    const long height = weft_reach(a + 1, rows), width = weft_reach(a + 2, a[2].count);
    const int dense = g->xc == 1 && g->xs[2] == g->channels;
    const int inside = top >= 0 && top + height <= g->in[1] && left >= 0 && left + width <= g->in[2]
        && front + a[0].least >= 0 && front + a[0].least + (a[0].taps - 1) * a[0].gap < g->in[0];
    if (dense && inside)
        return (weft_view){x + (front + a[0].least) * g->xs[0] + top * g->xs[1] + left * g->xs[2], g->xs[0], g->xs[1], g->xs[2]};
    const long c = g->channels, depth = weft_reach(a, 1);
    for (long z = 0; z < depth; ++z) {
        const long at = front + a[0].least + z;
        weft_plane(g, x + at * g->xs[0], at >= 0 && at < g->in[0], top, height, left, width, scratch + z * height * width * c);
    }
    return (weft_view){scratch, height * width * c, width * c, c};
}

/* Do the taps along the last axis and the channels lie as one run, in x and in the weights? */
WEFT_INLINE int weft_runs(const weft_windows *g, const weft_axis *a)
{
    return g->groups == 1 && g->tap == g->channels * g->lead && (a->taps < 2 || (a->gap == 1 && a->skip == 1));
}

/* The number of a tap among all of them. */
WEFT_INLINE long weft_tap(const weft_windows *g, const weft_axis *a, long i, long j, long k)
{
    const long row = (a[0].index + i * a[0].skip) * g->kernel[1] + a[1].index + j * a[1].skip;
    return row * g->kernel[2] + a[2].index + k * a[2].skip;
}

/* y[row of windows] = sum over taps of x w: the taps along the height are summed in registers, those along the width too
   where they lie as one run. */
static __attribute__((noinline, unused)) void weft_row(const weft_windows *g, const weft_axis *a, weft_view view, const float *w,
    float *y)
{
    const long in = g->channels / g->groups, out = g->outputs / g->groups, ar = a[2].step * view.column;
    const long together = weft_runs(g, a + 2) && view.column == g->channels ? a[2].taps : 1;
    const long as = a[1].gap * view.row, bs = a[1].skip * g->kernel[2] * g->tap;
    for (long group = 0; group < g->groups; ++group) {
        int more = 0;
        for (long i = 0; i < a[0].taps; ++i) for (long k = 0; k < a[2].taps; k += together) {
            const float *p = view.at + i * a[0].gap * view.plane + k * a[2].gap * view.column + group * in;
            weft_gemm_blocks(a[1].taps, as, bs, a[2].count, out, together * in, p, ar, 1, w + weft_tap(g, a, i, 0, k) * g->tap + group * g->group, g->lead,
                y + group * out, a[2].stride * g->outputs, more++);
        }
    }
}

/* Every channel by itself: y[c] = sum over taps of x[c] w[tap][c]. */
static __attribute__((noinline, unused)) void weft_row_of_channels(const weft_windows *g, const weft_axis *a, weft_view view,
    const float *w, float *y)
{
    const long c = g->channels;
    for (long q = 0; q < a[2].count; ++q, y += a[2].stride * c) {
        for (long t = 0; t < c; ++t) y[t] = 0.0f;
        for (long i = 0; i < a[0].taps; ++i) for (long j = 0; j < a[1].taps; ++j) for (long k = 0; k < a[2].taps; ++k) {
            const float *p = view.at + i * a[0].gap * view.plane + j * a[1].gap * view.row + (q * a[2].step + k * a[2].gap) * view.column;
            const float *v = w + weft_tap(g, a, i, j, k) * g->tap;
            #pragma omp simd
            for (long t = 0; t < c; ++t) y[t] += p[t] * v[t];
        }
    }
}

WEFT_INLINE int weft_by_channel(const weft_windows *g) { return g->groups == g->channels && g->groups == g->outputs; }

/* All windows of a few images along three axes. */
static __attribute__((noinline, unused)) void weft_walk(long images, const weft_windows *g, const weft_axis *a, const float *x,
    const float *w, float *y, float *planes)
{
    const long image = a[0].out * a[1].out * a[2].out * g->outputs;
    const int none = a[0].taps == 0 || a[1].taps == 0 || a[2].taps == 0;
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0)
        for (long top = 0; top < a[1].count; top += g->block) {
            const long rows = a[1].count - top < g->block ? a[1].count - top : g->block;
            if (a[2].count == 0) continue;
            weft_view view = {0};
            if (!none) view = weft_look(g, a, x + b * g->xb, q0, top, rows, planes);
            for (long q1 = top; q1 < top + rows; ++q1) {
                const long plane = a[0].first + q0 * a[0].stride, row = a[1].first + q1 * a[1].stride;
                float *to = y + b * image + ((plane * a[1].out + row) * a[2].out + a[2].first) * g->outputs;
                if (none)
                    for (long q = 0; q < a[2].count; ++q) memset(to + q * a[2].stride * g->outputs, 0, (size_t)g->outputs * sizeof(float));
                else if (weft_by_channel(g)) weft_row_of_channels(g, a, view, w, to);
                else weft_row(g, a, view, w, to);
                view.at += a[1].step * view.row;
            }
        }
}

/* Is this a plain product of all pixels with one matrix? */
WEFT_INLINE int weft_is_product(const weft_windows *g)
{
    int same = g->groups == 1 && g->xc == 1 && g->xs[2] == g->channels && g->xs[1] == g->in[2] * g->xs[2];
    for (int k = 0; k < 3; ++k) same = same && g->kernel[k] == 1 && g->stride[k] == 1 && g->low[k] == 0 && g->in[k] == g->out[k];
    return same && g->xs[0] == g->in[1] * g->xs[1] && g->xb == g->in[0] * g->xs[0];
}

/* y[b, q, o] = sum over taps t and channels c of x[b, q * stride + t * dilation - low, c] w[t, c, o] */
static __attribute__((unused)) void weft_convolve(long images, const weft_windows *g, const float *x, const float *w, float *y,
    float *scratch, float *planes)
{
    const long pixels = images * g->in[0] * g->in[1] * g->in[2];
    if (weft_is_product(g)) {
        weft_gemm(pixels, g->outputs, g->channels, x, g->channels, 1, w, g->lead, 1, y, g->outputs, 0, scratch);
        return;
    }
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    weft_walk(images, g, a, x, w, y, planes);
}

/* The adjoint in x, of turned weights: its elements in classes that the same taps reach. Here x is the cotangent of the
   windows, y the gradient of what they read. */
static __attribute__((unused)) void weft_convolve_input(long images, const weft_windows *g, const float *x, const float *w, float *y,
    float *scratch, float *planes)
{
    const long pixels = images * g->in[0] * g->in[1] * g->in[2];
    if (weft_is_product(g)) {
        weft_gemm(pixels, g->outputs, g->channels, x, g->channels, 1, w, g->lead, 1, y, g->outputs, 0, scratch);
        return;
    }
    weft_axis a[3];
    for (long i = 0; i < g->stride[0]; ++i) for (long j = 0; j < g->stride[1]; ++j) for (long k = 0; k < g->stride[2]; ++k) {
        weft_adjoint_axis(a, g, 0, i);
        weft_adjoint_axis(a + 1, g, 1, j);
        weft_adjoint_axis(a + 2, g, 2, k);
        weft_walk(images, g, a, x, w, y, planes);
    }
}

/* w[t, c, o] += sum over images and windows of x[b, q * stride + t * dilation - low, c] d[b, q, o] */
static __attribute__((unused)) void weft_convolve_weight(long images, const weft_windows *g, const float *x, const float *d, float *w,
    float *scratch, float *planes)
{
    const long in = g->channels / g->groups, out = g->outputs / g->groups, pixels = images * g->in[0] * g->in[1] * g->in[2];
    if (weft_is_product(g)) {
        weft_gemm(in, out, pixels, x, 1, g->channels, d, g->outputs, 1, w, g->lead, 1, scratch);
        return;
    }
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    const int by_channel = weft_by_channel(g);
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0) for (long top = 0; top < a[1].count; top += g->block) {
        const long rows = a[1].count - top < g->block ? a[1].count - top : g->block;
        weft_view view = weft_look(g, a, x + b * g->xb, q0, top, rows, planes);
        const float *y = d + ((b * a[0].count + q0) * a[1].count + top) * a[2].count * g->outputs;
        const long together = weft_runs(g, a + 2) && view.column == g->channels ? a[2].taps : 1;
        for (long i = 0; i < a[0].taps; ++i) for (long j = 0; j < a[1].taps; ++j) for (long k = 0; k < a[2].taps; k += together) {
            const float *p = view.at + i * a[0].gap * view.plane + j * a[1].gap * view.row + k * a[2].gap * view.column;
            float *v = w + weft_tap(g, a, i, j, k) * g->tap;
            const long down = a[1].step * view.row, right = a[2].step * view.column, row = a[2].count * g->outputs;
            if (by_channel) {
                for (long q1 = 0; q1 < rows; ++q1) for (long q = 0; q < a[2].count; ++q) {
                    const float *s = p + q1 * down + q * right, *u = y + q1 * row + q * g->outputs;
                    #pragma omp simd
                    for (long t = 0; t < g->channels; ++t) v[t] += s[t] * u[t];
                }
            } else for (long group = 0; group < g->groups; ++group)
                weft_gemm_blocks(rows, down, row, together * in, out, a[2].count, p + group * in, 1, right, y + group * out,
                    g->outputs, v + group * g->group, g->lead, 1);
        }
    }
}

/* ---- pools: every channel by itself, a vector of them at a time; what falls outside x is left out ---- */
typedef int weft_truths __attribute__((vector_size(WEFT_VECTOR_BYTES), aligned(4), may_alias));
enum { WEFT_POOLED = 256 };

/* Where the taps of one window read, from tap `*next` on, at most WEFT_POOLED of them; returns how many. */
static __attribute__((noinline, unused)) long weft_window(const weft_windows *g, long b, long q0, long q1, long q2, long *next, long *at)
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
                at[count++] = row + s * g->xs[2];
            }
        }
    }
    *next = tap;
    return count;
}

/* Is every element in one window at most? */
WEFT_INLINE int weft_apart(const weft_windows *g)
{
    int apart = 1;
    for (int k = 0; k < 3; ++k) apart = apart && g->stride[k] >= (g->kernel[k] - 1) * g->dilation[k] + 1;
    return apart;
}

/* The windows of all images in turn; `body` sees the channels c .. of one window, `some` of them, at most WEFT_LANES. */
#define WEFT_POOL(before, body) \
    const long taps = g->kernel[0] * g->kernel[1] * g->kernel[2], channels = g->channels; \
    long at[WEFT_POOLED]; \
    for (long b = 0; b < images; ++b) \
        for (long q0 = 0; q0 < g->out[0]; ++q0) for (long q1 = 0; q1 < g->out[1]; ++q1) for (long q2 = 0; q2 < g->out[2]; ++q2) { \
            const long window = (((b * g->out[0] + q0) * g->out[1] + q1) * g->out[2] + q2) * channels; \
            before \
            for (long next = 0; next < taps; ) { \
                const int whole = next == 0; \
                (void)whole; \
                const long count = weft_window(g, b, q0, q1, q2, &next, at); \
                for (long c = 0; c < channels; c += WEFT_LANES) { \
                    const weft_mask some = weft_first(channels - c < WEFT_LANES ? channels - c : WEFT_LANES); \
                    body \
                } \
            } \
        }

static __attribute__((noinline, unused)) void weft_pool_max(long images, const weft_windows *g, const float *x, float *restrict y)
{
    WEFT_POOL(
        for (long c = 0; c < channels; ++c) y[window + c] = -INFINITY;,
        weft_vector most = weft_load(y + window + c, some);
        for (long t = 0; t < count; ++t) {
            const weft_vector u = weft_load(x + at[t] + c, some);
            const weft_truths better = (u > most) | (u != u);
            most = (weft_vector)(((weft_truths)u & better) | ((weft_truths)most & ~better));
        }
        weft_store(y + window + c, most, some);
    )
}

/* The first element of a window that attains its maximum gets the cotangent; `open` tells who is still looking. */
static __attribute__((noinline, unused)) void weft_pool_max_input(long images, const weft_windows *g, const float *x, const float *y,
    const float *d, float *restrict dx, float *restrict open)
{
    const int apart = weft_apart(g);                       /* then nothing is added to: loads would wait for masked stores */
    memset(dx, 0, (size_t)(images * g->xb) * sizeof(float));
    WEFT_POOL(
        ,
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
static __attribute__((noinline, unused)) void weft_pool_max_pick(long images, const weft_windows *g, const float *x, const float *y,
    const float *e, float *restrict v, float *restrict open)
{
    WEFT_POOL(
        memset(v + window, 0, (size_t)channels * sizeof(float));,
        const weft_vector most = weft_load(y + window + c, some);
        weft_truths looking = ~(weft_truths){0};
        weft_truths found = (weft_truths)weft_load(v + window + c, some);
        if (!whole) looking = (weft_truths)weft_load(open + c, some);
        for (long t = 0; t < count; ++t) {
            const weft_truths hit = (weft_load(x + at[t] + c, some) == most) & looking;
            looking &= ~hit;
            found |= (weft_truths)weft_load(e + at[t] + c, some) & hit;
        }
        weft_store(v + window + c, (weft_vector)found, some);
        if (next < taps) weft_store(open + c, (weft_vector)looking, some);
    )
}

static __attribute__((noinline, unused)) void weft_pool_sum(long images, const weft_windows *g, const float *x, float *restrict y)
{
    WEFT_POOL(
        memset(y + window, 0, (size_t)channels * sizeof(float));,
        weft_vector sum = weft_load(y + window + c, some);
        for (long t = 0; t < count; ++t) sum += weft_load(x + at[t] + c, some);
        weft_store(y + window + c, sum, some);
    )
}

static __attribute__((noinline, unused)) void weft_pool_sum_input(long images, const weft_windows *g, const float *d, float *restrict dx)
{
    const int apart = weft_apart(g);
    memset(dx, 0, (size_t)(images * g->xb) * sizeof(float));
    WEFT_POOL(
        ,
        const weft_vector share = weft_load(d + window + c, some);
        for (long t = 0; t < count; ++t) {
            weft_vector sum = share;
            if (!apart) sum += weft_load(dx + at[t] + c, some);
            weft_store(dx + at[t] + c, sum, some);
        }
    )
}
