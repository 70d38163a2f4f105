"""An engine of several processes: each computes with its part of a batch, and all update alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .engine import Result, parameter_view
from .loss_scale import FIELD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Buffer
    from .engine import Engine, Floats, Inputs
    from .processes import Processes

    Array = NDArray[Any]

STRIDE = 0x9E3779B1
"""Between the seeds of two processes: dropout draws other numbers in each."""


class Joint:
    """Gives the gradient of a whole batch, of which every process has a part, to all of them.

    Losses, metrics and gradients are means over the processes, weighted by samples, and so are
    buffers, such as running statistics: after each gradient all processes hold the same numbers.
    Everything crosses in one sum a gradient.  Implements `runtime.engine.Engine`; what is no
    training acts on this process alone.

    `whole`: the engine's gradients add up, and its statistics are those of the whole batch already.
    """

    def __init__(self, engine: Engine, processes: Processes, *, whole: bool = False) -> None:
        self.artifact: Artifact = engine.artifact
        self.whole = whole
        self._engine, self._processes = engine, processes
        self._kept = _buffers(engine.artifact)[: 0 if whole else None]
        self._sums: Floats = np.zeros(0, np.float32)
        self.faults: Floats = np.zeros(processes.size, np.float32)

    @property
    def at_fault(self) -> bool:
        """Whether ours is the first part that was not finite, or there is none and we are first."""
        faults = np.flatnonzero(self.faults)
        return self._processes.rank == (int(faults[0]) if len(faults) else 0)

    @property
    def parameters(self) -> Floats:
        """The flat parameter arena."""
        return self._engine.parameters

    @property
    def states(self) -> Mapping[tuple[str, str], Floats]:
        """The optimizer states by (step, name)."""
        return self._engine.states

    def train(self, step: str, inputs: Inputs, *, rate: float, index: int, seed: int) -> Result:
        """The gradient of all parts, then the update."""
        result, gradient = self.gradient(step, inputs, index=index, seed=seed)
        if not (result.finite and math.isfinite(float(np.dot(gradient, gradient)))):
            return Result(result.values, False)
        self._engine.update(step, gradient, rate=rate, index=index)
        return result

    def gradient(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> tuple[Result, Floats]:
        """The loss, the metrics and the gradient of the whole batch; `inputs` are our part."""
        engine, processes, length = self._engine, self._processes, self.artifact.length
        names, geometric = _reported(self.artifact, step)
        geometric = frozenset() if self.whole else geometric
        own = slice(length + len(names), length + len(names) + processes.size)
        size = own.stop + 2  # the samples, and what the processes keep for themselves
        if len(self._sums) != size:
            self._sums = np.zeros(size, np.float32)
        sums = self._sums
        rows = 1 if self.whole else samples_of(inputs)
        sums[:] = 0
        if rows:
            result, gradient = engine.gradient(step, inputs, index=index, seed=self.seed(seed))
            np.multiply(gradient, np.float32(rows), out=sums[:length])
            with np.errstate(all="ignore"):
                for k, name in enumerate(names):
                    value = np.float32(result.values[name])
                    sums[length + k] = rows * (np.log(value) if name in geometric else value)
            sums[own][processes.rank] = not result.finite
            if len(self._kept):
                sums[self._kept] = rows * engine.parameters[self._kept]
        sums[-2] = rows
        processes.sum(sums)
        if not self.whole:
            sums[: own.start] /= sums[-2]
        if len(self._kept):
            engine.parameters[self._kept] = sums[self._kept]
            sums[self._kept] = 0
        self.faults = sums[own].copy()
        with np.errstate(all="ignore"):
            values = {
                name: float(np.exp(value) if name in geometric else value)
                for name, value in zip(names, sums[length : own.start], strict=True)
            }
        return Result(values, not self.faults.any()), sums[:length]

    def update(self, step: str, gradient: Floats, *, rate: float, index: int) -> None:
        """Clip and update with a gradient that was computed before."""
        self._engine.update(step, gradient, rate=rate, index=index)

    def evaluate(self, step: str, inputs: Inputs, *, index: int, seed: int) -> Result:
        """The loss and the metrics as in use."""
        return self._engine.evaluate(step, inputs, index=index, seed=seed)

    def forward(self, net: str, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """The outputs of a net, as in use."""
        return self._engine.forward(net, inputs)

    def probe(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> list[tuple[Buffer, NDArray[Any]]]:
        """Every value of a training step on our part."""
        return self._engine.probe(step, inputs, index=index, seed=self.seed(seed))

    def seed(self, seed: int) -> int:
        """What the random numbers of this process follow from."""
        return (seed + self._processes.rank * STRIDE) & 0xFFFFFFFF


def samples_of(inputs: Inputs) -> int:
    """How many samples a batch has."""
    return next(len(array) for name, array in inputs.items() if name != FIELD)


def moving(artifact: Artifact) -> list[str]:
    """The buffers that training changes, such as running statistics, by name."""
    written = {
        buffer.offset
        for entry in artifact.entries
        for buffer in entry.buffers
        if entry.kind == "gradient" and buffer.space == "parameter"
    }
    itemsize = np.dtype(np.float32).itemsize
    return [
        p.name for p in artifact.parameters if not p.trainable and itemsize * p.offset in written
    ]


def _reported(artifact: Artifact, step: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The numbers that a step reports, and those of which the logarithms are averaged."""
    own = next(s for s in (artifact.train or {})["step"] if s["name"] == step)
    return ("loss", *(own.get("metrics") or ())), frozenset(own.get("perplexity") or ())


def _buffers(artifact: Artifact) -> NDArray[np.int64]:
    """Where in the arena the buffers lie."""
    arena = np.arange(artifact.length, dtype=np.int64)
    views = [
        parameter_view(arena, p).reshape(-1)  # type: ignore[arg-type]
        for p in artifact.parameters
        if not p.trainable
    ]
    return np.concatenate(views) if views else arena[:0]
