/* Random numbers that depend only on (seed, step, op, element): Philox4x32-10, Salmon et al. 2011.
   Element `index` is word index & 3 of the block with counter {index >> 2 low, op, index >> 2 high, 0} and key {seed, step}. */
enum { WEFT_BLOCKS = 64, WEFT_WORDS = 4 * WEFT_BLOCKS };

WEFT_INLINE void weft_philox(uint32_t seed, uint32_t step, uint32_t op, uint64_t counter, uint32_t word[4])
{
    uint32_t c0 = (uint32_t)counter, c1 = op, c2 = (uint32_t)(counter >> 32), c3 = 0, k0 = seed, k1 = step;
    #pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0; c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1; c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    word[0] = c0; word[1] = c1; word[2] = c2; word[3] = c3;
}
WEFT_INLINE float weft_unit(uint32_t word) { return (float)(int32_t)(word >> 8) * 0x1p-24f; }       /* 24 bits, [0, 1) */

/* Box and Muller: radius from the first word (never log 0), angle from the second in eighths of a turn, exactly reduced. */
WEFT_INLINE float weft_gauss(uint32_t first, uint32_t second, uint32_t turn)
{
    const uint32_t angle = (second >> 8) + 0x200000u, quadrant = (angle >> 22) + turn;
    const float r = (float)((int32_t)(angle & 0x3fffffu) - 0x200000) * 0x1.921fb6p-22f, s = r * r;  /* [-pi/4, pi/4) */
    const float sine = (s * r) * ((-0.000195140849f * s + 0.00833215471f) * s - 0.166666552f) + r;
    const float cosine = ((2.44348448e-05f * s - 0.00138873374f) * s + 0.0416666456f) * (s * s) + (1.0f - 0.5f * s);
    const float y = weft_float(weft_bits((quadrant & 1) ? cosine : sine) ^ ((quadrant & 2) << 30));
    return y * weft_sqrt(-2.0f * weft_log_core(weft_unit(first) + 0x1p-24f, 0.0f));
}
WEFT_INLINE float weft_uniform(uint32_t seed, uint32_t step, uint32_t op, uint64_t index)
{
    uint32_t word[4];
    weft_philox(seed, step, op, index >> 2, word);
    return weft_unit(index & 2 ? index & 1 ? word[3] : word[2] : index & 1 ? word[1] : word[0]);
}
WEFT_INLINE float weft_normal(uint32_t seed, uint32_t step, uint32_t op, uint64_t index)
{
    uint32_t word[4];
    weft_philox(seed, step, op, index >> 2, word);
    return weft_gauss(index & 2 ? word[2] : word[0], index & 2 ? word[3] : word[1], 1 - (index & 1));
}

/* 64 blocks, 256 words, from `counter` on; four elements share a block. */
static void weft_philox_words(uint32_t seed, uint32_t step, uint32_t op, uint64_t counter, uint32_t *restrict words)
{
    uint32_t c0[WEFT_BLOCKS], c1[WEFT_BLOCKS], c2[WEFT_BLOCKS], c3[WEFT_BLOCKS];
    for (int g = 0; g < WEFT_BLOCKS; ++g) {
        c0[g] = (uint32_t)(counter + (uint64_t)g); c1[g] = op; c2[g] = (uint32_t)((counter + (uint64_t)g) >> 32); c3[g] = 0;
    }
    #pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        const uint32_t k0 = seed + (uint32_t)round * 0x9E3779B9u, k1 = step + (uint32_t)round * 0xBB67AE85u;
        #pragma omp simd
        for (int g = 0; g < WEFT_BLOCKS; ++g) {
            const uint64_t p0 = (uint64_t)c0[g] * 0xD2511F53u, p1 = (uint64_t)c2[g] * 0xCD9E8D57u;
            c0[g] = (uint32_t)(p1 >> 32) ^ c1[g] ^ k0; c2[g] = (uint32_t)(p0 >> 32) ^ c3[g] ^ k1;
            c1[g] = (uint32_t)p1; c3[g] = (uint32_t)p0;
        }
    }
    for (int g = 0; g < WEFT_BLOCKS; ++g) {
        words[4 * g] = c0[g]; words[4 * g + 1] = c1[g]; words[4 * g + 2] = c2[g]; words[4 * g + 3] = c3[g];
    }
}
/* out[i] = element begin + i, whatever the borders. */
#define WEFT_FILL(name, VALUES) \
static __attribute__((unused)) void name(uint32_t seed, uint32_t step, uint32_t op, uint64_t begin, long count, float *restrict out) \
{ \
    uint32_t words[WEFT_WORDS]; \
    float values[WEFT_WORDS]; \
    for (long i = -(long)(begin & 3); i < count; i += WEFT_WORDS) { \
        weft_philox_words(seed, step, op, (begin + (uint64_t)i) >> 2, words); \
        VALUES \
        if (i >= 0 && i + WEFT_WORDS <= count) memcpy(out + i, values, sizeof values); \
        else for (long t = i < 0 ? -i : 0; t < WEFT_WORDS && i + t < count; ++t) out[i + t] = values[t]; \
    } \
}
WEFT_FILL(weft_uniform_fill,
    _Pragma("omp simd")
    for (int t = 0; t < WEFT_WORDS; ++t) values[t] = weft_unit(words[t]);)
WEFT_FILL(weft_normal_fill,
    _Pragma("omp simd")
    for (int t = 0; t < WEFT_WORDS; t += 2) {
        values[t] = weft_gauss(words[t], words[t + 1], 1);
        values[t + 1] = weft_gauss(words[t], words[t + 1], 0);
    })
