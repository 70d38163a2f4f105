/* An LSTM on tile units: while the products of 16 units run, vector units open the gates of the 16 before them, a gate of a row after each
   product of tiles.  One after the other would take the sum of both. */
#if defined(WEFT_TILES)
/* Rows of a step for the 16 units at hand, as `weft_cell` has them: gates g and o, what the state before makes of them z (gates 16 apart, rows 64),
   its bias b, c before, and the states after. */
typedef struct { const float *g, *b, *z, *c; float *y, *e, *o; } weft_lstm_row;
typedef struct { weft_lstm_row row; long gates, states, cells, opened, rows; } weft_lstm_rows;              /* from one row to the next */
WEFT_INLINE weft_lstm_row weft_lstm_at(const weft_lstm_rows *all, long r)
{
    const weft_lstm_row x = all->row;
    return (weft_lstm_row){x.g + r * all->gates, x.b, x.z + 64 * r, x.c + r * all->cells, x.y + r * all->states, x.e + r * all->states,
        x.o + r * all->opened};
}
#define WEFT_SIXTEEN _Pragma("omp simd") for (long j = 0; j < 16; ++j)
#define WEFT_GATE(q, open) WEFT_SIXTEEN x.o[q * n + j] = open(x.g[q * n + j] + (x.z[16 * q + j] + x.b[q * n + j]));
WEFT_INLINE void weft_lstm_piece(const int piece, long n, const weft_lstm_row x)
{
    if (piece == 0) WEFT_GATE(0, weft_sigmoid)
    if (piece == 1) WEFT_GATE(1, weft_sigmoid)
    if (piece == 2) WEFT_GATE(2, weft_tanh)
    if (piece == 3) WEFT_SIXTEEN x.e[j] = x.o[n + j] * x.c[j] + x.o[j] * x.o[2 * n + j];
    if (piece == 4) WEFT_GATE(3, weft_sigmoid)
    if (piece == 5) WEFT_SIXTEEN x.y[j] = x.o[3 * n + j] * weft_tanh(x.e[j]);
}
#define WEFT_PIECE_OF(piece) if (r < rows) weft_lstm_piece(piece, n, row);
/* z = A B for the four gates of 16 units, and meanwhile the rows of `all`, or as many as there is time for; how many were done. */
static __attribute__((noinline, unused)) long weft_lstm_columns(long steps, const uint16_t *a, const uint16_t *b, float *z, long n,
    const weft_lstm_rows *all)
{
    const long rows = all->rows;
    long r = 0;
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += 4 * WEFT_PIECE) {
        _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
        weft_lstm_row row = weft_lstm_at(all, r);
        WEFT_COLUMN_BESIDE(0, WEFT_PIECE_OF)
        r += r < rows;
        WEFT_COLUMN_BESIDE(1, WEFT_NOTHING)
        row = weft_lstm_at(all, r);
        WEFT_COLUMN_BESIDE(2, WEFT_PIECE_OF)
        r += r < rows;
        WEFT_COLUMN_BESIDE(3, WEFT_NOTHING)
    }
    _tile_stored(0, z, 256); _tile_stored(1, z + 16, 256); _tile_stored(2, z + 32, 256); _tile_stored(3, z + 48, 256);
    __asm__ volatile("" ::: "memory");
    return r;
}
/* One step of some rows: `now` points to their first units, `split` holds the state before in planes, `kept` the weight; `z` is room for two groups. */
static __attribute__((unused)) void weft_lstm_step(long n, weft_lstm_rows now, const uint16_t *split, const uint16_t *kept, float *z)
{
    const long steps = (n + 31) / 32;
    weft_lstm_rows last = now;
    last.rows = 0;
    for (long u = 0; u < n; u += 16, kept += 4 * steps * WEFT_PIECE) {
        float *const made = z + (u & 16) * 64;
        for (long r = 0; r < now.rows; ++r) for (long g = 0; g < 4; ++g)                                     /* what cells will read */
            __builtin_prefetch(now.row.g + r * now.gates + g * n + u);
        long r = weft_lstm_columns(steps, split, kept, made, n, &last);
        for (; r < last.rows; ++r) WEFT_UNROLL for (int piece = 0; piece < 6; ++piece) weft_lstm_piece(piece, n, weft_lstm_at(&last, r));
        last = now;
        last.row = (weft_lstm_row){now.row.g + u, now.row.b + u, made, now.row.c + u, now.row.y + u, now.row.e + u, now.row.o + u};
    }
    for (long r = 0; r < last.rows; ++r) {
        const weft_lstm_row x = weft_lstm_at(&last, r);
        weft_cell(WEFT_LSTM, (n - 1) % 16 + 1, n, x.g, x.b, x.z, 16, 0, x.c, x.y, x.e, x.o);
    }
}
#endif
