/* Products on tile units (AMX), where a processor has them: C[i*cr + j] (+)= sum_k A[i*ar + k*ac] * B[k*br + j*bc], from planes (planes.c).
   Of the nine products of two sums of three bfloat16 the six of at least 2^-16 are added in float, what is left out is below the rounding of
   one float product.  The error is that of multiply-adds, whose peak is 2.4 times lower.  Inf and NaN go the ordinary way; sums below 2^-126
   count as zero.  All blocks add up in one order, step by step and in each the smallest terms first, so an element is the same wherever a block begins. */
#if defined(WEFT_TILES)
#define WEFT_EACH_TILE(DO) \
    if (rows == 1) { DO(0, 0, 0) DO(1, 0, 1) DO(2, 0, 2) DO(3, 0, 3) } \
    else { DO(0, 0, 0) DO(1, 0, 1) DO(2, 1, 0) DO(3, 1, 1) }
#define WEFT_FETCH_TILE(t, i, j) if (i < rows && j < columns) _tile_loadd(t, start + 16 * (i * sr + j), 4 * sr);
#define WEFT_KEEP_TILE(t, i, j) if (i < rows && j < columns) _tile_stored(t, c + 16 * (i * cr + j), 4 * cr);
#define WEFT_SPILL_TILE(t, i, j) if (i < rows && j < columns) _tile_stored(t, edge + 16 * (i * 64 + j), 256);
#define WEFT_DOT_COLUMN _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(2, 5, 6);
#define WEFT_COLUMN_OF(j) \
    if (j < columns) { \
        _tile_loadd(7, b + j * beside + 1024, 64); _tile_dpbf16ps(j, 4, 7); \
        _tile_loadd(7, b + j * beside + 512, 64); _tile_dpbf16ps(j, 4, 7); _tile_dpbf16ps(j, 5, 7); \
        _tile_loadd(7, b + j * beside, 64); _tile_dpbf16ps(j, 5, 7); _tile_dpbf16ps(j, 6, 7); _tile_dpbf16ps(j, 4, 7); \
    }
/* Two by two tiles find the first of A and B loaded, and load those of the block that follows: tile units need not wait in between.
   `dense`: is twice as much packed in the same time? */
#define WEFT_FOUR(how) if (at < end) { from = weft_from_##how(0, at, x, step_of_x); place = weft_to_##how(at, to, apart); }
#define WEFT_ONE(how, i) \
    if (at < end) { \
        sum = weft_##how(0, i, from, step_of_x, place, apart, turned, sum); \
        weft_fetch_unit(weft_along_##how, at + i, ahead, step_of_x); \
    }
#define WEFT_FOUR_DONE if (at < end) at += 4;
#define WEFT_SIX(how) \
    WEFT_FOUR(how) WEFT_DOT_TILES WEFT_ONE(how, 0) \
    WEFT_LOAD_B(1) WEFT_DOT_TILES WEFT_ONE(how, 1) WEFT_ONE(how, 2) \
    WEFT_LOAD_A(1) WEFT_DOT_TILES WEFT_ONE(how, 3) \
    WEFT_FOUR_DONE WEFT_FOUR(how) \
    WEFT_LOAD_B(0) WEFT_DOT_TILES if (dense) { WEFT_ONE(how, 0) } \
    WEFT_LOAD_A(2) WEFT_DOT_TILES if (dense) { WEFT_ONE(how, 1) WEFT_ONE(how, 2) } \
    WEFT_LOAD_A(0) WEFT_DOT_TILES if (dense) { WEFT_ONE(how, 3) WEFT_FOUR_DONE }
WEFT_INLINE void weft_fetch_lines(const int rows, const int columns, long step, const float *c, long cr)
{
    if (step < 4) WEFT_UNROLL for (int i = 0; i < 4 * rows; ++i)          /* the lines of C come, some at a time */
        WEFT_UNROLL for (int j = 0; j < columns; ++j) __builtin_prefetch(c + (4 * rows * step + i) * cr + 16 * j, 1);
}
/* Lines of the block of C that comes next, a share of them in every step */
WEFT_INLINE void weft_fetch_block(long step, long steps, const float *c, long cr)
{
    for (long i = 32 * step / steps; i < 32 * (step + 1) / steps; ++i) __builtin_prefetch(c + i * cr, 1), __builtin_prefetch(c + i * cr + 16, 1);
}
/* C at an edge: tiles begin with what is there and end in it, as whole ones do. */
#define WEFT_OPEN_TILE(t, i, j) if (i < rows && j < columns) _tile_loadd(t, edge + 16 * (i * 64 + j), 256);
WEFT_INLINE void weft_open_edge(const int rows, const int columns, const float *c, long cr, long m, long n)
{
    float edge[2048] __attribute__((aligned(64)));
    for (long i = 0; i < 16 * rows; ++i) for (long j = 0; j < 16 * columns; j += 16)
        _mm512_store_ps(edge + i * 64 + j, _mm512_maskz_loadu_ps(i < m ? weft_lanes_of(n - j) : 0, c + i * cr + j));
    __asm__ volatile("" ::: "memory");
    WEFT_EACH_TILE(WEFT_OPEN_TILE)
}
WEFT_INLINE void weft_keep_edge(const int rows, const int columns, float *c, long cr, long m, long n)
{
    float edge[2048] __attribute__((aligned(64)));
    WEFT_EACH_TILE(WEFT_SPILL_TILE)
    __asm__ volatile("" ::: "memory");
    for (long i = 0; i < m && i < 16 * rows; ++i) for (long j = 0; j < n && j < 16 * columns; j += 16)
        _mm512_mask_storeu_ps(c + i * cr + j, weft_lanes_of(n - j), _mm512_load_ps(edge + i * 64 + j));
}
#define WEFT_OPEN \
    if (!start) { _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); } \
    else if (whole) { WEFT_EACH_TILE(WEFT_FETCH_TILE) } \
    else weft_open_edge(rows, columns, start, sr, m, n);
#define WEFT_CLOSE if (whole) { WEFT_EACH_TILE(WEFT_KEEP_TILE) } else weft_keep_edge(rows, columns, c, cr, m, n);
/* Sums begin with what lies in `start`, rows `sr` apart: C itself, one row for all (0 apart), or zeros (no `start`). */
#define WEFT_BLOCK long steps, const uint16_t *a, long below, const uint16_t *b, long beside, float *c, long cr, long m, long n, \
    const float *start, long sr
#define WEFT_SQUARE(name, BEFORE, SIX, AFTER) \
static __attribute__((noinline, unused)) void weft_square_##name(WEFT_BLOCK, const uint16_t *next_a, const uint16_t *next_b, const float *next_c, \
    weft_errand *one, float *turned, int dense) \
{ \
    enum { rows = 2, columns = 2 }; \
    const int whole = m >= 32 && n >= 32; \
    BEFORE \
    WEFT_OPEN \
    for (long step = 0; step < steps; ++step) { \
        weft_fetch_block(step, steps, next_c, cr); \
        SIX \
        a = step + 1 < steps ? a + WEFT_PIECE : next_a; \
        b = step + 1 < steps ? b + WEFT_PIECE : next_b; \
        WEFT_LOAD_A(0) WEFT_LOAD_B(2) \
    } \
    WEFT_CLOSE \
    AFTER \
}
#define WEFT_TAKE \
    const float *const x = one->x, *const ahead = one->ahead ? one->ahead : x, *from = x; \
    const long step_of_x = one->side->step, apart = (one->depth + 31) / 32 * WEFT_PIECE, end = one->end; \
    long at = one->at; \
    uint16_t *const to = one->to, *place = to; \
    __m512 sum = *one->sum;
#define WEFT_GIVE *one->sum = sum; one->at = at;
WEFT_SQUARE(lines, WEFT_TAKE, WEFT_SIX(lines), WEFT_GIVE) WEFT_SQUARE(turned_lines, WEFT_TAKE, WEFT_SIX(turned_lines), WEFT_GIVE)
WEFT_SQUARE(pairs, WEFT_TAKE, WEFT_SIX(pairs), WEFT_GIVE) WEFT_SQUARE(turned_pairs, WEFT_TAKE, WEFT_SIX(turned_pairs), WEFT_GIVE)
#undef WEFT_FOUR
#undef WEFT_ONE
#undef WEFT_FOUR_DONE
#define WEFT_FOUR(how)
#define WEFT_ONE(how, i)
#define WEFT_FOUR_DONE
WEFT_SQUARE(alone, (void)one; (void)turned; (void)dense;, WEFT_SIX(lines), )
WEFT_INLINE void weft_load_first(const uint16_t *a, long below, const uint16_t *b, long beside)
{
    enum { rows = 2, columns = 2 };
    WEFT_LOAD_A(0) WEFT_LOAD_B(2)
}
/* a column of two tiles, or a row of up to four */
WEFT_INLINE void weft_tiles_of(const int rows, const int columns, WEFT_BLOCK)
{
    const int whole = m >= 16 * rows && n >= 16 * columns;
    WEFT_OPEN
    for (long step = 0; step < steps; ++step, a += WEFT_PIECE, b += WEFT_PIECE) {
        weft_fetch_lines(rows, columns, step, c, cr);
        if (rows > 1) {
            WEFT_LOAD_A(0) WEFT_LOAD_B(2) WEFT_DOT_COLUMN WEFT_LOAD_B(1) WEFT_DOT_COLUMN
            WEFT_LOAD_A(1) WEFT_DOT_COLUMN WEFT_LOAD_B(0) WEFT_DOT_COLUMN
            WEFT_LOAD_A(2) WEFT_DOT_COLUMN WEFT_LOAD_A(0) WEFT_DOT_COLUMN
        } else {                                                        /* all planes of A, one of B: up to four columns */
            _tile_loadd(4, a, 64); _tile_loadd(5, a + 512, 64); _tile_loadd(6, a + 1024, 64);
            WEFT_COLUMN_OF(0) WEFT_COLUMN_OF(1) WEFT_COLUMN_OF(2) WEFT_COLUMN_OF(3)
        }
    }
    WEFT_CLOSE
}
#define WEFT_TILES_OF(rows, columns) \
static __attribute__((noinline, unused)) void weft_tiles_##rows##columns(WEFT_BLOCK) \
{ weft_tiles_of(rows, columns, steps, a, below, b, beside, c, cr, m, n, start, sr); }
WEFT_TILES_OF(1, 1) WEFT_TILES_OF(1, 2) WEFT_TILES_OF(1, 3) WEFT_TILES_OF(1, 4) WEFT_TILES_OF(2, 1)
WEFT_INLINE int weft_is_square(long m, long n) { return m > 16 && n > 16; }
/* what is no square of tiles */
static __attribute__((unused)) void weft_narrow(WEFT_BLOCK)
{
    (m > 16 ? weft_tiles_21 : n > 48 ? weft_tiles_14 : n > 32 ? weft_tiles_13 : n > 16 ? weft_tiles_12 : weft_tiles_11)
        (steps, a, below, b, beside, c, cr, m, n, start, sr);
}

/* C from packed operands, whose tiles lie `below` and `beside` each other: small enough that they stay in cache. */
WEFT_SHARED void weft_tiled(long m, long n, long steps, const uint16_t *a, long below, const uint16_t *b, long beside,
    float *c, long cr, int accumulate)
{
    for (long i = 0; i < m; i += 32) {
        const uint16_t *const left = a + i / 16 * below;
        if (weft_is_square(m - i, n)) weft_load_first(left, below, b, beside);
        for (long j = 0; j < n; j += m - i > 16 ? 32 : 64) {
            const uint16_t *const right = b + j / 16 * beside, *const next = n - j > 48 ? right + 2 * beside : right;
            float *const to = c + i * cr + j;
            if (!weft_is_square(m - i, n - j)) weft_narrow(steps, left, below, right, beside, to, cr, m - i, n - j, accumulate ? to : 0, cr);
            else weft_square_alone(steps, left, below, right, beside, to, cr, m - i, n - j, accumulate ? to : 0, cr, left, next, to + 32, 0, 0, 0);
        }
    }
}

/* A round: what of the shorter side is multiplied together, and how much of k. */
typedef struct { long from, broad, k, deep, steps, units; } weft_stretch;
WEFT_INLINE long weft_cuts(long shorter, long depth)
{
    const long most = shorter <= WEFT_BROAD / 2 ? 2 * WEFT_DEEP : WEFT_DEEP;
    return (depth + most - 1) / most;
}
WEFT_INLINE weft_stretch weft_stretch_of(long number, long shorter, long depth)
{
    const long outers = (shorter + WEFT_BROAD - 1) / WEFT_BROAD, broad = ((shorter + outers - 1) / outers + 31) / 32 * 32;
    const long cuts = weft_cuts(shorter, depth), deep = ((depth + cuts - 1) / cuts + 31) / 32 * 32;
    weft_stretch r = {number / cuts * broad, broad, number % cuts * deep, deep, 0, 0};
    r.broad = weft_least(shorter - r.from, broad);
    r.deep = weft_least(depth - r.k, deep);
    r.steps = (r.deep + 31) / 32;
    r.units = (r.broad + 31) / 32;
    return r;
}
static __attribute__((unused)) void weft_square(WEFT_BLOCK, const uint16_t *next_a, const uint16_t *next_b, const float *next_c,
    weft_errands *errands, int dense)
{
    weft_errand *const one = errands->list + errands->now;
    const int nothing = errands->now == errands->count || one->at == one->end;
    (nothing ? weft_square_alone : one->side->left ? one->side->along ? weft_square_lines : weft_square_turned_lines
        : one->side->along ? weft_square_turned_pairs : weft_square_pairs)
        (steps, a, below, b, beside, c, cr, m, n, start, sr, next_a, next_b, next_c, one, errands->turned, dense);
}
/* Both sides of a product, their planes, and what of them is not finite. */
typedef struct {
    weft_operand shorter, longer;
    uint16_t *few[2], *many[2];
    __m512 of_few[2], of_many[2][WEFT_BROAD / 32];
    weft_errands errands;
} weft_packing;
/* The longer side's next 32 but one, or the first of them in the next round: that is packed after this. */
WEFT_INLINE void weft_few_later(weft_packing *p, long panel, long panels, const weft_stretch *r, const weft_stretch *next, long way)
{
    const long from = panel + 1 < panels ? 32 * (panel + 1) : 0, k = panel + 1 < panels ? r->k : next->k;
    const float *const ahead = panel + 1 < panels || next->deep ? weft_number(&p->longer, from, k) : 0;
    weft_later(&p->errands, &p->longer, 32 * panel, p->longer.count, r->k, r->deep, p->few[way], p->of_few + way, ahead);
}
WEFT_INLINE void weft_many_later(weft_packing *p, long unit, const weft_stretch *r, long side)
{
    const float *const ahead = unit + 1 < r->units ? weft_number(&p->shorter, r->from + 32 * (unit + 1), r->k) : 0;
    weft_later(&p->errands, &p->shorter, r->from + 32 * unit, r->from + r->broad, r->k, r->deep, p->many[side] + 2 * unit * r->steps * WEFT_PIECE,
        p->of_many[side] + unit, ahead);
}
/* Units of the first errands that are left.  Not read in pairs: a load of two words that were just stored apart would wait for all tiles. */
WEFT_INLINE long weft_owed(const weft_errands *e, long count)
{
    long owed = 0;
    for (long t = e->now; t < count; ++t) owed += e->list[t].end - *(volatile const long *)&e->list[t].at;
    return owed;
}
/* The shorter side is packed as a whole, at most 256 of it by 128 of k or 128 by 256, the longer one 32 at a time.  While a block is multiplied,
   what later blocks need is packed: the next 32, and the shorter side of the next round.  What is not finite goes the ordinary way. */
WEFT_SHARED void weft_gemm_tiles(long m, long n, long depth, const float *a, long ar, long ac, const float *b,
    long br, long bc, float *c, long cr, int accumulate, const float *row, float *scratch)
{
    const int flat = m < n;
    const weft_operand left = weft_left(a, m, ar, ac, 0), right = weft_right(b, n, br, bc, 0);
    uint16_t *const few = (uint16_t *)scratch, *const many = few + 2 * WEFT_FEW;
    float *const plain = (float *)(many + 2 * WEFT_MANY);
    weft_packing p;
    p.shorter = flat ? left : right, p.longer = flat ? right : left;
    p.few[0] = few, p.few[1] = few + WEFT_FEW, p.many[0] = many, p.many[1] = many + WEFT_MANY;
    weft_errands *const errands = &p.errands;
    const long count = flat ? m : n, panels = ((flat ? n : m) + 31) / 32;
    const long rounds = (count + WEFT_BROAD - 1) / WEFT_BROAD * weft_cuts(count, depth);
    const uint16_t *loaded_a = 0, *loaded_b = 0;                         /* what the first tiles of operands hold */
    weft_stretch here = weft_stretch_of(0, count, depth);
    _tile_loadconfig(&weft_tile_shapes);
    for (long number = 0, way = 0; number < rounds; ++number) {
        const weft_stretch next = number + 1 < rounds ? weft_stretch_of(number + 1, count, depth) : (weft_stretch){0};
        const long piece = here.steps * WEFT_PIECE, side = number & 1;
        const int more = accumulate || here.k > 0, opened = row && !more;
        for (long panel = 0, packed = 0; panel < panels; ++panel, way ^= 1) {
            const long some = weft_least((flat ? n : m) - 32 * panel, 32), wide = some <= 16 && !flat ? 64 : 32;
            const int first = number == 0 && panel == 0, last = panel + 1 == panels;
            errands->count = errands->now = 0;
            if (first) {
                weft_few_later(&p, 0, panels, &here, &next, 0);
                for (long u = 0; u < here.units; ++u) weft_many_later(&p, u, &here, 0);
            }
            if (!last) weft_few_later(&p, panel + 1, panels, &here, &next, !way);
            else if (next.deep) weft_few_later(&p, 0, panels, &next, &(weft_stretch){0}, !way);
            const long soon = errands->count;                            /* errands until the next panel can be multiplied */
            for (; packed < next.units * (panel + 1) / panels; ++packed) weft_many_later(&p, packed, &next, !side);
            for (long at = 0; at < here.broad; at += wide) {
                const long end = weft_least(at + wide, here.broad), i = flat ? here.from + at : 32 * panel, j = flat ? 32 * panel : here.from + at;
                const long rows = flat ? end - at : some, columns = flat ? some : end - at;
                const uint16_t *const unit = many + side * WEFT_MANY + at / 16 * piece, *const panel_at = few + way * WEFT_FEW;
                const uint16_t *const block_a = flat ? unit : panel_at, *const block_b = flat ? panel_at : unit;
                float *const to = c + i * cr + j;
                const float *const start = more ? to : opened ? row + j : 0;
                const long sr = more ? cr : 0;
                if (first) weft_until(errands, 1 + (end + 31) / 32);
                if (!weft_finite(p.of_few[way]) || !weft_finite(p.of_many[side][at / 32]) || !weft_finite(p.of_many[side][(end - 1) / 32])) {
                    if (opened) weft_fill_rows(rows, columns, row + j, to, cr);
                    weft_gemm_plain(rows, columns, here.deep, a + i * ar + here.k * ac, ar, ac, b + here.k * br + j * bc, br, bc, to, cr,
                        more || opened, plain);
                    continue;
                }
                if (!weft_is_square(rows, columns)) {
                    weft_narrow(here.steps, block_a, piece, block_b, piece, to, cr, rows, columns, start, sr);
                    loaded_a = 0;
                    continue;
                }
                while (errands->now < errands->count && errands->list[errands->now].at == errands->list[errands->now].end)
                    weft_until(errands, errands->now + 1);
                if (loaded_a != block_a || loaded_b != block_b) weft_load_first(block_a, piece, block_b, piece);
                const int within = end < here.broad, ready = within ? !first : errands->now >= soon && !last;
                const uint16_t *const next_unit = many + side * WEFT_MANY + (within ? end / 16 * piece : 0);
                const uint16_t *const next_panel = few + (within ? way : !way) * WEFT_FEW;
                const uint16_t *const next_a = !ready ? block_a : flat ? next_unit : next_panel, *const next_b = !ready ? block_b : flat ? next_panel : next_unit;
                const long each = 4 * here.steps, rest = (here.broad - end) / 32;                        /* units while a block is multiplied; blocks */
                const int dense = first ? weft_owed(errands, weft_least(errands->now + 1, soon)) > each
                                        : weft_owed(errands, soon) > each * rest || weft_owed(errands, errands->count) > each * (rest + 1);
                const long beyond = within ? here.from + end : here.from, aside = 32 * (within || last ? panel : panel + 1);
                const float *const next_c = c + (flat ? beyond : aside) * cr + (flat ? aside : beyond);
                weft_square(here.steps, block_a, piece, block_b, piece, to, cr, rows, columns, start, sr, next_a, next_b, next_c, errands, dense);
                loaded_a = ready ? next_a : 0;
                loaded_b = next_b;
            }
            weft_until(errands, errands->count);
        }
        here = next;
    }
    _tile_release();
}
#endif
