"""Initialisers: their distributions, and that names and seeds alone decide the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact

from weft.compiler.artifact import Initialiser, Parameter
from weft.runtime.engine import parameter_view
from weft.runtime.initialise import INITIALISERS, fill_parameters, generator, initialise, start
from weft.spec.errors import InternalError
from weft.spec.initialisers import INITIALISERS as SIGNATURES
from weft.spec.signature import bind

FAN_IN, FAN_OUT = 300, 500


def parameter(
    kind: str, shape: tuple[int, ...] = (500, 300), name: str = "net.w", **named: Any
) -> Parameter:
    settings, problems = bind(SIGNATURES[kind], [], named)
    assert not problems
    own = Initialiser(kind, tuple(settings.items()), FAN_IN, FAN_OUT)
    return Parameter(name, shape, 0, (1,) * len(shape), own, "net.weft:2:3")


def test_every_initialiser_of_the_language_exists() -> None:
    assert set(INITIALISERS) == set(SIGNATURES) - {"buffer"}  # the compiler makes it a constant


UNIFORM, NORMAL = math.sqrt(3), 5.5
SPREADS = [
    ("normal", {"mean": 0, "std": 0.02}, 0.02, NORMAL),
    ("uniform", {"low": -0.5, "high": 0.5}, 1 / math.sqrt(12), UNIFORM),
    ("kaiming_uniform", {}, math.sqrt(2 / FAN_IN), UNIFORM),
    ("kaiming_normal", {"mode": "fan_out"}, math.sqrt(2 / FAN_OUT), NORMAL),
    ("kaiming_normal", {"nonlinearity": "tanh"}, 5 / 3 / math.sqrt(FAN_IN), NORMAL),
    ("kaiming_uniform", {"slope": math.sqrt(5)}, 1 / math.sqrt(3 * FAN_IN), UNIFORM),
    ("kaiming_uniform", {"gain": 3}, 3 / math.sqrt(FAN_IN), UNIFORM),
    ("xavier_uniform", {}, math.sqrt(2 / (FAN_IN + FAN_OUT)), UNIFORM),
    ("xavier_normal", {"gain": 2}, 2 * math.sqrt(2 / (FAN_IN + FAN_OUT)), NORMAL),
    ("lecun_uniform", {}, 1 / math.sqrt(FAN_IN), UNIFORM),
    ("lecun_normal", {}, 1 / math.sqrt(FAN_IN), NORMAL),
    ("pytorch_linear", {}, 1 / math.sqrt(3 * FAN_IN), UNIFORM),
    ("pytorch_conv", {}, 1 / math.sqrt(3 * FAN_IN), UNIFORM),
    ("pytorch_embedding", {}, 1.0, NORMAL),
    ("pytorch_lstm", {"hidden": 64}, 1 / math.sqrt(3 * 64), UNIFORM),
    ("pytorch_gru", {"hidden": 64}, 1 / math.sqrt(3 * 64), UNIFORM),
    ("pytorch_attention", {}, math.sqrt(2 / (FAN_IN + 3 * FAN_OUT)), UNIFORM),
    ("truncated_normal", {"std": 0.1}, 0.1 * 0.87962566, 2 / 0.87962566),
]


@pytest.mark.parametrize(("kind", "named", "std", "widest"), SPREADS)
def test_spread(kind: str, named: dict[str, Any], std: float, widest: float) -> None:
    values = start(parameter(kind, **named), seed=3)
    assert values.dtype == np.float64
    assert values.std() == pytest.approx(std, rel=0.01)
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    assert np.abs(values).max() <= widest * std * (1 + 1e-6)
    assert np.abs(values).max() > 0.8 * widest * std * (0.8 if widest == NORMAL else 1)


def test_the_bounds_are_those_of_pytorch() -> None:
    """The largest of 150,000 draws comes within a thousandth of the bound that PyTorch uses."""
    import torch

    ours = np.abs(start(parameter("pytorch_linear"), 0)).max()
    theirs = torch.nn.Linear(FAN_IN, FAN_OUT).weight.detach().abs().max().item()
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_constants() -> None:
    assert (start(parameter("zeros"), 0) == 0).all()
    assert (start(parameter("ones"), 0) == 1).all()
    assert (start(parameter("constant", value=-2.5), 0) == -2.5).all()


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (12, 3, 5, 5), (7,)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    values = start(parameter("orthogonal", shape, gain=2), 1).reshape(shape[0], -1) / 2
    small = values @ values.T if values.shape[0] <= values.shape[1] else values.T @ values
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_name_and_seed_decide_and_nothing_else() -> None:
    first = start(parameter("normal", name="net.a"), 0)
    assert (first == start(parameter("normal", name="net.a"), 0)).all()
    for other in (
        start(parameter("normal", name="net.b"), 0),
        start(parameter("normal", name="net.a"), 1),
    ):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02


def test_the_numbers_never_change() -> None:
    """Pinned: a change of NumPy's streams would break the reproduction of published runs."""
    random = generator(7, "net.linear.weight")
    assert random.random(2).tolist() == PINNED_UNIFORM
    assert random.standard_normal(2).tolist() == PINNED_NORMAL
    assert generator(7, "shuffle", 3).permutation(8).tolist() == PINNED_ORDER


PINNED_UNIFORM = [6.735262467150172e-05, 0.3341853093684204]
PINNED_NORMAL = [-0.9610191015145313, -0.04302866088500795]
PINNED_ORDER = [1, 0, 6, 2, 4, 5, 7, 3]


def test_the_arena_is_filled_through_its_strides() -> None:
    data = data_line(["x", "y"], [["f32", ["B", 64]], ["i32", ["B"]]], "digits")
    artifact = softmax_artifact(data, 64, 10)
    engine = SoftmaxEngine(artifact)
    engine.parameters[:] = 9
    engine.states["main", "momentum"][:] = 9
    initialise(engine, 5)
    weight = artifact.parameters[0]
    np.testing.assert_array_equal(
        parameter_view(engine.parameters, weight), start(weight, 5).astype(np.float32)
    )
    inside = np.zeros(artifact.length, bool)
    for each in artifact.parameters:
        parameter_view(inside, each)[...] = True
    assert (engine.parameters[~inside] == 0).all()
    assert (engine.states["main", "momentum"] == 0).all()
    assert inside.sum() == 64 * 10 + 10


def test_declaring_another_parameter_first_changes_nothing() -> None:
    data = data_line(["x", "y"], [["f32", ["B", 64]], ["i32", ["B"]]], "digits")
    artifact = softmax_artifact(data, 64, 10)
    import dataclasses

    swapped = dataclasses.replace(artifact, parameters=artifact.parameters[::-1])
    arenas = [np.empty(artifact.length, np.float32) for _ in range(2)]
    fill_parameters(artifact, arenas[0], 0)
    fill_parameters(swapped, arenas[1], 0)
    np.testing.assert_array_equal(*arenas)


def test_an_unknown_initialiser_is_a_bug() -> None:
    broken = Parameter("w", (2,), 0, (1,), Initialiser("magic", (), 1, 1), "")
    with pytest.raises(InternalError, match="magic"):
        start(broken, 0)
