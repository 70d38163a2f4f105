"""`fold`: columns of windows added up where the windows lie, the adjoint of `unfold`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ...spec.dims import Dim, exact_quotient, numel
from ..ir.builder import Builder
from ..ir.types import Shape
from ..ops.windows import turned
from .request import Refusal, Request, Result, agree, shown
from .windowing import each, first, last, pads, spatial, windows


def _fold(r: Request) -> Result:
    """[B, C taps, places] -> [B, C, *size]; `size` says how many spatial axes there are.

    Raises: Refusal E402, E403, E409, E310 where the columns are not those of such an image.
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
    if not isinstance(channels, int):
        raise Refusal("E310", f"the channels must be known at compile time, not {channels}", (0,))
    image = _image(r, (shape[0], channels, *size))
    count = len(size)
    stride, dilation = each(image, "stride", count), each(image, "dilation", count)
    pad = pads(image, count, kernel, stride, dilation)
    places = windows(image, kernel, stride, dilation, pad)
    if agree(numel(places), shape[2]):
        found = "x".join(map(str, places))
        message = f"{shown(image.shape())} has {found} windows, {shown(shape)} has {shape[2]}"
        raise Refusal(agree(numel(places), shape[2]) or "E403", message, (0,))
    columns = r.b.reshape(r.real(), [shape[0], shape[1], *places])
    low = tuple(before for before, _ in pad)
    made = r.b.insert("convolve_input", (last(r, columns), turned(r.b, _taps(r.b, channels, kernel))),
                      "folded", stride=stride, dilation=dilation, low=low, groups=channels,
                      sizes=size)  # fmt: skip
    return first(r, made)


def _kernel(r: Request, size: Shape) -> tuple[int, ...]:
    image = _image(r, (1, 1, *size))
    return each(image, "kernel", spatial(image))


def _image(r: Request, shape: Shape) -> Request:
    """The request as if it came with the image that is to be made: settings along its axes."""
    return replace(r, x=(r.b.broadcast(r.b.constant(0.0), (), shape),))


def _taps(b: Builder, channels: int, kernel: Sequence[int]) -> int:
    """A weight [C taps, 1, *kernel] of which each row looks at one place of the window."""
    taps = math.prod(kernel)
    shape: tuple[Dim, ...] = (channels, taps, taps)
    same = b.map("eq", b.iota(shape, 1), b.iota(shape, 2))
    return b.reshape(b.cast(same, "f32"), [channels * taps, 1, *kernel])


FOLDING = (
    (
        "fold(x; size:extents, kernel:sizes, stride:sizes=1, pad:pads|same=0, dilation:sizes=1)",
        _fold,
        "the adjoint of unfold: columns [B, C kernel kernel, places] added up in an image "
        "[B, C, *size], whose axes `size` lists; one number for a square",
    ),
)
