/* The adjoint in x where most cotangents are zeros, as a pool of maxima leaves them: the others are listed, pixel by pixel, and each adds its part of
   the weight, a row of taps at a time, in vectors.  Whether an image is such a one is seen when it comes. */

#if defined(WEFT_TILES)
enum { WEFT_SPARSE_VECTORS = 8, WEFT_SPARSE_FLOATS = 1 << 15, WEFT_SPARSE_IMAGE = 1 << 13, WEFT_SPARSE_NUMBERS = 1 << 14 };
/* A row of taps is `vectors` long, `rows` of them; what they reach has `high` rows of `row` numbers, a vector to spare. */
typedef struct { long vectors, rows, high, row, last; } weft_sparse;
WEFT_INLINE weft_sparse weft_sparse_of(const weft_windows *g)
{
    const long run = g->kernel[2] * g->outputs, vectors = (run + 15) / 16;
    return (weft_sparse){vectors, g->kernel[1], (g->in[1] - 1) * g->stride[1] + (g->kernel[1] - 1) * g->dilation[1] + 1,
        ((g->in[2] - 1) * g->stride[2] + g->kernel[2]) * g->outputs, run - 16 * (vectors - 1)};
}
/* Floats of the weight as rows of taps for every channel; 0 if it does not stay in cache, or there are three axes. */
static __attribute__((unused)) long weft_sparse_floats(const weft_windows *g)
{
    const weft_sparse s = weft_sparse_of(g);
    const long floats = g->channels * s.rows * s.vectors * 16;
    const int images = g->in[0] * g->out[0] * g->kernel[0] == 1 && g->groups == 1 && g->dilation[2] == 1;
    const int listed = g->in[1] * g->in[2] * weft_up(g->channels, 16) <= WEFT_SPARSE_NUMBERS;
    return images && listed && s.vectors <= WEFT_SPARSE_VECTORS && floats <= WEFT_SPARSE_FLOATS && s.high * s.row <= WEFT_SPARSE_IMAGE ? floats : 0;
}
static __attribute__((noinline, unused)) void weft_keep_sparse(const weft_windows *g, const float *w, float *to)
{
    const weft_sparse s = weft_sparse_of(g);
    const long taps = g->kernel[1] * g->kernel[2], o = g->outputs;
    memset(to, 0, (size_t)weft_sparse_floats(g) * sizeof(float));
    for (long c = 0; c < g->channels; ++c) for (long r = 0; r < s.rows; ++r, to += 16 * s.vectors) for (long k = 0; k < g->kernel[2]; ++k)
        memcpy(to + k * o, w + (taps - 1 - r * g->kernel[2] - k) * g->tap + c * g->lead, (size_t)o * sizeof(float));       /* turned */
}
/* The numbers of pixels that are not zero, `most` for each, and which they are: how many are there, or -1 if they are too many? */
static __attribute__((noinline, unused)) long weft_list_numbers(long pixels, long channels, const float *x, long next, int *count, int *which, float *number)
{
    const long most = weft_up(channels, 16);
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    long all = 0;
    for (long p = 0; p < pixels; ++p, x += next, which += most, number += most) {
        long found = 0;
        for (long c = 0; c < channels; c += 16) {
            const __m512 v = _mm512_maskz_loadu_ps(weft_lanes_of(channels - c), x + c);
            const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
            _mm512_storeu_ps(number + found, _mm512_maskz_compress_ps(some, v));
            _mm512_storeu_si512(which + found, _mm512_maskz_compress_epi32(some, _mm512_add_epi32(lanes, _mm512_set1_epi32((int)c))));
            found += __builtin_popcount(some);
        }
        count[p] = (int)found;
        all += found;
        if (5 * all > 2 * (p + 16) * channels) return -1;
    }
    return all;
}
/* y += the sum of `count` rows of taps, each by its number */
WEFT_INLINE void weft_add_numbers(const int vectors, long count, const int *which, const float *number, const float *w, long next, __mmask16 last, float *y)
{
    __m512 sum[WEFT_SPARSE_VECTORS];
    WEFT_UNROLL for (int v = 0; v < vectors; ++v) sum[v] = _mm512_setzero_ps();
    for (long i = 0; i < count; ++i) {
        const float *const from = w + which[i] * next;
        const __m512 x = _mm512_set1_ps(number[i]);
        WEFT_UNROLL for (int v = 0; v < vectors; ++v) sum[v] = _mm512_fmadd_ps(x, _mm512_loadu_ps(from + 16 * v), sum[v]);
    }
    WEFT_UNROLL for (int v = 0; v < vectors; ++v) {
        const __mmask16 some = v + 1 < vectors ? 0xffff : last;
        _mm512_mask_storeu_ps(y + 16 * v, some, _mm512_add_ps(sum[v], _mm512_maskz_loadu_ps(some, y + 16 * v)));
    }
}
#define WEFT_NUMBERS long rows, long columns, const int *count, const int *which, const float *number, long most, const float *w, long next, __mmask16 last, \
    float *y, long down, long right
/* A row of taps for all pixels, one below the other: so what was just written is read again whole. */
#define WEFT_ADD_NUMBERS(vectors) \
static __attribute__((noinline, unused)) void weft_add_numbers_##vectors(WEFT_NUMBERS) \
{ \
    for (long k = 0; k < columns; ++k) for (long i = 0; i < rows; ++i) { \
        const long p = i * columns + k; \
        if (count[p]) weft_add_numbers(vectors, count[p], which + p * most, number + p * most, w, next, last, y + i * down + k * right); \
    } \
}
WEFT_ADD_NUMBERS(1) WEFT_ADD_NUMBERS(2) WEFT_ADD_NUMBERS(3) WEFT_ADD_NUMBERS(4)
WEFT_ADD_NUMBERS(5) WEFT_ADD_NUMBERS(6) WEFT_ADD_NUMBERS(7) WEFT_ADD_NUMBERS(8)
/* One image, if it has few numbers: was it done? */
static __attribute__((noinline, unused)) int weft_sparse_image(const weft_windows *g, const float *x, const float *kept, float *y, float *planes)
{
    static void (*const add[])(WEFT_NUMBERS) = {weft_add_numbers_1, weft_add_numbers_2, weft_add_numbers_3, weft_add_numbers_4, weft_add_numbers_5,
        weft_add_numbers_6, weft_add_numbers_7, weft_add_numbers_8};
    const weft_sparse s = weft_sparse_of(g);
    const long pixels = g->in[1] * g->in[2], most = weft_up(g->channels, 16), o = g->outputs, next = s.rows * s.vectors * 16;
    float *const sums = planes, *const number = sums + weft_up(s.high * s.row, 16);
    int *const which = (int *)(number + pixels * most + 16), *const count = which + pixels * most + 16;
    if (weft_list_numbers(pixels, g->channels, x, g->channels, count, which, number) < 0) return 0;
    memset(sums, 0, (size_t)(s.high * s.row) * sizeof(float));
    for (long r = 0; r < s.rows; ++r)
        add[s.vectors - 1](g->in[1], g->in[2], count, which, number, most, kept + r * s.vectors * 16, next, weft_lanes_of(s.last),
            sums + r * g->dilation[1] * s.row, g->stride[1] * s.row, g->stride[2] * o);
    for (long i = 0; i < g->out[1]; ++i) {                              /* what windows do not reach has no cotangent */
        const long from = i + g->low[1], left = weft_least(s.row - g->low[2] * o, g->out[2] * o), some = from < s.high && left > 0 ? left : 0;
        memcpy(y + i * g->out[2] * o, sums + from * s.row + g->low[2] * o, (size_t)some * sizeof(float));
        memset(y + i * g->out[2] * o + some, 0, (size_t)(g->out[2] * o - some) * sizeof(float));
    }
    return 1;
}
#endif
