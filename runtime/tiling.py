"""Images that are too large for a net at once: tiles of them, and their answers blended into one.

Neighbouring tiles share rows or columns. In the middle half of these the answer passes from one to
the other evenly, so that no seam shows; the outer quarters are left to the tile that sees what lies
around them. Beside the image and its answer only the tiles that are in work need room.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import evaluate
from ..spec.errors import DataError, UsageError
from .padding import padding_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Entry, Port

    Array = NDArray[Any]
    Call = Callable[[dict[str, Array]], dict[str, Array]]
    Scaled = Callable[[Array], dict[str, Array]]

FLOATS = ("f16", "bf16", "f32")
SHARE = 8
"""Of a tile, so much of it is shared with its neighbour unless the user says otherwise."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """What the user asks for: tiles of `side` rows and columns of which neighbours share `overlap`
    or more.

    Raises: UsageError for numbers that make no tiles.
    """

    side: int
    overlap: int

    def __post_init__(self) -> None:
        if self.side < 1:
            raise UsageError(f"--tile {self.side}: a tile has at least one row and one column")
        if not 0 <= self.overlap <= self.side // 2:
            raise UsageError(
                f"--overlap {self.overlap}: from 0 to {self.side // 2}, half of a tile"
            )

    def needed(self, height: int, width: int) -> bool:
        """Is an image larger than a tile?"""
        return max(height, width) > self.side


def tiles_of(side: int | None, overlap: int | None) -> Tiles | None:
    """The tiles that `--tile` and `--overlap` name.  Raises: UsageError."""
    if side is None:
        if overlap is not None:
            raise UsageError("--overlap is that of tiles", hint="add --tile N")
        return None
    return Tiles(side, side // SHARE if overlap is None else overlap)


@dataclass(frozen=True, slots=True)
class Tiling:
    """An image of `own` height and width as tiles of `sides`, the least from `tiles` on that
    `entry` takes.

    Tiles begin at multiples of `period`, after which the net takes the next size: so its pools fall
    on the same pixels in each.  At most `most` of them go through it at once, `scaled` as it takes
    them.
    """

    entry: Entry
    tiles: Tiles
    own: tuple[int, int]
    sides: tuple[int, int]
    period: int
    most: int
    scaled: Scaled

    def run(self, image: Array, call: Call) -> dict[str, Array]:
        """The answers for one image, [1, C, *own]: of each output [1, …, rows, columns].

        Raises: UsageError for a net whose answers are no maps of the image.
        """
        found = {port.name: _whole(port, self) for port in self.entry.outputs}
        unit = math.lcm(self.period, *(whole.scale.denominator for whole in found.values()))
        rows, columns = self._begins(0, unit), self._begins(1, unit)
        grid = [(i, j) for i in range(len(rows)) for j in range(len(columns))]
        for begin in range(0, len(grid), self.most):
            some = grid[begin : begin + self.most]
            tiles = [self._tile(image, rows[i], columns[j]) for i, j in some]
            values = call(self.scaled(np.concatenate(tiles)))
            for whole in found.values():
                for answer, (i, j) in zip(values[whole.port.name], some, strict=True):
                    whole.add(answer, (rows, columns), (i, j), self.sides)
        return {name: whole.values[None] for name, whole in found.items()}

    def _begins(self, axis: int, unit: int) -> list[int]:
        """Where tiles begin along an axis: spread evenly, the last one reaches the end."""
        side = self.sides[axis]
        beyond = -(-max(0, self.own[axis] - side) // unit)  # in units
        step = max(1, (side - self.tiles.overlap) // unit)
        turns = -(-beyond // step)
        return [turn * beyond // max(1, turns) * unit for turn in range(turns + 1)]

    def _tile(self, image: Array, top: int, left: int) -> Array:
        """A tile; what lies beyond the image is its reflection."""
        rows = _reflected(range(top, top + self.sides[0]), self.own[0])
        columns = _reflected(range(left, left + self.sides[1]), self.own[1])
        return np.ascontiguousarray(image[:, :, rows][:, :, :, columns])


def tiling_of(
    entry: Entry, own: tuple[int, int], tiles: Tiles, most: int, scaled: Scaled
) -> Tiling:
    """How images of this size are taken apart.  Raises: DataError where the net takes no tile."""
    port = entry.inputs[0]
    sides = padding_of(entry, port, (tiles.side, tiles.side), "a tile").sides
    try:
        longer = padding_of(entry, port, (sides[0] + 1, sides[1] + 1), "a tile").sides
    except DataError:  # it takes one size
        longer = (sides[0] + 1, sides[1] + 1)
    period = math.lcm(longer[0] - sides[0], longer[1] - sides[1])
    return Tiling(entry, tiles, own, sides, period, most, scaled)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The answer for a whole image, [..., rows, columns], `scale` times as long as it on both axes,
    to which tiles are added.
    """

    port: Port
    scale: Fraction
    values: Array

    def add(
        self,
        answer: Array,
        begins: tuple[list[int], list[int]],
        turn: tuple[int, int],
        sides: tuple[int, int],
    ) -> None:
        """The answer for one tile, [..., rows, columns], that is the `turn`-th along each axis."""
        shares, corner = [], []
        for axis, place, side in zip(begins, turn, sides, strict=True):
            before = side - (axis[place] - axis[place - 1]) if place else 0
            after = side - (axis[place + 1] - axis[place]) if place + 1 < len(axis) else 0
            shares.append(self._share(side, max(0, before), max(0, after)))
            corner.append(int(axis[place] * self.scale))
        there = self.values[..., corner[0] :, corner[1] :]
        there = there[..., : answer.shape[-2], : answer.shape[-1]]
        weighed = answer * shares[0][:, None] * shares[1]
        there += weighed[..., : there.shape[-2], : there.shape[-1]]

    def _share(self, side: int, before: int, after: int) -> Array:
        """What counts of each row of a tile that shares so many with its neighbours."""
        share = np.ones(int(side * self.scale), np.float32)
        share[: int(before * self.scale)] = _rise(int(before * self.scale))
        share[len(share) - int(after * self.scale) :] *= _rise(int(after * self.scale))[::-1]
        return share


def _whole(port: Port, tiling: Tiling) -> _Whole:
    """An answer of zeros, as large as that for one tile says.

    Raises: UsageError where that is no map.
    """
    sides = tiling.sides
    names = map(str, tiling.entry.inputs[0].shape[-2:])
    bound = {**dict.fromkeys(tiling.entry.sizes, 1), **dict(zip(names, sides, strict=True))}
    shape = [evaluate(extent, bound) for extent in port.shape[1:]]
    scales = {Fraction(n, s) for n, s in zip(shape[-2:], sides, strict=False)}
    if len(shape) < 2 or len(scales) != 1 or port.dtype not in FLOATS:
        what = "whole numbers" if port.dtype not in FLOATS else "no map of the image"
        raise UsageError(
            f"`{port.name}` is {port.dtype}{shape} for a tile of {sides[0]} x {sides[1]}: {what}",
            hint="--tile is for nets that give numbers for each place, such as scores of classes",
        )
    (scale,) = scales
    extents = [math.ceil(side * scale) for side in tiling.own]
    return _Whole(port, scale, np.zeros((*shape[:-2], *extents), np.float32))


def _rise(length: int) -> Array:
    """From 0 to 1 in the middle half; of a row, what it is and what it is backwards add up to 1."""
    quarter = length // 4
    places = np.arange(length, dtype=np.float32) - quarter + 0.5
    return np.clip(places / max(1, length - 2 * quarter), 0, 1)


def _reflected(places: range, length: int) -> Array:
    """Places beyond the end, and back again: 0 1 2 3 2 1 0 1 … of four."""
    period = max(1, 2 * (length - 1))
    found = np.array(places) % period
    return np.minimum(found, period - found)
