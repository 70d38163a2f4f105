/* Convolutions on tile units (AMX): products of patches whose planes of bfloat16 (tiles.h) are gathered from planes of the padded rows.
   A number is split once, however many windows read it; the weight is split once for all images of a thread. */

#if defined(WEFT_TILES)
enum { WEFT_PIECES = 64, WEFT_PIXELS = 512, WEFT_PAIRS = 1 << 16 };     /* pieces of a tile and a step; pixels, and pairs of them, at once */

WEFT_INLINE long weft_up(long count, long by) { return (count + by - 1) / by * by; }
WEFT_INLINE long weft_taps(const weft_windows *g) { return g->kernel[0] * g->kernel[1] * g->kernel[2]; }
WEFT_INLINE long weft_volume(const long *extents) { return extents[0] * extents[1] * extents[2]; }

/* Halves `some` of a vector that begins at `at`: where a part of a window lies among the padded rows. */
typedef struct { long at; uint32_t some, unused; } weft_part_of_window;

/* The numbers of a window, `halves` halves each, a vector of 32 after the other: vector v consists of parts first[v] .. first[v + 1].
   `plane`, `row`: halves from one to the next. */
static __attribute__((noinline, unused)) long weft_window_parts(const weft_windows *g, const weft_axis *a, long plane, long row, long halves,
    weft_part_of_window *parts, int *first)
{
    const long c = g->channels * halves;
    long at = 0, count = 0;
    for (long i = 0; i < a[0].taps; ++i) for (long j = 0; j < a[1].taps; ++j) for (long k = 0; k < a[2].taps; ++k) {
        const long base = i * a[0].gap * plane + j * a[1].gap * row + k * a[2].gap * c;
        for (long t = 0; t < c; ) {
            const long lane = at % 32, some = weft_least(c - t, 32 - lane), from = base + t - lane;
            const uint32_t mask = (uint32_t)(((1ull << some) - 1) << lane);
            if (lane == 0) first[at / 32] = (int)count;
            if (lane > 0 && parts[count - 1].at == from) parts[count - 1].some |= mask;
            else parts[count++] = (weft_part_of_window){from, mask, 0};
            t += some;
            at += some;
        }
    }
    const long vectors = (at + 31) / 32;
    first[vectors] = (int)count;
    return vectors;
}

/* The rows of a view, `run` floats each, in planes whose rows are `pitch` halves long; `lines` of them, `step` apart. */
WEFT_INLINE void weft_split_rows(long lines, long run, const float *x, long step, uint16_t *to, long pitch, long apart, __m512 *sum)
{
    for (long i = 0; i < lines; ++i, x += step, to += pitch) {
        long t = 0;
        for (; t + 32 <= run; t += 32) weft_split(_mm512_loadu_ps(x + t), _mm512_loadu_ps(x + t + 16), 1, to + t, apart, sum);
        if (t < pitch) weft_split(_mm512_maskz_loadu_ps(weft_lanes_of(run - t), x + t), _mm512_maskz_loadu_ps(weft_lanes_of(run - t - 16), x + t + 16),
            1, to + t, apart, sum);
    }
}
/* The same, each number beside the one that lies `next` further on: what two neighbouring windows read. */
WEFT_INLINE void weft_split_neighbours(long lines, long run, long next, const float *x, long step, uint16_t *to, long pitch, long apart, __m512 *sum)
{
    for (long i = 0; i < lines; ++i, x += step, to += pitch) {
        long t = 0;
        for (; t + 16 + next <= run; t += 16) weft_split(_mm512_loadu_ps(x + t), _mm512_loadu_ps(x + t + next), 0, to + 2 * t, apart, sum);
        for (; 2 * t < pitch; t += 16) weft_split(_mm512_maskz_loadu_ps(weft_lanes_of(run - t), x + t),
            _mm512_maskz_loadu_ps(weft_lanes_of(run - t - next), x + t + next), 0, to + 2 * t, apart, sum);
    }
}

/* One piece of A or B: a vector in three planes for each of 16 windows, or pairs of them; window i begins at from + origin[i]. */
#define WEFT_GATHER(i, PARTS) { \
    const uint16_t *const p = from + origin[i]; \
    __m512i v[3]; \
    WEFT_UNROLL for (int plane = 0; plane < 3; ++plane) v[plane] = _mm512_maskz_loadu_epi16(part[0].some, p + part[0].at + plane * apart); \
    for (int t = 1; t < (PARTS); ++t) WEFT_UNROLL for (int plane = 0; plane < 3; ++plane) \
        v[plane] = _mm512_mask_loadu_epi16(v[plane], part[t].some, p + part[t].at + plane * apart); \
    WEFT_UNROLL for (int plane = 0; plane < 3; ++plane) _mm512_store_si512(to + plane * 512 + (i) * 32, v[plane]); \
}
static __attribute__((noinline, unused)) void weft_gather(long count, const long *origin, long parts, const weft_part_of_window *part, const uint16_t *from,
    long apart, uint16_t *to)
{
    if (count >= 16 && parts == 1 && part->some == 0xffffffffu) {
        WEFT_UNROLL for (int i = 0; i < 16; ++i) WEFT_UNROLL for (int plane = 0; plane < 3; ++plane)
            _mm512_store_si512(to + plane * 512 + i * 32, _mm512_loadu_si512(from + origin[i] + part->at + plane * apart));
        return;
    }
    if (count >= 16 && parts == 2) {
        WEFT_UNROLL for (int i = 0; i < 16; ++i) {
            const uint16_t *const p = from + origin[i] + part[0].at, *const q = from + origin[i] + part[1].at;
            WEFT_UNROLL for (int plane = 0; plane < 3; ++plane)
                _mm512_store_si512(to + plane * 512 + i * 32, _mm512_mask_loadu_epi16(_mm512_maskz_loadu_epi16(part[0].some, p + plane * apart), part[1].some, q + plane * apart));
        }
        return;
    }
    for (long i = 0; i < weft_least(count, 16); ++i) WEFT_GATHER(i, parts)
    for (long i = count; i < 16; ++i) WEFT_UNROLL for (int plane = 0; plane < 3; ++plane)
        _mm512_store_si512(to + plane * 512 + i * 32, _mm512_setzero_si512());
}

/* Four tiles of C below each other, one column of them: the planes of B stay, those of A pass by. */
#define WEFT_EACH_ROW(A, B) \
    _tile_loadd(7, a + (A) * 512, 64); _tile_dpbf16ps(0, 7, B); \
    if (rows > 1) { _tile_loadd(7, a + below + (A) * 512, 64); _tile_dpbf16ps(1, 7, B); } \
    if (rows > 2) { _tile_loadd(7, a + 2 * below + (A) * 512, 64); _tile_dpbf16ps(2, 7, B); } \
    if (rows > 3) { _tile_loadd(7, a + 3 * below + (A) * 512, 64); _tile_dpbf16ps(3, 7, B); }
#define WEFT_COLUMN_TILES(rows) \
static __attribute__((noinline, unused)) void weft_column_of_##rows(long steps, const uint16_t *a, long below, const uint16_t *b, \
    float *c, long cr, long m, long n, int accumulate) \
{ weft_column_of(rows, steps, a, below, b, c, cr, m, n, accumulate); }
WEFT_INLINE void weft_column_of(const int rows, long steps, const uint16_t *a, long below, const uint16_t *b, float *c, long cr, long m, long n,
    int accumulate)
{
    const int whole = m >= 16 * rows && n >= 16;
    if (whole && accumulate) {
        _tile_loadd(0, c, 4 * cr);
        if (rows > 1) _tile_loadd(1, c + 16 * cr, 4 * cr);
        if (rows > 2) _tile_loadd(2, c + 32 * cr, 4 * cr);
        if (rows > 3) _tile_loadd(3, c + 48 * cr, 4 * cr);
    } else { _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); }
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += WEFT_PIECE) {
        _tile_loadd(4, b, 64);
        _tile_loadd(5, b + 512, 64);
        _tile_loadd(6, b + 1024, 64);
        WEFT_EACH_ROW(0, 6) WEFT_EACH_ROW(1, 5) WEFT_EACH_ROW(0, 5) WEFT_EACH_ROW(2, 4) WEFT_EACH_ROW(1, 4) WEFT_EACH_ROW(0, 4)
    }
    float edge[1024] __attribute__((aligned(64)));
    float *const to = whole ? c : edge;
    const long step = whole ? cr : 16;
    _tile_stored(0, to, 4 * step);
    if (rows > 1) _tile_stored(1, to + 16 * step, 4 * step);
    if (rows > 2) _tile_stored(2, to + 32 * step, 4 * step);
    if (rows > 3) _tile_stored(3, to + 48 * step, 4 * step);
    if (whole) return;
    __asm__ volatile("" ::: "memory");
    const __mmask16 some = weft_lanes_of(n);
    for (long i = 0; i < m && i < 16 * rows; ++i) {
        __m512 y = _mm512_load_ps(edge + i * 16);
        if (accumulate) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(some, c + i * cr));
        _mm512_mask_storeu_ps(c + i * cr, some, y);
    }
}
WEFT_COLUMN_TILES(1) WEFT_COLUMN_TILES(2) WEFT_COLUMN_TILES(3) WEFT_COLUMN_TILES(4)
/* weft_tiled, also for a single column of at most four tiles */
static __attribute__((unused)) void weft_tiled_patches(long m, long n, long steps, const uint16_t *a, const uint16_t *b, long beside, float *c, long cr, int accumulate)
{
    const long below = steps * WEFT_PIECE;
    if (n > 16) weft_tiled(m, n, steps, a, below, b, beside, c, cr, accumulate);
    else if (m > 48) weft_column_of_4(steps, a, below, b, c, cr, m, n, accumulate);
    else if (m > 32) weft_column_of_3(steps, a, below, b, c, cr, m, n, accumulate);
    else if (m > 16) weft_column_of_2(steps, a, below, b, c, cr, m, n, accumulate);
    else weft_column_of_1(steps, a, below, b, c, cr, m, n, accumulate);
}

/* ---- gathered: every window is a row of A, whose planes are gathered from planes of the padded rows ---- */
typedef struct { uint16_t *at; long plane, row, apart; } weft_planes;

/* Memory for the planes of a block of rows, and the parts of a window beside it. */
typedef struct { weft_part_of_window *part; int *first; uint16_t *planes; } weft_tile_room;
WEFT_INLINE weft_tile_room weft_room(const weft_windows *g, float *planes, long halves)
{
    const long vectors = (weft_taps(g) * g->channels * halves + 31) / 32;
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

/* y of a block of windows, `rows` of them high. */
static __attribute__((noinline, unused)) void weft_gathered_block(const weft_windows *g, const weft_axis *a, long rows, weft_planes from, weft_tile_room room,
    const uint16_t *kept, float *y, uint16_t *pieces)
{
    const long steps = weft_window_parts(g, a, from.plane, from.row, 1, room.part, room.first);
    const long high = g->outputs > 16 ? 2 : 4, deep = WEFT_PIECES / high, windows = rows * a[2].count;
    const long down = a[1].step * from.row, right = a[2].step * g->channels;
    long q1 = 0, q2 = 0;
    for (long p = 0; p < windows; p += 16 * high) {
        const long some = weft_least(windows - p, 16 * high);
        long origin[64];
        for (long i = 0; i < some; ++i) {
            origin[i] = q1 * down + q2 * right;
            if (++q2 == a[2].count) q2 = 0, ++q1;
        }
        for (long k = 0; k < steps; k += deep) {
            const long d = weft_least(steps - k, deep);
            for (long i = 0; i < some; i += 16) for (long s = 0; s < d; ++s) {
                const int *const first = room.first + k + s;
                weft_gather(some - i, origin + i, first[1] - first[0], room.part + first[0], from.at, from.apart,
                    pieces + (i / 16 * d + s) * WEFT_PIECE);
            }
            weft_tiled_patches(some, g->outputs, d, pieces, kept + k * WEFT_PIECE, steps * WEFT_PIECE, y + p * g->outputs, g->outputs, k > 0);
        }
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

/* Row q1 of a class of places, y, gets what row r of the pixels adds to it with the taps `tap` ..: terms [pixel][tap][output]. */
static __attribute__((noinline, unused)) void weft_add_terms(const weft_windows *g, const weft_axis *a, const float *terms, long tap, float *y)
{
    const long c = g->outputs, pitch = weft_terms(g), next = a->gap * pitch + a->skip * c;
    for (long q = 0; q < a->count; ++q) {
        long low = 0, high = a->taps;
        while (low < high && q + a->least + low * a->gap < 0) ++low;
        while (high > low && q + a->least + (high - 1) * a->gap >= g->in[2]) --high;
        const float *const from = terms + (q + a->least + low * a->gap) * pitch + (tap + a->index + low * a->skip) * c;
        float *const to = y + (a->first + q * a->stride) * c;
        for (long o = 0; o < c; o += 16) {
            const __mmask16 some = weft_lanes_of(c - o);
            __m512 sum = _mm512_maskz_loadu_ps(some, to + o);
            for (long t = 0; t < high - low; ++t) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(some, from + t * next + o));
            _mm512_mask_storeu_ps(to + o, some, sum);
        }
    }
}

/* The products of `count` pixels with all taps. */
static __attribute__((noinline, unused)) void weft_make_terms(const weft_windows *g, long count, const float *x, const float *w, const uint16_t *kept,
    float *terms, float *scratch)
{
    const long pitch = weft_terms(g), steps = (g->channels + 31) / 32, deep = WEFT_PIECES / 2;
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
                    for (long q1 = 0; q1 < a[1].count; ++q1) for (long t1 = 0; t1 < a[1].taps; ++t1) {
                        const long r = q1 + a[1].least + t1 * a[1].gap - top;
                        if (r < 0 || r >= rows) continue;
                        const long tap = ((a[0].index + t0 * a[0].skip) * g->kernel[1] + a[1].index + t1 * a[1].skip) * g->kernel[2];
                        const long row = (a[0].first + q0 * a[0].stride) * g->out[1] + a[1].first + q1 * a[1].stride;
                        weft_add_terms(g, a + 2, terms + r * wide, tap, y + row * g->out[2] * g->outputs);
                    }
                }
            }
        }
    }
}

/* ---- the adjoint in the weight: pixels are the depth; outputs are the rows, the numbers of a window the columns ---- */
typedef struct {
    const weft_windows *g;
    const weft_axis *a;
    const float *x, *d;
    float *w, *sums;
    uint16_t *pieces, *left, *planes;
    weft_tile_room room;
    long apart, vectors, begin, count;                                  /* pixels begin .. begin + count are waiting */
    int finite;
    long origin[WEFT_PIXELS / 2];
} weft_weight_tiles;

/* What tiles cannot do: pixels `begin` .. with numbers that are not finite. */
static __attribute__((noinline, unused)) void weft_weight_plainly(const weft_windows *g, long begin, long count, const float *x, const float *d, float *w)
{
    for (long p = begin; p < begin + count; ++p) {
        long q[3], at = p;
        for (int k = 2; k >= 0; --k) q[k] = at % g->out[k], at /= g->out[k];
        const float *const cotangent = d + p * g->outputs;
        for (long t = 0; t < weft_taps(g); ++t) {
            const long tap[3] = {t / g->kernel[2] / g->kernel[1], t / g->kernel[2] % g->kernel[1], t % g->kernel[2]};
            long from = at * g->xb;
            int inside = 1;
            for (int k = 0; k < 3; ++k) {
                const long r = q[k] * g->stride[k] + tap[k] * g->dilation[k] - g->low[k];
                inside = inside && r >= 0 && r < g->in[k];
                from += r * g->xs[k];
            }
            if (!inside) continue;
            for (long c = 0; c < g->channels; ++c) for (long o = 0; o < g->outputs; ++o)
                w[t * g->tap + c * g->lead + o] += x[from + c * g->xc] * cotangent[o];
        }
    }
}

/* w[number][output] += sums[output][number], 16 by 16 */
WEFT_INLINE void weft_add_turned(long outputs, long numbers, const float *sums, long row, float *w, long lead)
{
    const __mmask16 some = weft_lanes_of(outputs);
    weft_vector v[16], u[16];
    WEFT_UNROLL for (int i = 0; i < 16; ++i) v[i] = *(const weft_vector *)(sums + i * row);
    WEFT_ROUND(v, u) WEFT_ROUND(u, v) WEFT_ROUND(v, u) WEFT_ROUND(u, v)
    for (long n = 0; n < numbers; ++n) {
        float *const to = w + n * lead;
        _mm512_mask_storeu_ps(to, some, _mm512_add_ps((__m512)v[n], _mm512_maskz_loadu_ps(some, to)));
    }
}

/* Add what the waiting pixels have to say. */
static __attribute__((noinline, unused)) void weft_weight_flush(weft_weight_tiles *t)
{
    const weft_windows *const g = t->g;
    const long pairs = t->count / 2, steps = (pairs + 15) / 16, high = weft_up(g->outputs, 16), numbers = weft_taps(g) * g->channels;
    const long wide = high > 16 ? 2 : 4;
    const float *const d = t->d + t->begin * g->outputs;
    if (!t->finite || !weft_split_a(g->outputs, t->count, d, 1, g->outputs, t->left))
        weft_weight_plainly(g, t->begin, t->count, t->x, t->d, t->w);
    else for (long v = 0; v < t->vectors; v += wide) {
        const long some = weft_least(t->vectors - v, wide);
        for (long u = 0; u < some; ++u) for (long s = 0; s < steps; ++s) {
            const int *const first = t->room.first + v + u;
            weft_gather(pairs - 16 * s, t->origin + 16 * s, first[1] - first[0], t->room.part + first[0], t->planes, t->apart,
                t->pieces + (u * steps + s) * WEFT_PIECE);
        }
        weft_tiled(high, 16 * some, steps, t->left, steps * WEFT_PIECE, t->pieces, steps * WEFT_PIECE, t->sums, 64, 0);
        for (long u = 0; u < some; ++u) for (long o = 0; o < g->outputs; o += 16)
            weft_add_turned(g->outputs - o, weft_least(numbers - 16 * (v + u), 16), t->sums + o * 64 + 16 * u, 64, t->w + 16 * (v + u) * g->lead + o, g->lead);
    }
    t->begin += t->count;
    t->count = 0;
}

static __attribute__((noinline, unused)) void weft_weight_images(long images, const weft_windows *g, const weft_axis *a, const float *x, const float *d,
    float *w, float *scratch, float *planes)
{
    const weft_tile_room room = weft_room(g, planes, 2);
    const long high = weft_up(g->outputs, 16), depth = weft_reach(a, 1), run = weft_reach(a + 2, a[2].count) * g->channels, row = weft_up(2 * run, 32);
    float *const left = (float *)room.planes, *const sums = left + high * (WEFT_PIXELS / 32) * (WEFT_PIECE / 32);
    weft_weight_tiles t = {.g = g, .a = a, .x = x, .d = d, .w = w, .sums = sums, .pieces = (uint16_t *)scratch, .left = room.planes, .room = room,
        .planes = (uint16_t *)(sums + high * 64), .finite = 1};
    const long tall = weft_reach(a + 1, g->block), unit = depth * tall * row;
    t.apart = weft_up(2 * WEFT_PAIRS, unit) + unit;
    t.vectors = weft_window_parts(g, a, tall * row, row, 2, room.part, room.first);
    long used = 0;
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0) for (long top = 0; top < a[1].count; top += g->block) {
        const long rows = weft_least(a[1].count - top, g->block), height = weft_reach(a + 1, rows);
        const weft_view view = weft_look(g, a, x + b * g->xb, q0, top, rows, planes);
        __m512 sum = _mm512_setzero_ps();
        for (long z = 0; z < depth; ++z) weft_split_neighbours(height, run, a[2].step * g->channels, view.at + z * view.plane, view.row,
            t.planes + used + z * tall * row, row, t.apart, &sum);
        t.finite = t.finite && weft_finite(sum);
        for (long q1 = 0; q1 < rows; ++q1) for (long q2 = 0; q2 < a[2].count; q2 += 2) {
            t.origin[t.count / 2] = used + q1 * a[1].step * row + q2 * a[2].step * g->channels * 2;
            if ((t.count += 2) == WEFT_PIXELS) weft_weight_flush(&t);
        }
        used += unit;
        if (used >= 2 * WEFT_PAIRS) { weft_weight_flush(&t); used = 0; t.finite = 1; }
    }
    if (t.count > 0) weft_weight_flush(&t);
}
#endif

/* ---- which way? cycles of an image on tile units, with what gathers and splits, against those of multiply-adds ---- */
enum { WEFT_BY_ROWS, WEFT_GATHERED, WEFT_SCATTERED };
#if defined(WEFT_TILES)
/* Gathering a vector into three planes of a piece costs what its parts cost. */
WEFT_INLINE double weft_gathering(const weft_windows *g, long lanes)
{
    const long numbers = weft_taps(g) * g->channels, run = (g->dilation[2] == 1 ? g->kernel[2] : 1) * g->channels;
    return 48 * (1.0 + 0.8 * lanes * ((numbers + run - 1) / run) / (double)numbers);
}
WEFT_INLINE double weft_multiplying(long windows, long numbers, long outputs) { return (double)windows * numbers * weft_up(outputs, 16) * (1.15 / 32); }
#define WEFT_TILE_CYCLES (6 * 17.0)
#endif
static __attribute__((unused)) int weft_convolve_way(const weft_windows *g)
{
#if defined(WEFT_TILES)
    if (!weft_tiles_allowed || g->groups > 1 || g->tap != g->channels * g->lead) return WEFT_BY_ROWS;
    const long windows = weft_volume(g->out), numbers = weft_taps(g) * g->channels, steps = (numbers + 31) / 32;
    const double tiles = windows / 16.0 * steps * ((g->outputs + 15) / 16 * WEFT_TILE_CYCLES + weft_gathering(g, 32)) + weft_volume(g->in) * g->channels * 0.9;
    return tiles < weft_multiplying(windows, numbers, g->outputs) ? WEFT_GATHERED : WEFT_BY_ROWS;
#else
    (void)g;
    return WEFT_BY_ROWS;
#endif
}
static __attribute__((unused)) int weft_input_way(const weft_windows *g)
{
#if defined(WEFT_TILES)
    if (!weft_tiles_allowed || g->groups > 1 || g->tap != g->channels * g->lead) return WEFT_BY_ROWS;
    const long taps = weft_taps(g), places = weft_volume(g->out), pixels = weft_volume(g->in), numbers = taps * g->channels, terms = weft_terms(g) / 16;
    const int plain = g->stride[0] * g->stride[1] * g->stride[2] == 1;
    const int dense = g->xc == 1 && g->xs[2] == g->channels && g->xs[1] == g->in[2] * g->xs[2];
    const double gathered = places / 16.0 * ((numbers + 31) / 32) * ((g->outputs + 15) / 16 * WEFT_TILE_CYCLES + weft_gathering(g, 32)) + pixels * g->channels * 0.9;
    const double scattered = pixels / 16.0 * terms * ((g->channels + 31) / 32 * WEFT_TILE_CYCLES + 50) + pixels * g->channels * 0.7 + places * g->outputs * 0.2;
    const double rows = plain ? weft_multiplying(places, numbers, g->outputs) : 1.2 * weft_multiplying(pixels, numbers, g->outputs);
    if (dense && g->in[2] * weft_terms(g) <= WEFT_TERMS_AT_ONCE && scattered < rows && (!plain || scattered < gathered)) return WEFT_SCATTERED;
    return plain && gathered < rows ? WEFT_GATHERED : WEFT_BY_ROWS;
#else
    (void)g;
    return WEFT_BY_ROWS;
#endif
}
static __attribute__((unused)) int weft_weight_way(const weft_windows *g)
{
#if defined(WEFT_TILES)
    if (!weft_tiles_allowed || g->groups > 1 || g->tap != g->channels * g->lead || g->out[2] % 2) return WEFT_BY_ROWS;
    const long pixels = weft_volume(g->out), numbers = weft_taps(g) * g->channels, vectors = (numbers + 15) / 16, high = (g->outputs + 15) / 16;
    const double tiles = pixels / 32.0 * vectors * (high * (WEFT_TILE_CYCLES + 8) + weft_gathering(g, 16)) + weft_volume(g->in) * g->channels * 1.6
        + pixels * g->outputs * 0.8;
    return tiles < 1.2 * weft_multiplying(pixels, numbers, g->outputs) ? WEFT_GATHERED : WEFT_BY_ROWS;
#else
    (void)g;
    return WEFT_BY_ROWS;
#endif
}

WEFT_INLINE void weft_begin_tiles(void)
{
#if defined(WEFT_TILES)
    _tile_loadconfig(&weft_tile_shapes);
#endif
}
WEFT_INLINE void weft_end_tiles(void)
{
#if defined(WEFT_TILES)
    _tile_release();
#endif
}

/* ---- weights in planes, kept for `images` images: where they are, or NULL if tiles are no quicker ---- */
enum { WEFT_WORTH_KEEPING = 256 };                                      /* pixels that are worth splitting a weight */
static __attribute__((unused)) const float *weft_keep_convolve(long images, const weft_windows *g, const float *w, float *kept)
{
#if defined(WEFT_TILES)
    if (images * weft_volume(g->out) >= WEFT_WORTH_KEEPING && weft_convolve_way(g) && weft_split_b(g->outputs, weft_taps(g) * g->channels, w, g->lead, 1, (uint16_t *)kept)) return kept;
#endif
    (void)images; (void)g; (void)w; (void)kept;
    return 0;
}
static __attribute__((unused)) const float *weft_keep_convolve_input(long images, const weft_windows *g, const float *w, float *kept)
{
#if defined(WEFT_TILES)
    const int way = images * weft_volume(g->in) >= WEFT_WORTH_KEEPING ? weft_input_way(g) : WEFT_BY_ROWS;
    if (way == WEFT_GATHERED && weft_split_b(g->outputs, weft_taps(g) * g->channels, w, g->lead, 1, (uint16_t *)kept)) return kept;
    if (way == WEFT_SCATTERED && weft_split_taps(g, w, (uint16_t *)kept)) return kept;
#endif
    (void)images; (void)g; (void)w; (void)kept;
    return 0;
}
