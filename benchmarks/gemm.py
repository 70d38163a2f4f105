"""Matrix products of the C text against torch.mm, on one thread: medians of interleaved rounds.

    python benchmarks/gemm.py

The floor is this processor's own peak of fused multiply-adds, measured here. Torch's time holds
its dispatch (about a microsecond); ours is called from C, as emitted steps call it.
"""

from __future__ import annotations

import ctypes
import platform
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from rates import library, rates

from weft.compiler.emit.c import GEMM_SCRATCH
from weft.runtime.arena import arena
from weft.runtime.machine import cpu

ROUNDS = 15
BUDGET = 0.004  # seconds of one measurement


@dataclass(frozen=True, slots=True)
class Case:
    """C[m, n] = A B with depth k; `form` says which operands are stored transposed."""

    m: int
    n: int
    k: int
    form: str
    what: str


CASES = (
    Case(64, 120, 784, "NN", "784-120-10 forward"),
    Case(784, 120, 64, "TN", "784-120-10 dW"),
    Case(64, 10, 128, "NN", "64-128-10 forward"),
    Case(64, 128, 64, "NN", "64-128-10 forward"),
    Case(64, 128, 128, "TN", "64-128-10 dW"),
    Case(64, 128, 10, "NT", "64-128-10 dx"),
    Case(10, 128, 64, "TN", "64-128-10 dW, [out, in]"),
    Case(20, 2601, 2, "TN", "2-20-20-1 forward, feature-major"),
    Case(20, 2601, 20, "TN", "2-20-20-1 forward, feature-major"),
    Case(20, 20, 2601, "NT", "2-20-20-1 dW, feature-major"),
    Case(1, 2601, 20, "TN", "2-20-20-1 forward, feature-major"),
    Case(2601, 20, 20, "NN", "2-20-20-1 forward, row-major"),
    Case(20, 20, 2601, "TN", "2-20-20-1 dW, row-major"),
    Case(2601, 1, 20, "NN", "2-20-20-1 forward, row-major"),
    Case(128, 128, 32, "NT", "attention scores, one head"),
    Case(128, 32, 128, "NN", "attention values, one head"),
    Case(1024, 384, 128, "NN", "GPT 128 qkv"),
    Case(1024, 128, 512, "NT", "GPT 128 dx"),
    Case(512, 512, 512, "NN", "cube"),
    Case(1024, 3072, 768, "NN", "GPT-2 up"),
    Case(1024, 768, 3072, "NT", "GPT-2 up dx"),
)


def main() -> None:
    torch.set_num_threads(1)
    floor = rates().peak_one
    print(f"{cpu().model} ({cpu().cores} cores), {platform.system()}, torch {torch.__version__}")
    print(f"one thread; peak of multiply-adds {floor:.0f} GFLOP/s; medians of {ROUNDS} rounds\n")
    head = f"{'m x n x k':>17} form | {'ours':>10} {'GFLOP/s':>8} {'peak':>5} | "
    print(head + f"{'torch.mm':>10} {'GFLOP/s':>8} | ratio |")
    for case in CASES:
        ours, theirs = _measure(case)
        work = 2e-9 * case.m * case.n * case.k
        shape = f"{case.m} x {case.n} x {case.k}"
        print(
            f"{shape:>17}   {case.form} | {ours * 1e6:8.2f}us {work / ours:8.0f} "
            f"{work / ours / floor:5.0%} | {theirs * 1e6:8.2f}us {work / theirs:8.0f} | "
            f"{theirs / ours:5.2f} | {case.what}"
        )


def _measure(case: Case) -> tuple[float, float]:
    """Seconds of one product: ours, torch's."""
    m, n, k = case.m, case.n, case.k
    a, at = _operand(m, k, case.form[0])
    b, bt = _operand(k, n, case.form[1])
    c, scratch = arena(m * _padded(n)), arena(GEMM_SCRATCH)
    out = torch.empty(m, n)
    x, y = torch.from_numpy(a[2]), torch.from_numpy(b[2])
    calls = max(1, int(BUDGET / (2 * m * n * k / 1e11 + 5e-7)))
    arguments = [ctypes.c_long(v) for v in (calls, m, n, k)]
    arguments += [a[0], *a[1], b[0], *b[1], ctypes.c_void_p(c.ctypes.data)]
    arguments += [ctypes.c_long(_padded(n)), ctypes.c_void_p(scratch.ctypes.data)]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        library().product(*arguments)
        middle = time.perf_counter()
        for _ in range(calls):
            torch.mm(x, y, out=out)
        ours.append((middle - start) / calls)
        theirs.append((time.perf_counter() - middle) / calls)
    got = c.reshape(m, _padded(n))[:, :n]
    np.testing.assert_allclose(got, at.astype(np.float64) @ bt, atol=1e-5 * k**0.5)
    return statistics.median(ours), statistics.median(theirs)


def _operand(rows: int, columns: int, form: str) -> tuple[tuple, np.ndarray]:
    """((pointer, strides, matrix), matrix): rows padded to whole vectors, as in emitted code."""
    across, down = (columns, rows) if form == "N" else (rows, columns)
    memory = arena(down * _padded(across)).reshape(down, _padded(across))
    memory[:] = np.random.default_rng(0).uniform(-1, 1, memory.shape)
    matrix = memory[:, :across] if form == "N" else memory[:, :across].T
    strides = [ctypes.c_long(s // 4) for s in matrix.strides]
    return (ctypes.c_void_p(memory.ctypes.data), strides, matrix), matrix


def _padded(extent: int) -> int:
    """A leading dimension: whole cache lines, and no multiple of 256 floats."""
    if extent == 1:
        return 1
    width = -(-extent // 16) * 16
    return width + 16 if width % 256 == 0 else width


if __name__ == "__main__":
    main()
