/* Products whose right operand is the same in all steps of a loop over time: it is rearranged once, for tile units or for register tiles:
   `parts` times `n` columns, one after the other. */
#include "weft.h"
#include "kept.h"
#include "tile_units.h"
#include "beside.h"

WEFT_INLINE long weft_kept_floats(long parts, long n, long depth)
{
    const long planes = parts * ((n + 15) / 16) * ((depth + 31) / 32) * 768, strips = (parts * n + 31) / 32 * 32 * depth;
    return planes > strips ? planes : strips;
}
#if defined(WEFT_TILES)
/* Tiles of columns that are made together: the parts of 16 columns, or of columns as they come four at most. */
WEFT_INLINE long weft_group(long parts, long n)
{
    const long tiles = (n + 15) / 16, groups = (tiles + 3) / 4;
    return parts > 1 ? parts : (tiles + groups - 1) / groups;
}
/* The lines of 16 columns by 32 of k come from far away: one of them at a time is not foreseen. */
static __attribute__((unused)) void weft_fetch_piece(const float *x, long br, long bc)
{
    if (bc == 1) for (long k = 0; k < 32; ++k) __builtin_prefetch(x + k * br);
    else for (long i = 0; i < 16; ++i) __builtin_prefetch(x + i * bc), __builtin_prefetch(x + i * bc + 16);
}
/* Planes of bfloat16 in the order in which they are read: [group][32 of k][tile]; are all numbers finite? */
static __attribute__((unused)) int weft_keep_planes(long parts, long n, long depth, const float *b, long br, long bc, uint16_t *to)
{
    const long group = weft_group(parts, n), each = parts > 1 ? 16 : 16 * group;
    int finite = 1;
    for (long j = 0; j < n; j += each) for (long k = 0; k < depth; k += 32) for (long t = 0; t < group; ++t) {
        const long column = parts > 1 ? j : j + 16 * t, part = parts > 1 ? t * n : 0;
        if (column >= n) continue;
        const long later = k + 64 < depth ? k + 64 : k + 64 - (depth + 31) / 32 * 32, beside = k + 64 < depth ? column : column + each;
        if (later >= 0 && beside < n) weft_fetch_piece(b + later * br + (part + beside) * bc, br, bc);
        finite &= weft_cut_b(weft_least(n - column, 16), weft_least(depth - k, 32), b + k * br + (part + column) * bc, br, bc, to);
        to += WEFT_PIECE;
    }
    return finite;
}
WEFT_SHARED void weft_few_rows(long rows)
{
    weft_tile_shape shape = weft_tile_shapes;
    for (int t = 0; t < 7; ++t) shape.rows[t] = (uint8_t)rows;
    __asm__ volatile("" : "+m"(shape));                                 /* the intrinsic names 8 bytes of what it reads */
    _tile_loadconfig(&shape);
}
WEFT_SHARED int weft_cut_few(long rows, long depth, const float *a, long ar, uint16_t *to)
{
    const long whole = depth / 32 * 32;
    __m512 sum = _mm512_setzero_ps();
    for (long k = 0; k < whole; k += 32, to += WEFT_PIECE) for (long r = 0; r < rows; ++r)
        weft_split(_mm512_loadu_ps(a + r * ar + k), _mm512_loadu_ps(a + r * ar + k + 16), 0, to + 32 * r, 512, &sum);
    const __mmask16 low = weft_lanes_of(depth - whole), high = weft_lanes_of(depth - whole - 16);
    if (whole < depth) for (long r = 0; r < rows; ++r)
        weft_split(_mm512_maskz_loadu_ps(low, a + r * ar + whole), _mm512_maskz_loadu_ps(high, a + r * ar + whole + 16), 0, to + 32 * r, 512, &sum);
    return weft_finite(sum);
}
/* z = A B for a group of kept columns, its rows `zr` apart: the largest terms last */
#define WEFT_FEW_OF(t) \
    if (columns > t) { \
        const uint16_t *const p = b + t * WEFT_PIECE; \
        _tile_loadd(7, p + 1024, 64); _tile_dpbf16ps(t, 4, 7); \
        _tile_loadd(7, p + 512, 64); _tile_dpbf16ps(t, 4, 7); _tile_dpbf16ps(t, 5, 7); \
        _tile_loadd(7, p, 64); _tile_dpbf16ps(t, 5, 7); _tile_dpbf16ps(t, 6, 7); _tile_dpbf16ps(t, 4, 7); \
    }
WEFT_INLINE void weft_few(const int columns, long steps, const uint16_t *a, const uint16_t *b, float *z, long zr)
{
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += columns * WEFT_PIECE) {
        _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
        WEFT_FEW_OF(0) WEFT_FEW_OF(1) WEFT_FEW_OF(2) WEFT_FEW_OF(3)
    }
    _tile_stored(0, z, 4 * zr);
    if (columns > 1) _tile_stored(1, z + 16, 4 * zr);
    if (columns > 2) _tile_stored(2, z + 32, 4 * zr);
    if (columns > 3) _tile_stored(3, z + 48, 4 * zr);
    __asm__ volatile("" ::: "memory");
}
static __attribute__((noinline, unused)) void weft_few_columns(long columns, long steps, const uint16_t *a, const uint16_t *b, float *z, long zr)
{
    if (columns == 4) weft_few(4, steps, a, b, z, zr);
    else if (columns == 3) weft_few(3, steps, a, b, z, zr);
    else if (columns == 2) weft_few(2, steps, a, b, z, zr);
    else weft_few(1, steps, a, b, z, zr);
}
#endif
WEFT_SHARED int weft_keep(long m, long parts, long n, long depth, const float *b, long br, long bc, float *kept)
{
#if defined(WEFT_TILES)
    if (weft_tiles_allowed && m > 4 && n >= 16 && depth >= 32 && (br == 1 || bc == 1)
        && weft_keep_planes(parts, n, depth, b, br, bc, (uint16_t *)kept)) return WEFT_AS_PLANES;
#endif
    if (m < 2) return WEFT_AS_IT_IS;
    for (long j = 0; j < parts * n; j += WEFT_STRIP)
        weft_pack_strip(parts * n - j < WEFT_STRIP ? parts * n - j : WEFT_STRIP, depth, b + j * bc, br, bc, kept + j * depth);
    return WEFT_AS_STRIPS;
}
/* C (+)= A B for an operand that was kept as one part; `planes`: what weft_keep made, and behind it room for the planes of 16 rows of A */
WEFT_SHARED void weft_gemm_again(long m, long n, long depth, const float *a, long ar, long ac, const float *b,
    long br, long bc, int how, float *planes, float *c, long cr, int accumulate, float *scratch)
{
#if defined(WEFT_TILES)
    if (how == WEFT_AS_PLANES && (ar == 1 || ac == 1)) {
        const long each = 16 * weft_group(1, n), steps = (depth + 31) / 32;
        uint16_t *const split = (uint16_t *)(planes + weft_kept_floats(1, n, depth));
        float z[16 * 64] __attribute__((aligned(64)));
        for (long i = 0; i < m; i += 16, a += 16 * ar, c += 16 * cr) {
            const long rows = weft_least(m - i, 16);
            const uint16_t *some = (const uint16_t *)planes;
            if (!(ac == 1 ? weft_cut_few(rows, depth, a, ar, split) : weft_cut_a(rows, depth, a, ar, ac, split))) {
                weft_gemm_plain(rows, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
                continue;
            }
            weft_few_rows(rows);
            for (long u = 0; u < n; u += each) {
                const long count = weft_least(n - u, each), tiles = (count + 15) / 16, direct = !accumulate && count % 16 == 0;
                weft_few_columns(tiles, steps, split, some, direct ? c + u : z, direct ? cr : 64);
                some += tiles * steps * WEFT_PIECE;
                if (!direct) for (long r = 0; r < rows; ++r) for (long j = 0; j < count; ++j)
                    c[r * cr + u + j] = z[r * 64 + j] + (accumulate ? c[r * cr + u + j] : 0.0f);
            }
            _tile_release();
        }
        return;
    }
#endif
    if (how == WEFT_AS_STRIPS) weft_gemm_strips(m, n, depth, a, ar, ac, planes, WEFT_STRIP, WEFT_STRIP * depth, c, cr, accumulate);
    else weft_gemm_plain(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
}
