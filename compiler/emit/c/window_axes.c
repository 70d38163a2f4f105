/* The axes that windows walk along, and the padded rows that they read. */
#include "weft.h"
#include "windows.h"
#include "tile_units.h"
#include "turn.h"

WEFT_INLINE long weft_up(long count, long by) { return (count + by - 1) / by * by; }
WEFT_INLINE long weft_taps(const weft_windows *g) { return g->kernel[0] * g->kernel[1] * g->kernel[2]; }
WEFT_INLINE long weft_volume(const long *extents) { return extents[0] * extents[1] * extents[2]; }

/* One axis of a walk: place q of the result is written to first + q * stride and reads q * step + least + t * gap with tap
   index + t * skip, for every t below `taps`. */
typedef struct { long count, first, stride, step, taps, least, gap, index, skip, out; } weft_axis;

/* Windows of a convolution along one axis. */
static __attribute__((unused)) void weft_forward_axis(weft_axis *axis, const weft_windows *g, int k)
{
    *axis = (weft_axis){.count = g->out[k], .stride = 1, .step = g->stride[k], .taps = g->kernel[k], .least = -g->low[k],
        .gap = g->dilation[k], .skip = 1, .out = g->out[k]};
}

/* Elements first, first + stride, … of an adjoint's result along one axis: those that the same taps reach. `in` is the
   extent of what it reads, `out` that of the result; taps are numbered backwards. */
static __attribute__((unused)) void weft_adjoint_axis(weft_axis *axis, const weft_windows *g, int k, long first)
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
