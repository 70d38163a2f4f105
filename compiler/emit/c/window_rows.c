/* Rows of windows on the register tiles of weft_gemm: no patches are copied where a row of windows already lies as the rows of a
   matrix. */

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

/* Rows top .. top + rows of windows at q0, by multiply-adds; y: the image of the result. */
static __attribute__((noinline, unused)) void weft_plain_rows(const weft_windows *g, const weft_axis *a, const float *x, const float *w, long q0,
    long top, long rows, float *y, float *planes)
{
    const int none = a[0].taps == 0 || a[1].taps == 0 || a[2].taps == 0;
    weft_view view = {0};
    if (!none) view = weft_look(g, a, x, q0, top, rows, planes);
    for (long q1 = top; q1 < top + rows; ++q1) {
        const long plane = a[0].first + q0 * a[0].stride, row = a[1].first + q1 * a[1].stride;
        float *const to = y + ((plane * a[1].out + row) * a[2].out + a[2].first) * g->outputs;
        if (none)
            for (long q = 0; q < a[2].count; ++q) memset(to + q * a[2].stride * g->outputs, 0, (size_t)g->outputs * sizeof(float));
        else weft_row(g, a, view, w, to);
        view.at += a[1].step * view.row;
    }
}
