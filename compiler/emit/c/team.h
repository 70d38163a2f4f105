/* The threads of one step: a region is opened once, its launches are divided by fixed chunks and kept apart by barriers. */
#if defined(_OPENMP)
#include <omp.h>
#else
static inline __attribute__((unused)) int omp_get_num_threads(void) { return 1; }
static inline __attribute__((unused)) int omp_get_thread_num(void) { return 0; }
#endif
#include <sched.h>
#if defined(__x86_64__) || defined(__i386__)
#define WEFT_PAUSE __builtin_ia32_pause()
#elif defined(__aarch64__)
#define WEFT_PAUSE __asm__ volatile("yield")
#else
#define WEFT_PAUSE (void)0
#endif

typedef struct { int arrived __attribute__((aligned(64))), turn __attribute__((aligned(64))); } weft_team;
#define WEFT_TEAM {0, 0}

/* Every thread of the region calls it equally often. Spins while each thread has a core, then lets others run. */
static __attribute__((noinline, unused)) void weft_barrier(weft_team *team, int size)
{
    if (size == 1) return;
    const int turn = __atomic_load_n(&team->turn, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == size) {
        __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (long spins = 0; __atomic_load_n(&team->turn, __ATOMIC_ACQUIRE) == turn; ++spins)
        if (spins < 2000) WEFT_PAUSE; else sched_yield();
}
/* The first chunk of thread `me`, where `chunks` of the work `each` lie behind the work `before` in all that threads share, `total`:
   a thread has the chunks whose middle lies in its stretch. */
static __attribute__((noinline, unused)) long weft_border(long me, long size, long chunks, long before, long each, long total)
{
    if (me >= size) return chunks;
    const long left = (me * total + size - 1) / size - before - each / 2;
    return left <= 0 ? 0 : left > (chunks - 1) * each ? chunks : (left + each - 1) / each;
}
