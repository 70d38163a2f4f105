"""How one training step is carried out: in one call, from several batches, or by other means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .engine import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engine import Engine, Floats
    from .recipe import TrainingStep

    Array = NDArray[Any]


class Stepper(Protocol):
    """Carries out the updates of one training step of the spec."""

    def __call__(self, first: int, count: int, rate: float, index: int) -> Result:
        """Update number `index` (from 0) on the batches `first`, …, `first + count - 1`."""

    def failed(self, first: int, index: int) -> tuple[int, int]:
        """The batch, and the index of its random numbers, of the call that was not finite.

        The engine's parameters are then those it failed at.
        """

    def state(self) -> Mapping[str, Array]:
        """What must be kept in a checkpoint beside the engine's arenas."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """The inverse of `state`."""


class Feed(Protocol):
    """Numbered batches; `stream.Stream` is one."""

    def batch(self, number: int) -> dict[str, Array]:
        """The fields of a batch."""

    def size(self, number: int) -> int:
        """Its number of samples."""


class Given:
    """A feed of one batch, given by hand."""

    def __init__(self, inputs: dict[str, Array]) -> None:
        self.inputs = inputs

    def batch(self, number: int) -> dict[str, Array]:
        return self.inputs

    def size(self, number: int) -> int:
        return 1


Maker = Callable[["Engine", "TrainingStep", Feed, int], Stepper]
"""Makes a stepper from the engine, its step of the recipe, the data and the seed."""


class Direct:
    """The usual case: one batch, one call of the generated step."""

    def __init__(self, engine: Engine, step: TrainingStep, stream: Feed, seed: int) -> None:
        self._train = engine.train
        self._name = step.name
        self._batch = stream.batch
        self._seed = seed

    def __call__(self, first: int, count: int, rate: float, index: int) -> Result:
        return self._train(self._name, self._batch(first), rate=rate, index=index, seed=self._seed)

    def failed(self, first: int, index: int) -> tuple[int, int]:
        return first, index

    def state(self) -> Mapping[str, Array]:
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        pass


class Accumulated:
    """Gradients of several batches, averaged by their samples, then one update.

    Every batch draws its own random numbers: its index is that of the update times the batches of
    one update, plus its own.
    """

    def __init__(self, engine: Engine, step: TrainingStep, stream: Feed, seed: int) -> None:
        self._engine, self._step, self._stream, self._seed = engine, step, stream, seed
        self._sum: Floats = np.zeros(engine.artifact.length, np.float32)
        self._term: Floats = np.empty_like(self._sum)
        self._failed = (0, 0)

    def __call__(self, first: int, count: int, rate: float, index: int) -> Result:
        step, stream = self._step, self._stream
        used = min(count, step.accumulate)
        samples = sum(stream.size(first + j) for j in range(used))
        values: dict[str, float] = {}
        self._sum[:] = 0
        for j in range(used):
            weight = stream.size(first + j) / samples
            result, gradient = self._engine.gradient(
                step.name,
                stream.batch(first + j),
                index=index * step.accumulate + j,
                seed=self._seed,
            )
            if not result.finite:
                self._failed = (first + j, index * step.accumulate + j)
                return result
            np.multiply(gradient, np.float32(weight), out=self._term)
            self._sum += self._term
            for name, value in result.values.items():
                values[name] = values.get(name, 0.0) + weight * value
        if not math.isfinite(float(np.dot(self._sum, self._sum))):
            self._failed = (first + used - 1, index * step.accumulate + used - 1)
            return Result(values, False)
        self._engine.update(step.name, self._sum, rate=rate, index=index)
        return Result(values, True)

    def failed(self, first: int, index: int) -> tuple[int, int]:
        return self._failed

    def state(self) -> Mapping[str, Array]:
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        pass
