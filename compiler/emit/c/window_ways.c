/* The ways of a convolution on tile units: patches that are gathered or read where they lie, pixels whose terms are scattered, sums
   over pixels; and which way is the quickest. */

#if defined(WEFT_TILES)
/* ---- gathered: every window is a row of A, whose planes are gathered from planes of the padded rows ---- */
typedef struct { uint16_t *at; long plane, row, apart; } weft_planes;

/* Memory for the planes of a block of rows, and the parts of a window beside it. */
typedef struct { weft_part_of_window *part; int *first; uint16_t *planes; } weft_tile_room;
WEFT_INLINE weft_tile_room weft_room(const weft_windows *g, float *planes)
{
    const long vectors = (weft_taps(g) * g->channels + 31) / 32;
    float *const at = planes + g->after, *const next = at + weft_up(4 * (vectors + weft_taps(g)), 16);
    return (weft_tile_room){(weft_part_of_window *)at, (int *)next, (uint16_t *)(next + weft_up(vectors + 1, 16))};
}

/* The planes of what a block of windows reads; 0 if something there is not finite. */
static __attribute__((noinline, unused)) int weft_split_view(const weft_windows *g, const weft_axis *a, long rows, weft_view view, uint16_t *to, weft_planes *made)
{
    const long depth = weft_reach(a, 1), height = weft_reach(a + 1, rows), run = weft_reach(a + 2, a[2].count) * g->channels;
    const long row = weft_up(run, 32);
    *made = (weft_planes){to, height * row, row, depth * height * row};
    __m512 sum = _mm512_setzero_ps();
    for (long z = 0; z < depth; ++z) weft_split_rows(height, run, view.at + z * view.plane, view.row, to + z * made->plane, row, made->apart, &sum);
    return weft_finite(sum);
}

/* Where 16 windows at a time begin; missing ones repeat the last. */
WEFT_INLINE void weft_origins(long windows, long p, long count, long width, long down, long right, long *origin)
{
    for (long i = 0; i < count; ++i) {
        const long q = p + i < windows ? p + i : windows - 1;
        origin[i] = q / width * down + q % width * right;
    }
}

/* y of a block of windows, `rows` of them high: while some are multiplied, the next are gathered. */
static __attribute__((noinline, unused)) void weft_gathered_block(const weft_windows *g, const weft_axis *a, long rows, weft_planes from, weft_tile_room room,
    const uint16_t *kept, float *y, uint16_t *pieces)
{
    const long steps = weft_window_parts(g, a, from.plane, from.row, room.part, room.first);
    const long high = g->outputs > 16 ? 2 : 4, cuts = (steps * high + WEFT_PIECES - 1) / WEFT_PIECES, deep = (steps + cuts - 1) / cuts;
    const long windows = rows * a[2].count, down = a[1].step * from.row, right = a[2].step * g->channels;
    const long blocks = (windows + 16 * high - 1) / (16 * high);
    long origin[64];
    weft_gathering job = {.from = from.at, .apart = from.apart, .origin = origin, .part = room.part};
    for (long now = -1; now < blocks * cuts; ++now) {                   /* a cut of a block: the first only gathers */
        const long p = now / cuts * 16 * high, k = now % cuts * deep, next = now + 1, d = job.vectors, some = weft_least(windows - p, 16 * high);
        const uint16_t *const left = pieces + (now & 1) * WEFT_PIECES * WEFT_PIECE;
        if (next < blocks * cuts) {
            const long q = next / cuts * 16 * high, step = next % cuts * deep, tiles = (weft_least(windows - q, 16 * high) + 15) / 16;
            if (step == 0) weft_origins(windows, q, 16 * tiles, a[2].count, down, right, origin);
            weft_gather_later(&job, room.first + step, weft_least(steps - step, deep), tiles, pieces + (next & 1) * WEFT_PIECES * WEFT_PIECE);
        }
        if (now < 0) weft_gather_rest(&job);
        else weft_multiply(some, g->outputs, d, left, d * WEFT_PIECE, kept + k * WEFT_PIECE, steps * WEFT_PIECE, y + p * g->outputs, g->outputs, k > 0, &job);
    }
}

/* ---- scattered: the adjoint in x, as products of whole pixels with the taps of all their windows, which are then added where they belong ---- */
enum { WEFT_TERMS_AT_ONCE = 1 << 16 };                                  /* floats of products that wait to be added */
WEFT_INLINE long weft_terms(const weft_windows *g) { return weft_up(weft_taps(g) * g->outputs, 16); }

/* The weight [tap][channel][output] as the planes of B, whose columns are taps and outputs; are all of them finite? */
static __attribute__((noinline, unused)) int weft_split_taps(const weft_windows *g, const float *w, uint16_t *to)
{
    const long columns = weft_taps(g) * g->outputs, steps = (g->channels + 31) / 32;
    __m512 sum = _mm512_setzero_ps();
    for (long j = 0; j < columns; j += 16) {
        const float *from[16];
        __mmask16 some[16];
        long parts = 0;
        for (long n = j; n < weft_least(columns, j + 16); ) {
            const long o = n % g->outputs, run = weft_least(g->outputs - o, weft_least(columns, j + 16) - n);
            from[parts] = w + n / g->outputs * g->tap + o - (n - j);
            some[parts++] = (__mmask16)(weft_lanes_of(run) << (n - j));
            n += run;
        }
        for (long k = 0; k < 32 * steps; k += 2, to += 32) {
            __m512 v[2];
            for (long u = 0; u < 2; ++u) {
                v[u] = _mm512_setzero_ps();
                if (k + u < g->channels) for (long t = 0; t < parts; ++t) v[u] = _mm512_mask_loadu_ps(v[u], some[t], from[t] + (k + u) * g->lead);
            }
            weft_split_pair(v[0], v[1], to, &sum);
            if (k % 32 == 30) to += WEFT_PIECE - 512;
        }
    }
    return weft_finite(sum);
}

/* A row of a class of places, y, gets what `lines` rows of pixels add to it: terms [pixel][tap][output], `down` from a row to the next. */
static __attribute__((noinline, unused)) void weft_add_terms(const weft_windows *g, const weft_axis *a, long lines, const float *terms, long down, float *y)
{
    const long c = g->outputs, pitch = weft_terms(g), next = a->gap * pitch + a->skip * c;
    for (long q = 0; q < a->count; ++q) {
        long low = 0, high = a->taps;
        while (low < high && q + a->least + low * a->gap < 0) ++low;
        while (high > low && q + a->least + (high - 1) * a->gap >= g->in[2]) --high;
        const float *const from = terms + (q + a->least + low * a->gap) * pitch + (a->index + low * a->skip) * c;
        float *const to = y + (a->first + q * a->stride) * c;
        for (long o = 0; o < c; o += 32) {
            const __mmask16 some = weft_lanes_of(c - o), more = weft_lanes_of(c - o - 16);
            __m512 sum = _mm512_maskz_loadu_ps(some, to + o), other = _mm512_maskz_loadu_ps(more, to + o + 16);
            for (long line = 0; line < lines; ++line) for (long t = 0; t < high - low; ++t) {
                const float *const p = from + line * down + t * next + o;
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(some, p));
                other = _mm512_add_ps(other, _mm512_maskz_loadu_ps(more, p + 16));
            }
            _mm512_mask_storeu_ps(to + o, some, sum);
            _mm512_mask_storeu_ps(to + o + 16, more, other);
        }
    }
}

/* The products of `count` pixels with all taps. */
static __attribute__((noinline, unused)) void weft_make_terms(const weft_windows *g, long count, const float *x, const float *w, const uint16_t *kept,
    float *terms, float *scratch)
{
    const long pitch = weft_terms(g), steps = (g->channels + 31) / 32, deep = WEFT_PIECES;
    for (long p = 0; p < count; p += 32) {
        const long some = weft_least(count - p, 32);
        for (long k = 0; k < steps; k += deep) {
            const long d = weft_least(steps - k, deep), channels = weft_least(g->channels - 32 * k, 32 * d);
            float *const to = terms + p * pitch;
            if (weft_split_a(some, channels, x + p * g->channels + 32 * k, g->channels, 1, (uint16_t *)scratch))
                weft_tiled(some, pitch, d, (uint16_t *)scratch, d * WEFT_PIECE, kept + k * WEFT_PIECE, steps * WEFT_PIECE, to, pitch, k > 0);
            else for (long t = 0; t < weft_taps(g); ++t)
                weft_gemm_plain(some, g->outputs, channels, x + p * g->channels + 32 * k, g->channels, 1, w + t * g->tap + 32 * k * g->lead, g->lead, 1,
                    to + t * g->outputs, pitch, k > 0, scratch);
        }
    }
}

static __attribute__((noinline, unused)) void weft_scatter_images(long images, const weft_windows *g, const float *x, const float *w, const uint16_t *kept,
    float *y, float *scratch, float *planes)
{
    float *const terms = planes + g->after;
    const long image = weft_volume(g->out) * g->outputs, wide = g->in[2] * weft_terms(g), block = WEFT_TERMS_AT_ONCE / wide;
    weft_axis a[3];
    for (long b = 0; b < images; ++b, x += g->xb, y += image) {
        memset(y, 0, (size_t)image * sizeof(float));
        for (long z = 0; z < g->in[0]; ++z) for (long top = 0; top < g->in[1]; top += block) {
            const long rows = weft_least(g->in[1] - top, block);
            weft_make_terms(g, rows * g->in[2], x + z * g->xs[0] + top * g->xs[1], w, kept, terms, scratch);
            for (long i = 0; i < g->stride[0]; ++i) for (long j = 0; j < g->stride[1]; ++j) for (long k = 0; k < g->stride[2]; ++k) {
                weft_adjoint_axis(a, g, 0, i);
                weft_adjoint_axis(a + 1, g, 1, j);
                weft_adjoint_axis(a + 2, g, 2, k);
                for (long q0 = 0; q0 < a[0].count; ++q0) for (long t0 = 0; t0 < a[0].taps; ++t0) {
                    if (q0 + a[0].least + t0 * a[0].gap != z) continue;
                    for (long q1 = 0; q1 < a[1].count; ++q1) {
                        long t1 = 0, end = a[1].taps;
                        while (t1 < end && q1 + a[1].least + t1 * a[1].gap < top) ++t1;
                        while (end > t1 && q1 + a[1].least + (end - 1) * a[1].gap >= top + rows) --end;
                        if (t1 == end) continue;
                        const long r = q1 + a[1].least + t1 * a[1].gap - top, lines = end - t1;
                        const long tap = ((a[0].index + t0 * a[0].skip) * g->kernel[1] + a[1].index + t1 * a[1].skip) * g->kernel[2];
                        const long row = (a[0].first + q0 * a[0].stride) * g->out[1] + a[1].first + q1 * a[1].stride;
                        weft_add_terms(g, a + 2, lines, terms + r * wide + tap * g->outputs, a[1].gap * wide + a[1].skip * g->kernel[2] * g->outputs,
                            y + row * g->out[2] * g->outputs);
                    }
                }
            }
        }
    }
}
#endif

/* ---- which way?  Cycles of an image on tile units, with what gathers and splits, against those of multiply-adds, as measured ---- */
enum { WEFT_BY_ROWS, WEFT_GATHERED, WEFT_SCATTERED, WEFT_WINOGRAD, WEFT_DIRECT };  /* WEFT_DIRECT times the fold */
#if defined(WEFT_TILES)
#define WEFT_SIX_PRODUCTS 86.0                                          /* of a tile */
enum { WEFT_CACHED = 1 << 20 };                                         /* bytes of a weight */
/* A piece: short runs of numbers are put together from many parts. */
WEFT_INLINE double weft_gathering_cycles(const weft_windows *g)
{
    const double parts = 1 + 32.0 / ((g->dilation[2] == 1 ? g->kernel[2] : 1) * g->channels);
    return parts < 3.5 ? 175.0 : 120.0 * parts;
}
WEFT_INLINE double weft_gathered_cycles(const weft_windows *g, long windows)
{
    const double each = (g->outputs + 15) / 16 * WEFT_SIX_PRODUCTS + weft_gathering_cycles(g);
    const long steps = (weft_taps(g) * g->channels + 31) / 32, weight = steps * ((g->outputs + 15) / 16) * 2 * WEFT_PIECE;
    const double fetched = weight > WEFT_CACHED ? 0.07 * weight : 0;     /* for each 32 windows: it does not stay in the second-level cache */
    return windows / 16.0 * steps * each + windows / 32.0 * fetched + weft_volume(g->in) * g->channels * 0.55;
}
WEFT_INLINE double weft_rows_cycles(const weft_windows *g, long windows) { return (double)windows * weft_taps(g) * g->channels * weft_up(g->outputs, 16) / 34; }
WEFT_INLINE int weft_may_use_tiles(const weft_windows *g) { return weft_tiles_allowed && g->groups == 1 && g->tap == g->channels * g->lead; }
#endif
#if defined(WEFT_TILES)
static __attribute__((noinline, unused)) double weft_direct_cycles(const weft_windows *g, const weft_axis *a, long fold)
{
    weft_direct d;
    if (!weft_direct_of(g, a, fold, &d)) return INFINITY;
    const long tiles = (fold * g->outputs + 15) / 16, heights = (a[1].count + d.rows - 1) / d.rows * a[0].count;
    const long blocks = ((d.spread ? d.tiles : d.rows * d.tiles) + 1) / 2 * heights;
    const double spread = d.spread ? 9.5 * d.groups * d.lines : 0, split = 0.35 * d.line;
    return blocks * (double)d.steps * (tiles / 2 * 4 + tiles % 2 * 2.6) * WEFT_SIX_PRODUCTS + heights * weft_reach(a, 1) * weft_reach(a + 1, d.rows) * (split + spread);
}
/* The quickest of what walks windows as they lie. */
static __attribute__((noinline, unused)) int weft_walking_way(const weft_windows *g, const weft_axis *a, double *cycles)
{
    const double gathered = weft_gathered_cycles(g, weft_volume(g->out));
    int way = gathered < *cycles ? WEFT_GATHERED : WEFT_BY_ROWS;
    *cycles = way ? gathered : *cycles;
    for (int i = 0; i < WEFT_FOLDS; ++i) {
        const double direct = weft_direct_cycles(g, a, 1 << i);
        if (direct < *cycles) way = WEFT_DIRECT << i, *cycles = direct;
    }
    return way;
}
#endif
static __attribute__((unused)) int weft_convolve_way(const weft_windows *g)
{
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
#if defined(WEFT_TILES)
    double cycles = weft_rows_cycles(g, weft_volume(g->out));
    if (weft_may_use_tiles(g)) return weft_walking_way(g, a, &cycles);
#endif
    return weft_winograd_pays(1, g, a, 0) ? WEFT_WINOGRAD : WEFT_BY_ROWS;
}
static __attribute__((unused)) int weft_input_way(const weft_windows *g)
{
    const int plain = g->stride[0] * g->stride[1] * g->stride[2] == 1;
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_adjoint_axis(a + k, g, k, 0);
#if defined(WEFT_TILES)
    const long places = weft_volume(g->out), pixels = weft_volume(g->in), terms = weft_terms(g) / 16;
    const int dense = g->xc == 1 && g->xs[2] == g->channels && g->xs[1] == g->in[2] * g->xs[2];
    double cycles = plain ? weft_rows_cycles(g, places) : 1.2 * weft_rows_cycles(g, pixels);
    const double scattered = pixels / 16.0 * terms * ((g->channels + 31) / 32 * WEFT_SIX_PRODUCTS * 1.5 + 60) + pixels * g->channels * 0.4;
    if (weft_may_use_tiles(g)) {
        const int way = plain ? weft_walking_way(g, a, &cycles) : WEFT_BY_ROWS;
        return dense && g->in[2] * weft_terms(g) <= WEFT_TERMS_AT_ONCE && scattered < cycles ? WEFT_SCATTERED : way;
    }
#endif
    return plain && weft_winograd_pays(1, g, a, 0) ? WEFT_WINOGRAD : WEFT_BY_ROWS;
}
/* How many numbers of an image are few?  On tile units two of five; else as many as take less time than all of them another way.  In multiply-adds of
   vectors, which load a number each here. */
static __attribute__((unused)) long weft_sparse_most(const weft_windows *g, int way)
{
    const weft_sparse s = weft_sparse_of(g);
    const long made = (g->outputs + WEFT_LANES - 1) / WEFT_LANES, read = (g->channels + WEFT_LANES - 1) / WEFT_LANES, pairs = g->channels * made;
    const long rows = g->out[1] * g->out[2] * (s.rows * g->kernel[2]) * pairs / (g->stride[1] * g->stride[2]);
    const long squares = ((g->out[1] + 1) / 2) * ((g->out[2] + 1) / 2) * (17 * pairs + 55 * (read + made));        /* as in weft_winograd_pays */
    if (way != WEFT_BY_ROWS && way != WEFT_WINOGRAD) return 2 * g->in[1] * g->in[2] * g->channels / 5;
    return 2 * (way == WEFT_WINOGRAD ? squares : rows) / (3 * s.rows * ((s.run + WEFT_LANES - 1) / WEFT_LANES));
}
static __attribute__((unused)) int weft_weight_way(long images, const weft_windows *g)
{
    weft_axis a[3];
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    if (weft_winograd_pays(images, g, a, WEFT_ONCE_FOR_SUMS)) return WEFT_WINOGRAD;
#if defined(WEFT_TILES)
    weft_pairing n;
    if (!weft_may_use_tiles(g) || !weft_pairing_of(g, a, &n)) return WEFT_BY_ROWS;
    const long heights = (a[1].count + n.rows - 1) / n.rows * a[0].count, steps = heights * ((n.rows * n.pairs + 15) / 16), high = (g->outputs + 15) / 16;
    const double sums = steps * (high == 1 ? 1.4 : 1.15) * WEFT_SIX_PRODUCTS * high * a[0].taps * a[1].taps * n.vectors;
    const double split = heights * weft_reach(a, 1) * weft_reach(a + 1, n.rows) * (n.row / 32) * 15.0;
    const double tiles = sums + split + weft_volume(g->out) * g->outputs * 0.5 + weft_volume(g->in) * g->channels * 0.35;
    if (tiles < weft_rows_cycles(g, weft_volume(g->out)) * (high == 1 ? 1.3 : 1)) return WEFT_DIRECT;
#endif
    return WEFT_BY_ROWS;
}

/* ---- weights in planes, kept for `images` images: where they are, or NULL if rows of windows are quicker ---- */
enum { WEFT_WORTH_SUMS = 64, WEFT_WORTH_KEEPING = 256 };                /* pixels that are worth sums of a weight, and splitting it */
static __attribute__((noinline, unused)) int weft_rearrange(long pixels, const weft_windows *g, int way, const float *w, float *kept)
{
    if (way == WEFT_WINOGRAD && pixels >= WEFT_WORTH_SUMS) {
        weft_winograd_weight(g, w, kept);
        return 1;
    }
#if defined(WEFT_TILES)
    uint16_t *const planes = (uint16_t *)kept;
    if (pixels < WEFT_WORTH_KEEPING) return 0;
    if (way == WEFT_SCATTERED) return weft_split_taps(g, w, planes);
    if (way >= WEFT_DIRECT) return weft_split_folded(g, way / WEFT_DIRECT, w, planes);
    return way == WEFT_GATHERED && weft_split_b(g->outputs, weft_taps(g) * g->channels, w, g->lead, 1, planes);
#endif
    return 0;
}
WEFT_SHARED const float *weft_keep_convolve(long images, const weft_windows *g, const float *w, float *kept)
{
    return weft_rearrange(images * weft_volume(g->out), g, weft_convolve_way(g), w, kept) ? kept : 0;
}
/* Rows of taps first, where few numbers may come; what another way than rows of windows needs behind them. */
WEFT_SHARED const float *weft_keep_convolve_input(long images, const weft_windows *g, const float *w, float *kept)
{
    const long sparse = g->listed, pixels = images * weft_volume(g->in);
    const int way = weft_input_way(g);
    const int rows = sparse && way == WEFT_BY_ROWS && pixels >= WEFT_WORTH_KEEPING;
    if (!rows && !weft_rearrange(pixels, g, way, w, kept + sparse)) return 0;
    return !sparse || weft_keep_sparse(g, w, kept) ? kept : 0;
}
