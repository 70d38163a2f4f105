"""`weft verify`: what is checked within a bound of work, and that mistakes show."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from weft.compiler.build import Program, elaborate
from weft.compiler.compile import lower
from weft.runtime import verify as verifying
from weft.runtime.engine import parameter_view
from weft.runtime.initialise import fill_parameters
from weft.runtime.program import compile
from weft.runtime.reference_engine import ReferenceEngine
from weft.runtime.verify import SLOPE_TOLERANCE, TOLERANCE, Check, verify
from weft.runtime.verify_extent import (
    MUCH,
    Extent,
    affordable,
    everything,
    meagre,
    operations,
    told_apart,
)
from weft.runtime.verify_smaller import halved, smaller
from weft.spec.load import load, load_text, with_params
from weft.spec.static import Value

DEEP = """
net deep {
  in x: f32[B, 12]
  x -> repeat 9 { linear(12) -> tanh } -> linear(3) as logits
}
train {
  steps = 1
  data x: f32[B, 12], y: i32[B] = npz("unused.npz", batch=64)
  step main updates deep {
    optimizer = sgd(lr=0.1)
    loss = x -> deep -> cross_entropy(y)
  }
}
"""
WIDE = """
param width=6000, slope=9
net wide {
  in x: f32[B, width, width]
  x -> matmul(x) -> matmul(x) -> leaky_relu(1/slope) as y
}
"""


@pytest.fixture(scope="module")
def deep() -> Program:
    return elaborate(load_text(DEEP, "deep.weft"))


def _operations(program: Program, extent: Extent) -> float:
    work = operations(program, extent.sizes)
    return sum(flops for key, flops in work.items() if key not in extent.left_out)


def _slopes(program: Program, extent: Extent) -> list[Check]:
    return list(verify(program, [], lambda target: pytest.fail("no target"), extent))


def test_a_small_net_is_checked_whole(deep: Program) -> None:
    assert affordable(deep) == everything(deep)


def test_less_work_means_smaller_sizes_then_fewer_differences_then_fewer_entries(
    deep: Program,
) -> None:
    found = {much: affordable(deep, much) for much in (1e8, 5.4e6, 2e6, 4e5, 1.6e5, 1e3)}
    batches = [extent.sizes["B"] for extent in found.values() if not extent.left_out]
    assert batches == sorted(batches, reverse=True)
    assert {37, 1} < set(batches)
    left_out = [len(extent.left_out) for extent in found.values()]
    assert left_out == sorted(left_out)
    assert set(left_out) == {0, 1, 2}
    assert found[1e8].alone["main"] is None
    assert found[4e5].alone["main"] in range(20)
    assert all(_operations(deep, extent) <= much for much, extent in found.items())


@pytest.mark.parametrize("alone", [None, 19, 8, 0])
def test_parameters_are_moved_alone_or_together(deep: Program, alone: int | None) -> None:
    checks = _slopes(deep, Extent({"B": 3}, {"main": alone}, {}))
    assert all(check.ok for check in checks)
    together = [check.subject for check in checks if "together" in check.subject]
    single = len(checks) - len(together)
    assert single == {None: 20, 19: 16, 8: 5, 0: 0}[alone]
    assert together == ([] if alone is None else [f"d_main: {20 - single} together"])


@pytest.mark.parametrize("alone", [None, 0])
def test_a_wrong_gradient_shows(
    deep: Program, alone: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of twenty is a tenth too large, the smallest of all."""
    whole = verifying.reference.run_all
    entry = "d_deep.repeat.0.linear.bias"

    def wrong(graph, *arguments, **settings):  # type: ignore[no-untyped-def]
        values = whole(graph, *arguments, **settings)
        (node,) = [i for name, i in graph.outputs.items() if name == entry]
        return {**values, node: 1.1 * values[node]}

    monkeypatch.setattr(verifying.reference, "run_all", wrong)
    checks = _slopes(deep, Extent({"B": 3}, {"main": alone}, {}))
    bad = [check for check in checks if not check.ok]
    assert [check.subject for check in bad] == ["d_deep.repeat.0.linear.bias"]
    assert alone is None or len(checks) < 12, "halves that are right are not looked at further"
    assert bad[0].error > SLOPE_TOLERANCE


def test_entries_that_are_left_out_are_not_compared(deep: Program) -> None:
    spec = deep.spec
    compiled = compile(spec, "cpu")
    extent = Extent({"B": 3}, {}, {("gradient", "main"): 1e12})
    checks = list(verify(deep, ["cpu"], lambda target: (compiled.lowered, compiled.engine), extent))
    assert [check.subject for check in checks] == ["deep.logits"]


@pytest.mark.parametrize(("wrong", "fails"), [(1, False), (2, False), (99, True)])
def test_gradients_are_wrong_when_they_are_for_all_inputs(
    deep: Program, monkeypatch: pytest.MonkeyPatch, wrong: int, fails: bool
) -> None:
    """Rounding that chose another side of a kink does not do so again."""
    compiled = compile(deep.spec, "cpu")
    calls, exact = 0, type(compiled.engine).gradient

    def gradient(self, *arguments, **settings):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        result, arena = exact(self, *arguments, **settings)
        return result, arena * 1.01 if calls <= wrong else arena

    monkeypatch.setattr(type(compiled.engine), "gradient", gradient)
    extent = Extent({"B": 3}, {}, {})
    checks = list(verify(deep, ["cpu"], lambda target: (compiled.lowered, compiled.engine), extent))
    bad = [check.subject for check in checks if not check.ok]
    assert len(bad) == (20 if fails else 0)
    assert calls == min(wrong + 1, 3)


@pytest.mark.parametrize(("activation", "steady"), [("softplus", True), ("relu", False)])
def test_a_gradient_beside_a_kink_may_be_that_of_the_other_side(
    activation: str, *, steady: bool
) -> None:
    """The units of the first layer are zero but for rounding."""
    program = elaborate(load_text(DEEP.replace("9", "2").replace("tanh", activation), "deep.weft"))
    truth = ReferenceEngine(lower(program, native=True), in_order=False)
    fill_parameters(truth.artifact, truth.parameters, 7)
    named = {p.name: parameter_view(truth.parameters, p) for p in truth.artifact.parameters}
    named["deep.repeat.0.linear.weight"][...] = 1 / 12
    named["deep.repeat.0.linear.bias"][...] = -1.0
    given = {"x": np.ones((3, 12), np.float32), "y": np.zeros(3, np.int32)}
    before = truth.parameters.copy()

    def gradient() -> dict[str, np.ndarray]:
        return {"all": truth.gradient("main", given, index=0, seed=0)[1].copy()}

    assert (verifying._change(truth, gradient) < TOLERANCE["cpu"]) is steady
    np.testing.assert_array_equal(truth.parameters, before)


def test_too_much_is_checked_with_smaller_settings(weft, tmp_path: Path) -> None:
    path = tmp_path / "wide.weft"
    path.write_text(WIDE, encoding="utf-8")
    answer = weft("verify", path, "--target", "cpu", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["checks"] and not found["left_out"]
    width = found["settings"].pop("width")
    assert 1 <= 6000 / width / 2 ** round(math.log2(6000 / width)) < 1.01
    assert not found["settings"], "what gains nothing stays"
    text = weft("verify", path, "--target", "cpu").out
    assert f"checked with smaller settings: width={width}" in text


def test_smaller_settings_are_no_smaller_than_need_be() -> None:
    spec = load_text(WIDE, "wide.weft")
    made, program, chosen = smaller(spec, elaborate(spec))
    assert told_apart(program) <= MUCH
    twice = with_params(spec, {"width": 2 * chosen["width"]})  # type: ignore[operator]
    assert told_apart(elaborate(twice)) > MUCH
    assert made.constants["slope"] == 9
    assert not meagre(program, affordable(program))


@pytest.mark.parametrize(
    ("value", "half"),
    [(9, 4), (3, None), (True, None), (0.5, None), ("ab", None), ((8, 2), (4, 2)), ((1, 2), None)],
)
def test_sizes_are_halved_and_choices_stay(value: Value, half: Value | None) -> None:
    assert halved(value) == half


def test_too_much_is_refused_at_once_where_settings_were_given(weft, tmp_path: Path) -> None:
    path = tmp_path / "wide.weft"
    path.write_text(WIDE, encoding="utf-8")
    answer = weft("verify", path, "--set", "width=6001")
    assert answer.code == 2
    assert "takes longer than half a minute" in answer.err
    assert "--set width=" in answer.err


@pytest.mark.parametrize("name", ["csrnet/csrnet", "all_cnn/all_cnn", "vgg/vgg", "gan/gan"])
def test_examples_are_bounded(examples: Path, name: str) -> None:
    program = elaborate(load(examples / f"{name}.weft"))
    assert 0 < _operations(program, affordable(program)) <= MUCH
