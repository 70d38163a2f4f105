/* Maps beside a product on tile units: while the products of some units run, vector units work on the ones before them, a piece of a row after each
   product of tiles.  One after the other would take the sum of both.  What is mapped is printed for each loop over time (beside.py). */
#pragma once
#include "kept.h"
#include "tile_units.h"
#if defined(WEFT_TILES)
/* Tiles of A and C with as many rows as there are: a product takes as long as it has rows. */
WEFT_SHARED void weft_few_rows(long rows);
/* So many rows of A, each along k, in planes; are all numbers finite? */
WEFT_SHARED int weft_cut_few(long rows, long depth, const float *a, long ar, uint16_t *to);

#define WEFT_NOTHING(piece)
#define WEFT_COLUMN_BESIDE(t, DO) \
    { \
        const uint16_t *const p = b + t * WEFT_PIECE; \
        _tile_loadd(7, p + 1024, 64); _tile_dpbf16ps(t, 4, 7); DO(0) \
        _tile_loadd(7, p + 512, 64); _tile_dpbf16ps(t, 4, 7); DO(1) _tile_dpbf16ps(t, 5, 7); DO(2) \
        _tile_loadd(7, p, 64); _tile_dpbf16ps(t, 5, 7); DO(3) _tile_dpbf16ps(t, 6, 7); DO(4) _tile_dpbf16ps(t, 4, 7); DO(5) \
    }
/* z = A B for the `parts` of 16 units, side by side in rows of 64, and meanwhile DO of as many rows as there is time for: `row` counts them. */
#define WEFT_COLUMNS_BESIDE(parts, DO) \
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); \
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += parts * WEFT_PIECE) { \
        _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64); \
        WEFT_COLUMN_BESIDE(0, DO) \
        row += row < rows; \
        if (parts > 1) WEFT_COLUMN_BESIDE(1, WEFT_NOTHING) \
        if (parts > 2) { \
            WEFT_COLUMN_BESIDE(2, DO) \
            row += row < rows; \
        } \
        if (parts > 3) WEFT_COLUMN_BESIDE(3, WEFT_NOTHING) \
    } \
    _tile_stored(0, z, 256); \
    if (parts > 1) _tile_stored(1, z + 16, 256); \
    if (parts > 2) _tile_stored(2, z + 32, 256); \
    if (parts > 3) _tile_stored(3, z + 48, 256); \
    __asm__ volatile("" ::: "memory");
#endif
