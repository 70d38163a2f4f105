"""Parts of pictures: where they lie, and how they are scaled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Box(NamedTuple):
    """A part of a picture.  Units: pixels."""

    top: float
    left: float
    height: float
    width: float


class Cut(NamedTuple):
    """A part of a picture of any size: its share of the area, width to height, place from 0 to 1.

    What would be longer or wider than the picture is as long or wide as it.
    """

    area: float
    aspect: float
    y: float
    x: float

    def box(self, height: int, width: int) -> Box:
        """The part of a picture of this size, in whole pixels."""
        area = self.area * height * width
        tall = min(height, max(1, round(math.sqrt(area / self.aspect))))
        wide = min(width, max(1, round(math.sqrt(area * self.aspect))))
        top = min(int(self.y * (height - tall + 1)), height - tall)
        left = min(int(self.x * (width - wide + 1)), width - wide)
        return Box(top, left, tall, wide)


def centre(height: int, width: int, size: tuple[int, int], margin: float) -> Box:
    """The middle of a picture in the proportions of `size`; `margin` is how much more fits in."""
    scale = min(height / size[0], width / size[1]) / margin
    tall, wide = size[0] * scale, size[1] * scale
    return Box((height - tall) / 2, (width - wide) / 2, tall, wide)


def resample(plane: Array, box: Box, size: tuple[int, int]) -> Array:
    """A part of a plane [..., H, W] in another size: every new pixel is a mean of near old ones.

    Weights fall linearly with the distance, over a pixel of the coarser of both grids.
    """
    top, left = int(box.top), int(box.left)
    part = plane[..., top : top + int(box.height), left : left + int(box.width)]
    if part.shape[-2:] == size:
        return part
    rows, columns = _weights(size[0], part.shape[-2]), _weights(size[1], part.shape[-1])
    scaled = rows @ part.astype(np.float32) @ columns.T
    if plane.dtype.kind == "f":
        return scaled.astype(plane.dtype)
    return np.rint(scaled).astype(plane.dtype)


def nearest(plane: Array, box: Box, size: tuple[int, int]) -> Array:
    """A part of a plane of classes in another size: every new pixel is one of the old."""
    rows = _nearest(box.top, box.height, size[0], plane.shape[-2])
    columns = _nearest(box.left, box.width, size[1], plane.shape[-1])
    return plane[..., rows[:, None], columns]


def _nearest(start: float, length: float, count: int, limit: int) -> NDArray[np.int64]:
    places = np.floor(start + (np.arange(count) + 0.5) * (length / count)).astype(np.int64)
    return np.clip(places, 0, limit - 1)


def _weights(new: int, old: int) -> NDArray[np.float32]:
    scale = old / new
    centres = (np.arange(new)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(old)[None, :] + 0.5 - centres) / max(scale, 1)
    weights = np.maximum(1 - distance, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
