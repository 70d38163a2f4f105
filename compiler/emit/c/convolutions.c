/* Convolutions and their adjoints, on tile units, by Winograd's algorithm or by plain multiply-adds. */

/* All windows of a few images along three axes; `kept`: the planes of the weight, or NULL. */
static __attribute__((noinline, unused)) void weft_walk(long images, const weft_windows *g, const weft_axis *a, const float *x,
    const float *w, const float *kept, float *y, float *scratch, float *planes)
{
    (void)kept; (void)scratch;
    if (weft_in_lanes(g) && a[0].taps && a[1].taps && a[2].taps && a[2].count > 0) {
        weft_lane_images(images, g, a, x, w, y, planes);
        return;
    }
    const long image = a[0].out * a[1].out * a[2].out * g->outputs;
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0)
        for (long top = 0; top < a[1].count; top += g->block) {
            const long rows = a[1].count - top < g->block ? a[1].count - top : g->block;
            if (a[2].count == 0) continue;
#if defined(WEFT_TILES)
            if (kept) {
                const weft_tile_room room = weft_room(g, planes);
                weft_planes made;
                if (weft_split_view(g, a, rows, weft_look(g, a, x + b * g->xb, q0, top, rows, planes), room.planes, &made)) {
                    float *const to = y + b * image + (q0 * a[1].out + top) * a[2].out * g->outputs;
                    weft_gathered_block(g, a, rows, made, room, (const uint16_t *)kept, to, (uint16_t *)scratch);
                    continue;
                }
            }
#endif
            weft_plain_rows(g, a, x + b * g->xb, w, q0, top, rows, y + b * image, planes);
        }
}

WEFT_INLINE void weft_plain_walk(long images, const weft_windows *g, const weft_axis *a, int way, const float *x, const float *w, const float *kept,
    float *y, float *scratch, float *planes)
{
#if defined(WEFT_TILES)
    if (way >= WEFT_DIRECT) {
        weft_direct_images(images, g, a, way / WEFT_DIRECT, x, w, (const uint16_t *)kept, y, planes);
        return;
    }
#endif
    if (way == WEFT_WINOGRAD) {
        if (weft_winograd_images(images, g, a, x, kept, y, planes)) return;
        kept = 0;
    }
    weft_walk(images, g, a, x, w, kept, y, scratch, planes);
}

/* Is this a plain product of all pixels with one matrix? */
WEFT_INLINE int weft_is_product(const weft_windows *g)
{
    int same = g->groups == 1 && g->xc == 1 && g->xs[2] == g->channels && g->xs[1] == g->in[2] * g->xs[2];
    for (int k = 0; k < 3; ++k) same = same && g->kernel[k] == 1 && g->stride[k] == 1 && g->low[k] == 0 && g->in[k] == g->out[k];
    return same && g->xs[0] == g->in[1] * g->xs[1] && g->xb == g->in[0] * g->xs[0];
}

/* y[b, q, o] = sum over taps t and channels c of x[b, q * stride + t * dilation - low, c] w[t, c, o]; `kept` is what
   weft_keep_convolve said */
WEFT_SHARED void weft_convolve(long images, const weft_windows *g, const float *x, const float *w, const float *kept,
    float *y, float *scratch, float *planes)
{
    const long pixels = images * g->in[0] * g->in[1] * g->in[2];
    if (weft_is_product(g)) {
        weft_gemm(pixels, g->outputs, g->channels, x, g->channels, 1, w, g->lead, 1, y, g->outputs, 0, scratch);
        return;
    }
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    if (kept) weft_begin_tiles();
    weft_plain_walk(images, g, a, kept ? weft_convolve_way(g) : WEFT_BY_ROWS, x, w, kept, y, scratch, planes);
    if (kept) weft_end_tiles();
}

/* The adjoint in x, of turned weights: its elements in classes that the same taps reach; `kept`: the planes of the weight, or NULL. */
static __attribute__((noinline, unused)) void weft_walk_input(long images, const weft_windows *g, int way, const float *x, const float *w,
    const float *kept, float *y, float *scratch, float *planes)
{
    if (kept) weft_begin_tiles();
#if defined(WEFT_TILES)
    if (way == WEFT_SCATTERED) {
        weft_scatter_images(images, g, x, w, (const uint16_t *)kept, y, scratch, planes);
        weft_end_tiles();
        return;
    }
#endif
    weft_axis a[3];
    for (long i = 0; i < g->stride[0]; ++i) for (long j = 0; j < g->stride[1]; ++j) for (long k = 0; k < g->stride[2]; ++k) {
        weft_adjoint_axis(a, g, 0, i);
        weft_adjoint_axis(a + 1, g, 1, j);
        weft_adjoint_axis(a + 2, g, 2, k);
        weft_plain_walk(images, g, a, way, x, w, kept, y, scratch, planes);
    }
    if (kept) weft_end_tiles();
}
/* Here x is the cotangent of the windows, y the gradient of what they read, `kept` what weft_keep_convolve_input said. */
WEFT_SHARED void weft_convolve_input(long images, const weft_windows *g, const float *x, const float *w,
    const float *kept, float *y, float *scratch, float *planes)
{
    const long pixels = images * g->in[0] * g->in[1] * g->in[2];
    if (weft_is_product(g)) {
        weft_gemm(pixels, g->outputs, g->channels, x, g->channels, 1, w, g->lead, 1, y, g->outputs, 0, scratch);
        return;
    }
    const int way = kept ? weft_input_way(g) : WEFT_BY_ROWS;
    const long image = g->out[1] * g->out[2] * g->outputs, sparse = kept ? g->listed : 0;
    const float *const behind = way == WEFT_BY_ROWS ? 0 : kept + sparse;
    if (!sparse || g->xc != 1 || g->xs[2] != g->channels || g->xs[1] != g->in[2] * g->channels) {
        weft_walk_input(images, g, way, x, w, behind, y, scratch, planes);
        return;
    }
    const long few = weft_sparse_most(g, way);
    for (long b = 0, first = 0; b < images; ++b) {                       /* images with many numbers wait for the next one with few: they go together */
        const int done = weft_sparse_image(g, few, x + b * g->xb, kept, y + b * image, planes), end = b + !done;
        if ((done || end == images) && end > first) weft_walk_input(end - first, g, way, x + first * g->xb, w, behind, y + first * image, scratch, planes);
        if (done) first = b + 1;
    }
}

/* The adjoint in the weight, by one of its ways. */
static __attribute__((noinline, unused)) void weft_sum_windows(long images, const weft_windows *g, int way, const float *x, const float *d,
    float *w, float *scratch, float *planes)
{
    const long in = g->channels / g->groups, out = g->outputs / g->groups;
    (void)scratch;
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
#if defined(WEFT_TILES)
    if (way == WEFT_DIRECT) {
        weft_begin_tiles();
        weft_weight_images(images, g, a, x, d, w, scratch, planes);
        weft_end_tiles();
        return;
    }
#endif
    const long made = way == WEFT_WINOGRAD ? weft_winograd_gradients(images, g, a, x, d, w, planes) : 0;
    if (made == g->outputs) return;
    if (weft_in_lanes(g)) {
        if (a[2].count > 0) weft_lane_gradients(images, g, a, x, d, w, planes);
        return;
    }
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0) for (long top = 0; top < a[1].count; top += g->block) {
        const long rows = a[1].count - top < g->block ? a[1].count - top : g->block;
        weft_view view = weft_look(g, a, x + b * g->xb, q0, top, rows, planes);
        const float *y = d + ((b * a[0].count + q0) * a[1].count + top) * a[2].count * g->outputs + made;
        const long together = weft_runs(g, a + 2) && view.column == g->channels ? a[2].taps : 1;
        for (long i = 0; i < a[0].taps; ++i) for (long j = 0; j < a[1].taps; ++j) for (long k = 0; k < a[2].taps; k += together) {
            const float *p = view.at + i * a[0].gap * view.plane + j * a[1].gap * view.row + k * a[2].gap * view.column;
            float *v = w + weft_tap(g, a, i, j, k) * g->tap + made;
            const long down = a[1].step * view.row, right = a[2].step * view.column, row = a[2].count * g->outputs;
            for (long group = 0; group < g->groups; ++group)
                weft_gemm_blocks(rows, down, row, together * in, out - made, a[2].count, p + group * in, 1, right, y + group * out,
                    g->outputs, v + group * g->group, g->lead, 1);
        }
    }
}

/* w[t, c, o] += sum over images and windows of x[b, q * stride + t * dilation - low, c] d[b, q, o] */
WEFT_SHARED void weft_convolve_weight(long images, const weft_windows *g, const float *x, const float *d, float *w,
    float *scratch, float *planes)
{
    const long pixels = images * g->in[0] * g->in[1] * g->in[2];
    if (weft_is_product(g)) weft_gemm(g->channels, g->outputs, pixels, x, 1, g->channels, d, g->outputs, 1, w, g->lead, 1, scratch);
    else weft_sum_windows(images, g, weft_weight_way(images, g), x, d, w, scratch, planes);
}
