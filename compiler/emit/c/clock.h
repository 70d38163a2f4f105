/* What each region of a step takes: compiled in where WEFT_PROFILE is defined before this file, nothing otherwise.  A thread adds what has passed
   since its last lap to the region that just ended; the host reads the sums, in nanoseconds. */
#if defined(WEFT_PROFILE)
#include <time.h>
enum { WEFT_LAPS = 4096 };
__attribute__((visibility("default"))) int64_t weft_laps[WEFT_PROFILE][WEFT_LAPS];                          /* of so many threads */
static inline int64_t weft_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
#define WEFT_CLOCK(me) int64_t lap_began = weft_now(), *const laps = weft_laps[me]
#define WEFT_LAP(region) do { \
    const int64_t lap_ended = weft_now(); \
    laps[(region) < WEFT_LAPS ? (region) : WEFT_LAPS - 1] += lap_ended - lap_began; \
    lap_began = lap_ended; \
} while (0)
#else
#define WEFT_CLOCK(me) (void)0
#define WEFT_LAP(region) (void)0
#endif
