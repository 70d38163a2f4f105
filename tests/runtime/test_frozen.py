"""Parameters that stay as they are, and those of another network that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weft
from weft.runtime import checkpoint as files
from weft.runtime.program import CompiledProgram
from weft.spec.errors import CheckpointError, SpecError

SPEC = """
param classes=10
net mlp {
  in x: f32[B, 64]
  x -> repeat 2 as i { linear(16) -> relu } -> linear(classes) as logits
}
train {
  steps = 3
  ema = 0.9
  data x, label = digits(batch=32)
  step main updates mlp {
    optimizer = adam(lr=1e-2)
    freeze = FROZEN
    logits = x -> mlp
    loss = cross_entropy(logits, label)
  }
}
"""


def compiled(frozen: str, target: str = "cpu", **params: int) -> CompiledProgram:
    spec = weft.load_text(SPEC.replace("FROZEN", frozen), "net.weft", params=params)
    return weft.compile(spec, target)


@pytest.mark.parametrize(
    "frozen, kept",
    [
        ('"repeat.0"', ["repeat.0.linear.weight", "repeat.0.linear.bias"]),
        ('["repeat.[01]", "mlp.logits.bias"]', ["repeat.0.", "repeat.1.", "logits.bias"]),
        ('"*.weight"', ["weight"]),
    ],
)
def test_what_is_frozen_stays_and_has_no_state(
    frozen: str, kept: list[str], tmp_path: Path
) -> None:
    program = compiled(frozen)
    before = program.state_dict()
    record = program.train(tmp_path, progress="quiet")
    held = {n for n in before if any(k in n for k in kept)}
    assert held and held != set(before)
    for name, value in program.state_dict().items():
        assert (value == before[name]).all() == (name in held), name
    states = {n.split("/")[-1] for n in files.load(record.paths["last"]).tensors if "/" in n}
    assert states == set(before) - held
    again = compiled(frozen).train(tmp_path, resume=True, steps=5, progress="quiet")
    assert again.step == 5


def test_gradients_of_the_rest_are_those_without_freezing() -> None:
    random = np.random.default_rng(0)
    batch = {"x": random.normal(size=(5, 64)), "label": np.arange(5)}
    program, whole = compiled('["repeat.1"]', "reference"), compiled('["logits"]', "reference")
    some, others = (p.value_and_grad(batch)[1] for p in (program, whole))
    assert "mlp.repeat.1.linear.weight" not in some and "mlp.logits.bias" not in others
    for name in set(some) & set(others):
        np.testing.assert_allclose(some[name], others[name], rtol=1e-12)


@pytest.mark.parametrize("frozen, code", [('"repeat.2"', "E301"), ('["*"]', "E204"), ("3", "E311")])
def test_patterns_that_mean_nothing_or_everything(frozen: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(frozen)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert "\n   13 |     freeze =" in str(caught.value)


def test_weights_that_fit_are_taken_and_others_named(tmp_path: Path) -> None:
    first = compiled('"repeat.0"').train(tmp_path / "first", progress="quiet")
    program = compiled('"repeat.0"', classes=11)
    with pytest.raises(CheckpointError, match="is \\[10, 16\\] in the checkpoint"):
        program.train(tmp_path / "other", weights=first.paths["last"], progress="quiet")
    record = program.train(
        tmp_path / "other", weights=first.paths["last"], fitting=True, progress="quiet"
    )
    (note,) = record.notes
    assert note.endswith("fresh ones: mlp.logits.weight, mlp.logits.bias")
    old, new = (files.load(r.paths["last"]).tensors for r in (first, record))
    name = "mlp.repeat.0.linear.weight"
    np.testing.assert_array_equal(old[name], new[name])


def test_weights_of_which_nothing_fits_are_refused(tmp_path: Path) -> None:
    first = compiled('"repeat.0"').train(tmp_path / "first", progress="quiet")
    text = SPEC.replace("FROZEN", '"repeat.0"').replace("mlp", "other")
    with pytest.raises(CheckpointError, match="no parameter"):
        weft.compile(weft.load_text(text, "net.weft"), "cpu").train(
            tmp_path / "other", weights=first.paths["last"], fitting=True, progress="quiet"
        )


TEACHER = """
net teacher {
  in x: f32[B, 64]
  x -> linear(32) -> batch_norm -> relu -> dropout(0.5) -> linear(10) as logits
}
net student {
  in x: f32[B, 64]
  x -> linear(8) -> tanh -> linear(10) as logits
}
train {
  steps = 20
  data x, label = digits(batch=32)
"""
LEARNS = """  step main updates teacher {
    optimizer = adam(lr=1e-2)
    loss = cross_entropy(x -> teacher, label)
  }
}
"""
DISTILS = """  step main updates student {
    optimizer = adam(lr=1e-2)
    wanted = x -> teacher
    told = x -> student
    loss = mse(told, wanted)
    metric teacher_loss = cross_entropy(wanted, label)
  }
}
"""


def test_a_net_that_no_step_trains_is_used_as_in_evaluation(tmp_path: Path) -> None:
    spec = weft.load_text(TEACHER + LEARNS, "net.weft")
    learnt = weft.compile(spec, "cpu").train(tmp_path / "teacher", progress="quiet")
    assert any("no step trains student" in note for note in learnt.notes)
    program = weft.compile(weft.load_text(TEACHER + DISTILS, "net.weft"), "cpu")
    best = learnt.paths["last"]
    record = program.train(tmp_path / "student", weights=best, fitting=True, progress="quiet")
    after = program.state_dict()
    before = files.load(best).tensors
    kept = [name for name in after if name.startswith("teacher.")]
    assert "teacher.batch_norm.running_mean" in kept
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name])
    assert not any("no step trains" in note for note in record.notes)
    # in a training step, what it says depends neither on chance nor on the batch
    x, label = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32), np.arange(2)
    both, gradients = program.value_and_grad({"x": x, "label": label})
    each = [
        program.value_and_grad({"x": x[i : i + 1], "label": label[i : i + 1]})[0] for i in (0, 1)
    ]
    assert float(both) == pytest.approx(np.mean([float(loss) for loss in each]), rel=1e-4)
    assert set(gradients) == {name for name in after if name.startswith("student.")}
