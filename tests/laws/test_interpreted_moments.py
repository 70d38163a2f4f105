"""Moments of what a convolution has just made, in Triton's interpreter = reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.laws.cases import B, Build, Case, f32
from tests.laws.harness import build, feeds, graph_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted
from tests.laws.test_interpreted_windows import DEEP, NOMINAL
from tests.laws.window_cases import Geometry, operands, shared, square
from weft.compiler.emit.triton import compose, window_kernels
from weft.compiler.emit.triton.tiles import Tile
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ops.moments import SQUARES
from weft.compiler.ops.windows import turned

POINT = square("point", 5, 1, channels=(24, 40))


def _made(b: Builder, x: int) -> dict[str, int]:
    """The moments, the squares alone, and something made of the values beside them."""
    m = b.insert("moments", (x,), "moments")
    one = b.slice(m, (SQUARES, 0), (1, b[m].shape[1]), (1, 1))
    spread = b.broadcast(b.squeeze(one, (0,)), (len(b[x].shape) - 1,), b[x].shape)
    return {
        "moments": b.copy(m, "m"),
        "squares": b.squeeze(one, (0,)),
        "y": b.map("mul", x, 0.5),
        "scaled": b.map("mul", x, spread),
    }


def moments(g: Geometry) -> Build:
    """A convolution, the moments of what it makes, and readers of both."""

    def build(b: Builder) -> dict[str, int]:
        return _made(b, b.insert("convolve", operands(b, g), sizes=g.sizes, **shared(g)))

    return build


def _adjoint(g: Geometry) -> Build:
    """Elements of an image in phases of their own, where the stride is larger than 1."""

    def build(b: Builder) -> dict[str, int]:
        inputs, outputs = g.channels
        d = f32(b, "d", B, *g.sizes, outputs)
        u = turned(b, f32(b, "w", outputs, inputs // g.groups, *g.kernel))
        return _made(b, b.insert("convolve_input", (d, u), sizes=g.space, **shared(g)))

    return build


def _first(b: Builder) -> dict[str, int]:
    """Single elements of images with their channels first: rows that lie apart."""
    x, w = f32(b, "x", B, 3, 5, 6), f32(b, "w", 4, 3, 1, 1)
    one = {"stride": (1, 1), "dilation": (1, 1), "low": (0, 0), "groups": 1, "sizes": (5, 6)}
    return _made(b, b.insert("convolve", (b.transpose(x, (0, 2, 3, 1)), w), **one))


def _fed(b: Builder) -> dict[str, int]:
    """Nobody makes them here."""
    return _made(b, f32(b, "x", B, 7, 40))


CASES = (
    *(Case(f"forward_{g.name}", moments(g)) for g in (DEEP[0], DEEP[2], DEEP[4], POINT)),
    Case("adjoint_deep_strided", _adjoint(DEEP[1])),
    Case("channels_first", _first),
    Case("fed", _fed),
)


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return {("forward", c.name): graph_of(*build(c)) for c in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("batch", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 19))])
def test_moments(case: Case, batch: int, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "forward", case.name
    check(guarded, key, graphs[key], {"B": batch, "T": 1})


@pytest.mark.parametrize("name", ["forward_point", "adjoint_deep_strided"])
def test_the_order_of_programs_does_not_show(
    name: str, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "forward", name
    check_order(guarded, key, feeds(graphs[key], {"B": 19, "T": 1}, positive=False))


@pytest.mark.parametrize("case", CASES[:-1], ids=lambda c: c.name)
def test_they_ride(case: Case, graphs: dict[Key, Graph]) -> None:
    """No kernel reads what the convolution made only to sum it."""
    artifact = emitted({("forward", case.name): graphs["forward", case.name]}, NOMINAL, "cuda:90")
    assert "moments" not in {k.kind for k in artifact.kernels}
    assert sum(k.kind == "finish" for k in artifact.kernels) == 1


def _alone(make: Build, fed: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The results of a case that is planned by itself, checked."""
    key, graph = ("forward", "alone"), graph_of(*build(Case("alone", make)))
    guarded = Guarded(emitted({key: graph}, NOMINAL, "interpret"))
    if fed is None:
        check(guarded, key, graph, {"B": 3, "T": 1})
    found = guarded.run(key, fed) if fed is not None else {}
    guarded.engine.close()
    return found


@pytest.mark.parametrize("g", [DEEP[2], POINT], ids=lambda g: g.name)
def test_where_programs_share_a_deep_sum(g: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    choose = window_kernels.choose

    def split(*arguments: Any, **settings: Any) -> Tile:
        return replace(choose(*arguments, **settings), split=2)

    monkeypatch.setattr(window_kernels, "choose", split)
    monkeypatch.setattr(compose, "choose", split)
    _alone(moments(g))


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    """Sums of squares of 1000 and more would leave one digit of a variance of 1."""
    g = POINT
    inputs, outputs = g.channels
    rng = np.random.default_rng(1)
    x = rng.normal(1000.0, 1.0, (67, *g.space, inputs)).astype(np.float32)
    w = np.eye(outputs, inputs, dtype=np.float32)[:, :, None, None]
    found = _alone(moments(g), {"x": x, "w": w})["squares"]
    exact = x.astype(np.float64).var(axis=(0, 1, 2)) * x[..., 0].size
    assert np.abs(found[:inputs] / exact - 1).max() < 3e-5
