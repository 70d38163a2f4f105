"""`unfold`: what windows see, as columns; `fold`: columns added up where the windows lie.

Along one axis after the other.  Elements are taken in blocks of `stride`: a window is a few of them
beside each other, so that all windows are those few pieces of the axis.  Where windows do not
overlap it is one, and nothing but the order changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from ...spec.dims import Dim, exact_quotient, numel, sign
from ..ir.builder import Builder
from ..ir.types import Shape
from .request import Refusal, Request, Result, agree, shown
from .windowing import Pair, each, pads, spatial, windows


def _unfold(r: Request) -> Result:
    """[B, C, *space] -> [B, C taps, places]."""
    count = spatial(r)
    kernel = each(r, "kernel", count)
    stride, dilation = each(r, "stride", count), each(r, "dilation", count)
    pad = pads(r, count, kernel, stride, dilation)
    places = windows(r, kernel, stride, dilation, pad)
    batch, channels, *space = r.shape()
    x = r.real()
    for k, line in enumerate(_lines(tuple(space), kernel, stride, dilation, pad, places)):
        x = _seen(r.b, x, 2 + 2 * k, line)
    x = r.b.transpose(x, [0, 1, *range(2, 2 * count + 2, 2), *range(3, 2 * count + 2, 2)])
    return r.b.reshape(x, [batch, channels * math.prod(kernel), numel(places)])


def _fold(r: Request) -> Result:
    """[B, C taps, places] -> [B, C, *size]; `size` says how many spatial axes there are.

    Raises: Refusal E402, E403, E409 where the columns are not those of such an image.
    """
    shape = r.shape()
    if len(shape) != 3:
        message = f"needs columns [batch, channels*kernel, places], got {shown(shape)}"
        raise Refusal("E402", message, (0,), "unfold makes such")
    size: Shape = r["size"] if isinstance(r["size"], tuple) else (r["size"],) * 2
    kernel = _kernel(r, size)
    taps = math.prod(kernel)
    channels = exact_quotient(shape[1], taps)
    if channels is None:
        wide = "x".join(map(str, kernel))
        message = f"a kernel of {wide} takes {taps} numbers, which do not divide the {shape[1]}"
        raise Refusal("E409", f"{message} of axis 1 of {shown(shape)}", (0,))
    image = _image(r, (shape[0], channels, *size))
    count = len(size)
    stride, dilation = each(image, "stride", count), each(image, "dilation", count)
    pad = pads(image, count, kernel, stride, dilation)
    places = windows(image, kernel, stride, dilation, pad)
    if agree(numel(places), shape[2]):
        found = "x".join(map(str, places))
        message = f"{shown(image.shape())} has {found} windows, {shown(shape)} has {shape[2]}"
        raise Refusal(agree(numel(places), shape[2]) or "E403", message, (0,))
    x = r.b.reshape(r.real(), [shape[0], channels, *kernel, *places])
    order = [0, 1, *(axis for k in range(2, count + 2) for axis in (k, k + count))]
    x = r.b.transpose(x, order)
    for k, line in reversed(list(enumerate(_lines(size, kernel, stride, dilation, pad, places)))):
        x = _added(r.b, x, 2 + 2 * k, line)
    return r.b.rename(x, "folded")


def _kernel(r: Request, size: Shape) -> tuple[int, ...]:
    image = _image(r, (1, 1, *size))
    return each(image, "kernel", spatial(image))


def _image(r: Request, shape: Shape) -> Request:
    """The request as if it came with the image that is to be made: settings along its axes."""
    return replace(r, x=(r.b.broadcast(r.b.constant(0.0), (), shape),))


# ---- one axis ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """Windows along an axis: `places` of them, `stride` apart, each of `kernel` elements that are
    `dilation` apart, the first of them `low` in front of the `extent` elements.
    """

    kernel: int
    stride: int
    dilation: int
    places: Dim
    low: int
    high: int
    extent: Dim

    @property
    def whole(self) -> Dim:
        """The elements of the axis, and those around it."""
        return self.extent + (self.low + self.high)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Where pieces of a window begin that are `stride` apart, and their elements."""
        starts = range(0, self.kernel, self.stride)
        return [(start, min(self.stride, self.kernel - start)) for start in starts]


def _lines(size: Shape, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
           pad: Sequence[Pair], places: Shape) -> list[Line]:  # fmt: skip
    rows = zip(size, kernel, stride, dilation, pad, places, strict=True)
    return [Line(k, s, d, count, low, high, e) for e, k, s, d, (low, high), count in rows]


def _seen(b: Builder, x: int, axis: int, line: Line) -> int:
    """[…, extent, …] -> […, kernel, places, …]: what every window sees of an axis."""
    x = _padded(b, x, axis, line.low, line.high)
    if line.dilation > 1:
        starts = range(0, line.kernel * line.dilation, line.dilation)
        found = [_cut(b, x, axis, start, line.places, line.stride) for start in starts]
        return b.concat([_split(b, each, axis, 1, line.places) for each in found], axis)
    rows = line.places + (len(line.blocks) - 1)
    x = _first(b, x, axis, rows * line.stride)
    x = _split(b, x, axis, rows, line.stride)
    pieces = []
    for k, (_, count) in enumerate(line.blocks):
        piece = _cut(b, _cut(b, x, axis, k, line.places), axis + 1, 0, count)
        pieces.append(_swapped(b, piece, axis))
    return b.concat(pieces, axis)


def _added(b: Builder, x: int, axis: int, line: Line) -> int:
    """[…, kernel, places, …] -> […, extent, …]: the adjoint of `_seen`."""
    if line.dilation > 1:
        parts = [_spread(b, x, axis, line, k) for k in range(line.kernel)]
        total = reduce(lambda one, other: b.map("add", one, other), parts)
        return _cut(b, total, axis, line.low, line.extent)
    parts, last = [], len(line.blocks) - 1
    for k, (start, count) in enumerate(line.blocks):
        piece = _swapped(b, _cut(b, x, axis, start, count), axis)
        piece = _padded(b, piece, axis + 1, 0, line.stride - count)
        parts.append(_padded(b, piece, axis, k, last - k))
    total = reduce(lambda one, other: b.map("add", one, other), parts)
    total = _split(b, total, axis, (line.places + last) * line.stride, fold=True)
    return _cut(b, _first(b, total, axis, line.whole), axis, line.low, line.extent)


def _spread(b: Builder, x: int, axis: int, line: Line, tap: int) -> int:
    """What one tap of all windows says, where they look."""
    one = _split(b, _cut(b, x, axis, tap, 1), axis, line.places, fold=True)
    shape = b[one].shape
    starts = tuple(tap * line.dilation if d == axis else 0 for d in range(len(shape)))
    steps = tuple(line.stride if d == axis else 1 for d in range(len(shape)))
    sizes = (*shape[:axis], line.whole, *shape[axis + 1 :])
    return b.insert("spread", (one,), starts=starts, sizes=sizes, steps=steps)


def _first(b: Builder, x: int, axis: int, size: Dim) -> int:
    """So many elements of an axis from its beginning, zeros where there are none left."""
    more = size - b[x].shape[axis]
    if sign(more) == 1:
        return _padded(b, x, axis, 0, more)
    if sign(more) is None:
        x = _padded(b, x, axis, 0, size)
    return _cut(b, x, axis, 0, size)


def _padded(b: Builder, x: int, axis: int, low: Dim, high: Dim) -> int:
    rank = len(b[x].shape)
    before, behind = ([p if d == axis else 0 for d in range(rank)] for p in (low, high))
    return b.pad(x, before, behind)


def _cut(b: Builder, x: int, axis: int, start: Dim, size: Dim, step: int = 1) -> int:
    shape = b[x].shape
    starts = [start if d == axis else 0 for d in range(len(shape))]
    sizes = [*shape[:axis], size, *shape[axis + 1 :]]
    return b.slice(x, starts, sizes, [step if d == axis else 1 for d in range(len(shape))])


def _split(b: Builder, x: int, axis: int, *extents: Dim, fold: bool = False) -> int:
    """An axis as several; `fold`: it and the next one as one."""
    shape = b[x].shape
    return b.reshape(x, [*shape[:axis], *extents, *shape[axis + 1 + fold :]])


def _swapped(b: Builder, x: int, axis: int) -> int:
    """An axis behind the next one."""
    order = list(range(len(b[x].shape)))
    order[axis : axis + 2] = axis + 1, axis
    return b.transpose(x, order)


FOLDING = (
    (
        "unfold(x; kernel:sizes, stride:sizes=1, pad:pads|same=0, dilation:sizes=1)",
        _unfold,
        "what every window sees, as columns: [B, C, H, W] -> [B, C kernel kernel, places], and so along "
        "one axis or three; patches that overlap",
    ),
    (
        "fold(x; size:extents, kernel:sizes, stride:sizes=1, pad:pads|same=0, dilation:sizes=1)",
        _fold,
        "the adjoint of unfold: columns [B, C kernel kernel, places] added up in an image "
        "[B, C, *size], whose axes `size` lists; one number for a square",
    ),
)
