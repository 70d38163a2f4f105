"""Batches of pictures as the network takes them: read, varied, scaled, written into given arrays.

What a batch holds follows from the arguments of `fill` alone, so it does not matter which process
makes it, or when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .variation import Variation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .pictures import Pictures

    Array = NDArray[Any]
    Floats = NDArray[np.float32]

TRAIN, TEST = 0, 1
"""The parts of the data."""


class Output(NamedTuple):
    """What a plane becomes: the shape of one sample and the dtype that the data line declares."""

    shape: tuple[int, ...]
    dtype: str


class Mix(NamedTuple):
    """How the pictures of a batch are mixed.

    Shapes: the `partner` of every sample in the batch and the sample's own share, both [n];
    `patches` [n, 4] are the rows from and to and the columns from and to that are the partner's, or
    None where all pixels are a mean of both.
    """

    partner: NDArray[np.int64]
    share: Floats
    patches: NDArray[np.int64] | None = None


class Job(NamedTuple):
    """One batch.

    Shapes: `rows` [n] of the part, `draws` [n, DRAWS] or None for pictures as they are.
    """

    part: int
    rows: NDArray[np.int64]
    draws: NDArray[np.float64] | None = None
    mix: Mix | None = None


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the batches of one data line.

    `parts` are the pictures for training and those held out.  Values run over `low` … `high` and
    are then scaled as (x - shift) / scale, by channel.
    """

    parts: tuple[Pictures, ...]
    outputs: tuple[Output, ...]
    variation: Variation
    low: float = 0.0
    high: float = 1.0
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def fill(self, job: Job, out: Sequence[Array]) -> None:
        """Write a batch into the first rows of the arrays, one for each plane.

        Raises: DataError for what cannot be read.
        """
        pictures = self.parts[job.part]
        table = self.table()
        for index, row in enumerate(job.rows.tolist()):
            draws = None if job.draws is None else job.draws[index]
            cut = None if draws is None else self.variation.cut(draws)
            planes: Sequence[Array] = pictures.read(row, cut)
            if draws is not None:
                planes = self.variation.place(planes, pictures.planes, draws)
            self._show(planes[0], table, draws, out[0][index].reshape(planes[0].shape))
            for target, plane in zip(out[1:], planes[1:], strict=False):
                target[index] = plane.reshape(target.shape[1:])
        if job.mix is not None:
            _mix(out[0][: len(job.rows)], job.mix)

    def table(self) -> Floats:
        """The value that every byte becomes, [C, 256]."""
        values = byte_values(self.low, self.high)
        channels = self.parts[0].planes[0].shape[0]
        return self._scaled(np.repeat(values[None, :], channels, axis=0))

    def _scaled(self, values: Floats) -> Floats:
        """Values [C, ...] of the range as the network takes them."""
        if not self.shift:
            return values
        tail = (-1, *(1,) * (values.ndim - 1))
        shift, scale = (np.array(n).reshape(tail) for n in (self.shift, self.scale))
        return ((values.astype(np.float64) - shift) / scale).astype(np.float32)

    def _show(self, picture: Array, table: Floats, draws: Array | None, out: Array) -> None:
        """One picture, its values changed and scaled."""
        if draws is not None and self.variation.recolours:
            out[...] = self._scaled(self._recoloured(picture, draws))
        elif picture.dtype == np.uint8:
            for values, channel, target in zip(table, picture, out, strict=True):
                values.take(channel, out=target, mode="clip")
        else:
            out[...] = self._scaled(picture)
        if draws is not None and self.variation.cutout:
            rows, columns = self.variation.hole(picture.shape[1], picture.shape[2], draws)
            out[:, rows, columns] = self._black(picture)

    def _recoloured(self, picture: Array, draws: Array) -> Floats:
        low, span = np.float32(self.low), np.float32(self.high - self.low)
        if picture.dtype == np.uint8:
            values = picture * np.float32(1 / 255)
        else:
            values = (picture - low) / span
        self.variation.recolour(values, draws)
        return values * span + low

    def _black(self, picture: Array) -> Floats:
        return self._scaled(np.full((len(picture), 1, 1), self.low, np.float32))


def byte_values(low: float, high: float) -> Floats:
    """What the bytes 0 … 255 stand for."""
    span = np.float32((high - low) / 255)
    return np.arange(256, dtype=np.uint8) * span + np.float32(low)


def _mix(batch: Array, mix: Mix) -> None:
    """Every sample becomes a weighted mean of itself and its partner, or gets a part of it."""
    if mix.patches is not None:
        before = batch[mix.partner]
        for row, (top, bottom, left, right) in enumerate(mix.patches.tolist()):
            batch[row, ..., top:bottom, left:right] = before[row, ..., top:bottom, left:right]
        return
    weight = mix.share.reshape(-1, *(1,) * (batch.ndim - 1))
    other = batch[mix.partner] * (1 - weight)
    batch *= weight
    batch += other
