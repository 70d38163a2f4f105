"""`weft find-rate`: the rate at which the loss falls fastest, of a training whose rate grows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from weft.runtime.rate_range import RateRange, _smoothed


@pytest.fixture
def starter(weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert weft("new", "hello").code == 0
    return Path("hello/hello.weft")


def test_a_rate_that_trains(weft, starter: Path) -> None:
    answer = weft("find-rate", starter, "--target", "cpu", "-o", "rates.csv", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    rates, losses = found["rates"], found["losses"]
    assert rates[0] == pytest.approx(1e-7)
    assert rates == sorted(rates)
    assert rates[-1] / rates[-2] == pytest.approx(1e8 ** (1 / 99))
    assert found["diverged"] and rates[-1] < 10
    assert 1e-3 < found["suggested"] <= found["least"] < 0.3
    assert min(losses) < 0.95 * losses[0] < losses[-1]
    rows = list(csv.DictReader(Path("rates.csv").read_text().splitlines()))
    assert [float(row["rate"]) for row in rows] == rates
    assert not Path("runs").exists()

    text = weft("find-rate", starter, "--target", "cpu").out
    assert f"suggested   lr={found['suggested']:.1e}" in text
    assert text.count("steepest") == 1 and text.count("least") == 1
    assert "diverges    above" in text


def test_a_loss_that_never_falls(weft, starter: Path) -> None:
    text = starter.read_text()
    always = "loss = mean(logits - stop_gradient(logits))"
    starter.write_text(text.replace("loss = cross_entropy(logits, arm)", always))
    answer = weft("find-rate", starter, "--target", "cpu", "--steps", "20")
    assert answer.code == 0, answer.err
    assert "no rate lowered the loss" in answer.out
    assert "suggested" not in answer.out


TWO = """
net a {
  in x: f32[B, 2]
  x -> linear(2) as y
}
net b {
  in x: f32[B, 2]
  x -> linear(2) as y
}
train {
  steps = 10
  data x: f32[B, 2], arm: i32[B] = csv("hello/spirals.csv", target="arm", batch=16)
  step one updates a {
    optimizer = sgd(lr=0.1)
    loss = x -> a -> mse(x)
  }
  step two updates b {
    every = 2
    optimizer = sgd(lr=0.1)
    loss = x -> b -> mse(x)
  }
}
"""


def test_one_of_several_steps(weft, starter: Path) -> None:
    spec = Path("two.weft")
    spec.write_text(TWO)
    answer = weft("find-rate", spec)
    assert answer.code == 2
    assert "--step one or two" in answer.err
    answer = weft("find-rate", spec, "--step", "three")
    assert answer.code == 2
    assert "there is no step `three`" in answer.err
    found = json.loads(weft("find-rate", spec, "--step", "two", "--steps", "40", "--json").out)
    assert found["step"] == "two"
    assert found["suggested"] is not None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--low", "0"], "the smaller one first"),
        (["--low", "1", "--high", "0.1"], "the smaller one first"),
        (["--high", "inf"], "the smaller one first"),
        (["--steps", "3"], "from 10 to"),
        (["--step", "other"], "there is no step `other`"),
    ],
)
def test_wrong_flags(weft, starter: Path, flags: list[str], said: str) -> None:
    answer = weft("find-rate", starter, "--target", "cpu", *flags)
    assert answer.code == 2, answer.err
    assert said in answer.err


def test_lbfgs_has_none(weft, starter: Path) -> None:
    text = starter.read_text()
    start, end = text.index("adamw("), text.index("\n", text.index("adamw("))
    starter.write_text(text[:start] + "lbfgs()" + text[end:])
    answer = weft("find-rate", starter)
    assert answer.code == 2
    assert "lbfgs finds the length of its steps itself" in answer.err


def test_smoothing_moves_nothing() -> None:
    """A symmetric valley keeps its place, a line its values."""
    valley = [abs(k - 20.0) for k in range(41)]
    found = _smoothed(valley, 5)
    assert found.index(min(found)) == 20
    line = [3.0 * k for k in range(10)]
    assert _smoothed(line, 3) == pytest.approx(line)


def test_the_steepest_lies_before_the_least() -> None:
    losses = (2.0, 2.0, 1.9, 1.0, 0.9, 0.85, 3.0, 0.9)
    found = RateRange("main", tuple(10.0**k for k in range(8)), losses, False)
    assert found.least == 5
    assert found.steepest in (2, 3)
    assert found.suggested == found.rates[found.steepest]
