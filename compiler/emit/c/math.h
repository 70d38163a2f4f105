/* Float functions for simd loops: plain C without branches or calls, so that `#pragma omp simd` vectorises them.
   Within 2.5 ulp (tests/compiler/c_text/harness.py has each bound); NaN, infinities and subnormals are kept.
   Polynomials: Lawson-weighted minimax fits of relative error. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#define WEFT_INLINE static inline __attribute__((always_inline, unused))
#define WEFT_SHARED __attribute__((noinline, visibility("hidden")))                  /* of one unit, called by others */

WEFT_INLINE uint32_t weft_bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
WEFT_INLINE float weft_float(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

/* The nearest number of 16 bits, half to even; too large ones become infinite. */
WEFT_INLINE float weft_bf16(float x) {
    const uint32_t u = weft_bits(x);
    const float y = weft_float((u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u);
    return x != x ? x : y;
}
WEFT_INLINE float weft_f16(float x) {
    const uint32_t u = weft_bits(x), sign = u & 0x80000000u;
    const float size = weft_float(u ^ sign);
    const float y = weft_float(((u ^ sign) + 0xfffu + ((u >> 13) & 1u)) & 0xffffe000u);  /* 10 bits */
    const float tiny = (size + 0.75f) - 0.75f;                        /* below 2^-14: multiples of 2^-24 */
    const float z = size < 0x1p-14f ? tiny : y > 65504.0f ? INFINITY : y;
    return x != x ? x : weft_float(weft_bits(z) | sign);
}
WEFT_INLINE float weft_where(int c, float a, float b) { return c ? a : b; }
WEFT_INLINE float weft_abs(float x) { return __builtin_fabsf(x); }
WEFT_INLINE float weft_sqrt(float x) { return __builtin_sqrtf(x); }
WEFT_INLINE float weft_rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
WEFT_INLINE float weft_floor(float x) { return __builtin_floorf(x); }
WEFT_INLINE float weft_ceil(float x) { return __builtin_ceilf(x); }
WEFT_INLINE float weft_round(float x) { return __builtin_rintf(x); }                 /* half to even */
WEFT_INLINE float weft_sign(float x) { const float s = x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; return x != x ? x : s; }
WEFT_INLINE float weft_relu(float x) { return 0.0f > x ? 0.0f : x; }                 /* keeps NaN */
WEFT_INLINE float weft_max(float a, float b) { const float m = a > b ? a : b; return a != a ? a : m; }
WEFT_INLINE float weft_min(float a, float b) { const float m = a < b ? a : b; return a != a ? a : m; }

/* x = n ln2 + r, |r| <= ln2 / 2: n rides in the low bits of `magic`. The result is (e^r - 1); NaN passes through r. */
#define WEFT_MAGIC 12582912.0f                                                       /* 1.5 * 2^23: rounds, half to even */
WEFT_INLINE float weft_reduce(float x, float *magic)
{
    *magic = x * 1.44269504f + WEFT_MAGIC;
    const float n = *magic - WEFT_MAGIC, r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    const float q = (((1.39475976e-3f * r + 8.36724695e-3f) * r + 4.16662656e-2f) * r + 0.166665375f) * r + 0.5f;
    return (r * r) * q + r;
}
WEFT_INLINE float weft_scale(float magic) { return weft_float((weft_bits(magic) << 23) + 0x3f800000u); }  /* 2^n, normal n */
WEFT_INLINE float weft_clamp(float x, float low, float high)                         /* keeps NaN */
{
    const float c = high < x ? high : x;
    return low > c ? low : c;
}

WEFT_INLINE float weft_exp(float x)
{
    float magic;
    const float p = weft_reduce(weft_clamp(x, -104.0f, 89.0f), &magic) + 1.0f;
    const int32_t n = (int32_t)(weft_bits(magic) - 0x4b400000u), h = n >> 1;         /* two factors: subnormals, 2^128 */
    return p * weft_float((uint32_t)(h + 127) << 23) * weft_float((uint32_t)(n - h + 127) << 23);
}
WEFT_INLINE float weft_expm1(float x)                                                /* 2^n (e^r - 1) + (2^n - 1) */
{
    float magic;
    const float p = weft_reduce(weft_clamp(x, -18.0f, 89.0f), &magic);
    const int32_t n = (int32_t)(weft_bits(magic) - 0x4b400000u), h = n >> 1;
    const float a = weft_float((uint32_t)(h + 127) << 23), b = weft_float((uint32_t)(n - h + 127) << 23);
    return (a * p + (a - 1.0f / b)) * b;
}
WEFT_INLINE float weft_tanh(float x)                                                 /* E / (E + 2), E = e^2|x| - 1 */
{
    float magic;
    const float a = weft_abs(x), c = 10.0f < a ? 10.0f : a, p = weft_reduce(c + c, &magic), s = weft_scale(magic);
    const float e = s * p + (s - 1.0f);
    return __builtin_copysignf(e / (e + 2.0f), x);
}
WEFT_INLINE float weft_sigmoid(float x)
{
    const float t = weft_exp(-weft_abs(x));
    return (x < 0.0f ? t : 1.0f) / (1.0f + t);
}
WEFT_INLINE float weft_erf(float x)                                                  /* 1 - e^(-a P(a)), a = |x| */
{
    float magic;
    const float a0 = weft_abs(x), a = 4.0f < a0 ? 4.0f : a0;
    const float t = ((((((((1.19329729e-06f * a - 2.13545845e-05f) * a + 0.000167480932f) * a - 0.000740685908f) * a
        + 0.00179935386f) * a - 0.000253061036f) * a - 0.0191176943f) * a + 0.102771275f) * a + 0.636619806f) * a + 0.128379167f;
    const float p = weft_reduce(-(a * t + a), &magic), s = weft_scale(magic);
    return __builtin_copysignf((1.0f - s) - s * p, x);
}

/* log of a normal positive x as k ln2 + log(1 + f), 2/3 <= 1 + f < 4/3 */
WEFT_INLINE float weft_log_core(float x, float bias)
{
    const uint32_t u = weft_bits(x) - 0x3f2aaaabu;
    const float k = (float)((int32_t)u >> 23) + bias, f = weft_float((u & 0x007fffffu) + 0x3f2aaaabu) - 1.0f, s = f * f;
    const float p = ((((((-0.131917357f * f + 0.139624208f) * f - 0.121151082f) * f + 0.140109256f) * f - 0.166854665f) * f
        + 0.200100437f) * f - 0.249996886f) * f + 0.333332241f;
    const float tail = (s * f) * p + k * -2.12194440e-4f;
    return (tail - 0.5f * s) + f + k * 0.693359375f;
}
WEFT_INLINE float weft_log(float x)
{
    const int tiny = x < 1.17549435e-38f;
    float y = weft_log_core(tiny ? x * 8388608.0f : x, tiny ? -23.0f : 0.0f);
    y = x == 0.0f ? -__builtin_inff() : y;
    y = x < 0.0f ? __builtin_nanf("") : y;
    return x < __builtin_inff() ? y : x;                                             /* inf and NaN stay */
}
WEFT_INLINE float weft_log1p(float x)                                                /* log(u) + what u = 1 + x lost, over u */
{
    const float u = 1.0f + x;
    float y = weft_log_core(u, 0.0f) + (x - (u - 1.0f)) / u;
    y = x == -1.0f ? -__builtin_inff() : y;
    y = x < -1.0f ? __builtin_nanf("") : y;
    return x < __builtin_inff() ? y : x;
}
WEFT_INLINE float weft_softplus(float x)
{
    const float t = weft_exp(-weft_abs(x)), u = 1.0f + t;
    return weft_relu(x) + (weft_log_core(u, 0.0f) + (t - (u - 1.0f)) / u);
}

/* x = n pi/2 + r in double: 1.5 ulp for |x| <= 2^30, absolute 1e-7 to WEFT_FARTHEST, where neighbouring floats lie many turns apart; beyond: NaN.
   Without fused multiply-adds n times the first 33 bits of pi/2 is two products, each of them exact. */
#if defined(__FMA__) || defined(__aarch64__)
#define WEFT_FARTHEST 0x1p45f
#define WEFT_TURNS(n) const double first = d - (n) * 1.57079632673412561417;
#else
#define WEFT_FARTHEST 0x1p35f
#define WEFT_TURNS(n) const double many = ((n) + 0x1.8p67) - 0x1.8p67, first = (d - many * 1.57079632673412561417) - ((n) - many) * 1.57079632673412561417;
#endif
WEFT_INLINE float weft_circle(float x, uint32_t turn)                                /* sin(x + turn pi/2) */
{
    const double d = (double)x, magic = d * 0.63661977236758134308 + 6755399441055744.0, n = magic - 6755399441055744.0;
    uint64_t bits; memcpy(&bits, &magic, 8);
    WEFT_TURNS(n)
    const float r = (float)((first - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21);
    const uint32_t quadrant = (uint32_t)bits + turn;
    const float s = r * r;
    const float sine = (s * r) * ((-0.000195140849f * s + 0.00833215471f) * s - 0.166666552f) + r;
    const float cosine = ((2.44348448e-05f * s - 0.00138873374f) * s + 0.0416666456f) * (s * s) + (1.0f - 0.5f * s);
    const float y = weft_float(weft_bits((quadrant & 1) ? cosine : sine) ^ ((quadrant & 2) << 30));
    return weft_abs(x) < WEFT_FARTHEST ? y : __builtin_nanf("");
}
WEFT_INLINE float weft_sin(float x) { return weft_circle(x, 0); }
WEFT_INLINE float weft_cos(float x) { return weft_circle(x, 1); }

/* 2^(y log2 |x|) in double: log2 by atanh, |f| <= 0.172 */
WEFT_INLINE float weft_pow(float x, float y)
{
    const uint32_t b = weft_bits(x);
    const float a = weft_float(b & 0x7fffffffu);                                     /* not |x|: where that is zero, gcc takes x for +0 */
    const double d = (double)a;
    uint64_t u; memcpy(&u, &d, 8);
    u -= 0x3fe6a09e667f3bcdu;
    const int32_t k = (int32_t)(u >> 32) >> 20;
    u = (u & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double m; memcpy(&m, &u, 8);
    const double f = (m - 1.0) / (m + 1.0), s = f * f;
    double l = (double)k + f * ((((0.3407593239812569 * s + 0.41167113616091167) * s + 0.577083611559279) * s
        + 0.9617966732001006) * s + 2.8853900817902027);
    l = a == 0.0f ? -__builtin_inf() : l;
    l = a < __builtin_inff() ? l : (double)a;                                        /* inf and NaN */
    double t = (double)y * l;
    t = 130.0 < t ? 130.0 : t;
    t = -160.0 > t ? -160.0 : t;
    const double magic = t + 6755399441055744.0, r = t - (magic - 6755399441055744.0);
    const double p = ((((((1.5201921970686705e-05 * r + 0.00015469291174410784) * r + 0.0013333922561526122) * r
        + 0.009618027253601742) * r + 0.05550410353450503) * r + 0.24022651198157638) * r + 0.6931471807284483) * r + 0.9999999999616823;
    uint64_t e; memcpy(&e, &magic, 8);
    e = (e << 52) + 0x3ff0000000000000u;
    double scale; memcpy(&scale, &e, 8);
    float z = (float)(p * scale);
    const float half = 0.5f * y;
    const int whole = __builtin_rintf(y) == y, odd = whole & (__builtin_rintf(half) != half);
    z = (odd & (int)(b >> 31)) ? -z : z;
    z = ((x < 0.0f) & (a < __builtin_inff()) & !whole) ? __builtin_nanf("") : z;
    z = ((a == 1.0f) & (weft_abs(y) == __builtin_inff())) ? 1.0f : z;
    return ((x == 1.0f) | (y == 0.0f)) ? 1.0f : z;
}
