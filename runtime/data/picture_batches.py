"""Batches of pictures: the next ones are made while the training works on this one.

A batch follows from the seed, the epoch and its number alone.  Asking for the next one costs
nothing when it is ready; asking for any other throws away what was begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError, InternalError
from ..initialise import generator
from .batches import aligned, order
from .maker import TRAIN, Job, Mix
from .shard import WHOLE, Shard
from .variation import DRAWS, FIRST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .supply import Supply

    Array = NDArray[Any]
    Batch = dict[str, Array]


class PictureBatches:
    """The batches of one part of the pictures of a data line.

    `planes` names what the supply makes, `arrays` holds the fields beside it; labels in `soft` are
    indices of so many classes, of which a batch holds the shares.  Without `seed` the order is that
    of the data, and nothing is varied.
    """

    def __init__(
        self,
        supply: Supply,
        part: int,
        planes: tuple[str, ...],
        arrays: Mapping[str, Array],
        soft: Mapping[str, int],
        batch: int,
        *,
        place: str,
        shuffle: bool = False,
        drop: bool = False,
        seed: int | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        self.samples = len(supply.maker.parts[part])
        self.batch = min(batch, self.samples)
        self._all = self.samples // batch if drop else -(-self.samples // batch)
        self.count = shard.count(self._all, drop=drop)
        self._shard = shard
        self._supply, self._part = supply, part
        self._planes, self._arrays, self._soft = planes, arrays, soft
        self._fields = (*planes, *arrays)
        self._shuffle = shuffle and batch < self.samples
        self._seed = seed
        self._place = place
        self._epoch = -1
        self._order: NDArray[np.int64] = np.arange(self.samples)
        self._pending: dict[int, tuple[int, Batch]] = {}
        self._current: tuple[int, int, Batch] | None = None
        self._closed = supply.closed

    def at(self, epoch: int, index: int) -> Batch:
        """Batch `index` of an epoch, both from 0; it is valid until the next call."""
        if self._supply.closed != self._closed:
            self._pending, self._current = {}, None
            self._closed = self._supply.closed
        number = epoch * self.count + index
        if self._current is not None:
            if self._current[0] == number:
                return self._current[2]
            self._supply.give(self._current[1])
            self._current = None
        last = number + self._supply.ahead
        self._forget(number, last)
        self._begin(number, last)
        slot, batch = self._pending.pop(number)
        try:
            self._supply.feeder.finish(slot)
        except DataError as error:
            self._supply.give(slot)
            raise DataError(f"{self._place}: {error.message}", hint=error.hint) from None
        self._current = (number, slot, batch)
        return batch

    def size(self, index: int) -> int:
        """The number of samples in batch `index`, those of other processes included."""
        return min(self.batch, self.samples - self._shard.at(index, self._all) * self.batch)

    def _begin(self, number: int, last: int) -> None:
        """Begin this batch and those after it, as far as there is room for them."""
        if self._seed is None:
            last = min(last, number - number % self.count + self.count - 1)
        for wanted in range(number, last + 1):
            if wanted in self._pending:
                continue
            slot = self._supply.take()
            if slot is None:
                break
            self._pending[wanted] = slot, self._start(slot, *divmod(wanted, self.count))
        if number not in self._pending:
            raise InternalError("too many passes over the same pictures are under way")

    def _start(self, slot: int, epoch: int, index: int) -> Batch:
        index = self._shard.at(index, self._all)
        rows = self._rows(epoch, index)
        own = self._shard.rows(len(rows))
        job = Job(self._part, rows[own])
        mix: Mix | None = None
        variation = self._supply.maker.variation
        if self._seed is not None and self._part == TRAIN and variation.any:
            random = generator(self._seed, "augment", *self._fields, epoch, index)
            draws = random.random((len(rows), FIRST))
            if variation.mixing:
                partner = random.permutation(len(rows))
                share = random.beta(variation.mixing, variation.mixing, len(rows))
                mix = Mix(partner, np.maximum(share, 1 - share).astype(np.float32))
            later = random.random((len(rows), DRAWS - FIRST))
            draws = np.concatenate([draws, later], 1)
            if mix is not None and variation.cutmix:
                height, width = self._supply.maker.parts[TRAIN].planes[0].shape[-2:]
                patches, left = variation.patches(height, width, mix.share, draws)
                mix = Mix(mix.partner, left, patches)
            job = Job(self._part, rows[own], draws[own])
            if mix is not None:  # partners may lie in the rows of other processes
                job = Job(self._part, rows, draws, mix)
        self._supply.feeder.start(slot, job)
        made = self._supply.feeder.slot(slot)
        count = len(job.rows)
        where = own if count == len(rows) else slice(0, count)
        batch = {
            name: array[:count][where] for name, array in zip(self._planes, made, strict=False)
        }
        for name, array in self._arrays.items():
            if name in self._soft:
                batch[name] = shares(array[rows], self._soft[name], mix)[own]
            else:
                batch[name] = aligned((len(rows[own]), *array.shape[1:]), array.dtype)
                array.take(rows[own], 0, batch[name], "clip")
        return batch

    def _rows(self, epoch: int, index: int) -> NDArray[np.int64]:
        if self._shuffle and epoch != self._epoch:
            assert self._seed is not None
            self._order = order(self._seed, self._fields, epoch, self.samples)
            self._epoch = epoch
        return self._order[index * self.batch : (index + 1) * self.batch]

    def _forget(self, first: int, last: int) -> None:
        """Wait for what was begun and is none of these; its slots are free again."""
        for other in [n for n in self._pending if not first <= n <= last]:
            slot, _ = self._pending.pop(other)
            with suppress(DataError):
                self._supply.feeder.finish(slot)
            self._supply.give(slot)


def shares(labels: Array, classes: int, mix: Mix | None) -> Array:
    """The share of every class in every sample, [n, classes]."""
    shares = aligned((len(labels), classes), np.dtype(np.float32))
    shares[...] = 0
    places = np.arange(len(labels))
    if mix is None:
        shares[places, labels] = 1
        return shares
    shares[places, labels] = mix.share
    np.add.at(shares, (places, labels[mix.partner]), 1 - mix.share)
    return shares
