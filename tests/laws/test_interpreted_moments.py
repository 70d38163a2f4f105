"""Moments of what a convolution has just made, in Triton's interpreter = reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import weft
from tests.laws.cases import B, Build, Case, f32
from tests.laws.harness import build, feeds, graph_of, graphs_of
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
    return graphs_of(CASES)


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


NECKS = """
default conv(bias=false)
block Neck(c) {
  in x: f32[B, C, H, W]
  x -> residual {
        conv(c, 1) -> batch_norm -> relu -> conv(c, 3) -> batch_norm -> relu
          -> conv(2*c, 1) -> batch_norm
      | if C != 2*c { conv(2*c, 1) -> batch_norm }
  } -> relu
}
net n {
  in x: f32[B, 3, 6, 6]
  x -> conv(16, 3) -> batch_norm -> relu -> max_pool(3, stride=2, pad=1) -> Neck(16) -> Neck(16)
    -> global_avg_pool -> linear(4) as y
}
train {
  steps = 1
  data x: f32[B, 3, 6, 6], target: i32[B] = npz("unused.npz", batch=1024)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }
}
"""


@pytest.mark.slow
def test_gradients_of_bottlenecks() -> None:
    """Moments, operands made where they are loaded, sums that products store, and launches that
    make both adjoints, all together.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 3, 6, 6)).astype(np.float32)
    batch = {"x": x, "target": np.array([0, 3, 1], np.int32)}
    programs = [
        weft.compile(weft.load_text(NECKS, "n.weft"), t) for t in ("interpret", "reference")
    ]
    kernels = [k for k in programs[0].artifact.kernels if k.entry == "gradient_main"]
    images = {
        b.name for b in programs[0].artifact.entry("gradient", "main").buffers if len(b.shape) == 4
    }
    products = [k for k in kernels if k.kind == "product"]
    assert sum(len(images.intersection(k.writes)) > 1 for k in products) >= 1
    both = [k for k in products if any("weight_partial" in name for name in k.writes)]
    assert sum(bool(images.intersection(k.writes)) for k in both) >= 3
    assert sum(k.name.startswith("merge_") for k in kernels) == 5  # none of the wide products
    (loss, found), (wanted, exact) = (p.value_and_grad(batch, step="main") for p in programs)
    assert abs(float(loss) - float(wanted)) < 1e-5
    for name, gradient in found.items():
        want = np.asarray(exact[name])
        assert np.abs(np.asarray(gradient) - want).max() <= 1e-4 * max(np.abs(want).max(), 1e-3), (
            name
        )
