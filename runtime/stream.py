"""The batches of all data lines together, numbered through the whole training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spec.errors import DataError, UsageError
from .data import Dataset, Passes, load
from .data.shard import WHOLE, Portion, Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact

    Batch = dict[str, NDArray[Any]]


class Stream:
    """Batch `k` of a training, counted from 0 over all epochs.

    With a `shard` they are its own alone, with a `Portion` its rows of all; `size` counts whole
    batches.  An epoch is one pass over the first data line; the
    others begin again whenever they end.  Where there are several, only whole batches are used, so
    that all have the same number of samples.
    """

    def __init__(self, datasets: Sequence[Dataset], seed: int, shard: Shard = WHOLE) -> None:
        if len({dataset.batch for dataset in datasets}) > 1:
            sizes = ", ".join(f"{', '.join(d.names)}: {d.batch}" for d in datasets)
            raise DataError(
                f"{datasets[1].place}: the data lines give batches of different sizes ({sizes})",
                hint="give all of them the same batch=",
            )
        several = len(datasets) > 1
        self._datasets = datasets
        self.shard = WHOLE if isinstance(shard, Portion) else shard
        self._sources = [dataset.batches(seed, drop=several, shard=shard) for dataset in datasets]
        self._first = self._sources[0]
        self._merged: Batch | None = {} if several else None
        self.count = self._first.count

    def batch(self, number: int) -> Batch:
        """The fields of batch `number`; they are valid until the next call."""
        if self._merged is None:
            epoch, index = divmod(number, self.count)
            return self._first.at(epoch, index)
        for source in self._sources:
            epoch, index = divmod(number, source.count)
            self._merged.update(source.at(epoch, index))
        return self._merged

    def size(self, number: int) -> int:
        """The number of samples of batch `number`."""
        return self._first.size(number % self.count)

    def close(self) -> None:
        """End the processes that make batches, if there are any."""
        for dataset in self._datasets:
            dataset.close()


class Part:
    """The batches of one part of the data, in a fixed order, for evaluation."""

    def __init__(self, sources: Sequence[Passes]) -> None:
        self._sources = sources
        self.count = min(source.count for source in sources)

    def batch(self, index: int) -> Batch:
        """The fields of batch `index`."""
        if len(self._sources) == 1:
            return self._sources[0].at(0, index)
        merged: Batch = {}
        for source in self._sources:
            merged.update(source.at(0, index))
        return merged

    def size(self, index: int) -> int:
        """The number of samples of batch `index`."""
        return self._sources[0].size(index)


def part_of(datasets: Sequence[Dataset], name: str) -> Part | None:
    """The part `train` or `test` of the data, or None where a data line has no such part."""
    sources = [dataset.held_out(name) for dataset in datasets]
    found = [source for source in sources if source is not None]
    return Part(found) if len(found) == len(sources) else None


def datasets_of(
    artifact: Artifact, root: Path, known: Sequence[Mapping[str, Any]] = ()
) -> list[Dataset]:
    """The data of every data line, below `root`; `known` are their statistics of an earlier load.

    Raises: UsageError, DataError.
    """
    if artifact.train is None:
        raise UsageError(f"`{artifact.name}` has no `train` section")
    recipes = artifact.train.get("data") or []
    if not recipes:
        raise DataError(f"`{artifact.name}` trains without data", hint="add a `data` line")
    return [
        load(recipe, root, known[i] if i < len(known) else None) for i, recipe in enumerate(recipes)
    ]
