/* Tile units (AMX), where a processor has them: their operands are planes of bfloat16.  A float is the exact sum of three of them,
   x = h + m + l, each 8 bits of its significand: a plane each. */
#pragma once
#include "products.h"
#if defined(WEFT_TILES)
#include <immintrin.h>
enum { WEFT_DEEP = 128, WEFT_BROAD = 256, WEFT_PIECE = 3 * 512,        /* blocks of k and of columns; halves in the planes of a tile */
       WEFT_FEW = 2 * 2 * WEFT_DEEP / 32 * WEFT_PIECE, WEFT_MANY = WEFT_BROAD / 16 * WEFT_DEEP / 32 * WEFT_PIECE };
typedef struct { uint8_t palette, start, rest[14]; uint16_t bytes[16]; uint8_t rows[16]; } weft_tile_shape;
static const weft_tile_shape weft_tile_shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

/* ---- packing: 16 rows of A, or columns of B, by 32 of k, as three planes of bfloat16; `sum` is NaN where a number is not finite ---- */
#define WEFT_UPPER _mm512_set1_epi32((int)0xffff0000u)
#define WEFT_ODD _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, \
    31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1)
WEFT_INLINE __m512 weft_rest(__m512 x)                                  /* what the upper half of a float leaves, exactly */
{
    return _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), WEFT_UPPER)));
}
/* The upper halves of a and b: all of a and then all of b (`in_turn`), or side by side, which takes half as long. */
WEFT_INLINE __m512i weft_upper_halves(__m512 a, __m512 b, int in_turn)
{
    const __m512i x = _mm512_castps_si512(a), y = _mm512_castps_si512(b);
    return in_turn ? _mm512_permutex2var_epi16(x, WEFT_ODD, y)
                   : _mm512_ternarylogic_epi32(_mm512_srli_epi32(x, 16), y, WEFT_UPPER, 0xf8);              /* x >> 16 | y & upper */
}
WEFT_INLINE void weft_split(__m512 a, __m512 b, const int in_turn, uint16_t *to, long apart, __m512 *sum)
{
    WEFT_UNROLL for (int plane = 0; plane < 3; ++plane) {
        _mm512_store_si512(to + plane * apart, weft_upper_halves(a, b, in_turn));
        if (plane == 2) break;
        a = weft_rest(a);
        b = weft_rest(b);
    }
    *sum = _mm512_fmadd_ps(a, b, *sum);
}
WEFT_INLINE void weft_split_pair(__m512 a, __m512 b, uint16_t *to, __m512 *sum) { weft_split(a, b, 0, to, 512, sum); }
WEFT_INLINE __mmask16 weft_lanes_of(long count) { return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1); }
WEFT_INLINE int weft_finite(__m512 sum) { return _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q) == 0; }

/* ---- rows x columns tiles of C, two by two at most: the largest terms last ---- */
#define WEFT_LOAD_A(plane) \
    _tile_loadd(4, a + (plane) * 512, 64); \
    if (rows > 1) _tile_loadd(5, a + below + (plane) * 512, 64);
#define WEFT_LOAD_B(plane) \
    _tile_loadd(6, b + (plane) * 512, 64); \
    if (columns > 1) _tile_loadd(7, b + beside + (plane) * 512, 64);
#define WEFT_DOT_TILES \
    _tile_dpbf16ps(0, 4, 6); \
    if (columns > 1) _tile_dpbf16ps(1, 4, 7); \
    if (rows > 1) _tile_dpbf16ps(2, 5, 6); \
    if (rows > 1 && columns > 1) _tile_dpbf16ps(3, 5, 7);

/* A side by `depth` of k: [16 rows][32 of k][plane], pairs of neighbours; are all numbers finite? */
WEFT_SHARED int weft_split_a(long count, long depth, const float *x, long row, long column, uint16_t *to);
WEFT_SHARED int weft_split_b(long count, long depth, const float *x, long row, long column, uint16_t *to);
/* The same with pairs of what lies 16 apart. */
WEFT_SHARED int weft_cut_a(long count, long depth, const float *x, long row, long column, uint16_t *to);
WEFT_SHARED int weft_cut_b(long count, long depth, const float *x, long row, long column, uint16_t *to);
/* Units `at` .. `end`, multiples of four, of 32 rows of A that lie turned. */
WEFT_SHARED __m512 weft_turned_lines_in_turn(long at, long end, const float *x, long step, uint16_t *to, long beside, float *turned,
    __m512 sum);
/* C from packed operands, whose tiles lie `below` and `beside` each other: small enough that they stay in cache. */
WEFT_SHARED void weft_tiled(long m, long n, long steps, const uint16_t *a, long below, const uint16_t *b, long beside, float *c, long cr,
    int accumulate);
#endif
