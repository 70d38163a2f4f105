"""Losses and metrics over a whole part of the data."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .processes import Processes

if TYPE_CHECKING:
    from .data import Dataset
    from .engine import Engine
    from .recipe import Recipe
    from .stream import Part


class Interrupted(Exception):
    """The user asked to stop in the middle of an evaluation."""


class Averages:
    """Means of named numbers, weighted by samples.

    The sums are made in the order of the calls, so that they do not depend on when a training was
    interrupted and resumed.  Of the names in `geometric` the mean is that of the logarithms.
    """

    def __init__(self, geometric: frozenset[str] = frozenset()) -> None:
        self.geometric = geometric
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.weights: defaultdict[str, float] = defaultdict(float)

    def add(self, values: Mapping[str, float], weight: float, lead: str = "") -> None:
        """Take in the values of one batch, their names with `lead` in front."""
        sums, weights = self.sums, self.weights
        for key, value in values.items():
            name = lead + key
            value = _logarithm(value) if name in self.geometric else value
            sums[name] += weight * value
            weights[name] += weight

    def means(self) -> dict[str, float]:
        """The means so far."""
        found = {name: total / self.weights[name] for name, total in self.sums.items()}
        return found | {name: _power(found[name]) for name in self.geometric & found.keys()}

    def join(self, names: Iterable[str], processes: Processes) -> None:
        """Take in what the other processes have of these names."""
        kept = list(names)
        both = [*(self.sums[n] for n in kept), *(self.weights[n] for n in kept), 0.0]
        numbers = np.array(both, np.float64)
        processes.sum(numbers)
        count = len(kept)
        self.sums.update(zip(kept, numbers[:count].tolist(), strict=True))
        self.weights.update(zip(kept, numbers[count : 2 * count].tolist(), strict=True))

    def clear(self) -> None:
        """Begin anew."""
        self.sums.clear()
        self.weights.clear()


def _logarithm(value: float) -> float:
    return math.log(value) if 0 < value < math.inf else value


def _power(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


PER_BYTE = "_per_byte"
"""What the name of a metric of bits has at its end where tokens are several bytes."""


def per_byte_names(recipe: Recipe, datasets: Sequence[Dataset]) -> list[str]:
    """The names of the metrics that `per_byte` adds."""
    fields = {field for dataset in datasets for field in dataset.statistics.get("bytes", ())}
    return [
        recipe.qualified(step.name, metric) + PER_BYTE
        for step in recipe.steps
        for metric, field in step.bits.items()
        if field in fields
    ]


def per_byte(
    recipe: Recipe, datasets: Sequence[Dataset], part: str, values: Mapping[str, float]
) -> dict[str, float]:
    """The bits for a byte of the text, of bits for a token: comparable between vocabularies."""
    index = ("train", "test").index(part)
    sizes = {
        field: means[index]
        for dataset in datasets
        for field, means in dataset.statistics.get("bytes", {}).items()
    }
    found = {}
    for step in recipe.steps:
        for metric, field in step.bits.items():
            name = recipe.qualified(step.name, metric)
            if name in values and sizes.get(field):
                found[name + PER_BYTE] = values[name] / sizes[field]
    return found


def evaluate(
    engine: Engine, recipe: Recipe, part: Part, processes: Processes | None = None
) -> dict[str, float]:
    """The loss and the metrics of every training step over a part, each sample weighing the same.

    Of several `processes` each takes its turn at whole batches.

    Raises: Interrupted when they are asked to stop.
    """
    processes = processes or Processes()
    averages = Averages(recipe.geometric())
    for first in range(0, part.count, processes.size):
        if processes.agree():
            raise Interrupted
        index = first + processes.rank
        if index >= part.count:
            continue
        batch = part.batch(index)
        for step in recipe.steps:
            found = engine.evaluate(step.name, batch, index=index, seed=recipe.seed)
            averages.add(found.values, part.size(index), recipe.qualified(step.name, ""))
    if processes.size > 1:
        values = (recipe.qualified(s.name, n) for s in recipe.steps for n in ("loss", *s.metrics))
        averages.join(values, processes)
    return averages.means()
