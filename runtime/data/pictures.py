"""Pictures that are read one at a time, each with what belongs to its pixels, such as a mask.

A sample consists of planes: the picture itself [C, H, W], then masks [H, W] or further pictures.
Bytes stand for the values 0 … 255 of files; float32 planes hold their values already.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .cut import Cut, nearest, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plane:
    """One part of every sample.

    Shapes: `shape` of one sample.  `labels` are never mixed with their neighbours; `blank` is what
    lies beyond the edges.
    """

    shape: tuple[int, ...]
    dtype: str
    labels: bool = False
    blank: float = 0.0


class Pictures(Protocol):
    """Samples in an order, each of them read when it is asked for."""

    @property
    def planes(self) -> tuple[Plane, ...]:
        """What every sample consists of."""

    def __len__(self) -> int: ...

    def keep(self, rows: Rows) -> Pictures:
        """These samples only."""

    def read(self, row: int, cut: Cut | None = None) -> tuple[Array, ...]:
        """The planes of a sample; with `cut` a part of it, enlarged to the size of the whole.

        Raises: DataError.
        """

    def where(self, row: int) -> str:
        """Where a sample comes from."""

    def checksum(self) -> int:
        """A number that changes when the data does."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Samples that lie in memory, one array [N, ...] for each plane.

    `mark` is the checksum of the files that they were read from.
    """

    planes: tuple[Plane, ...]
    arrays: tuple[Array, ...]
    names: tuple[str, ...] = field(default=(), repr=False)
    mark: int | None = None

    def __len__(self) -> int:
        return len(self.arrays[0])

    def keep(self, rows: Rows) -> Stored:
        names = tuple(self.names[row] for row in rows) if self.names else ()
        return replace(self, arrays=tuple(array[rows] for array in self.arrays), names=names)

    def read(self, row: int, cut: Cut | None = None) -> tuple[Array, ...]:
        found = tuple(array[row] for array in self.arrays)
        if cut is None:
            return found
        height, width = self.planes[0].shape[-2:]
        box = cut.box(height, width)
        return tuple(
            nearest(array, box, (height, width))
            if plane.labels
            else resample(array, box, (height, width))
            for array, plane in zip(found, self.planes, strict=True)
        )

    def where(self, row: int) -> str:
        return self.names[row] if self.names else f"sample {row}"

    def checksum(self) -> int:
        if self.mark is not None:
            return self.mark
        checksum = 0
        for array in self.arrays:
            flat = np.ascontiguousarray(array).reshape(-1)
            checksum = zlib.crc32(flat.view(np.uint8).data, checksum)
        return checksum


def stored(
    arrays: Sequence[Array], *, labels: Sequence[bool] = (), blanks: Sequence[float] = ()
) -> Stored:
    """Samples in memory; `labels` says which arrays hold classes."""
    planes = tuple(
        Plane(
            array.shape[1:],
            array.dtype.str[1:],
            labels[index] if labels else False,
            blanks[index] if blanks else 0.0,
        )
        for index, array in enumerate(arrays)
    )
    return Stored(planes, tuple(arrays))


def collected(pictures: Pictures) -> Stored:
    """The samples, read once and kept in memory.

    Raises: DataError for one that cannot be read.
    """
    arrays = tuple(np.empty((len(pictures), *p.shape), p.dtype) for p in pictures.planes)
    for row in range(len(pictures)):
        for array, values in zip(arrays, pictures.read(row), strict=True):
            array[row] = values
    names = tuple(pictures.where(row) for row in range(len(pictures)))
    return Stored(pictures.planes, arrays, names, pictures.checksum())
