"""The spec that is made a package, and what is compared of packages and of their trainings."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

from weft.runtime.checkpoint import load

SOURCE = 'csv("points.csv", target="kind", batch=16, split=0.8, normalise=standard)'
SPEC = """\
import "parts/cell.weft"
param hidden = 12

net mlp {
  in x: f32[B, 3]
  x -> cell(hidden) -> dropout(0.2) -> linear(2) as logits
}

train {
  steps = 12
  seed = 3
  eval_every = 4
  data x: f32[B, 3], label: i32[B] = SOURCE
  step main updates mlp {
    optimizer = adamw(lr=0.01)
    logits = x -> mlp
    loss = cross_entropy(logits, label)
    metric accuracy = accuracy(logits, label)
  }
}
""".replace("SOURCE", SOURCE)

CELL = """\
block cell(width) {
  linear(width) -> tanh
}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def metrics(out: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without the time they took."""
    with open(out / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same_checkpoints(one: Path, other: Path) -> None:
    """Every tensor has the same bytes, and the rest of the state is the same but for the time."""
    for name in ("last", "best"):
        ours, theirs = (load(run / "checkpoints" / f"{name}.safetensors") for run in (one, other))
        assert list(ours.tensors) == list(theirs.tensors)
        for key, array in ours.tensors.items():
            assert array.tobytes() == theirs.tensors[key].tobytes(), key
        states = [dict(found.state) for found in (ours, theirs)]
        for state in states:
            state["position"] = {k: v for k, v in state["position"].items() if k != "seconds"}
        assert states[0] == states[1]
