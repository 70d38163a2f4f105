"""`weft verify`, `explain` and `bench` on an example."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def spec(examples: Path) -> Path:
    return examples / "digits" / "digits.weft"


def test_verify(weft, spec: Path) -> None:
    answer = weft("verify", spec, "--target", "cpu", "--json")
    assert answer.code == 0, answer.out
    found = json.loads(answer.out)
    assert found["ok"]
    subjects = {(c["target"], c["subject"]) for c in found["checks"]}
    for target in ("reference", "cpu"):
        assert (target, "d_mlp.linear.weight") in subjects
    assert all(c["error"] <= c["limit"] for c in found["checks"])


def test_verify_says_what_is_wrong(weft, spec: Path, monkeypatch) -> None:
    from weft.runtime import verify

    monkeypatch.setitem(verify.TOLERANCE, "cpu", 1e-30)
    answer = weft("verify", spec, "--target", "cpu")
    assert answer.code == 1
    assert "WRONG" in answer.out


def test_verify_refuses_what_cannot_run(weft, spec: Path) -> None:
    answer = weft("verify", spec, "--target", "cuda:90")
    assert answer.code == 2
    assert "cannot be run here" in answer.err


def test_explain(weft, spec: Path) -> None:
    answer = weft("explain", spec, "--json")
    assert answer.code == 0, answer.err
    step = json.loads(answer.out)["steps"]["main"]
    assert step["bytes"] == sum(kernel["bytes"] for kernel in step["kernels"])
    assert step["flops"] == sum(kernel["flops"] for kernel in step["kernels"])
    assert step["traffic"]["traffic_ratio"] <= 1.15
    text = weft("explain", spec).out
    assert "traffic  1." in text
    assert "cross_entropy" in text


@pytest.mark.parametrize("target", ["cpu", "cuda:90"])
def test_explain_a_net_backward(weft, spec: Path, target: str) -> None:
    """What a net moves that is trained as part of something else."""
    options = ("--target", target)
    training = json.loads(weft("explain", spec, *options, "--json").out)["steps"]["main"]
    answer = weft("explain", spec, *options, "--backward", "--json")
    assert answer.code == 0, answer.err
    (step,) = json.loads(answer.out)["steps"].values()
    made = {value for kernel in step["kernels"] for value in kernel["writes"]}
    assert any(value.startswith("d_mlp") for value in made)
    assert 0 < step["bytes"] < training["bytes"] and step["traffic"]["update_bytes"] == 0
    assert 1 <= step["traffic"]["traffic_ratio"] <= 1.3
    assert "the update" not in weft("explain", spec, *options, "--backward").out


@pytest.mark.parametrize("stage", ["build", "differentiate", "fuse", "schedule"])
def test_explain_after(weft, spec: Path, stage: str) -> None:
    answer = weft("explain", spec, "--after", stage)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("main:\n")
    assert ("d_mlp" in answer.out) == (stage != "build")


ATTENTION = """
net gpt {
  in x: f32[B, T, 32]
  x -> attention(4, key_heads=2, causal=true%s)
}
train {
  data x: f32[B, T, 32] = npz("unused.npz", batch=4)
  steps = 1
  step main updates gpt {
    optimizer = sgd(lr=0.1)
    loss = mean(square(gpt(x)))
  }
}
"""


def test_explain_shows_scores_that_are_not_stored(weft, tmp_path: Path) -> None:
    path = tmp_path / "gpt.weft"
    path.write_text(ATTENTION % "", encoding="utf-8")
    lines = weft("explain", path, "--after", "attention").out.splitlines()
    assert lines[0] == "main:" and len([x for x in lines if "[B, 2, 2, T, T] not stored" in x]) == 3
    found = json.loads(weft("explain", path, "--target", "cuda:90", "--json").out)
    kernels = found["steps"]["main"]["kernels"]
    assert [k["kind"] for k in kernels].count("attention") == 3
    assert not any("scores" in name for k in kernels for name in (*k["reads"], *k["writes"]))


def test_explain_unknown_stage(weft, spec: Path) -> None:
    answer = weft("explain", spec, "--after", "fsue")
    assert answer.code == 2
    assert "fuse" in answer.err


def test_bench(weft, spec: Path) -> None:
    answer = weft("bench", spec, "--target", "cpu", "--seconds", "0.05", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    entries = {entry["entry"]: entry for entry in found["entries"]}
    assert set(entries) == {"train_main", "forward_mlp"}
    for entry in entries.values():
        assert 0 < entry["low"] <= entry["median"] <= entry["high"]
        assert entry["samples"] == 64
        assert entry["flops"] > 0


def test_bench_leaves_the_parameters_alone(examples: Path) -> None:
    import numpy as np

    import weft
    from weft.runtime.timing import measure

    program = weft.compile(weft.load(examples / "digits" / "digits.weft"), target="cpu")
    before = np.array(program.engine.parameters)
    measure(program.engine, program.artifact, seconds=0.01)
    assert np.array_equal(before, program.engine.parameters)
