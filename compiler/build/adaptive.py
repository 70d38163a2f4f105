"""Pools to a given size: part i of n elements is from i n/parts, rounded down, to (i + 1) n/parts,
rounded up, so that parts overlap by one where they cannot be equal.

The elements of all parts, one part after another, are a band of one term; what is shorter than the
longest part repeats its last element, which changes no maximum.  Then parts are windows.  Where
sizes are open, every part looks at the whole axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...spec.dims import Dim, exact_quotient
from ..ir.builder import Builder
from .pooling import places
from .request import Request, Result
from .resizing import Grid, longest, numbers
from .windowing import each, first, last, spatial


def _adaptive_avg_pool(r: Request) -> Result:
    """The mean along one axis after the other."""
    b, x = r.b, r.real()
    for axis, parts in enumerate(each(r, "size", spatial(r)), 2):
        shape = b[x].shape
        share = exact_quotient(shape[axis], parts)
        if share is not None:
            apart = b.reshape(x, [*shape[:axis], parts, share, *shape[axis + 1 :]])
            x = b.mean(apart, (axis + 1,))
        else:
            x = Grid(b, parts, shape[axis], "area").along(x, axis, "mean")
    return x


def _adaptive_max_pool(r: Request) -> Result:
    """The largest of each part, and where in the plane it is, if asked: the first of several."""
    sizes = each(r, "size", spatial(r))
    lengths = [longest(extent, parts) for extent, parts in zip(r.shape()[2:], sizes, strict=True)]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return _by_axes(r, sizes)
    return _by_windows(r, sizes, known)


def _by_windows(r: Request, sizes: Sequence[Dim], kernel: Sequence[int]) -> Result:
    b, x = r.b, last(r, r.real())
    axes: list[int | None] = []
    for axis, (parts, length) in enumerate(zip(sizes, kernel, strict=True), 1):
        extent = b[x].shape[axis]
        if extent == parts * length:
            axes.append(None)
            continue
        element = _elements(b, extent, parts, length)
        one = b.broadcast(b.constant(1.0), (), (1, parts * length))
        reads = _reads(b, element, extent, parts)
        x = b.insert("band", (x, element, one), "parts", axis=axis, reads=reads)
        axes.append(element)
    geometry = {"kernel": tuple(kernel), "stride": tuple(kernel),
                "dilation": (1,) * len(kernel), "low": (0,) * len(kernel)}  # fmt: skip
    y = b.insert("pool_max", (x,), "adaptive_max_pool", sizes=tuple(sizes), **geometry)
    if not r["return_indices"]:
        return first(r, y)
    shape = b[x].shape
    lines = [
        b.iota(shape, axis) if element is None else b.broadcast(element, (axis,), shape)
        for axis, element in enumerate(axes, 1)
    ]
    operands = b[y].operands[0], y, places(r, lines)
    found = b.insert("pool_max_pick", operands, "places", **geometry)
    return first(r, y), b.cast(first(r, found), "i32")


def _elements(b: Builder, extent: Dim, parts: Dim, length: int) -> int:
    """The indices of the elements of all parts: i32[parts*length]."""
    grid = Grid(b, parts, extent, "area")
    place = b.iota((parts * length,), 0)
    part = b.map("floordiv", place, b.constant(length, "i32"))
    begin, end = grid.part(part)
    place = b.map("add", begin, b.map("sub", place, b.map("mul", part, b.constant(length, "i32"))))
    return b.map("minimum", place, b.map("sub", end, b.constant(1, "i32")), name="element")


def _reads(b: Builder, element: int, extent: Dim, parts: Dim) -> int:
    """How many of the elements of all parts are one and the same at most."""
    if isinstance(extent, int) and isinstance(parts, int):
        return int(np.bincount(np.asarray(numbers(b, element), np.int64)).max())
    many = exact_quotient(parts, extent)  # parts of one element each
    assert isinstance(many, int)
    return many


def _by_axes(r: Request, sizes: Sequence[Dim]) -> Result:
    """From the last axis to the first, so that of equal elements the first in the plane remains."""
    b, x = r.b, r.real()
    lines: list[int] = []
    for axis in range(len(sizes) + 1, 1, -1):
        have, parts = b[x].shape, sizes[axis - 2]
        shape = (*have[:axis], parts, *have[axis:])
        kept = [d for d in range(len(shape)) if d != axis]
        folded = [d for d in range(len(shape)) if d != axis + 1]
        begin, end = Grid(b, parts, have[axis], "area").part(b.iota(shape, axis))
        place = b.iota(shape, axis + 1)
        inside = b.map("and", b.map("ge", place, begin), b.map("lt", place, end))
        found = b.map("where", inside, b.broadcast(x, kept, shape), -math.inf)
        won = b.broadcast(b.reduce("argmax", found, (axis + 1,)), folded, shape)
        won = b.map("maximum", won, begin)  # where nothing is above minus infinity
        hit = b.map("eq", place, won)
        x, *lines = (
            b.sum(b.map("where", hit, b.broadcast(each, kept, shape), 0.0), (axis + 1,))
            for each in (x, *lines)
        )
        lines.insert(0, b.sum(b.map("where", hit, place, 0.0), (axis + 1,)))
    x = b.rename(x, "adaptive_max_pool")
    if not r["return_indices"]:
        return x
    return x, b.cast(places(r, lines), "i32")


ADAPTIVE = (
    (
        "adaptive_avg_pool(x; size:extents)",
        _adaptive_avg_pool,
        "the mean of each of `size` parts of the spatial axes, which overlap by a pixel where they "
        "cannot be equal",
    ),
    (
        "adaptive_max_pool(x; size:extents, return_indices:flag=false)",
        _adaptive_max_pool,
        "the largest element of each of `size` parts of the spatial axes; `return_indices` gives its "
        "place in the plane as a second result",
    ),
)
