"""Who makes the batches of pictures: this process, at once or beside the training."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .batches import aligned
from .conform import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .maker import Job, Maker

    Array = NDArray[Any]
    Slot = tuple[Array, ...]


class Feeder(Protocol):
    """Makes batches in slots, which are used again and again."""

    def slot(self, number: int) -> Slot:
        """The arrays of a slot, one for each plane, as long as the longest batch."""

    def start(self, number: int, job: Job) -> None:
        """Begin to make a batch in a slot."""

    def finish(self, number: int) -> None:
        """Wait until the slot holds its batch.

        Raises: DataError for what cannot be read.
        """

    def close(self) -> None:
        """Give back processes and memory; what was begun is lost."""


class Slots:
    """Arrays in the memory of this process, made when they are first needed."""

    def __init__(self, maker: Maker, batch: int) -> None:
        self._maker, self._batch = maker, batch
        self._slots: dict[int, Slot] = {}

    def __call__(self, number: int) -> Slot:
        if number not in self._slots:
            self._slots[number] = tuple(
                aligned(shape, dtype) for shape, dtype in shapes(self._maker, self._batch)
            )
        return self._slots[number]


class AtOnce:
    """Makes a batch when it is waited for."""

    def __init__(self, maker: Maker, batch: int) -> None:
        self._maker = maker
        self.slot = Slots(maker, batch)
        self._jobs: dict[int, Job] = {}

    def start(self, number: int, job: Job) -> None:
        self._jobs[number] = job

    def finish(self, number: int) -> None:
        self._maker.fill(self._jobs.pop(number), self.slot(number))

    def close(self) -> None:
        self._jobs.clear()


class Beside:
    """Makes the batches in a thread of this process: NumPy and Pillow let the training go on."""

    def __init__(self, maker: Maker, batch: int) -> None:
        self._maker = maker
        self.slot = Slots(maker, batch)
        self._thread = ThreadPoolExecutor(1, "weft-pictures")
        self._futures: dict[int, Future[None]] = {}

    def start(self, number: int, job: Job) -> None:
        self._futures[number] = self._thread.submit(self._maker.fill, job, self.slot(number))

    def finish(self, number: int) -> None:
        self._futures.pop(number).result()

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def shapes(maker: Maker, batch: int) -> Sequence[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of the arrays of a slot."""
    return [((batch, *o.shape), np.dtype(DTYPES[o.dtype])) for o in maker.outputs]
