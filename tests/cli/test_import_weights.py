"""`weft import-weights`, and training that begins with what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from weft.runtime.checkpoint import load

Weft = Callable[..., Any]

SPEC = """
net n {
  in x: f32[B, 3]
  x -> linear(4) as a -> relu -> linear(2) as b
}

train {
  steps = 2
  data x: f32[B, 3], label: i32[B] = npz("points.npz", batch=4)
  step main updates n {
    optimizer = sgd(lr=0.0)
    loss = x -> n -> cross_entropy(label)
    metric hits = accuracy(n(x), label)
  }
}
"""
NAMES = """
[n]
ignore = ["step"]
[n.names]
"one.w" = { to = "n.a.weight", transpose = true }
"one.b" = "n.a.bias"
"two" = { split = ["n.b.weight"] }
"bias" = "n.b.bias"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "n.weft").write_text(SPEC, encoding="utf-8")
    (tmp_path / "weights.toml").write_text(NAMES, encoding="utf-8")
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "points.npz", x=x, label=random.integers(0, 2, 40).astype(np.int32))
    write(tmp_path)
    return tmp_path


def write(folder: Path, **changed: np.ndarray | None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    tensors: dict[str, Any] = {
        "one.w": random.normal(size=(3, 4)).astype(np.float32),
        "one.b": random.normal(size=4).astype(np.float16),
        "two": random.normal(size=(2, 4)),
        "bias": np.zeros(2, np.float32),
        "step": np.array([7]),
        **changed,
    }
    kept = {name: array for name, array in tensors.items() if array is not None}
    save_file(kept, folder / "theirs.safetensors")
    return kept


def run(weft: Weft, folder: Path, *more: str) -> Any:
    source = str(folder / "theirs.safetensors")
    out = str(folder / "ours.safetensors")
    return weft("import-weights", str(folder / "n.weft"), "--from", source, "-o", out, *more)


def test_tensors_arrive_under_our_names(weft: Weft, folder: Path) -> None:
    theirs = write(folder)
    answer = run(weft, folder)
    assert answer.code == 0 and "4 tensors, 26 parameters" in answer.out
    ours = load(folder / "ours.safetensors").tensors
    assert {name: a.dtype for name, a in ours.items()} == dict.fromkeys(ours, np.dtype("f4"))
    np.testing.assert_array_equal(ours["n.a.weight"], theirs["one.w"].T)
    np.testing.assert_array_equal(ours["n.a.bias"], theirs["one.b"].astype(np.float32))
    np.testing.assert_array_equal(ours["n.b.weight"], theirs["two"].astype(np.float32))


def test_training_evaluating_and_predicting_begin_with_them(weft: Weft, folder: Path) -> None:
    assert run(weft, folder).code == 0
    spec, checkpoint = str(folder / "n.weft"), str(folder / "ours.safetensors")
    out = folder / "run"
    answer = weft("train", spec, "--weights", checkpoint, "--out", str(out), "--quiet")
    assert answer.code == 0, answer.err
    trained = load(out / "checkpoints" / "last.safetensors").tensors
    for name, array in load(folder / "ours.safetensors").tensors.items():
        np.testing.assert_array_equal(trained[name], array)  # the rate is 0
    answer = weft("eval", spec, "--checkpoint", checkpoint, "--part", "train")
    assert answer.code == 0 and "loss" in answer.out
    both = weft("train", spec, "--weights", checkpoint, "--out", str(out), "--resume")
    assert both.code == 2 and "a resumed training has its own weights" in both.err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"more": np.zeros(1)}, "`more` has no rule"),
        ({"bias": None}, "`n.b.bias` [2] is in no file"),
        ({"two": np.zeros((2, 5))}, "`two` is [2, 5], `n.b.weight` [2, 4]"),
        ({"one.w": np.zeros(3)}, "`one.w` has 1 axes"),
    ],
)
def test_what_does_not_fit_is_listed(
    changed: dict[str, Any], said: str, weft: Weft, folder: Path
) -> None:
    write(folder, **changed)
    answer = run(weft, folder)
    assert answer.code == 1 and said in answer.err
    assert not (folder / "ours.safetensors").exists()


def test_other_files_are_refused(weft: Weft, folder: Path) -> None:
    (folder / "theirs.safetensors").write_bytes(b"\x80\x04pickled")
    answer = run(weft, folder)
    assert answer.code == 1 and "only safetensors files are read" in answer.err
    (folder / "theirs.safetensors").unlink()
    answer = run(weft, folder)
    assert answer.code == 1 and "there is no file" in answer.err
