"""The processes of one training: this one alone, or those that a launcher such as torchrun starts.

They find each other by the variables that torch.distributed reads, and exchange numbers through it:
gloo between CPUs, nccl between GPUs.  torch is imported only where there are several.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DeviceError, UnheardError, UsageError, WeftError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets."""

SOURCE_FILE = re.compile(r"^\[[^\]]*\] ")
"""Where in its own sources a message of gloo comes from."""

PAUSE = 1.0
"""Seconds in which the process that says what went wrong ends first: launchers name the first."""

INTERRUPTED = 130
"""The exit code of a process that was interrupted."""


class Processes:
    """One process alone: there is nothing to exchange.

    `rank` of `size`, counted from 0; the first one shows and writes for all.  `met`: the program
    that runs brings them together itself, no launcher watches over them.  `asked` is set where this
    process was asked to stop, `stopping` once all know that one of them was.
    """

    rank = 0
    size = 1
    met = True

    def __init__(self) -> None:
        self.asked = False

    @property
    def stopping(self) -> bool:
        """Whether the training should end after its step."""
        return self.asked

    def connect(self, target: str) -> None:
        """Find the others, before the first exchange and before a device is opened."""

    def sum(self, numbers: Array) -> None:
        """Put the sums over all processes in place of the numbers [n], f32 or f64.

        The last number belongs to the processes themselves, which agree by it on `stopping`.
        """

    def agree(self) -> bool:
        """Whether one of the processes was asked to stop: the same answer in all."""
        return self.asked

    def check_same(self, facts: Mapping[str, Any]) -> None:
        """Compare JSON data with what the others have.

        Raises: UsageError that names what differs.
        """


class Launched(Processes):
    """One of several processes, all of which make the same calls in the same order."""

    def __init__(self, rank: int, size: int, *, met: bool = False) -> None:
        super().__init__()
        self.rank, self.size, self.met = rank, size, met
        self._agreed = False
        self._device: Any = None
        self._store: Any = None
        self._group: Any = None

    @property
    def stopping(self) -> bool:
        return self._agreed

    def connect(self, target: str) -> None:
        """Raises: DeviceError when the others cannot be reached, or there is no GPU for us."""
        import torch

        if self._device is not None:
            return
        if target == "cuda":
            local = int(os.environ.get("LOCAL_RANK", self.rank))
            if local >= torch.cuda.device_count():
                raise DeviceError(
                    f"process {self.rank} has no GPU of its own: {torch.cuda.device_count()} here",
                    hint="start as many processes as there are GPUs",
                )
            torch.cuda.set_device(local)
        self._device = torch.device("cuda" if target == "cuda" else "cpu")
        backend = "nccl" if target == "cuda" else "gloo"
        try:
            if self.met:
                self._group = torch.distributed.new_group(backend=backend)
            else:
                torch.distributed.init_process_group(
                    backend, store=self._shared(), rank=self.rank, world_size=self.size
                )
        except (RuntimeError, ValueError) as error:
            raise _lost(self, error) from None

    def sum(self, numbers: Array) -> None:
        """Raises: DeviceError when one of the processes has ended."""
        import torch

        numbers[-1] = self.asked
        ours = torch.from_numpy(numbers)
        tensor = ours.to(self._device)
        try:
            torch.distributed.all_reduce(tensor, group=self._group)
        except RuntimeError as error:
            raise _lost(self, error) from None
        if tensor is not ours:
            ours.copy_(tensor)
        self._agreed = self._agreed or bool(numbers[-1] > 0)

    def agree(self) -> bool:
        self.sum(np.zeros(1))
        return self._agreed

    def check_same(self, facts: Mapping[str, Any]) -> None:
        hashes = [_digest(fact) for fact in facts.values()]
        found = np.zeros(self.size * len(hashes) + 1)
        found[self.rank * len(hashes) :][: len(hashes)] = hashes
        self.sum(found)
        all_of_them = found[:-1].reshape(self.size, len(hashes))
        differs = all_of_them != all_of_them[0]
        if differs.any():
            rank = int(np.flatnonzero(differs.any(1))[0])
            names = [name for name, other in zip(facts, differs[rank], strict=True) if other]
            raise UsageError(
                f"process {rank} differs from process 0 in its {' and '.join(names)}",
                hint="all processes read the same files and get the same options",
            )

    def speaks(self) -> bool:
        """Whether no other process has said what went wrong: the first one to ask does."""
        if self.met:
            return True
        try:
            return int(self._shared().add("fault", 1)) == 1
        except (RuntimeError, ValueError):
            return self.rank == 0

    def close(self) -> None:
        """Leave the others."""
        import torch

        with suppress(RuntimeError, ValueError, AssertionError):
            if self._group is not None:
                torch.distributed.destroy_process_group(self._group)
            elif not self.met and self._device is not None:
                torch.distributed.destroy_process_group()

    def _shared(self) -> Any:
        """A table that all processes see; every training of a program has its own."""
        if self._store is None:
            from torch.distributed.distributed_c10d import PrefixStore
            from torch.distributed.rendezvous import rendezvous

            store, _, _ = next(rendezvous("env://"))
            self._store = PrefixStore(f"weft/{store.add(f'weft/{self.rank}', 1)}", store)
        return self._store


@contextmanager
def launched(given: Processes | None = None, *, alone: bool = False) -> Iterator[Processes]:
    """The processes that were started together with this one, or this one where there are none or
    it is to be `alone`; those that are `given` already stay as they are.

    What goes wrong is raised in one of them; the others end as quietly as they can.

    Raises: UnheardError in processes that leave it to another to say what is wrong.
    """
    found = None if alone or given is not None else _found()
    if found is None:
        yield given or Processes()
        return
    try:
        yield found
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            heard = found.rank == 0
        else:
            heard = isinstance(error, GeneratorExit | UnheardError) or found.speaks()
        if heard:
            raise
        time.sleep(PAUSE)
        raise UnheardError(_code(error)) from None
    finally:
        found.close()


def _found() -> Launched | None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        rank, size, met = distributed.get_rank(), distributed.get_world_size(), True
    elif all(os.environ.get(name) for name in VARIABLES):
        rank, size, met = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), False
    else:
        return None
    return Launched(rank, size, met=met) if size > 1 else None


def _code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, WeftError) else 1


def _digest(fact: Any) -> int:
    """A whole number that float64 holds, which differs for different data."""
    text = json.dumps(fact, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "little")


def _lost(processes: Launched, error: Exception) -> DeviceError:
    about = SOURCE_FILE.sub("", str(error)).partition(". ")[0].partition("\n")[0]
    return DeviceError(
        f"process {processes.rank} of {processes.size} has lost the others: {about}",
        hint="was one of them ended, for want of memory perhaps? --resume goes on with the last "
        "checkpoint",
    )
