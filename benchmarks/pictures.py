"""Resizing, pools to a size, and columns of windows, one by one, against torch on one thread.

    python benchmarks/pictures.py [NAME ...]

Milliseconds of the processor, forward and backward, the least of some rounds: other work on the
machine counts little.  The answers are compared, too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch.nn import functional as F

import weft
from weft.runtime.machine import cpu

ROUNDS = 25
Tensor = torch.Tensor


@dataclass(frozen=True)
class Case:
    """A flow from `x`, the shape of that, and the same in torch."""

    flow: str
    shape: tuple[int, ...]
    twin: Callable[[Tensor], Tensor]


def _resized(size: int, mode: str = "bilinear", *, smooth: bool = False) -> Callable[..., Tensor]:
    return lambda x: F.interpolate(x, (size, size), mode=mode, antialias=smooth)


CASES = (
    Case("upsample(2, bilinear)", (32, 16, 32, 32), _resized(64)),
    Case("upsample(2, bicubic)", (32, 16, 32, 32), _resized(64, "bicubic")),
    Case("resize(13)", (32, 64, 7, 7), _resized(13)),
    Case("resize(256)", (8, 3, 224, 224), _resized(256)),
    Case("resize(256, bicubic)", (8, 3, 224, 224), _resized(256, "bicubic")),
    Case("resize(256, nearest)", (8, 3, 224, 224), _resized(256, "nearest")),
    Case("resize(128)", (8, 3, 512, 512), _resized(128)),
    Case("resize(128, antialias=true)", (8, 3, 512, 512), _resized(128, smooth=True)),
    Case("resize(128, bicubic, antialias=true)", (8, 3, 512, 512),
         _resized(128, "bicubic", smooth=True)),
    Case("adaptive_avg_pool(7)", (8, 64, 30, 30), lambda x: F.adaptive_avg_pool2d(x, 7)),
    Case("adaptive_max_pool(7)", (8, 64, 30, 30), lambda x: F.adaptive_max_pool2d(x, 7)),
    Case("unfold(16, stride=16)", (8, 3, 224, 224), lambda x: F.unfold(x, 16, stride=16)),
    Case("unfold(16, stride=8)", (8, 3, 224, 224), lambda x: F.unfold(x, 16, stride=8)),
    Case("unfold(3, pad=1)", (8, 16, 56, 56), lambda x: F.unfold(x, 3, padding=1)),
    Case("fold(224, 16, stride=16)", (8, 768, 196), lambda x: F.fold(x, 224, 16, stride=16)),
    Case("fold(56, 3, pad=1)", (8, 144, 3136), lambda x: F.fold(x, 56, 3, padding=1)),
)  # fmt: skip


def measured(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, float, Tensor, Tensor]:
    """Milliseconds forward and backward, the answer and the gradient by `x` of its sum."""
    forward, backward = [], []
    for _ in range(ROUNDS):
        x.grad = None
        begin = time.process_time()
        y = f(x)
        middle = time.process_time()
        y.backward(torch.ones_like(y))
        forward.append(middle - begin)
        backward.append(time.process_time() - middle)
    assert x.grad is not None
    return 1e3 * min(forward), 1e3 * min(backward), y.detach(), x.grad


def main() -> None:
    """A row for each case whose flow contains one of the names given."""
    torch.set_num_threads(1)
    names = sys.argv[1:]
    print(f"{cpu().model}, torch {torch.__version__}, one thread; ms forward + backward\n")
    print(f"{'':38}{'x':>22}{'weft':>16}{'torch':>16}")
    for case in CASES:
        if names and not any(name in case.flow for name in names):
            continue
        dims = ", ".join(map(str, case.shape[1:]))
        text = f"net n {{\n  in x: f32[B, {dims}]\n  x -> {case.flow} as y\n}}\n"
        net = weft.compile(weft.load_text(text, "case.weft"), target="cpu").net
        x = torch.randn(case.shape, requires_grad=True)
        ours, theirs = measured(net, x), measured(case.twin, x)
        for mine, wanted in zip(ours[2:], theirs[2:], strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)
        times = "".join(f"{row[0]:8.2f} +{row[1]:6.2f}" for row in (ours, theirs))
        print(f"{case.flow:38}{list(case.shape)!s:>22}{times}", flush=True)


if __name__ == "__main__":
    main()
