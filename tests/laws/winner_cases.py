"""Convolutions behind which a pool of maxima stands: the adjoint in the weight asks who won, that
in what is read gets few numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.laws.cases import B, Build, Case, f32
from weft.compiler.ir.builder import Builder
from weft.compiler.ops.windows import turned

Pair = tuple[int, int]


@dataclass(frozen=True)
class Winners:
    """A convolution of `space` and the pool that reads it; extents follow from both."""

    name: str
    space: Pair
    channels: Pair
    kernel: Pair
    pool: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    low: Pair = (0, 0)
    step: Pair = (2, 2)
    before: Pair = (0, 0)


CASES = (
    Winners("one_channel", (12, 14), (1, 20), (5, 5), (2, 2)),
    Winners("main_and_rest", (10, 8), (20, 50), (5, 5), (2, 2)),
    Winners("whole_vectors", (9, 8), (32, 5), (3, 3), (2, 2), low=(1, 1)),
    Winners("rest_alone", (11, 9), (7, 17), (3, 4), (2, 2), low=(1, 0)),
    Winners("few_numbers", (12, 9), (3, 6), (3, 3), (3, 3), step=(3, 3)),
    Winners("strides", (15, 17), (3, 18), (3, 3), (2, 2), stride=(2, 1), low=(1, 1)),
    Winners("dilated_rows", (14, 9), (18, 3), (3, 2), (2, 2), dilation=(2, 1), low=(2, 0)),
    Winners("padded_pool", (11, 12), (5, 9), (4, 4), (3, 3), step=(3, 4), before=(1, 1)),
    Winners("few_listed", (12, 12), (20, 50), (5, 5), (2, 2)),
    Winners("few_with_borders", (13, 11), (18, 40), (3, 3), (2, 2), low=(1, 1)),
    Winners("few_with_strides", (18, 13), (16, 33), (3, 3), (2, 2), stride=(2, 1), low=(1, 0)),
    Winners("few_dilated", (14, 12), (9, 48), (3, 5), (2, 2), dilation=(2, 1), low=(2, 2)),
    Winners("planes", (24, 40), (48, 5), (3, 3), (2, 2), low=(1, 1)),
    Winners("bands", (40, 40), (16, 4), (3, 3), (2, 2), low=(1, 1)),
    Winners("picked", (12, 15), (3, 21), (3, 3), (2, 2), low=(1, 1)),
    Winners("picked_bands", (40, 40), (3, 17), (3, 3), (2, 2)),
    Winners("picked_rows", (16, 21), (2, 40), (5, 5), (2, 2), (2, 1), dilation=(2, 1), low=(2, 2)),
)


def _extents(space: Pair, kernel: Pair, stride: Pair, dilation: Pair, low: Pair) -> Pair:
    """Windows that begin and end inside, with zeros in front and as many behind."""
    high, wide = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(space, kernel, stride, dilation, low, strict=True)
    )
    return high, wide


def _build(w: Winners) -> Build:
    def build(b: Builder) -> dict[str, int]:
        inner, outer = w.channels
        made = _extents(w.space, w.kernel, w.stride, w.dilation, w.low)
        pool = {"kernel": w.pool, "stride": w.step, "dilation": (1, 1), "low": w.before}
        pooled = _extents(made, w.pool, w.step, (1, 1), w.before)
        x, y = f32(b, "x", B, *w.space, inner), f32(b, "y", B, *made, outer)
        d = f32(b, "d", B, *pooled, outer)
        most = b.insert("pool_max", (y,), sizes=pooled, **pool)
        given = b.insert("pool_max_input", (y, most, d), **pool)
        own = {"stride": w.stride, "dilation": w.dilation, "low": w.low, "groups": 1}
        weight = b.map("mul", f32(b, "weight", outer, inner, *w.kernel), 0.3)
        found = b.insert("convolve_input", (given, turned(b, weight)), sizes=w.space, **own)
        return {"w": b.insert("convolve_weight", (x, given), kernel=w.kernel, **own), "x": found}

    return build


WINNER_CASES: tuple[Case, ...] = tuple(
    Case(f"winners_{w.name}", _build(w), ({"B": 1}, {"B": 3}, {"B": 9}), smooth=False)
    for w in CASES
)


TOGETHER = (
    Winners("lenet", (28, 28), (1, 20), (5, 5), (2, 2)),
    Winners("odd", (13, 15), (3, 7), (3, 3), (2, 2), low=(1, 1)),
    Winners("borders", (11, 18), (2, 17), (4, 3), (2, 2), low=(3, 1)),
    Winners("overlap", (10, 12), (1, 5), (3, 4), (2, 2), step=(1, 3)),
    Winners("apart", (17, 16), (4, 18), (2, 2), (2, 2), step=(3, 2)),
    Winners("other_pool", (12, 12), (1, 6), (3, 3), (3, 3), step=(3, 3)),
    Winners("many_channels", (12, 12), (20, 50), (5, 5), (2, 2)),
    Winners("many_with_borders", (13, 11), (18, 33), (3, 4), (2, 2), low=(2, 1)),
    Winners("many_and_wide", (11, 43), (6, 17), (3, 3), (2, 2), low=(1, 1)),
    Winners("many_and_tall", (38, 10), (7, 17), (7, 7), (2, 2)),
    Winners("many_apart", (17, 16), (5, 18), (2, 3), (2, 2), step=(3, 2)),
)
"""A convolution that a pool alone reads: one call, whichever way it goes."""


def _together(w: Winners) -> Build:
    def build(b: Builder) -> dict[str, int]:
        inner, outer = w.channels
        made = _extents(w.space, w.kernel, w.stride, w.dilation, w.low)
        pool = {"kernel": w.pool, "stride": w.step, "dilation": (1, 1), "low": w.before}
        pooled = _extents(made, w.pool, w.step, (1, 1), w.before)
        x, weight = f32(b, "x", B, *w.space, inner), f32(b, "weight", outer, inner, *w.kernel)
        own = {"stride": w.stride, "dilation": w.dilation, "low": w.low, "groups": 1}
        y = b.insert("convolve", (x, weight), sizes=made, **own)
        most = b.insert("pool_max", (y,), sizes=pooled, **pool)
        place = b.insert("pool_max_place", (most, y), **pool)
        put = (place, f32(b, "d", B, *pooled, outer))
        given = b.insert("pool_max_put", put, sizes=made, **pool)
        return {"y": b.map("mul", most, 2.0), "d": given}

    return build


TOGETHER_CASES = tuple(
    Case(f"together_{w.name}", _together(w), ({"B": 1}, {"B": 9}), smooth=False) for w in TOGETHER
)
