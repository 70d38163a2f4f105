"""Losses and metrics over a whole part of the data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Engine
    from .recipe import Recipe
    from .stream import Part


class Interrupted(Exception):
    """The user asked to stop in the middle of an evaluation."""


class Averages:
    """Means of named numbers, weighted by samples.

    The sums are made in the order of the calls, so that they do not depend on when a training was
    interrupted and resumed.
    """

    def __init__(self) -> None:
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.weights: defaultdict[str, float] = defaultdict(float)

    def add(self, values: Mapping[str, float], weight: float, lead: str = "") -> None:
        """Take in the values of one batch, their names with `lead` in front."""
        sums, weights = self.sums, self.weights
        for key, value in values.items():
            name = lead + key
            sums[name] += weight * value
            weights[name] += weight

    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: total / self.weights[name] for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begin anew."""
        self.sums.clear()
        self.weights.clear()


def evaluate(
    engine: Engine, recipe: Recipe, part: Part, stop: Callable[[], bool] = lambda: False
) -> dict[str, float]:
    """The loss and the metrics of every training step over a part, each sample weighing the same.

    Raises: Interrupted when `stop` says so.
    """
    averages = Averages()
    for index in range(part.count):
        batch = part.batch(index)
        for step in recipe.steps:
            if stop():
                raise Interrupted
            found = engine.evaluate(step.name, batch, index=index, seed=recipe.seed)
            averages.add(found.values, part.size(index), recipe.qualified(step.name, ""))
    return averages.means()
