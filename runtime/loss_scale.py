"""Training in f16: gradients are computed of a scaled loss, so that small ones do not vanish.

The scale is an input of the generated step, which divides the parameters' gradients by it.  A step
whose gradient is not finite has changed nothing: it is repeated with half the scale, so no batch is
lost and the updates are counted as ever.  After many good steps the scale doubles.

Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.2; torch.amp.GradScaler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engine import Engine, Result
    from .recipe import TrainingStep
    from .stepper import Feed, Stepper

    Array = NDArray[Any]

FIELD = "loss_scale"
"""What the input is called."""

FIRST, LARGEST = 2.0**16, 2.0**24
GROWTH = 2000
"""Good steps in a row after which the scale doubles."""

STILL = 2.0**10
"""The scale where nothing adapts it."""


def scaled(takes: bool, inputs: Mapping[str, Array], scale: float = STILL) -> Mapping[str, Array]:
    """The inputs of an entry that `takes` a scale, with one."""
    if not takes or FIELD in inputs:
        return inputs
    return {**inputs, FIELD: np.array(scale, np.float32)}


def takes_scale(engine: Engine, step: str) -> bool:
    """Is the scale an input of the training step?"""
    own = (entry for entry in engine.artifact.entries if entry.subject == step)
    return any(port.name == FIELD for entry in own for port in entry.inputs)


class _Scaled:
    """A feed whose batches carry the scale."""

    def __init__(self, feed: Feed, scale: Array) -> None:
        self._feed, self._scale = feed, scale
        self.size = feed.size

    def batch(self, number: int) -> dict[str, Array]:
        """The fields of a batch, and the scale."""
        return {**self._feed.batch(number), FIELD: self._scale}


class LossScale:
    """Carries out the updates of another stepper at a scale that fits; `fixed` keeps one scale."""

    def __init__(
        self,
        make: Callable[[Engine, TrainingStep, Feed, int], Stepper],
        engine: Engine,
        step: TrainingStep,
        feed: Feed,
        seed: int,
        fixed: float | None,
    ) -> None:
        self.scale: Array = np.array(fixed or FIRST, np.float32)
        self.good = 0
        self._fixed = fixed is not None
        self._inner = make(engine, step, _Scaled(feed, self.scale), seed)

    def __call__(self, first: int, count: int, rate: float, index: int) -> Result:
        result = self._inner(first, count, rate, index)
        while not result.finite and not self._fixed and self.scale > 1:
            self.scale[...] = self.scale / 2
            self.good = 0
            result = self._inner(first, count, rate, index)
        self.good += 1
        if self.good >= GROWTH and not self._fixed:
            self.scale[...] = min(2 * float(self.scale), LARGEST)
            self.good = 0
        return result

    def failed(self, first: int, index: int) -> tuple[int, int]:
        return self._inner.failed(first, index)

    def state(self) -> Mapping[str, Array]:
        own = np.array([float(self.scale), self.good], np.float64)
        return {**self._inner.state(), FIELD: own}

    def restore(self, state: Mapping[str, Array]) -> None:
        rest = dict(state)
        own = rest.pop(FIELD, None)
        if own is not None:
            self.scale[...], self.good = own[0], int(own[1])
        self._inner.restore(rest)
