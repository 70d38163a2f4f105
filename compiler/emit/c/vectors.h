/* Vectors as wide as the processor has them, GCC vector types; the extents of register tiles follow from their lanes. */
#pragma once
#if defined(__AVX512F__)
enum { WEFT_LANES = 16, WEFT_TILE_ROWS = 12, WEFT_TILE_VECTORS = 2, WEFT_DOT_COLUMNS = 4 };
#define WEFT_VECTOR_BYTES 64
#elif defined(__AVX__)
enum { WEFT_LANES = 8, WEFT_TILE_ROWS = 6, WEFT_TILE_VECTORS = 2, WEFT_DOT_COLUMNS = 2 };
#define WEFT_VECTOR_BYTES 32
#else
#if defined(__aarch64__)
enum { WEFT_LANES = 4, WEFT_TILE_ROWS = 6, WEFT_TILE_VECTORS = 4, WEFT_DOT_COLUMNS = 2 };
#else
enum { WEFT_LANES = 4, WEFT_TILE_ROWS = 4, WEFT_TILE_VECTORS = 2, WEFT_DOT_COLUMNS = 2 };
#endif
#define WEFT_VECTOR_BYTES 16
#endif
enum { WEFT_STRIP = 32, WEFT_DEPTH = 256, WEFT_TILE_COLUMNS = WEFT_TILE_VECTORS * WEFT_LANES, WEFT_STRIP_SCRATCH = WEFT_STRIP * WEFT_DEPTH,
       WEFT_DOT_ROWS = WEFT_LANES / WEFT_DOT_COLUMNS };
#if defined(__AVX512F__) || defined(__aarch64__)
#define WEFT_REGISTERS 32
#else
#define WEFT_REGISTERS 16
#endif
#define WEFT_UNROLL _Pragma("GCC unroll 32")
typedef float weft_vector __attribute__((vector_size(WEFT_VECTOR_BYTES), aligned(4), may_alias));
#if defined(__x86_64__)
#define WEFT_KEEP(u) __asm__("" : "+v"(u))                              /* in a register: one load, not one for each multiply-add */
#define WEFT_FENCE(u) __asm__ volatile("" : "+v"(u))                    /* and made here, before the next one: no two wait for a register */
#else
#define WEFT_KEEP(u) (void)(u)
#define WEFT_FENCE(u) (void)(u)
#endif
WEFT_INLINE long weft_least(long a, long b) { return a < b ? a : b; }

/* The first `count` lanes (1 .. WEFT_LANES) of a vector in memory; nothing else is touched. */
#if defined(__AVX512F__)
typedef unsigned short weft_mask;
WEFT_INLINE weft_mask weft_first(long count) { return (weft_mask)(0xffffu >> (WEFT_LANES - count)); }
WEFT_INLINE weft_vector weft_load(const float *p, weft_mask some)
{
    return (weft_vector)__builtin_ia32_loadups512_mask(p, (weft_vector){0}, some);
}
WEFT_INLINE void weft_store(float *p, weft_vector v, weft_mask some) { __builtin_ia32_storeups512_mask(p, v, some); }
#elif defined(__AVX__)
typedef int weft_mask __attribute__((vector_size(32)));
typedef float weft_wide __attribute__((vector_size(32)));
WEFT_INLINE weft_mask weft_first(long count) { return (weft_mask){0, 1, 2, 3, 4, 5, 6, 7} < (int)count; }
WEFT_INLINE weft_vector weft_load(const float *p, weft_mask some)
{
    return __builtin_ia32_maskloadps256((const weft_wide *)p, some);
}
WEFT_INLINE void weft_store(float *p, weft_vector v, weft_mask some)
{
    if (__builtin_ia32_movmskps256((weft_wide)some) == 0xff) *(weft_vector *)p = v;     /* AMD takes a dozen cycles for a store with a mask */
    else __builtin_ia32_maskstoreps256((weft_wide *)p, some, v);
}
#else
typedef long weft_mask;
WEFT_INLINE weft_mask weft_first(long count) { return count; }
WEFT_INLINE weft_vector weft_load(const float *p, weft_mask some)
{
    if (some == WEFT_LANES) return *(const weft_vector *)p;
    weft_vector v = {0};
    for (long t = 0; t < some; ++t) v[t] = p[t];
    return v;
}
WEFT_INLINE void weft_store(float *p, weft_vector v, weft_mask some)
{
    if (some == WEFT_LANES) *(weft_vector *)p = v;
    else for (long t = 0; t < some; ++t) p[t] = v[t];
}
#endif

/* x0 y0 x1 y1 …: the lower and the upper half of the interleaving; log2(LANES) rounds of it transpose LANES vectors */
#if defined(__clang__) || __GNUC__ >= 12
#define WEFT_SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
typedef int weft_indices __attribute__((vector_size(WEFT_VECTOR_BYTES)));
#define WEFT_SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (weft_indices){__VA_ARGS__})
#endif
#if WEFT_VECTOR_BYTES == 64
#define WEFT_LOW(x, y) WEFT_SHUFFLE(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define WEFT_HIGH(x, y) WEFT_SHUFFLE(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif WEFT_VECTOR_BYTES == 32
#define WEFT_LOW(x, y) WEFT_SHUFFLE(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define WEFT_HIGH(x, y) WEFT_SHUFFLE(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define WEFT_LOW(x, y) WEFT_SHUFFLE(x, y, 0, 4, 1, 5)
#define WEFT_HIGH(x, y) WEFT_SHUFFLE(x, y, 2, 6, 3, 7)
#endif

/* A round of the interleavings that transpose LANES vectors. */
#define WEFT_ROUND(from, to) \
    WEFT_UNROLL for (int t = 0; t < WEFT_LANES / 2; ++t) { \
        to[2 * t] = WEFT_LOW(from[t], from[t + WEFT_LANES / 2]); to[2 * t + 1] = WEFT_HIGH(from[t], from[t + WEFT_LANES / 2]); \
    }
/* LANES vectors in v, turned; `u` is room for as many. */
#if WEFT_VECTOR_BYTES == 64
#define WEFT_TURN(v, u) WEFT_ROUND(v, u) WEFT_ROUND(u, v) WEFT_ROUND(v, u) WEFT_ROUND(u, v)
#elif WEFT_VECTOR_BYTES == 32
/* With AVX2 the two halves of vectors change places once; before that neighbours and pairs of them are interleaved within each half. */
#define WEFT_INTERLEAVE(from, to, one, other, next) { \
    const weft_vector x = from[one], y = from[other]; \
    to[next] = WEFT_SHUFFLE(x, y, 0, 8, 1, 9, 4, 12, 5, 13); to[next + 1] = WEFT_SHUFFLE(x, y, 2, 10, 3, 11, 6, 14, 7, 15); }
#define WEFT_INTERLEAVE_PAIRS(from, to, one, other, next) { \
    const weft_vector x = from[one], y = from[other]; \
    to[next] = WEFT_SHUFFLE(x, y, 0, 1, 8, 9, 4, 5, 12, 13); to[next + 1] = WEFT_SHUFFLE(x, y, 2, 3, 10, 11, 6, 7, 14, 15); }
#define WEFT_TURN(v, u) \
    WEFT_UNROLL for (int t = 0; t < 8; t += 2) WEFT_INTERLEAVE(v, u, t, t + 1, t) \
    WEFT_UNROLL for (int t = 0; t < 8; t += 4) { WEFT_INTERLEAVE_PAIRS(u, v, t, t + 2, t) WEFT_INTERLEAVE_PAIRS(u, v, t + 1, t + 3, t + 2) } \
    WEFT_UNROLL for (int t = 0; t < 4; ++t) { \
        const weft_vector x = v[t], y = v[t + 4]; \
        v[t] = WEFT_SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11); v[t + 4] = WEFT_SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15); \
    }
#else
#define WEFT_TURN(v, u) WEFT_ROUND(v, u) WEFT_ROUND(u, v)
#endif
