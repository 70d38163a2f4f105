"""What lies in the folder of a run beside its metrics: checkpoints, words, an earlier run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .data import vocabulary

if TYPE_CHECKING:
    from .data import Dataset

LAST, BEST = "last.safetensors", "best.safetensors"
"""The two checkpoints of a run."""

EVENTS = "tensorboard"
"""Where event files lie, if they are asked for."""


def checkpoint_path(folder: Path, name: str) -> Path:
    """Where a checkpoint of a run lies."""
    return folder / "checkpoints" / name


def put_aside(folder: Path) -> Path | None:
    """Move an earlier run of the folder, if there is one, to where it is returned; one that lies
    there already goes.
    """
    if not any((folder / "checkpoints").glob("*.safetensors")):
        return None
    aside = folder / "previous"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name in ("checkpoints", "metrics.csv", "metrics.jsonl", vocabulary.FILE, EVENTS):
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    return aside


def keep_vocabulary(folder: Path, datasets: Sequence[Dataset]) -> None:
    """What the numbers of a text mean lies in the folder too, for people and other programs."""
    for dataset in datasets:
        known = dataset.statistics["facts"].get("vocabulary")
        if known is not None:
            vocabulary.write(folder, known)
            return
