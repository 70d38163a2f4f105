"""The hand-written C library as functions that Python calls, and the functions that it has."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray
from scipy import special

from weft.compiler.emit.c import includes

Floats = NDArray[np.float32]
UNARY = {  # name: (float64 reference, worst error allowed in ulps of the result)
    "exp": (np.exp, 1.1),
    "expm1": (np.expm1, 1.75),
    "log": (np.log, 0.9),
    "log1p": (np.log1p, 1.6),
    "tanh": (np.tanh, 2.5),
    "sigmoid": (lambda x: np.where(x < 0, np.exp(x), 1.0) / (1 + np.exp(-abs(x))), 2.4),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), 2.1),
    "erf": (special.erf, 1.9),
    "sqrt": (np.sqrt, 0.51),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.51),
    "sin": (np.sin, 1.6),
    "cos": (np.cos, 1.6),
    "floor": (np.floor, 0.0),
    "ceil": (np.ceil, 0.0),
    "round": (np.rint, 0.0),
    "sign": (np.sign, 0.0),
    "abs": (np.abs, 0.0),
    "relu": (lambda x: np.maximum(x, 0), 0.0),
}
BINARY = {"pow": (np.power, 0.6), "max": (np.maximum, 0.0), "min": (np.minimum, 0.0)}
SHAPE = "long m, long n, long k, const float *a, long ar, long ac"
OUTPUT = "float *c, long cr, int accumulate, float *scratch"
STREAM = "uint32_t seed, uint32_t step, uint32_t op, uint64_t begin, long count, float *out"
HARNESS = f"""
void gemm({SHAPE}, const float *b, long br, long bc, {OUTPUT})
{{ weft_gemm(m, n, k, a, ar, ac, b, br, bc, c, cr, accumulate, scratch); }}
void gemm_plain({SHAPE}, const float *b, long br, long bc, {OUTPUT})
{{ weft_gemm_plain(m, n, k, a, ar, ac, b, br, bc, c, cr, accumulate, scratch); }}
int gemm_tiles({SHAPE}, const float *b, long br, long bc, {OUTPUT})
{{
#if defined(WEFT_TILES)
    if (!weft_tiles_allowed) return 0;
    weft_gemm_tiles(m, n, k, a, ar, ac, b, br, bc, c, cr, accumulate, 0, scratch);
    return 1;
#else
    return 0;
#endif
}}
void gemm_from_row({SHAPE}, const float *b, long br, long bc,
    float *c, long cr, const float *row, float *scratch)
{{ weft_gemm_from_row(m, n, k, a, ar, ac, b, br, bc, c, cr, row, scratch); }}
long scratch_floats(void) {{ return WEFT_GEMM_SCRATCH; }}
long farthest(void) {{ return (long)WEFT_FARTHEST; }}
void uniform({STREAM}) {{ weft_uniform_fill(seed, step, op, begin, count, out); }}
void normal({STREAM}) {{ weft_normal_fill(seed, step, op, begin, count, out); }}
void uniform_each({STREAM})
{{ for (long i = 0; i < count; ++i) out[i] = weft_uniform(seed, step, op, begin + i); }}
void normal_each({STREAM})
{{ for (long i = 0; i < count; ++i) out[i] = weft_normal(seed, step, op, begin + i); }}
long border(long me, long size, long chunks, long before, long each, long total)
{{ return weft_border(me, size, chunks, before, each, total); }}
int team(int threads)
{{
    int size = 1;
    #pragma omp parallel num_threads(threads)
    if (omp_get_thread_num() == 0) size = omp_get_num_threads();
    return size;
}}
long rounds(int threads, long count, long *slots)
{{
    weft_team team = WEFT_TEAM;
    long wrong = 0;
    #pragma omp parallel num_threads(threads) reduction(+ : wrong)
    {{
        const int size = omp_get_num_threads(), me = omp_get_thread_num();
        for (long round = 1; round <= count; ++round) {{
            slots[8 * me] = round;
            weft_barrier(&team, size);
            for (int other = 0; other < size; ++other) wrong += slots[8 * other] != round;
            weft_barrier(&team, size);
        }}
    }}
    return wrong;
}}
"""


def harness() -> str:
    lines = [includes(HARNESS), HARNESS]
    for name in UNARY:
        lines.append(f"void run_{name}(long n, const float *restrict x, float *restrict y) {{")
        lines.append("    #pragma omp simd")
        lines.append(f"    for (long i = 0; i < n; ++i) y[i] = weft_{name}(x[i]);\n}}")
    for name in BINARY:
        lines.append(
            f"void run_{name}(long n, const float *restrict x, const float *restrict y, "
            "float *restrict z) {\n    #pragma omp simd"
        )
        lines.append(f"    for (long i = 0; i < n; ++i) z[i] = weft_{name}(x[i], y[i]);\n}}")
    return "\n".join(lines)


def longs(*values: int) -> list[ctypes.c_long]:
    return [ctypes.c_long(v) for v in values]


def pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
