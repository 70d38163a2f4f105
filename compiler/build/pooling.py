"""Pools: the largest or the mean of each window, where it was, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...spec.dims import Dim, numel, sign
from ..ir.types import FLOATS, Shape
from .request import Refusal, Request, Result, agree, shown
from .windowing import Pair, each, first, last, pads, spatial, windows

EXACT = 1 << 24  # whole numbers that single precision tells apart


def _pool(r: Request, function: str) -> tuple[int, int, dict[str, Any], tuple[Pair, ...]]:
    """What is pooled, with channels last, the pool of it, its geometry and padding."""
    count = spatial(r)
    kernel = each(r, "kernel", count)
    stride = kernel if r["stride"] is None else each(r, "stride", count)
    dilation = each(r, "dilation", count) if "dilation" in r.settings else (1,) * count
    pad = pads(r, count, kernel, stride, dilation)
    for k, pair in zip(kernel, pad, strict=True):
        if max(pair) > k // 2:
            message = f"`pad` must be at most half of the kernel ({k}), got {max(pair)}"
            raise Refusal("E316", message, (), "pad first: x -> pad(…)")
    sizes = windows(r, kernel, stride, dilation, pad, ceil=r["ceil"])
    geometry = {"kernel": kernel, "stride": stride, "dilation": dilation,
                "low": tuple(low for low, _ in pad), "sizes": sizes}  # fmt: skip
    x = last(r, r.real())
    return x, r.b.insert(function, (x,), function, **geometry), geometry, pad


def _max_pool(r: Request) -> Result:
    """The largest of each window, and where in the plane it is, if asked."""
    x, y, geometry, _ = _pool(r, "pool_max")
    if not r["return_indices"]:
        return first(r, y)
    del geometry["sizes"]
    shape = r.b[x].shape
    lines = [r.b.iota(shape, axis) for axis in range(1, len(shape) - 1)]
    found = r.b.insert("pool_max_pick", (x, y, places(r, lines)), "places", **geometry)
    return first(r, y), r.b.cast(first(r, found), "i32")


def places(r: Request, lines: Sequence[int]) -> int:
    """Where in a plane of the operand something lies, as PyTorch counts: its rows one after
    another.  `lines`: the index along each spatial axis, all of one shape; f32 of that shape.

    Raises: Refusal E316 for planes whose places single precision does not tell apart.
    """
    b, space = r.b, r.shape()[2:]
    plane = numel(space)
    if isinstance(plane, int) and plane > EXACT:
        raise Refusal("E316", f"`return_indices` counts to {EXACT}, a plane has {plane} places")
    shape = b[lines[0]].shape
    found = b.broadcast(b.constant(0, "i32"), (), shape)
    for axis, line in enumerate(lines):
        below = b.broadcast(b.size(numel(space[axis + 1 :])), (), shape)
        found = b.map("add", found, b.map("mul", line, below))
    return b.cast(found, "f32")


def _max_unpool(r: Request) -> Result:
    """Elements put where the windows of a pool found their maxima: its adjoint."""
    if r.type(1).dtype not in FLOATS:
        message = f"takes what was pooled, not the places {shown(r.shape(1))} of its maxima"
        raise Refusal("E414", message, (1,), "max_unpool(y, x, 2) for y of `x -> max_pool(2)`")
    x, y, geometry, _ = _pool(replace(r, x=r.x[1:]), "pool_max")
    del geometry["sizes"]
    if len(r.shape()) != len(r.shape(1)):
        raise Refusal("E402", f"{shown(r.shape())} was not pooled from {shown(r.shape(1))}", (0, 1))
    given = last(r, r.real())
    pooled = r.b[first(r, y)].shape
    codes = [agree(want, got) for want, got in zip(pooled, r.shape(), strict=True)]
    for code in filter(None, codes):
        message = f"max_pool makes {shown(pooled)} of {shown(r.shape(1))}, not {shown(r.shape())}"
        raise Refusal(code, message, (0, 1))
    return first(r, r.b.insert("pool_max_input", (x, y, given), "unpooled", **geometry))


def _avg_pool(r: Request) -> Result:
    """The sum over a window by the number of its elements, with or without those of the padding,
    or by a given one.
    """
    _, total, geometry, pad = _pool(r, "pool_sum")
    if r["divisor"] is not None:
        if r["divisor"] < 1:
            raise Refusal("E311", f"`divisor` must be at least 1, not {r['divisor']}")
        return first(r, r.b.map("mul", total, 1.0 / r["divisor"]))
    shape = r.b[total].shape
    spread: list[int] = []
    whole = 1
    for axis, (k, s, low_high) in enumerate(
        zip(geometry["kernel"], geometry["stride"], pad, strict=True), 1
    ):
        if _always_full(r, axis + 1, k, s, low_high, geometry["sizes"][axis - 1]):
            whole *= k
        else:
            spread.append(_count(r, axis, k, s, low_high, shape))
    mean = r.b.map("mul", total, 1.0 / whole)
    for count in spread:
        mean = r.b.map("div", mean, count)
    return first(r, mean)


def _always_full(r: Request, axis: int, k: int, s: int, pad: Pair, count: Dim) -> bool:
    """Does every window of the axis hold `k` elements that count?"""
    low, high = pad
    end = (count - 1) * s + k - low - r.shape()[axis]
    inside = sign(end) in (-1, 0)
    if r["count_pad"]:
        return inside or sign(end - high) in (-1, 0) or not r["ceil"]
    return low == 0 and high == 0 and (inside or not r["ceil"])


def _count(r: Request, axis: int, k: int, s: int, pad: Pair, shape: Shape) -> int:
    """How many elements of the axis each window holds, as a value of the result's shape."""
    b, extent = r.b, r.shape()[axis + 1]
    low, high = pad if r["count_pad"] else (0, 0)
    line = b.cast(b.iota(shape, axis), "f32")
    begin = b.map("sub", b.map("mul", line, float(s)), float(pad[0]))
    limit = b.map("add", b.broadcast(b.size(extent), (), shape), float(high))
    end = b.map("minimum", b.map("add", begin, float(k)), limit)
    return b.map("sub", end, b.map("maximum", begin, float(-low)))


POOLING = (
    (
        "max_pool(x; kernel:sizes, stride:sizes=none, pad:pads|same=0, dilation:sizes=1, "
        "ceil:flag=false, return_indices:flag=false)",
        _max_pool,
        "the largest element of each window; stride is the kernel unless given; `return_indices` gives "
        "its place in the plane as a second result",
    ),
    (
        "max_unpool(x, source; kernel:sizes, stride:sizes=none, pad:pads|same=0, "
        "dilation:sizes=1, ceil:flag=false)",
        _max_unpool,
        "x put where max_pool of `source` with these settings finds its maxima, zeros elsewhere",
    ),
    (
        "avg_pool(x; kernel:sizes, stride:sizes=none, pad:pads|same=0, ceil:flag=false, "
        "count_pad:flag=true, divisor:integer=none)",
        _avg_pool,
        "the mean of each window; `count_pad` counts the zeros around x too; its sum by `divisor`, if "
        "there is one",
    ),
)
