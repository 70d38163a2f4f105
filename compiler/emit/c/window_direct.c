/* Convolutions on tile units whose patches are read where they lie: 16 groups of windows, equally far apart, are the rows of a tile.  A group
   has `fold` neighbouring windows, whose outputs stand side by side as they do in y: few channels and outputs fill tiles together. */

#if defined(WEFT_TILES)
enum { WEFT_FOLDED = 128, WEFT_FOLDS = 3 };                             /* outputs of a group at most; folds of 1, 2 and 4 windows */

WEFT_INLINE long weft_most(long a, long b) { return a > b ? a : b; }

/* `run` numbers of a padded row are what a group reads of it, in `lines` of 32; `steps` in all.  In halves: `pitch` from group to group, `row`
   from padded row to row, `plane` to the next of the depth, `apart` between planes of bfloat16, `line` rows as they lie.  Where groups do
   not begin with cache lines, or tiles would be half empty, what they read is `spread`, group behind group: then tiles go on from row to row.
   Rows with the same remainder by `step` lie together, `tall` of them: so rows of windows are `row` apart too.  `rows` of windows at once,
   `tiles` for `wide` groups in turn. */
typedef struct { long fold, groups, run, lines, steps, pitch, row, plane, apart, line, step, tall, rows, wide, tiles; int spread; } weft_direct;

/* Is there such a form?  It needs taps side by side, and 16 groups. */
static __attribute__((noinline, unused)) int weft_direct_of(const weft_windows *g, const weft_axis *a, long fold, weft_direct *d)
{
    const long c = g->channels, across = fold * a[2].step * c, high = weft_reach(a + 1, 1), depth = weft_reach(a, 1), s = a[1].step;
    if (a[2].count % fold || (fold > 1 && fold * g->outputs > WEFT_FOLDED) || (a[2].taps > 1 && a[2].gap != 1)) return 0;
    *d = (weft_direct){.fold = fold, .groups = a[2].count / fold, .run = weft_reach(a + 2, fold) * c, .step = s};
    d->lines = (d->run + 31) / 32;
    d->steps = a[0].taps * a[1].taps * d->lines;
    d->spread = across % 32 != 0 || 4 * weft_up(d->groups, 16) > 5 * d->groups;
    d->pitch = d->spread ? 32 * d->lines : across;
    d->line = weft_up(weft_reach(a + 2, a[2].count) * c, 32);
    d->row = d->spread ? d->groups * d->pitch : weft_most(d->line, (weft_most(d->groups, 16) - 1) * d->pitch + 32 * d->lines);
    const long room = g->room / (depth * d->row) / s * s, most = weft_least(room < high ? 0 : (room - high) / s + 1, g->block);
    if (most < 1) return 0;
    const long blocks = (a[1].count + most - 1) / most;
    d->rows = (a[1].count + blocks - 1) / blocks;
    d->tall = (weft_reach(a + 1, d->rows) + s - 1) / s;
    d->plane = s * d->tall * d->row;
    d->apart = depth * d->plane;
    d->wide = d->spread ? d->rows * d->groups : d->groups;
    d->tiles = (d->wide + 15) / 16;
    return d->rows * d->groups >= 16;
}

/* Row r of plane `front` of x as windows read it: its numbers low .. high are at the result, the others are zeros.  What does not lie dense is
   copied. */
static __attribute__((noinline, unused)) const float *weft_padded_row(const weft_windows *g, const weft_axis *a, const float *x, long front, long r,
    float *copy, long *low, long *high)
{
    const long c = g->channels, left = a[2].least, width = weft_reach(a + 2, a[2].count), begin = left < 0 ? -left : 0, end = weft_least(g->in[2] - left, width);
    const int inside = front >= 0 && front < g->in[0] && r >= 0 && r < g->in[1] && end > begin;
    const float *const row = x + front * g->xs[0] + r * g->xs[1];
    *low = inside ? begin * c : 0;
    *high = inside ? end * c : 0;
    if (!inside || (g->xc == 1 && g->xs[2] == c)) return row + (left + begin) * c;
    weft_plane(g, row, 1, 0, 1, left + begin, end - begin, copy);       /* one row, as if it were the first */
    return copy;
}

/* A padded row in planes, `row` halves: numbers low .. high are those at x, the others zeros. */
WEFT_INLINE void weft_split_padded(const float *x, long low, long high, uint16_t *to, long row, long apart, __m512 *sum)
{
    x -= low;
    for (long t = 0; t < row; t += 32)
        if (t >= low && t + 32 <= high) weft_split(_mm512_loadu_ps(x + t), _mm512_loadu_ps(x + t + 16), 1, to + t, apart, sum);
        else weft_split(_mm512_maskz_loadu_ps(weft_lanes_of(high - t) & ~weft_lanes_of(low - t), x + t),
            _mm512_maskz_loadu_ps(weft_lanes_of(high - t - 16) & ~weft_lanes_of(low - t - 16), x + t + 16), 1, to + t, apart, sum);
}

/* What groups read of a row, one group behind the other. */
WEFT_INLINE void weft_spread_row(const weft_direct *d, long next, const uint16_t *from, uint16_t *to)
{
    const long left = d->run - 32 * (d->lines - 1);
    const __mmask32 some = left < 32 ? (1u << left) - 1 : 0xffffffffu;
    for (long i = 0; i < d->groups; ++i, from += next) for (long u = 0; u < d->lines; ++u, to += 32)
        _mm512_store_si512(to, _mm512_maskz_loadu_epi16(u + 1 < d->lines ? 0xffffffffu : some, from + 32 * u));
}

/* The planes that rows top .. of windows read; 0 if something there is not finite.  `lines`: room for rows as they lie. */
static __attribute__((noinline, unused)) int weft_direct_planes(const weft_windows *g, const weft_axis *a, const weft_direct *d, const float *x, long q0,
    long top, float *copy, uint16_t *lines, uint16_t *to)
{
    const long height = weft_reach(a + 1, d->rows), depth = weft_reach(a, 1), tall = d->spread ? d->line : d->row;
    const long apart = d->spread ? depth * height * tall : d->apart;
    __m512 sum = _mm512_setzero_ps();
    for (long z = 0; z < depth; ++z) for (long i = 0; i < height; ++i) {
        long low, high;
        const float *const row = weft_padded_row(g, a, x, q0 * a[0].step + a[0].least + z, top * a[1].step + a[1].least + i, copy, &low, &high);
        uint16_t *const place = d->spread ? lines + (z * height + i) * tall : to + z * d->plane + (i % d->step * d->tall + i / d->step) * d->row;
        weft_split_padded(row, low, high, place, tall, apart, &sum);
    }
    if (d->spread) for (long plane = 0; plane < 3; ++plane) for (long z = 0; z < depth; ++z) for (long i = 0; i < height; ++i)
        weft_spread_row(d, d->fold * a[2].step * g->channels, lines + plane * apart + (z * height + i) * tall,
            to + plane * d->apart + z * d->plane + (i % d->step * d->tall + i / d->step) * d->row);
    return weft_finite(sum);
}

/* The weight as planes of B: a step of a row is 32 numbers of what a group reads, each window sees those of its own; are all of them finite? */
static __attribute__((noinline, unused)) int weft_split_folded(const weft_windows *g, long fold, const float *w, uint16_t *to)
{
    const long o = g->outputs, rows = g->kernel[0] * g->kernel[1], each = g->kernel[2] * g->channels, next = g->stride[2] * g->channels;
    const long deep = weft_up((fold - 1) * next + each, 32);
    __m512 sum = _mm512_setzero_ps();
    for (long j = 0; j < fold * o; j += 16) {
        const float *from[16];
        __mmask16 some[16];
        long first[16], parts = 0;
        for (long n = j; n < weft_least(fold * o, j + 16); ++parts) {
            const long run = weft_least(o - n % o, weft_least(fold * o, j + 16) - n);
            first[parts] = n / o * next;
            from[parts] = w + n % o - (n - j);
            some[parts] = (__mmask16)(weft_lanes_of(run) << (n - j));
            n += run;
        }
        for (long r = 0; r < rows; ++r) for (long k = 0; k < deep; k += 2, to += 32) {
            __m512 v[2];
            for (long u = 0; u < 2; ++u) {
                v[u] = _mm512_setzero_ps();
                for (long t = 0; t < parts; ++t) {
                    const long at = k + u - first[t];
                    if (at >= 0 && at < each) v[u] = _mm512_mask_loadu_ps(v[u], some[t], from[t] + (r * each + at) * g->lead);
                }
            }
            weft_split_pair(v[0], v[1], to, &sum);
            if (k % 32 == 30) to += WEFT_PIECE - 512;
        }
    }
    return weft_finite(sum);
}

/* Two times 16 groups by 32 outputs, or by 16 whose small terms have tiles of their own: so four products are under way in either case. */
#define WEFT_DIRECT_A(plane) _tile_loadd(4, upper + p + (plane) * d->apart, stride); _tile_loadd(5, lower + p + (plane) * d->apart, stride);
#define WEFT_DIRECT_B(plane) _tile_loadd(6, b + (plane) * 512, 64); if (columns > 1) _tile_loadd(7, b + beside + (plane) * 512, 64);
#define WEFT_DIRECT_DOT(small) \
    if (columns > 1) { _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7); _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7); } \
    else if (small) { _tile_dpbf16ps(1, 4, 6); _tile_dpbf16ps(3, 5, 6); } \
    else { _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(2, 5, 6); }
WEFT_INLINE void weft_direct_tiles(const int columns, const weft_direct *d, const long *at, const uint16_t *upper, const uint16_t *lower,
    const uint16_t *b, float *c, float *e, long cr, long m, long n)
{
    const long stride = 2 * d->pitch, beside = d->steps * WEFT_PIECE, rows = d->steps / d->lines;
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (long r = 0; r < rows; ++r) for (long p = at[r]; p < at[r] + 32 * d->lines; p += 32, b += WEFT_PIECE) {
        WEFT_DIRECT_A(0) WEFT_DIRECT_B(2) WEFT_DIRECT_DOT(1)
        WEFT_DIRECT_B(1) WEFT_DIRECT_DOT(0)
        WEFT_DIRECT_A(1) WEFT_DIRECT_DOT(1)
        WEFT_DIRECT_B(0) WEFT_DIRECT_DOT(0)
        WEFT_DIRECT_A(2) WEFT_DIRECT_DOT(1)
        WEFT_DIRECT_A(0) WEFT_DIRECT_DOT(0)
    }
    if (columns > 1 && m >= 16 && n >= 32) {
        _tile_stored(0, c, 4 * cr); _tile_stored(1, c + 16, 4 * cr);
        _tile_stored(2, e, 4 * cr); _tile_stored(3, e + 16, 4 * cr);
        return;
    }
    float edge[4 * 256] __attribute__((aligned(64)));
    _tile_stored(0, edge, 128); _tile_stored(1, edge + 16, 128);
    _tile_stored(2, edge + 512, 128); _tile_stored(3, edge + 528, 128);
    __asm__ volatile("" ::: "memory");
    const __mmask16 some = weft_lanes_of(n), more = weft_lanes_of(n - 16);
    for (long i = 0; i < 32; ++i) if (i % 16 < m) {
        float *const to = (i < 16 ? c : e) + i % 16 * cr;
        const __m512 x = _mm512_load_ps(edge + 32 * i), y = _mm512_load_ps(edge + 32 * i + 16);
        _mm512_mask_storeu_ps(to, some, columns > 1 ? x : _mm512_add_ps(y, x));
        if (columns > 1) _mm512_mask_storeu_ps(to + 16, more, y);
    }
}
static __attribute__((noinline, unused)) void weft_direct_wide(const weft_direct *d, const long *at, const uint16_t *upper, const uint16_t *lower,
    const uint16_t *b, float *c, float *e, long cr, long m, long n) { weft_direct_tiles(2, d, at, upper, lower, b, c, e, cr, m, n); }
static __attribute__((noinline, unused)) void weft_direct_slim(const weft_direct *d, const long *at, const uint16_t *upper, const uint16_t *lower,
    const uint16_t *b, float *c, float *e, long cr, long m, long n) { weft_direct_tiles(1, d, at, upper, lower, b, c, e, cr, m, n); }

/* y of d->rows rows of windows from their planes; the last tiles are made twice where they have no neighbours. */
static __attribute__((noinline, unused)) void weft_direct_block(const weft_windows *g, const weft_direct *d, const long *at, const uint16_t *from,
    const uint16_t *kept, float *y)
{
    const long count = d->spread ? d->tiles : d->rows * d->tiles, last = weft_most(d->wide - 16, 0), n = d->fold * g->outputs;
    for (long o = 0; o < n; o += 32) for (long p = 0; p < count; p += 2) {
        const long q = weft_least(p + 1, count - 1), i = weft_least(p % d->tiles * 16, last), j = weft_least(q % d->tiles * 16, last);
        const uint16_t *const upper = from + p / d->tiles * d->row + i * d->pitch, *const lower = from + q / d->tiles * d->row + j * d->pitch;
        float *const c = y + (p / d->tiles * d->wide + i) * n + o, *const e = y + (q / d->tiles * d->wide + j) * n + o;
        (n - o > 16 ? weft_direct_wide : weft_direct_slim)(d, at, upper, lower, kept + o / 16 * d->steps * WEFT_PIECE, c, e, n, d->wide, n - o);
    }
}

/* All windows of a plain walk; those that see what is not finite go the ordinary way. */
static __attribute__((noinline, unused)) void weft_direct_images(long images, const weft_windows *g, const weft_axis *a, long fold, const float *x,
    const float *w, const uint16_t *kept, float *y, float *planes)
{
    weft_direct d;
    if (!weft_direct_of(g, a, fold, &d)) return;
    const long image = weft_volume(g->out) * g->outputs, rows = a[0].taps * a[1].taps;
    long *const at = (long *)(planes + g->after);
    uint16_t *const lines = (uint16_t *)(planes + g->after + weft_up(2 * rows, 16));
    uint16_t *const made = lines + (d.spread ? weft_up(3 * weft_reach(a, 1) * weft_reach(a + 1, d.rows) * d.line, 32) : 0);
    for (long r = 0; r < rows; ++r) {
        const long i = r % a[1].taps * a[1].gap;
        at[r] = r / a[1].taps * a[0].gap * d.plane + (i % d.step * d.tall + i / d.step) * d.row;
    }
    for (long b = 0; b < images; ++b, x += g->xb, y += image)
        for (long q0 = 0; q0 < a[0].count; ++q0) for (long begin = 0; begin < a[1].count; begin += d.rows) {
            const long top = weft_least(begin, a[1].count - d.rows);
            if (weft_direct_planes(g, a, &d, x, q0, top, planes, lines, made))
                weft_direct_block(g, &d, at, made, kept, y + (q0 * a[1].count + top) * a[2].count * g->outputs);
            else weft_plain_rows(g, a, x, w, q0, top, d.rows, y, planes);
        }
}
#endif
