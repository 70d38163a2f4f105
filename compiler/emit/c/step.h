/* What the host passes to an entry, and the scatter of an embedding's gradient. */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { WEFT_GEMM_SCRATCH = 24576 + 98304 + 8192 };                      /* floats that products want of each thread, on every machine */

/* Kernels stay functions of their own: gcc does not vectorise a reduction that it has inlined. */
#define WEFT_KERNEL static __attribute__((noinline, unused))

/* Entries are long and compute nothing themselves: gcc's costly passes gain nothing there, and registers in view of every loop take it more
   time than all else. */
#if defined(__GNUC__) && !defined(__clang__)
#define WEFT_ENTRY __attribute__((optimize("O1", "ira-region=one")))
#else
#define WEFT_ENTRY
#endif

typedef struct {
    void *const *inputs;
    void *const *outputs;
    float *parameter;
    float *gradient;
    float *const *state;
    void *workspace;
    const int64_t *sizes;
    double rate;
    uint32_t seed, step;
    int32_t threads;
} weft_call;

/* table[indices[i]] += updates[i] for rows of `width` elements, one after the other: share `me` of `size` of their columns; from zero, or
   `added` to what is there. */
static inline __attribute__((unused)) void weft_scatter_add(long entries, long width, long count, const int *indices,
    const float *updates, float *table, long row, long column, int added, long me, long size)
{
    const long lines = (width + 15) / 16, first = me * lines / size * 16, end = (me + 1) * lines / size * 16, last = end < width ? end : width;
    if (!added) for (long i = 0; i < entries; ++i)
        for (long j = first; j < last; ++j) table[i * row + j * column] = 0.0f;
    for (long i = 0; i < count; ++i) {
        float *const place = table + (long)indices[i] * row;
        #pragma omp simd
        for (long j = first; j < last; ++j) place[j * column] += updates[i * width + j];
    }
}

/* Shares of a sum over `total` rows in panels of `panel`: fixed by the sizes, never by the threads. */
static __attribute__((noinline, unused)) long weft_parts(long total, long panel, long most)
{
    const long chunks = (total + panel - 1) / panel;
    return chunks < most ? chunks : most;
}

/* out = the sum of `parts` partial results of `span` numbers, always in the same order: share `me` of `size` of them. */
#define WEFT_FINISH(name, type) \
static __attribute__((noinline, unused)) void name(long parts, long stride, long span, const type *partial, type *out, long me, long size) \
{ \
    const long lines = (span + 15) / 16, first = me * lines / size * 16, last = (me + 1) * lines / size * 16; \
    const long count = (last < span ? last : span) - first; \
    memset(out + first, 0, count * sizeof(type)); \
    for (long part = 0; part < parts; ++part) { \
        const type *const share = partial + part * stride + first; \
        _Pragma("omp simd") \
        for (long i = 0; i < count; ++i) out[first + i] += share[i]; \
    } \
}
WEFT_FINISH(weft_finish, float)
WEFT_FINISH(weft_finish_int, int)

/* Division and remainder that round towards minus infinity, as in Python. */
WEFT_INLINE float weft_floordiv(float a, float b) { return weft_floor(a / b); }
WEFT_INLINE float weft_mod(float a, float b) { return a - weft_floor(a / b) * b; }
WEFT_INLINE int weft_mod_int(int a, int b) { const int r = a % b; return ((r != 0) & ((r < 0) != (b < 0))) ? r + b : r; }
WEFT_INLINE int weft_floordiv_int(int a, int b) { return (a - weft_mod_int(a, b)) / b; }
