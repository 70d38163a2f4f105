"""Reports of a trained network, against scikit-learn's measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics

import weft
from weft.runtime.data import load
from weft.runtime.judgement import Confusion, Deviation, report
from weft.runtime.program import CompiledProgram
from weft.spec.errors import UsageError

TABLE = """
net n {{
  in x: f32[B, 2]
  x -> linear({out}) as h
}}
train {{
  steps = 20
  data x: f32[B, 2], y: {type} = csv("t.csv", target="{target}", features=["a", "b"], batch=16,
    split=0.6{more})
  step main updates n {{
    optimizer = adam(lr=3e-2)
    h = x -> n
    loss = {loss}
  }}
}}
"""


def trained(folder: Path, **parts: str) -> tuple[CompiledProgram, Path]:
    random = np.random.default_rng(3)
    points = random.normal(size=(90, 2))
    sums = points @ [2.0, -1.0] + random.normal(size=90)
    with open(folder / "t.csv", "w") as file:
        print("a,b,kind,side,sum,other", file=file)
        for (a, b), s in zip(points, sums, strict=True):
            kind = "low" if s < -1 else "middle" if s < 1 else "top"
            print(f"{a},{b},{kind},{'no' if s < 0.8 else 'yes'},{100 + 7 * s},{s * s}", file=file)
    (folder / "net.weft").write_text(TABLE.format(**{"more": "", **parts}))
    program = weft.compile(folder / "net.weft", "cpu")
    return program, program.train(folder / "run", progress="quiet").paths["last"]


def held_out(program: CompiledProgram, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The truth, and the outputs of the net."""
    data = load(program.program.train["data"][0], folder)
    program.net.eval()
    found = program.net(torch.from_numpy(np.array(data.test["x"]))).detach().numpy()
    return np.array(data.test["y"]), found


def test_classes_are_those_of_scikit_learn(tmp_path: Path) -> None:
    program, path = trained(
        tmp_path, out="3", type="i32[B]", target="kind", loss="cross_entropy(h, y)"
    )
    found = report(program, root=tmp_path, checkpoint=path)
    assert isinstance(found, Confusion) and found.names == ("low", "middle", "top")
    truth, output = held_out(program, tmp_path)
    guess = output.argmax(1)
    np.testing.assert_array_equal(found.counts, metrics.confusion_matrix(truth, guess))
    wanted = np.array(metrics.precision_recall_fscore_support(truth, guess, zero_division=0))
    np.testing.assert_allclose([found.of(k) for k in range(3)], wanted.T)
    np.testing.assert_allclose(found.means(), wanted[:3].mean(axis=1))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, guess))
    assert sum(n for _, _, n in found.mistaken(99)) == (guess != truth).sum()
    assert found.auc is None


@pytest.mark.parametrize(
    "out, type, loss",
    [("2", "i32[B]", "cross_entropy(h, y)"), ("1", "f32[B, 1]", "h -> bce(y, pos_weight=2)")],
)
def test_two_classes_have_an_area_under_the_curve(
    tmp_path: Path, out: str, type: str, loss: str
) -> None:
    program, path = trained(tmp_path, out=out, type=type, target="side", loss=loss)
    found = report(program, root=tmp_path, checkpoint=path)
    assert isinstance(found, Confusion) and found.names == ("no", "yes")
    truth, output = held_out(program, tmp_path)
    score = output[:, 1] - output[:, 0] if out == "2" else output[:, 0]
    assert found.auc == pytest.approx(metrics.roc_auc_score(truth.reshape(-1), score))
    np.testing.assert_array_equal(
        found.counts, metrics.confusion_matrix(truth.reshape(-1), score > 0)
    )


def test_numbers_come_in_their_own_units(tmp_path: Path) -> None:
    program, path = trained(
        tmp_path,
        out="1",
        type="f32[B, 1]",
        target="sum",
        loss="mse(h, y)",
        more=", normalise_target=standard",
    )
    found = report(program, root=tmp_path, checkpoint=path)
    assert isinstance(found, Deviation) and found.samples == 36
    truth, output = held_out(program, tmp_path)
    assert found.r2[0] == pytest.approx(metrics.r2_score(truth, output), rel=1e-5)
    scaled = metrics.mean_absolute_error(truth, output)
    assert 5 < found.mae[0] / scaled < 20, "the deviation of the target is some 16"


def test_what_is_compared_must_have_a_name(tmp_path: Path) -> None:
    program, path = trained(
        tmp_path, out="3", type="i32[B]", target="kind", loss="cross_entropy(2*h, y)"
    )
    with pytest.raises(UsageError, match="no loss or metric compares a value with a field"):
        report(program, root=tmp_path, checkpoint=path)
