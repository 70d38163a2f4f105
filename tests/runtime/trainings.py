"""Small trainings of the engine in NumPy, and a display that interrupts them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from softmax_engine import SoftmaxEngine, data_line, softmax_artifact

from weft.compiler.artifact import Artifact
from weft.runtime.metrics import read
from weft.runtime.progress import Quiet
from weft.runtime.trainer import Record, train

TYPES = [["f32", ["B", 2]], ["i32", ["B"]]]
FORMULA = "c = (x > 0) + 2*(y > 0)"


def points(**settings: Any) -> dict[str, Any]:
    """50 samples for training in 7 batches, 21 held out."""
    named = {"x": [-1, 1], "y": [-1, 1], "samples": 71, "batch": 8, "split": 0.7, **settings}
    return data_line(["x", "y"], TYPES, "function", FORMULA, **named)


def artifact_of(*, data: dict[str, Any] | None = None, **train: Any) -> Artifact:
    return softmax_artifact(data or points(), 2, 4, **{"epochs": 3, **train})


WAITING = {"name": "plateau", "rate": 1.5, "patience": 1, "decay": 0.5, "final": 0.3}


def go(
    artifact: Artifact, out: Path, *, engine: SoftmaxEngine | None = None, **named: Any
) -> tuple[Record, SoftmaxEngine]:
    engine = engine or SoftmaxEngine(artifact)
    named = {"progress": "quiet", **named}
    return train(engine, artifact, root=out.parent, out=out, **named), engine


def without_seconds(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read(path)]


class StopAt(Quiet):
    """A display that asks for an interruption, as Ctrl-C does, after some step."""

    def __init__(self, step: int) -> None:
        self.stop = step

    def step(self, step: int) -> None:
        if step == self.stop:
            os.kill(os.getpid(), signal.SIGINT)
