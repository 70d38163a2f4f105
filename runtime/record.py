"""What is remembered of a training: where it stands, how it ended, and what it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spec.errors import CheckpointError
from .data.shard import WHOLE, Shard

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from .data import Dataset


@dataclass(frozen=True, slots=True)
class Record:
    """How a training ended.

    Units: `seconds` of training, those of earlier runs that were resumed included.  `metrics` are
    the last of each part; `best` says what was watched, its value and its step.
    """

    metrics: Mapping[str, Mapping[str, float]]
    best: Mapping[str, Any] | None
    step: int
    epochs: float
    seconds: float
    paths: Mapping[str, Path]
    interrupted: bool = False
    stopped_early: bool = False
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Position:
    """Where a training stands, beside the arenas.

    `reported` and `evaluated` are the steps of the last report and evaluation, `idle` the number of
    evaluations since the best one.  `waits` and `drops`, by the names of steps: evaluations since
    the best one or the last drop of the rate, and how often that has dropped.
    """

    step: int = 0
    reported: int = 0
    evaluated: int = 0
    seconds: float = 0.0
    idle: int = 0
    stopped: bool = False
    best: dict[str, Any] | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)


def spec_hash(artifact: Artifact) -> str:
    """What identifies the spec that an artifact was made from: its texts and its recipe.

    Neither the folder that the spec lies in counts, nor where its data is kept.
    """
    train = dict(artifact.train or {})
    for part in ("data", "step"):
        train[part] = [
            {key: value for key, value in line.items() if key not in ("place", "bundle")}
            for line in train.get(part) or ()
        ]
    text = json.dumps([sorted(artifact.spec.values()), train], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_same(
    path: Path, state: Mapping[str, Any], datasets: Sequence[Dataset], batches: int
) -> None:
    """Whether a training can go on exactly: the same data in the same batches.

    Raises: CheckpointError.
    """
    for dataset, before in zip(datasets, state["data"], strict=False):
        if dataset.statistics["checksum"] != before["checksum"]:
            raise CheckpointError(
                f"{dataset.place}: the data has changed since `{path}` was saved",
                hint="put the data back, or start again without --resume",
            )
    sizes = [dataset.batch for dataset in datasets]
    if sizes != state["batch"] or state["batches"] != batches:
        raise CheckpointError(
            f"`{path}` was trained with {state['batches']} batches of {state['batch'][0]} "
            f"in an epoch, this run has {batches} of {sizes[0]}",
            hint="resume with the batch size it was trained with",
        )


def same_shard(
    shard: Shard | tuple[int, int] | None, state: Mapping[str, Any] | None, path: Path
) -> Shard:
    """The shard that is asked for, or that of the training which goes on, whose `state` is given.

    Raises: CheckpointError where these are two.
    """
    wanted = shard if isinstance(shard, Shard) or shard is None else Shard(*shard)
    if state is None:
        return wanted or WHOLE
    before = Shard(*state.get("shard", (0, 1)))
    if wanted not in (None, before):
        raise CheckpointError(
            f"`{path}` was trained with shard {before.number}/{before.of}",
            hint="resume with the same --shard, or without one",
        )
    return before
