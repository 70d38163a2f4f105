/* Convolutions on tile units (AMX): products of patches whose planes of bfloat16 (tiles.c) are gathered from planes of the padded rows.
   A number is split once, however many windows read it; the weight is split once for all images of a thread. */

#if defined(WEFT_TILES)
enum { WEFT_PIECES = 32 };                                              /* at once */

/* Halves `some` of a vector that begins at `at`: where a part of a window lies among the padded rows. */
typedef struct { long at; uint32_t some, unused; } weft_part_of_window;

/* The numbers of a window, a vector of 32 after the other: vector v consists of parts first[v] .. first[v + 1].
   `plane`, `row`: halves from one to the next. */
static __attribute__((noinline, unused)) long weft_window_parts(const weft_windows *g, const weft_axis *a, long plane, long row,
    weft_part_of_window *parts, int *first)
{
    const long c = g->channels;
    long at = 0, count = 0;
    for (long i = 0; i < a[0].taps; ++i) for (long j = 0; j < a[1].taps; ++j) for (long k = 0; k < a[2].taps; ++k) {
        const long base = i * a[0].gap * plane + j * a[1].gap * row + k * a[2].gap * c;
        for (long t = 0; t < c; ) {
            const long lane = at % 32, some = weft_least(c - t, 32 - lane), from = base + t - lane;
            const uint32_t mask = (uint32_t)(((1ull << some) - 1) << lane);
            if (lane == 0) first[at / 32] = (int)count;
            if (lane > 0 && parts[count - 1].at == from) parts[count - 1].some |= mask;
            else parts[count++] = (weft_part_of_window){from, mask, 0};
            t += some;
            at += some;
        }
    }
    const long vectors = (at + 31) / 32;
    first[vectors] = (int)count;
    return vectors;
}

/* The rows of a view, `run` floats each, in planes whose rows are `pitch` halves long; `lines` of them, `step` apart. */
WEFT_INLINE void weft_split_rows(long lines, long run, const float *x, long step, uint16_t *to, long pitch, long apart, __m512 *sum)
{
    for (long i = 0; i < lines; ++i, x += step, to += pitch) {
        long t = 0;
        for (; t + 32 <= run; t += 32) weft_split(_mm512_loadu_ps(x + t), _mm512_loadu_ps(x + t + 16), 1, to + t, apart, sum);
        if (t < pitch) weft_split(_mm512_maskz_loadu_ps(weft_lanes_of(run - t), x + t), _mm512_maskz_loadu_ps(weft_lanes_of(run - t - 16), x + t + 16),
            1, to + t, apart, sum);
    }
}

/* ---- pieces that are gathered while tile units multiply others: 16 windows, each a vector in three planes ---- */
typedef struct {
    const uint16_t *from;
    long apart;
    const long *origin;                                                 /* window i begins at from + origin[i] */
    const weft_part_of_window *part;
    const int *first;                                                   /* of the vectors to gather, `vectors` of them */
    long vectors, blocks;                                               /* how many vectors, and blocks of 16 windows */
    uint16_t *to;
    long v, block, rest, unit, rate;                                    /* the piece at hand, how many are left, which sixth; sixths with four tiles */
} weft_gathering;

WEFT_INLINE void weft_gather_later(weft_gathering *j, const int *first, long vectors, long blocks, uint16_t *to)
{
    j->first = first, j->vectors = vectors, j->blocks = blocks, j->rest = vectors * blocks, j->to = to;
    j->v = j->block = j->unit = 0;
}
/* A sixth of a piece: one plane of eight windows. */
static __attribute__((noinline, unused)) void weft_gather_some(weft_gathering *j)
{
    if (j->rest == 0) return;
    const weft_part_of_window *const part = j->part + j->first[j->v];
    const long parts = j->first[j->v + 1] - j->first[j->v], half = j->unit & 1, plane = j->unit >> 1;
    const long *const origin = j->origin + j->block * 16 + half * 8;
    const uint16_t *const from = j->from + plane * j->apart;
    uint16_t *const to = j->to + plane * 512 + half * 256;
    if (++j->unit == 6) {
        j->unit = 0, --j->rest, j->to += WEFT_PIECE;
        if (++j->v == j->vectors) j->v = 0, ++j->block;
    }
    const long at = part->at;
    if (parts == 1 && part->some == 0xffffffffu) {
        WEFT_UNROLL for (int i = 0; i < 8; ++i) _mm512_store_si512(to + i * 32, _mm512_loadu_si512(from + origin[i] + at));
    } else if (parts < 3) {
        const __mmask32 some = part[0].some, others = parts > 1 ? part[1].some : 0;
        const long next = part[parts - 1].at;
        WEFT_UNROLL for (int i = 0; i < 8; ++i) _mm512_store_si512(to + i * 32,
            _mm512_mask_loadu_epi16(_mm512_maskz_loadu_epi16(some, from + origin[i] + at), others, from + origin[i] + next));
    } else for (int i = 0; i < 8; ++i) {
        __m512i v = _mm512_setzero_si512();
        for (long t = 0; t < parts; ++t) v = _mm512_mask_loadu_epi16(v, part[t].some, from + origin[i] + part[t].at);
        _mm512_store_si512(to + i * 32, v);
    }
}
static __attribute__((noinline, unused)) void weft_gather_rest(weft_gathering *j) { while (j->rest > 0) weft_gather_some(j); }
#define WEFT_MEANWHILE for (long u = 0; u < job->rate; ++u) weft_gather_some(job);

/* ---- tiles of C, while others are gathered: two by two, or four of a column or of a row ---- */
#define WEFT_OF_COLUMN(A, B) \
    _tile_loadd(7, a + (A) * 512, 64); _tile_dpbf16ps(0, 7, B); \
    if (count > 1) { _tile_loadd(7, a + below + (A) * 512, 64); _tile_dpbf16ps(1, 7, B); } \
    if (count > 2) { _tile_loadd(7, a + 2 * below + (A) * 512, 64); _tile_dpbf16ps(2, 7, B); } \
    if (count > 3) { _tile_loadd(7, a + 3 * below + (A) * 512, 64); _tile_dpbf16ps(3, 7, B); } \
    WEFT_MEANWHILE
#define WEFT_OF_ROW(A, B) \
    _tile_loadd(7, b + (B) * 512, 64); _tile_dpbf16ps(0, A, 7); \
    if (count > 1) { _tile_loadd(7, b + beside + (B) * 512, 64); _tile_dpbf16ps(1, A, 7); } \
    if (count > 2) { _tile_loadd(7, b + 2 * beside + (B) * 512, 64); _tile_dpbf16ps(2, A, 7); } \
    if (count > 3) { _tile_loadd(7, b + 3 * beside + (B) * 512, 64); _tile_dpbf16ps(3, A, 7); } \
    WEFT_MEANWHILE
enum { WEFT_SQUARE, WEFT_COLUMN, WEFT_ROW };
/* m x n of C, `count` tiles of it (four of a square) */
WEFT_INLINE void weft_multiply_tiles(const int shape, const int count, long steps, const uint16_t *a, long below, const uint16_t *b, long beside,
    float *c, long cr, long m, long n, int accumulate, weft_gathering *job)
{
    enum { rows = 2, columns = 2 };
    const long high = shape == WEFT_SQUARE ? 2 : shape == WEFT_COLUMN ? count : 1, wide = shape == WEFT_SQUARE ? 2 : shape == WEFT_ROW ? count : 1;
    const int whole = m >= 16 * high && n >= 16 * wide;
    const long right = shape == WEFT_COLUMN ? 16 * cr : 16, down = 16 * cr + (shape == WEFT_SQUARE ? 0 : 2 * right - 16 * cr);
    if (whole && accumulate) {
        _tile_loadd(0, c, 4 * cr);
        if (count > 1) _tile_loadd(1, c + right, 4 * cr);
        if (count > 2) _tile_loadd(2, c + down, 4 * cr);
        if (count > 3) _tile_loadd(3, c + down + right, 4 * cr);
    } else { _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); }
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += WEFT_PIECE) {
        if (shape == WEFT_SQUARE) {
            WEFT_LOAD_A(0) WEFT_LOAD_B(2) WEFT_DOT_TILES WEFT_MEANWHILE
            WEFT_LOAD_B(1) WEFT_DOT_TILES WEFT_MEANWHILE
            WEFT_LOAD_A(1) WEFT_DOT_TILES WEFT_MEANWHILE
            WEFT_LOAD_B(0) WEFT_DOT_TILES WEFT_MEANWHILE
            WEFT_LOAD_A(2) WEFT_DOT_TILES WEFT_MEANWHILE
            WEFT_LOAD_A(0) WEFT_DOT_TILES WEFT_MEANWHILE
        } else if (shape == WEFT_COLUMN) {
            _tile_loadd(4, b, 64); _tile_loadd(5, b + 512, 64); _tile_loadd(6, b + 1024, 64);
            WEFT_OF_COLUMN(0, 6) WEFT_OF_COLUMN(1, 5) WEFT_OF_COLUMN(0, 5) WEFT_OF_COLUMN(2, 4) WEFT_OF_COLUMN(1, 4) WEFT_OF_COLUMN(0, 4)
        } else {
            _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
            WEFT_OF_ROW(4, 2) WEFT_OF_ROW(5, 1) WEFT_OF_ROW(4, 1) WEFT_OF_ROW(6, 0) WEFT_OF_ROW(5, 0) WEFT_OF_ROW(4, 0)
        }
    }
    float edge[1024] __attribute__((aligned(64)));
    float *const to = whole ? c : edge;
    const long step = whole ? cr : 16 * wide, next = whole ? right : shape == WEFT_COLUMN ? 256 : 16;
    const long after = whole ? down : shape == WEFT_SQUARE ? 512 : 2 * next;
    _tile_stored(0, to, 4 * step);
    if (count > 1) _tile_stored(1, to + next, 4 * step);
    if (count > 2) _tile_stored(2, to + after, 4 * step);
    if (count > 3) _tile_stored(3, to + after + next, 4 * step);
    if (whole) return;
    __asm__ volatile("" ::: "memory");
    for (long i = 0; i < weft_least(m, 16 * high); ++i) for (long j = 0; j < weft_least(n, 16 * wide); j += 16) {
        const __mmask16 some = weft_lanes_of(n - j);
        __m512 y = _mm512_load_ps(edge + i * step + j);
        if (accumulate) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(some, c + i * cr + j));
        _mm512_mask_storeu_ps(c + i * cr + j, some, y);
    }
}
#define WEFT_MULTIPLY(name, shape, count) \
static __attribute__((noinline, unused)) void weft_multiply_##name(long steps, const uint16_t *a, long below, const uint16_t *b, long beside, \
    float *c, long cr, long m, long n, int accumulate, weft_gathering *job) \
{ weft_multiply_tiles(shape, count, steps, a, below, b, beside, c, cr, m, n, accumulate, job); }
WEFT_MULTIPLY(square, WEFT_SQUARE, 4)
WEFT_MULTIPLY(column_2, WEFT_COLUMN, 2) WEFT_MULTIPLY(column_3, WEFT_COLUMN, 3) WEFT_MULTIPLY(column_4, WEFT_COLUMN, 4)
WEFT_MULTIPLY(row_1, WEFT_ROW, 1) WEFT_MULTIPLY(row_2, WEFT_ROW, 2) WEFT_MULTIPLY(row_3, WEFT_ROW, 3) WEFT_MULTIPLY(row_4, WEFT_ROW, 4)

/* C from pieces of A and B whose tiles lie `below` and `beside` each other, while the pieces of the job are gathered: all of them in the end. */
static __attribute__((unused)) void weft_multiply(long m, long n, long steps, const uint16_t *a, long below, const uint16_t *b, long beside, float *c,
    long cr, int accumulate, weft_gathering *job)
{
    const long wide = m > 16 && n > 16 ? 32 : n > 16 ? 64 : 16, high = n > 16 && m > 16 ? 32 : 64;
    const long times = (m + high - 1) / high * ((n + wide - 1) / wide) * steps;
    job->rate = (job->rest + times - 1) / times;
#define WEFT_NOW(name) weft_multiply_##name(steps, left, below, right, beside, to, cr, m - i, n - j, accumulate, job)
    for (long i = 0; i < m; i += n > 16 && m - i > 16 ? 32 : high) for (long j = 0; j < n; j += m - i > 16 && n > 16 ? 32 : 64) {
        const uint16_t *const left = a + i / 16 * below, *const right = b + j / 16 * beside;
        float *const to = c + i * cr + j;
        if (m - i > 16 && n - j > 16) WEFT_NOW(square);
        else if (m - i > 48 && n <= 16) WEFT_NOW(column_4);
        else if (m - i > 32 && n <= 16) WEFT_NOW(column_3);
        else if (m - i > 16) WEFT_NOW(column_2);
        else if (n - j > 48) WEFT_NOW(row_4);
        else if (n - j > 32) WEFT_NOW(row_3);
        else if (n - j > 16) WEFT_NOW(row_2);
        else WEFT_NOW(row_1);
    }
#undef WEFT_NOW
    weft_gather_rest(job);
}
#endif
