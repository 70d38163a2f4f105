"""What all passes over the pictures of a data line share: who makes the batches, and where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..machine import processes_here
from .feeder import AtOnce, Beside, Feeder
from .workers import Workers

if TYPE_CHECKING:
    from .maker import Maker

PASSES = 4
"""So many may be under way at a time: a training, an evaluation, and others."""

MOST_WORKERS = 4
"""Where the spec does not say how many."""


class Supply:
    """Makes the batches of one data line; whatever it needs it starts when it is first asked.

    `workers` None: none for pictures in memory, one for every two cores for those in files.
    `prefetch` None: two batches for every worker.
    """

    def __init__(
        self, maker: Maker, batch: int, workers: int | None, prefetch: int | None, *, files: bool
    ) -> None:
        self.maker = maker
        self._batch = batch
        self._workers = (_default() if files else 0) if workers is None else workers
        self.ahead = 2 * max(1, self._workers) if prefetch is None else prefetch
        self.closed = 0
        self._slots = PASSES * (self.ahead + 1)
        self._free = list(range(self._slots))
        self._feeder: Feeder | None = None

    @property
    def feeder(self) -> Feeder:
        """Who makes the batches."""
        if self._feeder is None:
            if self._workers:
                self._feeder = Workers(self.maker, self._batch, self._workers, self._slots)
            else:
                kind = Beside if self.ahead else AtOnce
                self._feeder = kind(self.maker, self._batch)
        return self._feeder

    def take(self) -> int | None:
        """A free slot, if there is one."""
        return self._free.pop() if self._free else None

    def give(self, slot: int) -> None:
        """The slot is free again."""
        self._free.append(slot)

    def close(self) -> None:
        """End threads and processes; what was begun is lost.  `closed` counts how often."""
        if self._feeder is not None:
            self._feeder.close()
        self._feeder = None
        self._free = list(range(self._slots))
        self.closed += 1


def _default() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, min(MOST_WORKERS, cores // 2 // processes_here()))
