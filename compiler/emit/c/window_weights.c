/* The adjoint of a convolution in the weight, on tile units: pixels are the depth, outputs the rows, the numbers of a window the columns.
   What two neighbouring windows read of a padded row lies number beside number, pair behind pair, and is read where it lies. */

#if defined(WEFT_TILES)
/* Of each pair of windows a row of x has `vectors` of 16 numbers: `pieces` of `each` numbers, one where taps lie side by side.  In halves:
   `pitch` from pair to pair, `row` from row to row, `plane` to the next of the depth.  Rows with the same remainder by `step` lie together,
   `tall` of them; `rows` of windows at once, in `unit` halves.  Where pairs of a row fill tiles, pixels are `shared` by the windows that
   read them. */
typedef struct { long pairs, pieces, each, vectors, pitch, row, plane, step, tall, rows, unit; int shared; } weft_pairing;

static __attribute__((noinline, unused)) int weft_pairing_of(const weft_windows *g, const weft_axis *a, weft_pairing *n)
{
    const long depth = weft_reach(a, 1), high = weft_reach(a + 1, 1), s = a[1].step, together = a[2].taps < 2 || a[2].gap == 1;
    *n = (weft_pairing){.pairs = (a[2].count + 1) / 2, .pieces = together ? 1 : a[2].taps, .step = s};
    n->each = g->channels * (together ? a[2].taps : 1);
    n->vectors = n->pieces * ((n->each + 15) / 16);
    n->shared = n->pieces == 1 && a[2].step == 1 && g->channels % 16 == 0 && a[2].count % 32 == 0;
    n->pitch = n->shared ? 4 * g->channels : 32 * n->vectors;
    n->row = n->shared ? 2 * (weft_reach(a + 2, a[2].count) - 1) * g->channels : n->pairs * n->pitch;
    const long room = (g->room - 16 * n->pitch) / (depth * n->row) / s * s;
    const long most = weft_least(weft_least(room < high ? 0 : (room - high) / s + 1, g->block), g->pixels / (2 * n->pairs));
    if (most < 1) return 0;
    const long blocks = (a[1].count + most - 1) / most;
    n->rows = (a[1].count + blocks - 1) / blocks;
    n->tall = (weft_reach(a + 1, n->rows) + s - 1) / s;
    n->plane = s * n->tall * n->row;
    n->unit = depth * n->plane + (n->rows * n->pairs % 16 ? 16 * n->pitch : 0);
    return 1;
}

/* Number t and those after it, `some` of them, beside those `next` further on; of a row whose numbers low .. high are not zeros. */
WEFT_INLINE void weft_split_beside(const float *x, long t, long next, __mmask16 some, __mmask16 others, long low, long high, uint16_t *to, long apart, __m512 *sum)
{
    if (t >= low && t + next + 16 <= high && (some & others) == 0xffff) {
        weft_split(_mm512_loadu_ps(x + t), _mm512_loadu_ps(x + t + next), 0, to, apart, sum);
        return;
    }
    const long u = t + next;
    weft_split(_mm512_maskz_loadu_ps(some & weft_lanes_of(high - t) & ~weft_lanes_of(low - t), x + t),
        _mm512_maskz_loadu_ps(others & weft_lanes_of(high - u) & ~weft_lanes_of(low - u), x + u), 0, to, apart, sum);
}

/* What the pairs of windows of one padded row read of it, number beside number; a window that is missing reads zeros. */
static __attribute__((noinline, unused)) void weft_split_pairs(const weft_windows *g, const weft_axis *a, const weft_pairing *n, const float *x, long low,
    long high, uint16_t *to, long apart, __m512 *total)
{
    const long next = a[2].step * g->channels, each = n->each;
    __m512 sum = *total;
    x -= low;
    if (n->shared) for (long t = 0; 2 * t < n->row; t += 16) weft_split_beside(x, t, next, 0xffff, 0xffff, low, high, to + 2 * t, apart, &sum);
    else for (long p = 0; p < n->pairs; ++p) {
        const __mmask16 second = 2 * p + 1 < a[2].count ? 0xffff : 0;
        for (long k = 0; k < n->pieces; ++k) for (long t = 0; t < each; t += 16, to += 32) {
            const __mmask16 some = weft_lanes_of(each - t);
            weft_split_beside(x, 2 * p * next + k * a[2].gap * g->channels + t, next, some, some & second, low, high, to, apart, &sum);
        }
    }
    *total = sum;
}

/* Rows of windows that wait: where their planes begin on both sides, and steps of 32 pixels. */
typedef struct { const uint16_t *left, *right; long steps; } weft_waiting;
typedef struct {
    const weft_windows *g;
    const weft_axis *a;
    weft_pairing n;
    const float *x, *d;
    float *w;
    uint16_t *left, *right;
    long apart, blocks, steps, used, begin, count;                      /* pixels begin .. begin + count wait in blocks of `steps` */
    int finite;
    weft_waiting waiting[64];
} weft_weight_tiles;

/* Tiles of 16 outputs by 16 numbers: two outputs high, or one; the numbers at `at` in each row of x.  A single column has its small terms in
   tiles of its own. */
#define WEFT_PAIRS_OF(tile, column, plane) _tile_loadd(tile, right + at[column] + (plane) * t->apart, stride);
#define WEFT_BOTH(plane) WEFT_PAIRS_OF(6, 0, plane) if (columns > 1) { WEFT_PAIRS_OF(7, 1, plane) }
#define WEFT_EITHER_DOT(small) \
    if (columns > 1 || !(small)) { _tile_dpbf16ps(0, 4, 6); } else _tile_dpbf16ps(1, 4, 6); \
    if (columns > 1) _tile_dpbf16ps(1, 4, 7); \
    if (columns > 1 || !(small)) { _tile_dpbf16ps(2, 5, 6); } else _tile_dpbf16ps(3, 5, 6); \
    if (columns > 1) _tile_dpbf16ps(3, 5, 7);
#define WEFT_ALONG(A, plane) \
    WEFT_PAIRS_OF(7, 0, plane) _tile_dpbf16ps(0, A, 7); \
    if (columns > 1) { WEFT_PAIRS_OF(7, 1, plane) _tile_dpbf16ps(1, A, 7); } \
    if (columns > 2) { WEFT_PAIRS_OF(7, 2, plane) _tile_dpbf16ps(2, A, 7); } \
    if (columns > 3) { WEFT_PAIRS_OF(7, 3, plane) _tile_dpbf16ps(3, A, 7); }
WEFT_INLINE void weft_sum_pixels(const int high, const int columns, const weft_weight_tiles *t, long tile, const long *at, float *sums)
{
    enum { rows = 2 };
    const long stride = 2 * t->n.pitch, down = 16 * t->n.pitch;
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (const weft_waiting *block = t->waiting; block < t->waiting + t->blocks; ++block) {
        const long below = block->steps * WEFT_PIECE;
        const uint16_t *a = block->left + tile * below, *right = block->right;
        for (long step = 0; step < block->steps; ++step, a += WEFT_PIECE, right += down) {
            if (high == 2) {
                WEFT_LOAD_A(0) WEFT_BOTH(2) WEFT_EITHER_DOT(1)
                WEFT_BOTH(1) WEFT_EITHER_DOT(0)
                WEFT_LOAD_A(1) WEFT_EITHER_DOT(1)
                WEFT_BOTH(0) WEFT_EITHER_DOT(0)
                WEFT_LOAD_A(2) WEFT_EITHER_DOT(1)
                WEFT_LOAD_A(0) WEFT_EITHER_DOT(0)
            } else {
                _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
                WEFT_ALONG(4, 2) WEFT_ALONG(5, 1) WEFT_ALONG(4, 1) WEFT_ALONG(6, 0) WEFT_ALONG(5, 0) WEFT_ALONG(4, 0)
            }
        }
    }
    _tile_stored(0, sums, 64); _tile_stored(1, sums + 256, 64); _tile_stored(2, sums + 512, 64); _tile_stored(3, sums + 768, 64);
    __asm__ volatile("" ::: "memory");
    if (high == 2 && columns == 1) for (long i = 0; i < 1024; i += i == 240 ? 272 : 16)
        _mm512_store_ps(sums + i, _mm512_add_ps(_mm512_load_ps(sums + 256 + i), _mm512_load_ps(sums + i)));
}
#define WEFT_SUM_PIXELS(high, columns) \
static __attribute__((noinline, unused)) void weft_sum_pixels_##high##columns(const weft_weight_tiles *t, long tile, const long *at, float *sums) \
{ weft_sum_pixels(high, columns, t, tile, at, sums); }
WEFT_SUM_PIXELS(2, 2) WEFT_SUM_PIXELS(2, 1) WEFT_SUM_PIXELS(1, 1) WEFT_SUM_PIXELS(1, 2) WEFT_SUM_PIXELS(1, 3) WEFT_SUM_PIXELS(1, 4)

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
    const weft_pairing *const n = &t->n;
    const long rows = t->a[0].taps * t->a[1].taps, vectors = rows * n->vectors, per = n->vectors / n->pieces;
    if (t->count > 0 && !t->finite) weft_weight_plainly(g, t->begin, t->count, t->x, t->d, t->w);
    else if (t->count > 0) for (long o = 0; o < g->outputs; o += 32) {
        const int high = g->outputs - o > 16 ? 2 : 1;
        const long wide = high == 2 ? 2 : (vectors + (vectors + 3) / 4 - 1) / ((vectors + 3) / 4);
        for (long u = 0; u < vectors; u += wide) {
            const long columns = weft_least(vectors - u, wide);
            long at[4];
            float sums[1024] __attribute__((aligned(64)));
            for (long k = 0; k < columns; ++k) {
                const long r = (u + k) / n->vectors, i = r % t->a[1].taps * t->a[1].gap;
                at[k] = r / t->a[1].taps * t->a[0].gap * n->plane + (i % n->step * n->tall + i / n->step) * n->row + (u + k) % n->vectors * 32;
            }
            (high == 2 ? columns == 2 ? weft_sum_pixels_22 : weft_sum_pixels_21 : columns == 4 ? weft_sum_pixels_14 : columns == 3 ? weft_sum_pixels_13
                : columns == 2 ? weft_sum_pixels_12 : weft_sum_pixels_11)(t, o / 16, at, sums);
            for (long k = 0; k < columns; ++k) for (int i = 0; i < high; ++i) {
                const long v = (u + k) % n->vectors, first = (u + k) / n->vectors * n->pieces * n->each + v / per * n->each + v % per * 16;
                weft_add_turned(g->outputs - o - 16 * i, weft_least(16, n->each - v % per * 16), sums + (2 * i + k) * 256, 16,
                    t->w + first * g->lead + o + 16 * i, g->lead);
            }
        }
    }
    t->begin += t->count;
    t->count = t->blocks = t->steps = t->used = 0;
    t->finite = 1;
}

/* The cotangents of `rows` rows of windows as planes of A; a window that is missing has zeros.  Are all of them finite? */
static __attribute__((noinline, unused)) int weft_split_cotangents(const weft_windows *g, const weft_axis *a, long rows, const float *d, uint16_t *to,
    float *scratch)
{
    const long pixels = rows * weft_up(a[2].count, 2), piece = (pixels + 31) / 32 * WEFT_PIECE, o = g->outputs;
    if (o == 16 && a[2].count % 32 == 0) {                              /* half of what is packed at once */
        __m512 sum = _mm512_setzero_ps();
        float turned[8 * 16] __attribute__((aligned(64)));
        for (long p = 0; p < pixels; p += 32) sum = weft_turned_lines_in_turn(0, 8, d + p * o, o, to + p / 32 * WEFT_PIECE, 0, turned, sum);
        return weft_finite(sum);
    }
    if (a[2].count % 2 == 0) return weft_split_a(o, pixels, d, 1, o, to);
    int finite = 1;
    for (long i = 0; i < o; i += 32) {
        const __mmask16 some = weft_lanes_of(o - i), more = weft_lanes_of(o - i - 16);
        float *at = scratch;
        for (long r = 0; r < rows; ++r) for (long q = 0; q <= a[2].count; ++q, at += 32) {
            const float *const from = d + (r * a[2].count + q) * o + i;
            const int inside = q < a[2].count;
            _mm512_store_ps(at, _mm512_maskz_loadu_ps(inside ? some : 0, from));
            _mm512_store_ps(at + 16, _mm512_maskz_loadu_ps(inside ? more : 0, from + 16));
        }
        finite &= weft_split_a(weft_least(o - i, 32), pixels, scratch, 1, 32, to + i / 16 * piece);
    }
    return finite;
}

static __attribute__((noinline, unused)) void weft_weight_images(long images, const weft_windows *g, const weft_axis *a, const float *x, const float *d,
    float *w, float *scratch, float *planes)
{
    weft_weight_tiles t = {.g = g, .a = a, .x = x, .d = d, .w = w, .left = (uint16_t *)(planes + g->after), .finite = 1};
    if (!weft_pairing_of(g, a, &t.n)) return;
    const weft_pairing *const n = &t.n;
    const long high = weft_up(g->outputs, 16) / 16, depth = weft_reach(a, 1), most = g->pixels / 32;
    t.right = t.left + high * most * WEFT_PIECE;
    t.apart = weft_up(g->room, 32);
    if (n->rows * n->pairs % 16) memset(t.right, 0, (size_t)(3 * t.apart) * sizeof(uint16_t));     /* what the last pixels of a block read */
    for (long b = 0; b < images; ++b) for (long q0 = 0; q0 < a[0].count; ++q0) for (long top = 0; top < a[1].count; top += n->rows) {
        const long rows = weft_least(a[1].count - top, n->rows), height = weft_reach(a + 1, rows), steps = (rows * n->pairs + 15) / 16;
        if (t.steps + steps > most || t.used + n->unit > t.apart) weft_weight_flush(&t);
        uint16_t *const left = t.left + t.steps * high * WEFT_PIECE, *const right = t.right + t.used;
        __m512 sum = _mm512_setzero_ps();
        for (long z = 0; z < depth; ++z) for (long i = 0; i < height; ++i) {
            long low, end;
            const float *const row = weft_padded_row(g, a, x + b * g->xb, q0 * a[0].step + a[0].least + z, top * a[1].step + a[1].least + i, planes, &low, &end);
            weft_split_pairs(g, a, n, row, low, end, right + z * n->plane + (i % n->step * n->tall + i / n->step) * n->row, t.apart, &sum);
        }
        const long begin = ((b * a[0].count + q0) * a[1].count + top) * a[2].count;
        t.finite &= weft_finite(sum);
        const long times = n->shared ? rows : 1, each = steps / times;  /* rows of windows that share pixels are blocks of their own */
        for (long i = 0; i < times; ++i, ++t.blocks) {
            t.waiting[t.blocks] = (weft_waiting){left + i * each * high * WEFT_PIECE, right + i * n->row, each};
            t.finite &= weft_split_cotangents(g, a, rows / times, d + (begin + i * a[2].count) * g->outputs, left + i * each * high * WEFT_PIECE, scratch);
        }
        t.steps += steps;
        t.used += n->unit;
        t.count += rows * a[2].count;
    }
    weft_weight_flush(&t);
}
#endif
