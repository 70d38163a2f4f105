/* Sums over the processes that have a part of the batch each. */
#pragma once

/* whole[count] = the sum of what all of them have as `ours`; where there is one process, that. */
WEFT_SHARED void weft_all_reduce(long count, const float *ours, float *whole);
