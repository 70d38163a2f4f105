"""Batches: any one of them, at once, from the seed and its number alone.

Nothing is carried from one batch to the next, so a resumed training draws the same ones.  Buffers
are allocated once and reused: an array of a batch is overwritten when the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..initialise import generator
from .shard import WHOLE, Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Batch = dict[str, Array]

ALIGNMENT = 64
"""Bytes: a cache line, and what the kernels like."""


class Batches:
    """The batches of one part of a dataset.

    `drop` leaves the last, smaller batch of an epoch out.  Without `shuffle` the order is that of
    the data; the whole part as one batch is never shuffled or copied.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        batch: int,
        *,
        shuffle: bool,
        drop: bool,
        seed: int,
        shard: Shard = WHOLE,
    ) -> None:
        self.arrays = {name: aligned_copy(array) for name, array in arrays.items()}
        self.samples = len(next(iter(self.arrays.values())))
        self.batch = batch
        self._all = self.samples // batch if drop else -(-self.samples // batch)
        self.count = shard.count(self._all, drop=drop)
        self._shard = shard
        self._seed = seed
        self._shuffle = shuffle and batch < self.samples
        self._epoch = -1
        self._order: NDArray[np.int64] = np.arange(0)
        self._whole: Batch | None = None
        if batch >= self.samples:
            rows = shard.rows(self.samples)
            self._whole = {name: array[rows] for name, array in self.arrays.items()}
        self._full = self._buffers(_length(shard, batch)) if self._shuffle else {}
        tail = _length(shard, self.samples % batch if not drop else 0)
        self._tail = {name: buffer[:tail] for name, buffer in self._full.items()}

    def at(self, epoch: int, index: int) -> Batch:
        """Batch `index` of an epoch, both from 0."""
        if self._whole is not None:
            return self._whole
        begin = self._shard.at(index, self._all) * self.batch
        end = begin + self.batch
        own = self._shard.rows(min(end, self.samples) - begin)
        if not self._shuffle:
            return {name: array[begin:end][own] for name, array in self.arrays.items()}
        if epoch != self._epoch:
            self._order = order(self._seed, tuple(self.arrays), epoch, self.samples)
            self._epoch = epoch
        rows = self._order[begin:end][own]
        buffers = self._full if end <= self.samples else self._tail
        for name, buffer in buffers.items():
            # mode="clip" writes straight into `out`; the default goes through a copy
            self.arrays[name].take(rows, 0, buffer, "clip")
        return buffers

    def size(self, index: int) -> int:
        """The number of samples in batch `index`, those of other processes included."""
        return min(self.batch, self.samples - self._shard.at(index, self._all) * self.batch)

    def _buffers(self, batch: int) -> Batch:
        return {
            name: aligned((batch, *array.shape[1:]), array.dtype)
            for name, array in self.arrays.items()
        }


def _length(shard: Shard, samples: int) -> int:
    rows = shard.rows(samples)
    return int(rows.stop - rows.start)


def order(seed: int, fields: tuple[str, ...], epoch: int, samples: int) -> NDArray[np.int64]:
    """The order of the samples in an epoch."""
    return generator(seed, "shuffle", *fields, epoch).permutation(samples)


def aligned(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """An uninitialised array whose data starts at a cache line."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    block = np.empty(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size].view(dtype).reshape(shape)


def aligned_copy(array: Array) -> Array:
    """The array itself when it is contiguous and aligned, else a copy that is."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        return array
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy
