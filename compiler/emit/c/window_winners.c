/* The adjoint in the weight where a pool of maxima reads what a convolution made: of the windows that one of the pool reads one won, no other has a
   cotangent.  So a quarter of the multiply-adds is left behind a pool of two by two, on vectors, which beats tile units and all windows. */
enum { WEFT_TOGETHER = WEFT_REGISTERS == 32 ? 28 : 12 };                /* vectors of sums at a time */

/* What windows read lies in memory once, of some rows of the pool or of some images: planes of 16 of the `main` channels that fill vectors, one pixel after
   the other, and window for window what the `rest` of channels is.  So vectors begin with cache lines, and a plane stays in the first-level cache
   for all outputs.  `lanes` of a window, `whole` of them in the first of both, `each` in the second; `number[lane]`: which of the weight's numbers, or -1. */
typedef struct {
    long main, rest, lanes, whole, each, rows, images;                  /* rows of the pool, and images */
    long high, wide, tall, across, pixels, windows;                     /* padded rows, windows that the pool reads; all of an image */
    float *x, *thin, *first, *second, *sums, *d;
    int *number, *at, *found;
} weft_winners;
WEFT_INLINE long weft_lanes_up(long count) { return (count + 15) / 16 * 16; }
static __attribute__((noinline, unused)) weft_winners weft_winners_of(const weft_windows *g, float *planes)
{
    const long c = g->channels, taps = g->kernel[1] * g->kernel[2];
    weft_winners n = {.main = c / 16 * 16, .rest = c % 16, .rows = g->block, .images = g->pixels};
    n.tall = (n.rows - 1) * g->pool_stride[1] + (g->pool[1] - 1) * g->pool_dilation[1] + 1;
    n.across = (g->pool_out[2] - 1) * g->pool_stride[2] + (g->pool[2] - 1) * g->pool_dilation[2] + 1;
    n.high = (n.tall - 1) * g->stride[1] + (g->kernel[1] - 1) * g->dilation[1] + 1;
    n.wide = (n.across - 1) * g->stride[2] + g->kernel[2];
    n.pixels = n.high * n.wide;
    n.windows = n.tall * n.across;
    n.whole = taps * n.main;
    n.each = weft_lanes_up(taps * n.rest);
    n.lanes = n.whole + n.each;
    n.x = planes;
    n.thin = n.x + weft_lanes_up(n.pixels * c + 16);
    n.first = n.thin + weft_lanes_up(n.pixels * n.rest + 16);
    n.second = n.first + n.images * n.pixels * n.main;
    n.sums = n.second + n.images * n.windows * n.each + 16;
    n.number = (int *)(n.sums + g->outputs * n.lanes);
    n.at = n.number + n.lanes;
    n.d = (float *)n.at + weft_lanes_up(n.images * n.rows * g->pool_out[2] * g->outputs);
    n.found = (int *)n.d + weft_lanes_up(n.images * n.rows * g->pool_out[2] * g->outputs);
    return n;
}
/* Which number of the weight a lane of the sums belongs to. */
static __attribute__((noinline, unused)) void weft_number_lanes(const weft_windows *g, const weft_winners *n)
{
    const long c = g->channels, some = g->kernel[1] * g->kernel[2] * n->rest;
    const long taps = g->kernel[1] * g->kernel[2];
    for (long lane = 0; lane < n->whole; ++lane)
        n->number[lane] = (int)(lane / 16 % taps * c + lane / (16 * taps) * 16 + lane % 16);
    for (long lane = 0; lane < n->each; ++lane)
        n->number[n->whole + lane] = lane < some ? (int)(lane / n->rest * c + n->main + lane % n->rest) : -1;
}
/* Where the windows which won begin, of every window of some rows of the pool, and every channel; -1 where none did.  `down`, `right`: to the next window
   of the convolution. */
static __attribute__((noinline, unused)) void weft_find_winners(const weft_windows *g, long rows, int begin, int down, int right, const int *restrict place,
    int *restrict at)
{
    const int taps = (int)g->pool[2], o = (int)g->outputs, lower = down * (int)g->pool_dilation[1], beside = right * (int)g->pool_dilation[2];
    for (long i = 0; i < rows; ++i) for (long k = 0; k < g->pool_out[2]; ++k, at += o, place += o) {
        const int from = begin + (int)(i * g->pool_stride[1]) * down + (int)(k * g->pool_stride[2]) * right;
        #pragma omp simd
        for (int c = 0; c < o; ++c) {
            const int row = taps == 2 ? place[c] >> 1 : place[c] / taps;
            at[c] = place[c] < 0 ? -1 : from + row * lower + (place[c] - row * taps) * beside;
        }
    }
}
typedef float weft_eight __attribute__((vector_size(32), aligned(4), may_alias));
/* What the windows of rows `top` .. of the pool read, of one image: padded rows, `step` apart. */
WEFT_INLINE const float *weft_winning_rows(const weft_windows *g, const weft_winners *n, const float *x, long top, long *step)
{
    const long c = g->channels, left = -g->pool_low[2] * g->stride[2] - g->low[2];
    const long above = (top * g->pool_stride[1] - g->pool_low[1]) * g->stride[1] - g->low[1];
    const int inside = left >= 0 && left + n->wide <= g->in[2] && above >= 0 && above + n->high < g->in[1] && g->xc == 1 && g->xs[2] == c;
    *step = inside ? g->xs[1] : n->wide * c;
    if (inside) return x + above * g->xs[1] + left * c;                  /* one row is left that may be read too far */
    weft_plane(g, x, 1, above, n->high, left, n->wide, n->x);
    return n->x;
}
/* The same, laid out: planes of whole vectors, `plane` apart, and windows of the rest. */
static __attribute__((noinline, unused)) void weft_lay_windows(const weft_windows *g, const weft_winners *n, const float *x, long top, long plane,
    float *first, float *second)
{
    const long c = g->channels;
    long step;
    const float *from = weft_winning_rows(g, n, x, top, &step);
    if (n->main) {
        float *thin = n->thin;
        for (long i = 0; i < n->high; ++i) for (long k = 0; k < n->wide; ++k, first += 16, thin += n->rest) {
            const float *const p = from + i * step + k * c;
            for (long t = 0; t < n->main; t += 16)
                for (long u = 0; u < 16; u += WEFT_LANES) *(weft_vector *)(first + t / 16 * plane + u) = *(const weft_vector *)(p + t + u);
            for (long t = 0; t < n->rest; ++t) thin[t] = p[n->main + t];
        }
        from = n->thin;
        step = n->wide * n->rest;
    }
    const long run = g->kernel[2] * n->rest, right = g->stride[2] * n->rest;
    if (run) for (long i = 0; i < n->tall; ++i) for (long k = 0; k < n->across; ++k, second += n->each) {
        const float *p = from + i * g->stride[1] * step + k * right;
        float *to = second;
        for (long r = 0; r < g->kernel[1]; ++r, p += g->dilation[1] * step, to += run) {       /* what is copied too much comes next */
            *(weft_eight *)to = *(const weft_eight *)p;
            for (long t = 8; t < run; t += 8) *(weft_eight *)(to + t) = *(const weft_eight *)(p + t);
        }
    }
}

/* sums[channel][row][vector] += d * what the window that won reads there: `rows` rows of `count` vectors, `step` apart, for `wide` channels side by
   side, whose sums lie `next` apart and their rows `lane`; `fresh`: begin with zeros.  Many sums at once: few walks, and no sum waits for the one
   before.  Those of the next channels are asked for meanwhile. */
#define WEFT_SUMS long windows, const int *at, const float *d, const float *x, long pixel, long step, float *sums, long lane, long next, int fresh
#define WEFT_EACH_SUM(rows, count) WEFT_UNROLL for (int r = 0; r < rows; ++r) WEFT_UNROLL for (int k = 0; k < count; ++k)
WEFT_INLINE void weft_sum_winners(const int rows, const int count, const int wide, WEFT_SUMS)
{
    weft_vector sum[WEFT_TOGETHER];
    if (fresh) WEFT_UNROLL for (int t = 0; t < wide * rows * count; ++t) sum[t] = (weft_vector){0};
    else WEFT_UNROLL for (int u = 0; u < wide; ++u) WEFT_EACH_SUM(rows, count) {
        float *const from = sums + u * next + r * lane + k * WEFT_LANES;
        sum[(u * rows + r) * count + k] = *(weft_vector *)from;
        __builtin_prefetch(from + wide * next, 1);
    }
    for (long w = 0; w < windows; ++w) WEFT_UNROLL for (int u = 0; u < wide; ++u) {
        const int where = at[u * windows + w];
        if (where < 0) continue;
        const float *from = x + where * pixel;
        const float t = d[u * windows + w];
        WEFT_UNROLL for (int r = 0; r < rows; ++r, from += step) {
            __asm__("" : "+r"(from));                                   /* one address for a row: it finds many invariants otherwise, and spills them */
            WEFT_UNROLL for (int k = 0; k < count; ++k) sum[(u * rows + r) * count + k] += t * *(const weft_vector *)(from + k * WEFT_LANES);
        }
    }
    WEFT_UNROLL for (int u = 0; u < wide; ++u) WEFT_EACH_SUM(rows, count)
        *(weft_vector *)(sums + u * next + r * lane + k * WEFT_LANES) = sum[(u * rows + r) * count + k];
}
#define WEFT_WINNERS(rows, count, wide) \
static __attribute__((noinline, unused)) void weft_sum_winners_##rows##count##wide(WEFT_SUMS) \
{ weft_sum_winners(rows, count, wide, windows, at, d, x, pixel, step, sums, lane, next, fresh); }
#define WEFT_WINNER(rows, count) weft_sum_winners_##rows##count##1
WEFT_WINNERS(1, 1, 4) WEFT_WINNERS(1, 2, 4) WEFT_WINNERS(1, 3, 2) WEFT_WINNERS(1, 4, 2)
WEFT_WINNERS(1, 1, 1) WEFT_WINNERS(1, 2, 1) WEFT_WINNERS(1, 3, 1) WEFT_WINNERS(1, 4, 1)
WEFT_WINNERS(1, 5, 1) WEFT_WINNERS(1, 6, 1) WEFT_WINNERS(1, 7, 1) WEFT_WINNERS(1, 8, 1)
WEFT_WINNERS(2, 1, 1) WEFT_WINNERS(2, 2, 1) WEFT_WINNERS(2, 3, 1) WEFT_WINNERS(2, 4, 1) WEFT_WINNERS(2, 5, 1) WEFT_WINNERS(2, 6, 1)
WEFT_WINNERS(3, 1, 1) WEFT_WINNERS(3, 2, 1) WEFT_WINNERS(3, 3, 1) WEFT_WINNERS(3, 4, 1)
WEFT_WINNERS(5, 1, 1) WEFT_WINNERS(5, 2, 1)
#if WEFT_REGISTERS == 32
WEFT_WINNERS(2, 7, 1) WEFT_WINNERS(2, 8, 1)
WEFT_WINNERS(3, 5, 1) WEFT_WINNERS(3, 6, 1) WEFT_WINNERS(3, 7, 1) WEFT_WINNERS(3, 8, 1)
WEFT_WINNERS(5, 3, 1) WEFT_WINNERS(5, 4, 1) WEFT_WINNERS(5, 5, 1)
#endif
/* Rows and vectors together are WEFT_TOGETHER at most: there are no others. */
static void (*const weft_winners_of_rows[4][8])(WEFT_SUMS) = {
    {WEFT_WINNER(1, 1), WEFT_WINNER(1, 2), WEFT_WINNER(1, 3), WEFT_WINNER(1, 4), WEFT_WINNER(1, 5), WEFT_WINNER(1, 6), WEFT_WINNER(1, 7), WEFT_WINNER(1, 8)},
#if WEFT_REGISTERS == 32
    {WEFT_WINNER(2, 1), WEFT_WINNER(2, 2), WEFT_WINNER(2, 3), WEFT_WINNER(2, 4), WEFT_WINNER(2, 5), WEFT_WINNER(2, 6), WEFT_WINNER(2, 7), WEFT_WINNER(2, 8)},
    {WEFT_WINNER(3, 1), WEFT_WINNER(3, 2), WEFT_WINNER(3, 3), WEFT_WINNER(3, 4), WEFT_WINNER(3, 5), WEFT_WINNER(3, 6), WEFT_WINNER(3, 7), WEFT_WINNER(3, 8)},
    {WEFT_WINNER(5, 1), WEFT_WINNER(5, 2), WEFT_WINNER(5, 3), WEFT_WINNER(5, 4), WEFT_WINNER(5, 5)}};
#else
    {WEFT_WINNER(2, 1), WEFT_WINNER(2, 2), WEFT_WINNER(2, 3), WEFT_WINNER(2, 4), WEFT_WINNER(2, 5), WEFT_WINNER(2, 6)},
    {WEFT_WINNER(3, 1), WEFT_WINNER(3, 2), WEFT_WINNER(3, 3), WEFT_WINNER(3, 4)},
    {WEFT_WINNER(5, 1), WEFT_WINNER(5, 2)}};
#endif
static void (*const weft_winners_beside[4])(WEFT_SUMS) = {weft_sum_winners_114, weft_sum_winners_124, weft_sum_winners_132, weft_sum_winners_142};
/* All channels: `high` rows of taps of `lanes` each, whose sums begin with lane `first` and which lie at x, `step` apart, from the pixel on, whose
   numbers are `pixel` apart. */
static __attribute__((noinline, unused)) void weft_sum_lanes(const weft_windows *g, const weft_winners *n, long windows, const float *d, const float *x,
    long pixel, long step, long first, long high, long lanes, int fresh)
{
    const long vectors = lanes / WEFT_LANES, groups = (vectors + 7) / 8, o = g->outputs;
    for (long group = 0, v = 0, count; group < groups; ++group, v += count) {
        count = vectors * (group + 1) / groups - v;
        for (long r = 0, rows; r < high; r += rows) {
            const long left = high - r, most = WEFT_TOGETHER / count;
            rows = left >= 5 && most >= 5 ? 5 : left >= 3 && most >= 3 ? 3 : left >= 2 && most >= 2 ? 2 : 1;
            const long wide = rows > 1 || count > 4 ? 1 : count > 2 ? 2 : 4, at = v * WEFT_LANES;
            for (long c = 0, some; c < o; c += some) {
                some = c + wide <= o ? wide : 1;
                (some > 1 ? weft_winners_beside[count - 1] : weft_winners_of_rows[rows == 5 ? 3 : rows - 1][count - 1])
                    (windows, n->at + c * windows, d + c * windows, x + r * step + at, pixel, step, n->sums + c * n->lanes + first + r * lanes + at, lanes,
                        n->lanes, fresh);
            }
        }
    }
}
/* w[number][output] += sums[output][lane] */
static __attribute__((noinline, unused)) void weft_add_winners(const weft_windows *g, const weft_winners *n, float *w)
{
    for (long o = 0; o < g->outputs; o += WEFT_LANES) for (long lane = 0; lane < n->lanes; lane += WEFT_LANES) {
        const long outputs = g->outputs - o < WEFT_LANES ? g->outputs - o : WEFT_LANES;
        const weft_mask some = weft_first(outputs);
        weft_vector v[WEFT_LANES], u[WEFT_LANES];
        WEFT_UNROLL for (int t = 0; t < WEFT_LANES; ++t) v[t] = t < outputs ? *(const weft_vector *)(n->sums + (o + t) * n->lanes + lane) : (weft_vector){0};
        WEFT_TURN(v, u)
        for (long t = 0; t < WEFT_LANES; ++t) if (n->number[lane + t] >= 0) {
            float *const to = w + n->number[lane + t] * g->lead + o;
            weft_store(to, weft_load(to, some) + v[t], some);
        }
    }
}
#if WEFT_VECTOR_BYTES == 64
/* Few channels: lanes are outputs. */
static __attribute__((noinline, unused)) void weft_picked_images(long images, const weft_windows *g, const weft_winners *n, const weft_picking *k,
    const float *x, const int *place, const float *d, float *w)
{
    const long row = g->pool_out[2] * g->outputs, numbers = g->kernel[1] * g->kernel[2] * g->channels;
    memset(n->sums, 0, (size_t)(weft_lanes_up(g->outputs) * numbers) * sizeof(float));
    for (long b = 0; b < images; ++b, x += g->xb) for (long top = 0, rows; top < g->pool_out[1]; top += rows, place += rows * row, d += rows * row) {
        rows = g->pool_out[1] - top < n->rows ? g->pool_out[1] - top : n->rows;
        long step;
        const float *const from = weft_winning_rows(g, n, x, top, &step);
        weft_lay_picked(g, k, n->high, n->wide, from, step, n->first);
        weft_pick_rows(g, k, rows, place, d, n->first, n->sums);
    }
    weft_add_picked(g, k, n->sums, w);
}
#endif
WEFT_SHARED void weft_convolve_weight_put(long images, const weft_windows *g, const float *x, const int *place, const float *d, float *w,
    float *scratch, float *planes)
{
    (void)scratch;
    const weft_winners n = weft_winners_of(g, planes);
    const long row = g->pool_out[2] * g->outputs, down = g->dilation[1] * n.wide * 16, plane = n.images * n.pixels * 16;
    const long line = g->kernel[2] * 16;
    const int lower = (int)(n.wide * g->stride[1]), beside = (int)g->stride[2], across = (int)n.across;
#if WEFT_VECTOR_BYTES == 64
    weft_picking picking;
    if (weft_picking_of(g, n.high, &picking)) {
        weft_picked_images(images, g, &n, &picking, x, place, d, w);
        return;
    }
#endif
    memset(n.second, 0, (size_t)(n.sums - n.second) * sizeof(float));                                       /* lanes that idle too: what lies there may be slow */
    weft_number_lanes(g, &n);
    for (long b = 0; b < images; b += n.images, x += n.images * g->xb) for (long top = 0; top < g->pool_out[1]; top += n.rows) {
        const long left = g->pool_out[1] - top, rows = left < n.rows ? left : n.rows, some = images - b < n.images ? images - b : n.images;
        const long count = some * rows * g->pool_out[2];                 /* windows of whole images, or of one */
        const int fresh = b + top == 0;
        for (long i = 0; i < some; ++i)
            weft_lay_windows(g, &n, x + i * g->xb, top, plane, n.first + i * n.pixels * 16, n.second + i * n.windows * n.each);
        weft_turn(count, g->outputs, d, g->outputs, n.d, count);
        if (n.whole) {
            for (long i = 0; i < some; ++i) weft_find_winners(g, rows, (int)(i * n.pixels), lower, beside, place + i * rows * row, n.found + i * rows * row);
            weft_turn(count, g->outputs, n.found, g->outputs, n.at, count);
            for (long t = 0; t < n.main / 16; ++t)
                weft_sum_lanes(g, &n, count, n.d, n.first + t * plane, 16, down, t * g->kernel[1] * line, g->kernel[1], line, fresh);
        }
        if (n.each) {
            for (long i = 0; i < some; ++i) weft_find_winners(g, rows, (int)(i * n.windows), across, 1, place + i * rows * row, n.found + i * rows * row);
            weft_turn(count, g->outputs, n.found, g->outputs, n.at, count);
            weft_sum_lanes(g, &n, count, n.d, n.second, n.each, 0, n.whole, 1, n.each, fresh);
        }
        place += some * rows * row, d += some * rows * row;
    }
    weft_add_winners(g, &n, w);
}
