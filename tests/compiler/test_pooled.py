"""What a maximum over windows commutes with is done afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from tests.laws.cases import B, f32
from tests.laws.harness import graph_of
from weft.compiler import reference
from weft.compiler.ir.builder import Builder
from weft.compiler.ops import OPS, new_builder

GEOMETRY = {"kernel": (2, 3), "stride": (2, 1), "dilation": (1, 1)}


def _pooled(b: Builder, x: int, low: tuple[int, int] = (0, 0)) -> int:
    return b.insert("pool_max", (x,), sizes=(3, 4), low=low, **GEOMETRY)


def test_a_bias_and_an_activation_wait_for_the_maximum() -> None:
    b = new_builder()
    x, bias = f32(b, "x", B, 6, 6, 5), f32(b, "bias", 5)
    sum_ = b.map("add", x, b.broadcast(bias, (3,), (B, 6, 6, 5)))
    y = _pooled(b, b.map("maximum", sum_, 0.0))
    assert [b[y].op, b[b[y].operands[0]].op] == ["maximum", "add"]
    rng = np.random.default_rng(0)
    given = {
        "x": rng.normal(size=(4, 6, 6, 5)).astype(np.float32),
        "bias": rng.normal(size=5).astype(np.float32),
    }
    before = np.maximum(given["x"] + given["bias"], 0)
    pool = OPS["pool_max"].reference
    want = pool(before.astype(np.float64), sizes=(3, 4), low=(0, 0), **GEOMETRY)
    got = reference.run(graph_of(b, {"y": y}), given, {"B": 4})["y"]
    assert np.allclose(got, want, atol=1e-6)


def test_what_differs_from_place_to_place_comes_first() -> None:
    b = new_builder()
    x, rows = f32(b, "x", B, 6, 6, 5), f32(b, "rows", 6)
    y = _pooled(b, b.map("add", x, b.broadcast(rows, (1,), (B, 6, 6, 5))))
    assert b[y].op == "pool_max"


@pytest.mark.parametrize("op", ["mul", "minimum"])
def test_other_maps_come_first(op: str) -> None:
    b = new_builder()
    x, factor = f32(b, "x", B, 6, 6, 5), f32(b, "factor", 5)
    y = _pooled(b, b.map(op, x, b.broadcast(factor, (3,), (B, 6, 6, 5))))
    assert b[y].op == "pool_max"


def test_an_activation_comes_first_where_a_window_may_be_empty() -> None:
    b = new_builder()
    y = _pooled(b, b.map("maximum", f32(b, "x", B, 6, 6, 5), 0.0), low=(1, 0))
    assert b[y].op == "pool_max"
