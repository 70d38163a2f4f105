"""What this machine can do: multiply-adds, products, tanh, copies. The floors are made of these."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from weft.compiler.emit.c import includes
from weft.compiler.emit.c import library as texts
from weft.runtime.arena import arena
from weft.runtime.machine import threads as cpu_threads
from weft.runtime.native import build, load

SOURCE = """
#if defined(__x86_64__)
#define KEEP(x) __asm__ volatile("" : "+v"(x))
#elif defined(__aarch64__)
#define KEEP(x) __asm__ volatile("" : "+w"(x))
#endif
/* twelve independent chains of multiply-adds: what the units can do at most */
void peak(long steps, int threads)
{
    #pragma omp parallel num_threads(threads)
    {
        weft_vector v0 = {0}, v1 = v0, v2 = v0, v3 = v0, v4 = v0, v5 = v0, v6 = v0, v7 = v0;
        weft_vector v8 = v0, v9 = v0, va = v0, vb = v0, x = v0 + 0.5f;
        for (long step = 0; step < steps; ++step) {
#define TERM(v) v = v * x + x; KEEP(v);
            TERM(v0) TERM(v1) TERM(v2) TERM(v3) TERM(v4) TERM(v5)
            TERM(v6) TERM(v7) TERM(v8) TERM(v9) TERM(va) TERM(vb)
        }
    }
}
long lanes(void) { return WEFT_LANES; }
void tanhs(long calls, long count, const float *restrict x, float *restrict y)
{
    for (long call = 0; call < calls; ++call)
        #pragma omp simd
        for (long i = 0; i < count; ++i) y[i] = weft_tanh(x[i]);
}
void product(long calls, long m, long n, long k, const float *a, long ar, long ac, const float *b,
    long br, long bc, float *c, long cr, float *scratch)
{
    for (long call = 0; call < calls; ++call)
        weft_gemm(m, n, k, a, ar, ac, b, br, bc, c, cr, 0, scratch);
}
"""
TRIES = 60


@dataclass(frozen=True, slots=True)
class Rates:
    """Units: GFLOP/s of all threads (`peak`) and of one (`peak_one`), seconds for one tanh on one
    thread, bytes a second of a copy that stays in the caches.
    """

    threads: int
    peak_one: float
    peak: float
    tanh: float
    copy: float


@cache
def library() -> ctypes.CDLL:
    """The C text of products and functions, with what measures them."""
    source = includes(SOURCE) + SOURCE
    return load(build(source, files=texts(source)))


@cache
def rates() -> Rates:
    """The best of several tries, each of a few milliseconds."""
    c = library()
    steps, threads = 200_000, cpu_threads()
    flops = 2e-9 * 12 * c.lanes() * steps
    one = flops / _best(lambda: c.peak(ctypes.c_long(steps), 1))
    every = threads * flops / _best(lambda: c.peak(ctypes.c_long(steps), threads))
    x, y = arena(2048), arena(2048)
    x[:] = np.random.default_rng(0).normal(size=x.size)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
    count = [ctypes.c_long(400), ctypes.c_long(x.size)]
    tanh = _best(lambda: c.tanhs(*count, *pointers)) / (400 * x.size)
    wide, other = arena(1 << 18), arena(1 << 18)
    copy = 2 * wide.nbytes / _best(lambda: np.copyto(other, wide))
    return Rates(threads, one, every, tanh, copy)


def torch_gemm_rate() -> float:
    """torch.mm, GFLOP/s, 1024 cubed."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 2e-9 * 1024**3 / _best(lambda: torch.mm(a, b))


def _best(step: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)
