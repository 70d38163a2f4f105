"""Which learning rates a network bears: a few steps at rates that grow from tiny to far too large.

Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ..spec.errors import UsageError
from .initialise import initialise
from .lbfgs import Lbfgs
from .recipe import Recipe, TrainingStep, recipe_of
from .stepper import Stepper
from .stepper_choice import stepper_for
from .stream import Stream, datasets_of

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from .engine import Engine

WINDOW = 12  # a loss is smoothed over a twelfth of all steps on either side
LATEST = 3  # losses whose mean says that the training has diverged
HOPELESS = 4.0  # times the fall of the loss above its start: it has diverged


@dataclass(frozen=True, slots=True)
class RateRange:
    """The rate of each step of a test and the loss, smoothed over its neighbours; `diverged`: the
    last rate was too much.
    """

    step: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    diverged: bool

    @property
    def least(self) -> int:
        """The step with the least loss."""
        return min(range(len(self.losses)), key=self.losses.__getitem__)

    @property
    def steepest(self) -> int | None:
        """The step before the least loss at which it falls fastest; None where it never falls."""
        count = len(self.losses)
        reach = max(1, count // 20)
        falls = {
            k: self.losses[min(k + reach, count - 1)] - self.losses[max(k - reach, 0)]
            for k in range(self.least + 1)
        }
        best = min(falls, key=falls.__getitem__)
        return best if falls[best] < 0 else None

    @property
    def suggested(self) -> float | None:
        """A rate to begin with, at which the loss falls fastest; None where none lowered it."""
        return None if self.steepest is None else self.rates[self.steepest]


def try_rates(
    engine: Engine,
    artifact: Artifact,
    *,
    root: Path,
    low: float = 1e-7,
    high: float = 10.0,
    count: int = 100,
    seed: int | None = None,
    step: str | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> RateRange:
    """Train from the start for `count` steps, the rate of one `step` of the spec growing evenly
    in its logarithm; other steps keep theirs.  The engine's parameters are used up.

    Raises: UsageError for a step that there is not, or that has no rate to find; DataError.
    """
    datasets = datasets_of(artifact, root)
    recipe = recipe_of(artifact, 1, steps=count, seed=seed)
    stream = Stream(datasets, recipe.seed)
    chosen = _chosen(recipe, step)
    initialise(engine, recipe.seed)
    steppers = [
        stepper_for(engine, own, stream, recipe.seed, {"lbfgs": Lbfgs}) for own in recipe.steps
    ]
    rates: list[float] = []
    losses: list[float] = []
    diverged = False
    try:
        for number in range(count):
            rate = low * (high / low) ** (number / (count - 1))
            loss = _step(recipe, steppers, chosen, number, rate)
            progress(number + 1)
            if loss is None:
                continue
            if math.isfinite(loss):
                rates.append(rate)
                losses.append(loss)
            diverged = not math.isfinite(loss) or _hopeless(losses)
            if diverged:
                break
    finally:
        stream.close()
    if not losses:
        raise UsageError(f"the loss of `{chosen.name}` is not finite at a rate of {low:g}")
    return RateRange(chosen.name, tuple(rates), _smoothed(losses, count // WINDOW), diverged)


def _chosen(recipe: Recipe, name: str | None) -> TrainingStep:
    names = [step.name for step in recipe.steps]
    if name is not None and name not in names:
        raise UsageError(f"there is no step `{name}`", hint=f"steps: {', '.join(names)}")
    if name is None and len(names) > 1:
        raise UsageError(
            "which step? its rate grows while the others keep theirs",
            hint=f"--step {' or '.join(names)}",
        )
    (found,) = (step for step in recipe.steps if step.name == (name or names[0]))
    if found.optimizer == "lbfgs":
        raise UsageError("lbfgs finds the length of its steps itself", hint="lr=1 is its rate")
    return found


def _step(
    recipe: Recipe,
    steppers: Sequence[Stepper],
    chosen: TrainingStep,
    number: int,
    rate: float,
) -> float | None:
    """One step of the training; the loss of the chosen one, None where it is not its turn."""
    found = None
    for step, stepper in zip(recipe.steps, steppers, strict=True):
        if number % step.every:
            continue
        own = number // step.every
        used = rate if step is chosen else step.schedule.rate(own, step.total)
        result = stepper(number * recipe.group, step.accumulate, used, own)
        if step is chosen:
            found = result.values["loss"] if result.finite else math.inf
    return found


def _hopeless(losses: Sequence[float]) -> bool:
    """Whether the loss has risen above its start by several times what it had fallen."""
    fallen = max(losses[0] - min(losses), 0.1 * abs(losses[0]))
    return fmean(losses[-LATEST:]) > losses[0] + HOPELESS * fallen


def _smoothed(losses: Sequence[float], reach: int) -> tuple[float, ...]:
    """Means over neighbours, the farther the less: nothing is moved towards larger rates, as a
    running average would.  Windows shrink at both ends.
    """
    found = []
    for k in range(len(losses)):
        own = min(reach, k, len(losses) - 1 - k)
        weights = [own + 1 - abs(j) for j in range(-own, own + 1)]
        near = losses[k - own : k + own + 1]
        found.append(sum(w * x for w, x in zip(weights, near, strict=True)) / sum(weights))
    return tuple(found)
