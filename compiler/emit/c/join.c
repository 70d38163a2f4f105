/* Sums over the processes that have a part of the batch each. */
#include "weft.h"
#include "join.h"

/* What adds up numbers in place, for the steps that this thread calls: it is their first one. */
static _Thread_local void (*weft_sums)(float *numbers, long count) = 0;

__attribute__((visibility("default"))) void weft_all_reduce_with(void (*sums)(float *numbers, long count))
{
    weft_sums = sums;
}

void weft_all_reduce(long count, const float *ours, float *whole)
{
    memmove(whole, ours, (size_t)count * sizeof(float));
    if (weft_sums)
        weft_sums(whole, count);
}
