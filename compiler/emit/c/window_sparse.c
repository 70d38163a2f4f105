/* The adjoint in x where many cotangents are zeros, as a pool of maxima leaves them: the others are listed, pixel by pixel, and each adds its part of
   the weight, a row of taps at a time, in vectors.  Whether an image is such a one is seen when it comes. */
#if WEFT_VECTOR_BYTES == 64
#include <immintrin.h>
#endif
enum { WEFT_SPARSE_VECTORS = 14 };                                     /* at once */
/* A row of taps is `wide` floats long, of which `run` are some, `rows` of them; what they reach has `high` rows of `row` numbers. */
typedef struct { long run, wide, rows, high, row; } weft_sparse;
WEFT_INLINE weft_sparse weft_sparse_of(const weft_windows *g)
{
    const long run = g->kernel[2] * g->outputs;
    return (weft_sparse){run, weft_up(run, 16), g->kernel[1], (g->in[1] - 1) * g->stride[1] + (g->kernel[1] - 1) * g->dilation[1] + 1,
        ((g->in[2] - 1) * g->stride[2] + g->kernel[2]) * g->outputs};
}
/* The weight as rows of taps; are all of its numbers finite?  Zeros that are not listed would not be zeros otherwise. */
static __attribute__((noinline, unused)) int weft_keep_sparse(const weft_windows *g, const float *w, float *to)
{
    const weft_sparse s = weft_sparse_of(g);
    const long taps = g->kernel[1] * g->kernel[2], o = g->outputs;
    float *row = to;
    int spoilt = 0;
    memset(to, 0, (size_t)g->listed * sizeof(float));
    for (long c = 0; c < g->channels; ++c) for (long r = 0; r < s.rows; ++r, row += s.wide) for (long k = 0; k < g->kernel[2]; ++k)
        memcpy(row + k * o, w + (taps - 1 - r * g->kernel[2] - k) * g->tap + c * g->lead, (size_t)o * sizeof(float));       /* turned */
    for (long t = 0; t < g->listed; ++t) {
        int bits;
        memcpy(&bits, to + t, sizeof bits);
        spoilt |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !spoilt;
}
/* The numbers of pixels that are not zero, one behind the other, and which they are, those of pixel p from begin[p] on: were there no more than `most`? */
static __attribute__((noinline, unused)) int weft_list_numbers(long pixels, long channels, long most, const float *x, int *begin, int *which, float *number)
{
    long found = 0;
    for (long p = 0; p < pixels; ++p, x += channels) {
        begin[p] = (int)found;
#if WEFT_VECTOR_BYTES == 64
        const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        for (long c = 0; c < channels; c += 16) {
            const __m512 v = _mm512_maskz_loadu_ps(weft_first(weft_least(channels - c, 16)), x + c);
            const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
            _mm512_storeu_ps(number + found, _mm512_maskz_compress_ps(some, v));
            _mm512_storeu_si512(which + found, _mm512_maskz_compress_epi32(some, _mm512_add_epi32(lanes, _mm512_set1_epi32((int)c))));
            found += __builtin_popcount(some);
        }
#else
        for (long c = 0; c < channels; ++c) {
            number[found] = x[c];
            which[found] = (int)c;
            found += x[c] != 0.0f;
        }
#endif
        if (found * pixels > most * (p + 4)) return 0;                  /* four pixels may be full */
    }
    begin[pixels] = (int)found;
    return 1;
}
/* y += the sum of `count` rows of taps, each by its number */
WEFT_INLINE void weft_add_numbers(const int vectors, long count, const int *which, const float *number, const float *w, long next, weft_mask last, float *y)
{
    weft_vector sum[WEFT_SPARSE_VECTORS];
    WEFT_UNROLL for (int v = 0; v < vectors; ++v) sum[v] = (weft_vector){0};
    for (long i = 0; i < count; ++i) {
        const float *const from = w + which[i] * next;
        const float x = number[i];
        WEFT_UNROLL for (int v = 0; v < vectors; ++v) sum[v] += x * *(const weft_vector *)(from + v * WEFT_LANES);
    }
    WEFT_UNROLL for (int v = 0; v + 1 < vectors; ++v) *(weft_vector *)(y + v * WEFT_LANES) += sum[v];
    float *const end = y + (vectors - 1) * WEFT_LANES;
    weft_store(end, weft_load(end, last) + sum[vectors - 1], last);
}
#define WEFT_NUMBERS long rows, long columns, const int *begin, const int *which, const float *number, const float *w, long next, weft_mask last, \
    float *y, long down, long right
/* Vectors of a row of taps for all pixels, one below the other: so what was just written is read again whole. */
#define WEFT_ADD_NUMBERS(vectors) \
static __attribute__((noinline, unused)) void weft_add_numbers_##vectors(WEFT_NUMBERS) \
{ \
    for (long k = 0; k < columns; ++k) for (long i = 0; i < rows; ++i) { \
        const long p = i * columns + k, at = begin[p], count = begin[p + 1] - at; \
        if (count) weft_add_numbers(vectors, count, which + at, number + at, w, next, last, y + i * down + k * right); \
    } \
}
WEFT_ADD_NUMBERS(1) WEFT_ADD_NUMBERS(2) WEFT_ADD_NUMBERS(3) WEFT_ADD_NUMBERS(4)
WEFT_ADD_NUMBERS(5) WEFT_ADD_NUMBERS(6) WEFT_ADD_NUMBERS(7) WEFT_ADD_NUMBERS(8)
WEFT_ADD_NUMBERS(9) WEFT_ADD_NUMBERS(10) WEFT_ADD_NUMBERS(11) WEFT_ADD_NUMBERS(12) WEFT_ADD_NUMBERS(13) WEFT_ADD_NUMBERS(14)
/* One image whose pixels lie dense, if it has no more than `few` numbers: was it done? */
static __attribute__((noinline, unused)) int weft_sparse_image(const weft_windows *g, long few, const float *x, const float *kept, float *y, float *planes)
{
    static void (*const add[])(WEFT_NUMBERS) = {weft_add_numbers_1, weft_add_numbers_2, weft_add_numbers_3, weft_add_numbers_4, weft_add_numbers_5,
        weft_add_numbers_6, weft_add_numbers_7, weft_add_numbers_8, weft_add_numbers_9, weft_add_numbers_10, weft_add_numbers_11, weft_add_numbers_12,
        weft_add_numbers_13, weft_add_numbers_14};
    const weft_sparse s = weft_sparse_of(g);
    const long pixels = g->in[1] * g->in[2], room = pixels * weft_up(g->channels, 16) + 16, o = g->outputs, next = s.rows * s.wide;
    const long vectors = (s.run + WEFT_LANES - 1) / WEFT_LANES, parts = (vectors + WEFT_SPARSE_VECTORS - 1) / WEFT_SPARSE_VECTORS;
    float *const sums = planes, *const number = sums + weft_up(s.high * s.row, 16);
    int *const which = (int *)number + room, *const begin = which + room;
    if (!weft_list_numbers(pixels, g->channels, few, x, begin, which, number)) return 0;
    memset(sums, 0, (size_t)(s.high * s.row) * sizeof(float));
    for (long r = 0; r < s.rows; ++r) for (long part = 0; part < parts; ++part) {
        const long v = vectors * part / parts, end = vectors * (part + 1) / parts, at = v * WEFT_LANES;
        add[end - v - 1](g->in[1], g->in[2], begin, which, number, kept + r * s.wide + at, next,
            weft_first(weft_least(s.run - (end - 1) * WEFT_LANES, WEFT_LANES)), sums + r * g->dilation[1] * s.row + at, g->stride[1] * s.row, g->stride[2] * o);
    }
    for (long i = 0; i < g->out[1]; ++i) {                              /* what windows do not reach has no cotangent */
        const long from = i + g->low[1], left = weft_least(s.row - g->low[2] * o, g->out[2] * o), some = from < s.high && left > 0 ? left : 0;
        memcpy(y + i * g->out[2] * o, sums + from * s.row + g->low[2] * o, (size_t)some * sizeof(float));
        memset(y + i * g->out[2] * o + some, 0, (size_t)(g->out[2] * o - some) * sizeof(float));
    }
    return 1;
}
