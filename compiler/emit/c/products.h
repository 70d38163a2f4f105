/* C[i*cr + j] (+)= sum_k A[i*ar + k*ac] * B[k*br + j*bc] on register tiles (gemm.c) or, where a processor has them, on tile units
   (tiles.c): which way is decided where the sizes are known. */
#pragma once
#include "vectors.h"
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__AVX512BW__) && defined(__linux__)
#define WEFT_TILES 1
extern __attribute__((visibility("hidden"))) int weft_tiles_allowed;    /* the kernel saves tiles only for those who asked */
#endif
/* Between these two, tiles hold 16 rows of 64 bytes. */
WEFT_SHARED void weft_begin_tiles(void);
WEFT_SHARED void weft_end_tiles(void);


/* ---- register tiles ---- */
/* 32 columns of B as [depth][32], zeros to the right */
WEFT_SHARED void weft_pack_strip(long n, long depth, const float *b, long br, long bc, float *packed);
/* Both operands run along k. */
WEFT_SHARED void weft_dot(long m, long n, long depth, const float *a, long ar, const float *b, long bc, float *c, long cr, int accumulate);
WEFT_SHARED void weft_clear(long m, long n, float *c, long cr);
WEFT_SHARED void weft_fill_rows(long m, long n, const float *row, float *c, long cr);
/* B in strips: strip s begins at b + s * strip, its rows are br apart (32 when packed). */
WEFT_SHARED void weft_gemm_strips(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long strip,
    float *c, long cr, int accumulate);
/* The sum of several products: C (+)= sum_t A[t * as] B[t * bs], B with rows of its own. */
WEFT_SHARED void weft_gemm_blocks(long blocks, long as, long bs, long m, long n, long depth, const float *a, long ar, long ac,
    const float *b, long br, float *c, long cr, int accumulate);
/* B packed strip by strip into the scratch */
WEFT_SHARED void weft_gemm_repack(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc,
    float *c, long cr, int accumulate, float *scratch);
/* One column of C. */
WEFT_SHARED void weft_gemm_column(long m, long depth, const float *a, long ar, long ac, const float *b, long br, float *c, long cr,
    int accumulate, float *scratch);
/* Dots, in half cycles, against packing B and whole tiles: dots win where few sums run deep.  A fifth more for what they read of B anew for
   every four rows. */
WEFT_INLINE int weft_prefers_dot(long m, long n, long depth)
{
    const long tiles = (m + WEFT_DOT_ROWS - 1) / WEFT_DOT_ROWS * ((n + WEFT_DOT_COLUMNS - 1) / WEFT_DOT_COLUMNS);
    return tiles * (depth + depth / 5 + 110) < depth * (n + WEFT_STRIP - 1) / WEFT_STRIP * 16 + m * depth * ((n + WEFT_LANES - 1) / WEFT_LANES);
}
/* Is A, which lies k by k, packed for tiles of six rows?  Many walks have to pay for it. */
WEFT_INLINE int weft_packs_rows(long m, long n, long ar, long ac)
{
    return WEFT_VECTOR_BYTES == 32 && ar == 1 && ac != 1 && m >= 96 && n >= 96;
}
enum { WEFT_BY_NOTHING, WEFT_BY_COLUMN, WEFT_BY_STRIPS, WEFT_BY_DOTS, WEFT_BY_PACKING };
WEFT_INLINE int weft_way_of(long m, long n, long depth, long ar, long ac, long br, long bc)
{
    if (depth <= 0) return WEFT_BY_NOTHING;
    if (n == 1) return WEFT_BY_COLUMN;
    if (bc == 1 && (m < 96 || br % 256) && !weft_packs_rows(m, n, ar, ac)) return WEFT_BY_STRIPS;            /* strides of whole KiB crowd few cache sets: pack */
    return br == 1 && ac == 1 && weft_prefers_dot(m, n, depth) ? WEFT_BY_DOTS : WEFT_BY_PACKING;
}
WEFT_INLINE void weft_gemm_plain(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc,
    float *c, long cr, int accumulate, float *scratch)
{
    const int way = weft_way_of(m, n, depth, ar, ac, br, bc);
    if (way == WEFT_BY_NOTHING) { if (!accumulate) weft_clear(m, n, c, cr); }
    else if (way == WEFT_BY_COLUMN) weft_gemm_column(m, depth, a, ar, ac, b, br, c, cr, accumulate, scratch);
    else if (way == WEFT_BY_STRIPS) weft_gemm_strips(m, n, depth, a, ar, ac, b, br, WEFT_STRIP, c, cr, accumulate);
    else if (way == WEFT_BY_DOTS) weft_dot(m, n, depth, a, ar, b, bc, c, cr, accumulate);
    else weft_gemm_repack(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
}

/* ---- tile units ---- */
#if defined(WEFT_TILES)
WEFT_SHARED void weft_gemm_tiles(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc, float *c,
    long cr, int accumulate, const float *row, float *scratch);
WEFT_INLINE long weft_whole_tiles(long count) { return (count + 15) / 16 * 16; }
/* Are tiles quicker?  Cycles of tiles and of packing against those of multiply-adds. */
WEFT_INLINE int weft_prefers_tiles(long m, long n, long depth, long ar, long ac, long br, long bc)
{
    if (!weft_tiles_allowed || (ar != 1 && ac != 1) || (br != 1 && bc != 1) || m < 8 || n < 8 || depth < 16) return 0;
    const double tiles = weft_whole_tiles(m) * (double)weft_whole_tiles(n) * ((depth + 31) / 32 * 32) * (6.8 / 512);
    const double left = m * (ac == 1 ? 0.65 : 0.8), right = n * (bc == 1 ? 0.65 : 0.8);
    return tiles + (left + right) * depth + 800 < m * (double)n * depth * (1.2 / 32);
}
#endif

WEFT_INLINE void weft_gemm(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc,
    float *c, long cr, int accumulate, float *scratch)
{
#if defined(WEFT_TILES)
    if (weft_prefers_tiles(m, n, depth, ar, ac, br, bc)) {
        weft_gemm_tiles(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, 0, scratch);
        return;
    }
#endif
    weft_gemm_plain(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
}

/* C[i*cr + j] = row[j] + sum_k A[i*ar + k*ac] * B[k*br + j*bc] */
WEFT_SHARED void weft_gemm_from_row(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc,
    float *c, long cr, const float *row, float *scratch);

/* Panels of C that one thread makes: on tile units an element is the same however C is cut, so they are one product there, if one panel would be
   made so; the other ways make them one by one. */
WEFT_INLINE int weft_is_tiled(long m, long n, long depth, long ar, long ac, long br, long bc)
{
#if defined(WEFT_TILES)
    return weft_prefers_tiles(m, n, depth, ar, ac, br, bc);
#else
    (void)m; (void)n; (void)depth; (void)ar; (void)ac; (void)br; (void)bc;
    return 0;
#endif
}
WEFT_INLINE void weft_gemm_panels(int tiled, long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc,
    float *c, long cr, int accumulate, float *scratch)
{
#if defined(WEFT_TILES)
    if (tiled) {
        weft_gemm_tiles(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, 0, scratch);
        return;
    }
#endif
    (void)tiled;
    weft_gemm(m, n, depth, a, ar, ac, b, br, bc, c, cr, accumulate, scratch);
}
