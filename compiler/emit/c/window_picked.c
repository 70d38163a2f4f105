/* The adjoint in the weight behind a pool of two by two, for few channels: lanes are outputs, and each picks the number that the window which won reads
   out of two rows of 16.  So nothing is laid out for every window, and a tap takes a pick and a multiply-add for 16 winners. */
#if WEFT_VECTOR_BYTES == 64
#include <immintrin.h>
enum { WEFT_PICKED_CHANNELS = 4 };

/* `some` outputs of `beside` windows of the pool are a vector.  Rows of 16 numbers, one for `span` windows, `groups` of them in a padded row: `down` floats
   from the row of a tap to that of the next, which is the one that the pool's second row begins with, `below` to that of the next window. */
typedef struct { long span, groups, right, down, below, plane; } weft_picking;
/* What vectors of the last outputs hold, of a row of windows. */
WEFT_INLINE long weft_beside(const weft_picking *k, long some) { return 16 / some < k->span ? 16 / some : k->span; }
static __attribute__((unused)) int weft_picking_of(const weft_windows *g, long high, weft_picking *k)
{
    const long s = g->stride[2], reach = g->pool_dilation[2] * s + g->kernel[2], rest = g->outputs % 16;
    *k = (weft_picking){.right = g->pool_stride[2] * s};
    const int square = g->kernel[1] == g->kernel[2] && (g->kernel[1] == 3 || g->kernel[1] == 5) && g->dilation[2] == 1
        && g->pool_dilation[1] * g->stride[1] == g->dilation[1];
    if (!square || g->channels > WEFT_PICKED_CHANNELS || g->pool[1] != 2 || g->pool[2] != 2 || reach > 16) return 0;
    k->span = (16 - reach) / k->right + 1;
    if (rest) k->span = k->span / weft_beside(k, rest) * weft_beside(k, rest);
    k->groups = (g->pool_out[2] + k->span - 1) / k->span;
    k->down = 16 * k->groups * g->dilation[1];
    k->below = 16 * k->groups * g->pool_stride[1] * g->stride[1];
    k->plane = 16 * k->groups * high;
    return 1;
}
/* Rows of padded pixels, `wide` of them in a row, as rows of 16. */
static __attribute__((noinline, unused)) void weft_lay_picked(const weft_windows *g, const weft_picking *k, long high, long wide, const float *from,
    long step, float *to)
{
    const long c = g->channels, next = k->span * k->right;
    for (long t = 0; t < c; ++t) for (long i = 0; i < high; ++i) for (long group = 0; group < k->groups; ++group, to += 16) {
        const long left = wide - group * next, some = left < 16 ? left : 16;
        const float *const x = from + i * step + group * next * c + t;
        if (c == 1) _mm512_store_ps(to, _mm512_maskz_loadu_ps(weft_first(some), x));
        else for (long lane = 0; lane < 16; ++lane) to[lane] = lane < some ? x[lane * c] : 0.0f;
    }
}
/* sums[tap][lane] += what is picked, times d: outputs `some` of all windows of `rows` rows of the pool, of one channel. */
#define WEFT_PICK const weft_windows *g, const weft_picking *k, long rows, long some, const int *place, const float *d, const float *x, float *sums
WEFT_INLINE void weft_pick(const int side, WEFT_PICK)
{
    const long o = g->outputs, beside = weft_beside(k, some), across = g->pool_out[2];
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
    const __m512i second = _mm512_set1_epi32((int)(g->pool_dilation[2] * g->stride[2])), onward = _mm512_set1_epi32((int)(beside * k->right));
    __m512i window = _mm512_setzero_si512();                            /* where the window of a lane begins */
    for (long w = 1; w < beside; ++w)
        window = _mm512_mask_set1_epi32(window, _mm512_cmpge_epi32_mask(lanes, _mm512_set1_epi32((int)(w * some))), (int)(w * k->right));
    __m512i here = window;
    __m512 sum[25];
    WEFT_UNROLL for (int t = 0; t < side * side; ++t) sum[t] = _mm512_load_ps(sums + 16 * t);
    for (long y = 0; y < rows; ++y, x += k->below, here = window) for (long q = 0, inside = 0, group = 0; q < across; q += beside) {
        const long many = across - q < beside ? across - q : beside;
        __m512i p = _mm512_maskz_loadu_epi32(weft_first(some), place);
        __m512 v = _mm512_maskz_loadu_ps(weft_first(some), d);
        for (long w = 1; w < many; ++w) {
            const __mmask16 own = (__mmask16)(weft_first(some) << (w * some));
            p = _mm512_mask_expandloadu_epi32(p, own, place + w * o);
            v = _mm512_mask_expandloadu_ps(v, own, d + w * o);
        }
        v = _mm512_castsi512_ps(_mm512_andnot_si512(_mm512_srai_epi32(p, 31), _mm512_castps_si512(v)));     /* 0 where nobody won */
        const __m512i column = _mm512_mullo_epi32(_mm512_and_si512(p, one), second), lower = _mm512_slli_epi32(_mm512_and_si512(p, two), 3);
        __m512i at = _mm512_add_epi32(_mm512_add_epi32(here, column), lower);
        const float *const begin = x + group;
        place += many * o, d += many * o, inside += many;
        here = _mm512_add_epi32(here, onward);
        if (inside >= k->span) inside = 0, here = window, group += 16;
        WEFT_UNROLL for (int j = 0; j < side; ++j, at = _mm512_add_epi32(at, one)) {
            const float *from = begin;
            __m512 upper = _mm512_load_ps(from);
            WEFT_UNROLL for (int i = 0; i < side; ++i) {
                from += k->down;
                __asm__ volatile("" : "+r"(from));                       /* loaded again for every j: registers are full of sums */
                const __m512 below = _mm512_load_ps(from);
                sum[i * side + j] = _mm512_fmadd_ps(_mm512_permutex2var_ps(upper, at, below), v, sum[i * side + j]);
                upper = below;
            }
        }
    }
    WEFT_UNROLL for (int t = 0; t < side * side; ++t) _mm512_store_ps(sums + 16 * t, sum[t]);
}
static __attribute__((noinline, unused)) void weft_pick_3(WEFT_PICK) { weft_pick(3, g, k, rows, some, place, d, x, sums); }
static __attribute__((noinline, unused)) void weft_pick_5(WEFT_PICK) { weft_pick(5, g, k, rows, some, place, d, x, sums); }
/* All outputs and channels of some rows of the pool: sums[outputs / 16][channel][tap][lane] */
static __attribute__((noinline, unused)) void weft_pick_rows(const weft_windows *g, const weft_picking *k, long rows, const int *place, const float *d,
    const float *x, float *sums)
{
    const long taps = g->kernel[1] * g->kernel[2];
    for (long o = 0; o < g->outputs; o += 16) for (long c = 0; c < g->channels; ++c, sums += 16 * taps) {
        const long some = g->outputs - o < 16 ? g->outputs - o : 16;
        (g->kernel[1] == 5 ? weft_pick_5 : weft_pick_3)(g, k, rows, some, place + o, d + o, x + c * k->plane, sums);
    }
}
/* w[number][output] += sums */
static __attribute__((noinline, unused)) void weft_add_picked(const weft_windows *g, const weft_picking *k, const float *sums, float *w)
{
    const long taps = g->kernel[1] * g->kernel[2];
    for (long o = 0; o < g->outputs; o += 16) for (long c = 0; c < g->channels; ++c) for (long t = 0; t < taps; ++t, sums += 16) {
        const long some = g->outputs - o < 16 ? g->outputs - o : 16, beside = weft_beside(k, some);
        float *const to = w + (t * g->channels + c) * g->lead + o;
        for (long window = 0; window < beside; ++window) for (long i = 0; i < some; ++i) to[i] += sums[window * some + i];
    }
}
#endif
