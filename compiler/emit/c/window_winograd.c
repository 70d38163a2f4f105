/* Convolutions of 3 x 3 with fewer multiplications: Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, Fast algorithms for convolutional neural
   networks, 2016).  A square of 2 x 2 windows reads a patch of 4 x 4 numbers; what sums and differences make of patch and weight are 16
   numbers each, whose 16 products, sums over channels, become the square: 16 multiplications in place of 36.  The adjoint in the weight is
   the transposed algorithm: sums over squares of 16 products become 3 x 3. */

/* `high` by `wide` squares of an image, `strip` at once: `patches` and `results` [16][square][in or out], planes `in_plane` and `out_plane`
   apart, an odd number of cache lines each, so that they do not crowd a few sets.  `zeros`: what lies outside of an image.  `sums`, of the
   adjoint in the weight: [16][channel][broad], planes `sum_plane` apart, for outputs from .. from + broad of all. */
typedef struct {
    long high, wide, strip, in, out, in_plane, out_plane, sum_plane, from, broad;
    float *zeros, *patches, *results, *sums;
} weft_squares;

/* Squares of a row: those of row `high` of image `b` from `wide` on. */
typedef struct { long b, high, wide, count; } weft_run;
WEFT_INLINE weft_run weft_run_at(const weft_squares *s, long at, long most)
{
    const long square = at % (s->high * s->wide), wide = square % s->wide;
    return (weft_run){at / (s->high * s->wide), square / s->wide, wide, weft_least(most, s->wide - wide)};
}

static __attribute__((noinline, unused)) weft_squares weft_squares_of(const weft_windows *g, long from, long broad, float *planes)
{
    weft_squares s = {.high = (g->out[1] + 1) / 2, .wide = (g->out[2] + 1) / 2, .strip = g->strip, .from = from, .broad = broad};
    s.in = weft_up(g->channels, WEFT_LANES);
    s.out = weft_up(broad, WEFT_LANES);
    s.in_plane = weft_up(s.strip * s.in, 32) + 16;
    s.out_plane = weft_up(s.strip * s.out, 32) + 16;
    s.sum_plane = weft_up(g->channels * s.out, 32) + 16;
    s.zeros = planes + g->after;
    s.patches = s.zeros + weft_up(g->channels, 16);
    s.results = s.patches + 16 * s.in_plane;
    s.sums = s.results + 16 * s.out_plane;
    memset(s.zeros, 0, (size_t)s.in * sizeof(float));
    return s;
}

/* Is it a convolution of 3 x 3 without strides, or an adjoint of one, for which the plan has made room? */
WEFT_INLINE int weft_is_square(const weft_windows *g, const weft_axis *a)
{
    int same = g->strip > 0 && g->in[0] == 1 && g->out[0] == 1 && a[0].least == 0 && g->xc == 1;
    for (int k = 1; k < 3; ++k) same = same && a[k].taps == 3 && a[k].step == 1 && a[k].stride == 1 && a[k].gap == 1 && a[k].skip == 1;
    return same && g->out[1] > 0 && g->out[2] > 0;
}

/* Is it quicker than rows of windows?  In multiply-adds of vectors, as measured: 9 and 16 of each channel with each vector of outputs, sums and
   differences of a square for each vector, and what is done `once`.  Not where there are tile units. */
static __attribute__((unused)) int weft_winograd_pays(long images, const weft_windows *g, const weft_axis *a, double once)
{
#if defined(WEFT_TILES)
    if (weft_tiles_allowed) return 0;
#endif
    if (!weft_is_square(g, a)) return 0;
    const long read = (g->channels + WEFT_LANES - 1) / WEFT_LANES, made = (g->outputs + WEFT_LANES - 1) / WEFT_LANES;
    const double pairs = (double)g->channels * made, squares = (double)images * ((g->out[1] + 1) / 2) * ((g->out[2] + 1) / 2);
    return squares * (18 * pairs + 60 * (read + made)) + once * pairs < 9.8 * images * g->out[1] * g->out[2] * pairs;
}
#define WEFT_ONCE_FOR_SUMS 220                                          /* of the adjoint in the weight, for each call */

/* ---- the weight: [16][strips of columns][channel][column], planes `weft_winograd_plane` apart ---- */
WEFT_INLINE long weft_winograd_columns(const weft_windows *g) { return g->outputs > 16 ? WEFT_STRIP : 16; }
WEFT_INLINE long weft_winograd_plane(const weft_windows *g) { return g->channels * weft_up(g->outputs, weft_winograd_columns(g)) + 16; }
static __attribute__((noinline, unused)) void weft_winograd_weight(const weft_windows *g, const float *w, float *to)
{
    const long plane = weft_winograd_plane(g), columns = weft_winograd_columns(g);
    for (long k = 0; k < g->outputs; k += WEFT_LANES) {
        const weft_mask some = weft_first(weft_least(g->outputs - k, WEFT_LANES));
        float *u = to + k / columns * g->channels * columns + k % columns;
        for (long c = 0; c < g->channels; ++c, u += columns) {
            const float *const p = w + c * g->lead + k;
            weft_vector h[4][3];
            WEFT_UNROLL for (int j = 0; j < 3; ++j) {
                const weft_vector top = weft_load(p + j * g->tap, some), mid = weft_load(p + (3 + j) * g->tap, some);
                const weft_vector end = weft_load(p + (6 + j) * g->tap, some), ends = top + end;
                h[0][j] = top; h[1][j] = 0.5f * (ends + mid); h[2][j] = 0.5f * (ends - mid); h[3][j] = end;
            }
            WEFT_UNROLL for (int i = 0; i < 4; ++i) {
                const weft_vector ends = h[i][0] + h[i][2];
                float *const row = u + 4 * i * plane;
                *(weft_vector *)row = h[i][0];
                *(weft_vector *)(row + plane) = 0.5f * (ends + h[i][1]);
                *(weft_vector *)(row + 2 * plane) = 0.5f * (ends - h[i][1]);
                *(weft_vector *)(row + 3 * plane) = h[i][2];
            }
        }
    }
}

/* ---- patches: columns of four numbers are made from rows of x, whatever patches read them ---- */
#define WEFT_PART(at, some) (whole ? *(const weft_vector *)(at) : weft_load(at, some))
#define WEFT_COLUMN_OF_PATCH(made, column) \
    if ((unsigned long)(column) < (unsigned long)wide) { \
        const long at = (column) * next; \
        const weft_vector p = WEFT_PART(row[0] + (at & inside[0]), some), q = WEFT_PART(row[1] + (at & inside[1]), some); \
        const weft_vector r = WEFT_PART(row[2] + (at & inside[2]), some), s = WEFT_PART(row[3] + (at & inside[3]), some); \
        made[0] = p - r; made[1] = q + r; made[2] = r - q; made[3] = q - s; \
    } else WEFT_UNROLL for (int i = 0; i < 4; ++i) made[i] = (weft_vector){0};
/* Numbers first .. last of the four, of a vector of channels; `whole`: of a vector with all of its lanes. */
WEFT_INLINE void weft_patch_rows(const int first, const int last, const int whole, const weft_windows *g, const weft_axis *a, const weft_squares *s,
    weft_run run, const float *const *row, const long *inside, weft_mask some, float *v)
{
    const long plane = s->in_plane, each = s->in, next = g->xs[2], wide = g->in[2];
    long column = 2 * run.wide + a[2].least;
    weft_vector l[4], m[4], n[4], o[4];
    WEFT_COLUMN_OF_PATCH(l, column)
    WEFT_COLUMN_OF_PATCH(m, column + 1)
    for (long t = 0; t < run.count; ++t, v += each) {
        column += 2;
        WEFT_COLUMN_OF_PATCH(n, column)
        WEFT_COLUMN_OF_PATCH(o, column + 1)
        WEFT_UNROLL for (int i = first; i < last; ++i) {
            float *const p = v + 4 * i * plane;
            *(weft_vector *)p = l[i] - n[i];
            *(weft_vector *)(p + plane) = m[i] + n[i];
            *(weft_vector *)(p + 2 * plane) = n[i] - m[i];
            *(weft_vector *)(p + 3 * plane) = m[i] - o[i];
            l[i] = n[i];
            m[i] = o[i];
        }
    }
}
static __attribute__((noinline, unused)) void weft_patches(const weft_windows *g, const weft_axis *a, const weft_squares *s, weft_run run, const float *x, float *to)
{
    for (long c = 0; c < g->channels; c += WEFT_LANES, to += WEFT_LANES) {
        const weft_mask some = weft_first(weft_least(g->channels - c, WEFT_LANES));
        const float *row[4];
        long inside[4];
        WEFT_UNROLL for (int i = 0; i < 4; ++i) {
            const long r = 2 * run.high + a[1].least + i;
            inside[i] = r >= 0 && r < g->in[1] ? -1 : 0;
            row[i] = inside[i] ? x + r * g->xs[1] + c : s->zeros;
        }
#if WEFT_REGISTERS == 32
        weft_patch_rows(0, 4, 0, g, a, s, run, row, inside, some, to);
#else                                                                   /* 16 registers hold two rows of patches, not all four */
        if (g->channels - c >= WEFT_LANES) WEFT_UNROLL for (int i = 0; i < 4; i += 2) weft_patch_rows(i, i + 2, 1, g, a, s, run, row, inside, some, to);
        else WEFT_UNROLL for (int i = 0; i < 4; i += 2) weft_patch_rows(i, i + 2, 0, g, a, s, run, row, inside, some, to);
#endif
    }
}

/* ---- 16 products, each of a strip with a matrix of the weight ---- */
#if WEFT_VECTOR_BYTES == 64
/* Few channels: 16 rows of the weight stay in registers while 8 squares at a time go by, as calls of short register tiles would take a fifth of
   the time.  Squares of zeros fill the last eight: what lies there might be subnormal numbers. */
enum { WEFT_STAYING = 16, WEFT_PASSING = 8 };
WEFT_INLINE void weft_pass(const int fresh, long count, const float *v, long vr, const float *u, long ur, float *m, long mr)
{
    weft_vector w[WEFT_STAYING];
    WEFT_UNROLL for (int c = 0; c < WEFT_STAYING; ++c) w[c] = *(const weft_vector *)(u + c * ur);
    for (long t = 0; t < count; t += WEFT_PASSING, v += WEFT_PASSING * vr, m += WEFT_PASSING * mr) {
        const float *const a0 = v, *const a3 = v + 3 * vr, *const a6 = v + 6 * vr;
        weft_vector sum[WEFT_PASSING];
        WEFT_UNROLL for (int i = 0; i < WEFT_PASSING; ++i) sum[i] = fresh ? (weft_vector){0} : *(const weft_vector *)(m + i * mr);
        WEFT_UNROLL for (int c = 0; c < WEFT_STAYING; ++c) WEFT_UNROLL for (int i = 0; i < WEFT_PASSING; ++i) {
            const float *const p = (i < 3 ? a0 : i < 6 ? a3 : a6) + c;
            sum[i] += (i % 3 == 0 ? p[0] : i % 3 == 1 ? p[vr] : p[2 * vr]) * w[c];
        }
        WEFT_UNROLL for (int i = 0; i < WEFT_PASSING; ++i) *(weft_vector *)(m + i * mr) = sum[i];
    }
}
static __attribute__((noinline, unused)) void weft_pass_first(long count, const float *v, long vr, const float *u, long ur, float *m, long mr)
{ weft_pass(1, count, v, vr, u, ur, m, mr); }
static __attribute__((noinline, unused)) void weft_pass_again(long count, const float *v, long vr, const float *u, long ur, float *m, long mr)
{ weft_pass(0, count, v, vr, u, ur, m, mr); }
#endif
static __attribute__((noinline, unused)) void weft_winograd_products(const weft_windows *g, const weft_squares *s, long count, const float *kept)
{
    const long plane = weft_winograd_plane(g), columns = weft_winograd_columns(g);
    for (int f = 0; f < 16; ++f) {
        float *const v = s->patches + f * s->in_plane;
        const float *const u = kept + f * plane;
        float *const m = s->results + f * s->out_plane;
#if WEFT_VECTOR_BYTES == 64
        if (g->channels <= 2 * WEFT_STAYING && g->channels % WEFT_STAYING == 0) {
            memset(v + count * s->in, 0, (size_t)((weft_up(count, WEFT_PASSING) - count) * s->in) * sizeof(float));
            for (long j = 0; j < s->out; j += WEFT_LANES) for (long c = 0; c < g->channels; c += WEFT_STAYING)
                (c ? weft_pass_again : weft_pass_first)(count, v + c, s->in, u + j / columns * columns * g->channels + c * columns + j % columns, columns, m + j, s->out);
            continue;
        }
#endif
        weft_gemm_strips(count, s->out, g->channels, v, s->in, 1, u, columns, g->channels * columns, m, s->out, 0);
    }
}

/* ---- results of a run become squares of y; `sum` is NaN where one is not finite ---- */
#define WEFT_PUT(at, v) { if (whole) *(weft_vector *)(at) = v; else weft_store(at, v, some); }
WEFT_INLINE void weft_squares_made(const int whole, const weft_windows *g, const weft_squares *s, weft_run run, const float *m, float *to, weft_mask some,
    weft_vector *sum)
{
    const long plane = s->out_plane, k = g->outputs, row = g->out[2] * k;
    const int below = 2 * run.high + 1 < g->out[1];
    const float none = s->zeros[0];                                     /* for gcc, vectors times a zero that it sees are zeros */
    weft_vector all = *sum;
    for (long t = 0; t < run.count; ++t, m += s->out, to += 2 * k) {
        weft_vector u[4], v[4];
        WEFT_UNROLL for (int j = 0; j < 4; ++j) {
            const weft_vector p = *(const weft_vector *)(m + j * plane), q = *(const weft_vector *)(m + (4 + j) * plane);
            const weft_vector r = *(const weft_vector *)(m + (8 + j) * plane), e = *(const weft_vector *)(m + (12 + j) * plane);
            u[j] = p + (q + r); v[j] = (q - r) - e;
        }
        const weft_vector a = u[0] + (u[1] + u[2]), b = (u[1] - u[2]) - u[3], d = v[0] + (v[1] + v[2]), e = (v[1] - v[2]) - v[3];
        const int right = 2 * (run.wide + t) + 1 < g->out[2];
        all += none * (a + b);
        all += none * (d + e);
        WEFT_PUT(to, a)
        if (right) WEFT_PUT(to + k, b)
        if (below) WEFT_PUT(to + row, d)
        if (below && right) WEFT_PUT(to + row + k, e)
    }
    *sum = all;
}
static __attribute__((noinline, unused)) void weft_squares_out(const weft_windows *g, const weft_squares *s, weft_run run, const float *from, float *y, weft_vector *sum)
{
    const long k = g->outputs;
    y += 2 * run.high * g->out[2] * k + 2 * run.wide * k;
    for (long c = 0; c < k; c += WEFT_LANES) {
        const weft_mask some = weft_first(weft_least(k - c, WEFT_LANES));
        if (WEFT_VECTOR_BYTES < 64 && k - c >= WEFT_LANES) weft_squares_made(1, g, s, run, from + c, y + c, some, sum);
        else weft_squares_made(0, g, s, run, from + c, y + c, some, sum);
    }
}
WEFT_INLINE int weft_all_finite(weft_vector sum)
{
    int fine = 1;
    for (int t = 0; t < WEFT_LANES; ++t) fine = fine && sum[t] == 0.0f;
    return fine;
}

/* All windows of a few images; 0 if something was not finite: then they have to go the ordinary way. */
static __attribute__((noinline, unused)) int weft_winograd_images(long images, const weft_windows *g, const weft_axis *a, const float *x, const float *kept,
    float *y, float *planes)
{
    const weft_squares s = weft_squares_of(g, 0, g->outputs, planes);
    const long total = images * s.high * s.wide, image = g->out[1] * g->out[2] * g->outputs;
    weft_vector sum = {0};
    weft_run run;
    for (long begin = 0; begin < total; begin += s.strip) {
        const long count = weft_least(total - begin, s.strip);
        for (long q = 0; q < count; q += run.count) {
            run = weft_run_at(&s, begin + q, count - q);
            weft_patches(g, a, &s, run, x + run.b * g->xb, s.patches + q * s.in);
        }
        weft_winograd_products(g, &s, count, kept);
        for (long q = 0; q < count; q += run.count) {
            run = weft_run_at(&s, begin + q, count - q);
            weft_squares_out(g, &s, run, s.results + q * s.out, y + run.b * image, &sum);
        }
    }
    return weft_all_finite(sum);
}

/* ---- the adjoint in the weight ---- */
/* Squares of cotangents become 16 numbers, the last row and column with the other sign. */
WEFT_INLINE void weft_squares_read(const int whole, const weft_windows *g, const weft_squares *s, weft_run run, const float *from, float *v, weft_mask some)
{
    const long plane = s->out_plane, k = g->outputs, row = g->out[2] * k;
    const int below = 2 * run.high + 1 < g->out[1];
    const weft_vector zero = {0};
    for (long t = 0; t < run.count; ++t, v += s->out, from += 2 * k) {
        const int right = 2 * (run.wide + t) + 1 < g->out[2];
        const weft_vector p = WEFT_PART(from, some), q = right ? WEFT_PART(from + k, some) : zero;
        const weft_vector r = below ? WEFT_PART(from + row, some) : zero, e = below && right ? WEFT_PART(from + row + k, some) : zero;
        const weft_vector left[4] = {p, p + r, p - r, r}, other[4] = {q, q + e, q - e, e};
        WEFT_UNROLL for (int i = 0; i < 4; ++i) {
            float *const at = v + 4 * i * plane;
            *(weft_vector *)at = left[i];
            *(weft_vector *)(at + plane) = left[i] + other[i];
            *(weft_vector *)(at + 2 * plane) = left[i] - other[i];
            *(weft_vector *)(at + 3 * plane) = other[i];
        }
    }
}
static __attribute__((noinline, unused)) void weft_squares_in(const weft_windows *g, const weft_squares *s, weft_run run, const float *d, float *to)
{
    d += 2 * run.high * g->out[2] * g->outputs + 2 * run.wide * g->outputs + s->from;
    for (long c = 0; c < s->broad; c += WEFT_LANES) {
        const weft_mask some = weft_first(weft_least(s->broad - c, WEFT_LANES));
        if (WEFT_VECTOR_BYTES < 64 && s->broad - c >= WEFT_LANES) weft_squares_read(1, g, s, run, d + c, to + c, some);
        else weft_squares_read(0, g, s, run, d + c, to + c, some);
    }
}

/* The sums over all squares are added to w as 3 x 3. */
static __attribute__((noinline, unused)) void weft_winograd_back(const weft_windows *g, const weft_squares *s, float *w)
{
    const long plane = s->sum_plane;
    for (long c = 0; c < g->channels; ++c) for (long k = 0; k < s->broad; k += WEFT_LANES) {
        const weft_mask some = weft_first(weft_least(s->broad - k, WEFT_LANES));
        const float *const u = s->sums + c * s->out + k;
        weft_vector h[4][3];
        WEFT_UNROLL for (int i = 0; i < 4; ++i) {
            const weft_vector p = *(const weft_vector *)(u + 4 * i * plane), q = *(const weft_vector *)(u + (4 * i + 1) * plane);
            const weft_vector r = *(const weft_vector *)(u + (4 * i + 2) * plane), e = *(const weft_vector *)(u + (4 * i + 3) * plane), half = 0.5f * (q + r);
            h[i][0] = p + half; h[i][1] = 0.5f * (q - r); h[i][2] = half - e;
        }
        WEFT_UNROLL for (int j = 0; j < 3; ++j) {
            const weft_vector half = 0.5f * (h[1][j] + h[2][j]);
            const weft_vector v[3] = {h[0][j] + half, 0.5f * (h[1][j] - h[2][j]), half - h[3][j]};
            WEFT_UNROLL for (int i = 0; i < 3; ++i) {
                float *const to = w + (3 * i + j) * g->tap + c * g->lead + s->from + k;
                weft_store(to, weft_load(to, some) + v[i], some);
            }
        }
    }
}

/* Are all sums finite? */
static __attribute__((noinline, unused)) int weft_finite_sums(const weft_windows *g, const weft_squares *s)
{
    const float none = s->zeros[0];
    weft_vector sum = {0};
    for (int f = 0; f < 16; ++f) for (long t = 0; t < g->channels * s->out; t += WEFT_LANES) sum += none * *(const weft_vector *)(s->sums + f * s->sum_plane + t);
    return weft_all_finite(sum);
}

/* What a few images add to w, for outputs from .. from + broad. */
static __attribute__((noinline, unused)) int weft_winograd_sums(long images, const weft_windows *g, const weft_axis *a, const weft_squares *s, const float *x, const float *d)
{
    const long total = images * s->high * s->wide, image = g->out[1] * g->out[2] * g->outputs;
    weft_run run;
    for (long begin = 0; begin < total; begin += s->strip) {
        const long count = weft_least(total - begin, s->strip);
        for (long q = 0; q < count; q += run.count) {
            run = weft_run_at(s, begin + q, count - q);
            weft_patches(g, a, s, run, x + run.b * g->xb, s->patches + q * s->in);
            weft_squares_in(g, s, run, d + run.b * image, s->results + q * s->out);
        }
        for (int f = 0; f < 16; ++f)
            weft_gemm_strips(g->channels, s->out, count, s->patches + f * s->in_plane, 1, s->in, s->results + f * s->out_plane, s->out, WEFT_STRIP,
                s->sums + f * s->sum_plane, s->out, begin > 0);
    }
    return weft_finite_sums(g, s);
}
/* The adjoint in the weight, for so many outputs at once that their sums stay in cache.  Outputs that see what is not finite go the ordinary way:
   how many are made here? */
static __attribute__((noinline, unused)) long weft_winograd_gradients(long images, const weft_windows *g, const weft_axis *a, const float *x, const float *d,
    float *w, float *planes)
{
    for (long from = 0; from < g->outputs; from += g->broad) {
        const weft_squares s = weft_squares_of(g, from, weft_least(g->outputs - from, g->broad), planes);
        if (!weft_winograd_sums(images, g, a, &s, x, d)) return from;
        weft_winograd_back(g, &s, w);
    }
    return g->outputs;
}
