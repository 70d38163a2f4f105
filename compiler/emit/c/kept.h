/* Products whose right operand is the same in all steps of a loop over time: it is rearranged once. */
#pragma once
enum { WEFT_ROWS_OF_TIME = 64 };
enum { WEFT_AS_IT_IS, WEFT_AS_STRIPS, WEFT_AS_PLANES };
/* `parts` times `n` columns, one after the other, for tile units or for register tiles: how is it kept for products of `m` rows? */
WEFT_SHARED int weft_keep(long m, long parts, long n, long depth, const float *b, long br, long bc, float *kept);
/* Samples that walk through time together: a tile's rows, shared evenly, where the weight lies in planes. */
WEFT_INLINE long weft_rows_of_time(long samples, int how)
{
    const long most = how == WEFT_AS_PLANES ? 16 : WEFT_ROWS_OF_TIME, blocks = (samples + most - 1) / most;
    return blocks ? (samples + blocks - 1) / blocks : 1;
}
/* C (+)= A B for an operand that was kept as one part; `planes`: what weft_keep made, and behind it room for the planes of 16 rows of A */
WEFT_SHARED void weft_gemm_again(long m, long n, long depth, const float *a, long ar, long ac, const float *b, long br, long bc, int how,
    float *planes, float *c, long cr, int accumulate, float *scratch);
