"""Trainings of several kinds in two real processes: what comes out is what one process learns."""

from __future__ import annotations

from pathlib import Path

import joint_trainings
import numpy as np
import pytest
from ranks import launched

from weft.runtime.checkpoint import Checkpoint, load
from weft.runtime.metrics import read

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint")
    (folder / "words.txt").write_text("the quick brown fox jumps over the lazy dog. " * 40)
    (folder / "two").mkdir()
    answer = launched(2, Path(joint_trainings.__file__), folder / "two")
    assert answer.returncode == 0, answer.stderr
    (folder / "one").mkdir()
    return folder


def last(run: Path) -> Checkpoint:
    return load(run / "checkpoints" / "last.safetensors")


@pytest.mark.parametrize("name", joint_trainings.CASES)
def test_two_processes_learn_what_one_learns(name: str, found: Path) -> None:
    joint_trainings.train(name, joint_trainings.CASES[name], found / "one")
    one, two = (last(found / size / name) for size in ("one", "two"))
    assert one.tensors.keys() == two.tensors.keys()
    for key, tensor in one.tensors.items():
        largest = float(np.abs(tensor).max(initial=0))
        np.testing.assert_allclose(two.tensors[key], tensor, 1e-3, 1e-5 * largest, err_msg=key)
    rows = [read(found / size / name / "metrics.jsonl") for size in ("one", "two")]
    for ours, theirs in zip(*rows, strict=True):
        own = {key: value for key, value in ours.items() if key not in ("seconds", "part")}
        assert {key: theirs[key] for key in own} == pytest.approx(own, rel=1e-4)


def test_a_resumed_training_gives_the_same_bits(found: Path) -> None:
    """With batch statistics and dropout, which are those of each process's part."""
    whole, again = (last(found / "two" / name) for name in ("normalised", "resumed"))
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor, name)
    said = (
        "batch statistics are those of a process's part, means of them mlp.batch_norm.running_mean"
    )
    assert (found / "two" / "notes").read_text().startswith(said)
    moved = whole.tensors["mlp.batch_norm.running_mean"]
    assert np.isfinite(moved).all()
    assert (moved != 0).all()
