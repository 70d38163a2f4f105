"""Processes that make batches of pictures in memory that they share with the training.

A worker is a Python of its own that imports this package and nothing of the user's, so that it does
not matter how the training was started.  It ends when the training does, however that ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe, wait
from typing import TYPE_CHECKING, Any

from ...spec.errors import DataError, InternalError
from . import picture_worker
from .block import attach, create, layout
from .feeder import shapes
from .pictures import Pictures, Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .maker import Job, Maker

    Array = NDArray[Any]
    Slot = tuple[Array, ...]

START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
RUN = f"from {picture_worker.__name__} import work; work(int(sys.argv[2]))"

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""A worker computes in one thread: there are several of them, and the training beside them."""


@dataclass(slots=True)
class Worker:
    """One process; `slots` are those that it fills now."""

    process: subprocess.Popen[bytes]
    connection: Connection
    slots: list[int] = field(default_factory=list)


class Workers:
    """Makes batches in `count` processes, `slots` of them at a time at most."""

    def __init__(self, maker: Maker, batch: int, count: int, slots: int) -> None:
        self._width = len(maker.outputs)
        self._workers: list[Worker] = []
        self._done: dict[int, tuple[str, ...]] = {}
        self._ended = weakref.finalize(self, _end, self._workers)
        where = layout([entry for _ in range(slots) for entry in shapes(maker, batch)])
        files: list[int] = []
        try:
            files.append(create(where.size))
            self._arrays = attach(files[0], where)
            plain, blocks = _without_arrays(maker, files)
            for _ in range(count):
                self._workers.append(_start(files))
            for worker in self._workers:
                worker.connection.send((plain, blocks, files[0], where, self._width))
        except OSError as error:
            raise DataError(
                f"no process to read pictures could be started: {error.strerror or error}",
                hint="workers=0 reads them in the training's own process",
            ) from None
        finally:
            for file in files:
                os.close(file)

    def slot(self, number: int) -> Slot:
        return tuple(self._arrays[number * self._width : (number + 1) * self._width])

    def start(self, number: int, job: Job) -> None:
        worker = min(self._workers, key=lambda w: len(w.slots))
        try:
            worker.connection.send((number, job))
        except OSError:
            raise _died(worker) from None
        worker.slots.append(number)

    def finish(self, number: int) -> None:
        while number not in self._done:
            connections = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(connections)):
                assert isinstance(connection, Connection)
                self._hear(connections[connection])
        fault = self._done.pop(number)
        if fault and fault[0] == "data":
            raise DataError(fault[1], hint=fault[2] or None)
        if fault:
            raise InternalError(f"a process that makes batches failed: {fault[1]}")

    def close(self) -> None:
        self._ended()

    def _hear(self, worker: Worker) -> None:
        try:
            number, fault = worker.connection.recv()
        except (EOFError, OSError):
            raise _died(worker) from None
        worker.slots.remove(number)
        self._done[number] = fault


def _start(files: Sequence[int]) -> Worker:
    ours, theirs = Pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", START + RUN, json.dumps(sys.path), str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        pass_fds=(*files, theirs.fileno()),
        env={**os.environ, **dict.fromkeys(LIMITS, "1")},
    )
    theirs.close()
    return Worker(process, ours)


def _without_arrays(maker: Maker, files: list[int]) -> tuple[Maker, list[Any]]:
    """The maker without the arrays of its pictures, which go into blocks that all share."""
    blocks: list[Any] = []
    parts: list[Pictures] = []
    for part in maker.parts:
        if isinstance(part, Stored):
            where = layout([(array.shape, array.dtype) for array in part.arrays])
            files.append(create(where.size))
            for target, array in zip(attach(files[-1], where), part.arrays, strict=True):
                target[...] = array
            blocks.append((files[-1], where))
            parts.append(replace(part, arrays=()))
        else:
            blocks.append(None)
            parts.append(part)
    return replace(maker, parts=tuple(parts)), blocks


def _died(worker: Worker) -> DataError:
    try:
        code = worker.process.wait(5)
    except subprocess.TimeoutExpired:
        code = 0
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    return DataError(
        f"a process that reads pictures {how}",
        hint="was there enough memory? workers=0 reads them in the training's own process",
    )


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        try:
            worker.process.wait(2)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
    workers.clear()
