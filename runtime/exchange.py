"""What a generated step exchanges with other processes on its way, by a function of the host."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.compile import compile_native
from ..compiler.joined import lower_joined
from .native_engine import NativeEngine

if TYPE_CHECKING:
    from ..compiler.lowered import Lowered
    from .engine import Floats, Inputs, Result
    from .processes import Processes

TELL = "weft_all_reduce_with"
"""The function of a library that takes what adds up numbers of all processes in place."""

Sum = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)


class Exchanging(NativeEngine):
    """An engine whose gradients are parts of those of a whole batch, with that batch's statistics.

    All processes call it at once, also those that have no sample of a batch.
    """

    def __init__(self, lowered: Lowered, processes: Processes) -> None:
        super().__init__(compile_native(lower_joined(lowered)))
        self._processes = processes
        self._lost: Exception | None = None
        self._sum = Sum(self._exchange)

    def gradient(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> tuple[Result, Floats]:
        """The parts of loss, metrics and gradient that are of our samples.

        Raises: DeviceError when one of the processes has ended.
        """
        tell = getattr(self._library(self.artifact.entry("gradient", step).symbol), TELL, None)
        if tell is not None:  # else there is nothing to exchange
            tell(self._sum)
        found = super().gradient(step, inputs, index=index, seed=seed)
        if self._lost is not None:
            raise self._lost
        return found

    def _exchange(self, address: int, count: int) -> None:
        """Called by the step: what is raised here would be lost, so it is kept."""
        if self._lost is not None:
            return
        ours: Any = (ctypes.c_float * count).from_address(address)
        numbers = np.zeros(count + 1, np.float32)
        numbers[:-1] = np.frombuffer(ours, np.float32)
        try:
            self._processes.sum(numbers)
        except Exception as error:
            self._lost = error
        np.frombuffer(ours, np.float32)[:] = numbers[:-1]
