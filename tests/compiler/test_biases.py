"""Two rows that are added to a product, or to rows of a table, are added up first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.laws.cases import B, f32, i32
from tests.laws.harness import feeds, graph_of
from weft.compiler import reference
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ops import new_builder
from weft.compiler.plan.biases import with_one_bias

Made = Callable[[Builder], dict[str, int]]


def _product(b: Builder) -> int:
    return b.contract("bti,io->bto", f32(b, "x", B, 3, 5), f32(b, "w", 5, 7))


def _row(b: Builder, name: str, *shape: int) -> int:
    return b.broadcast(f32(b, name, *(shape or (7,))), (2,), (B, 3, 7))


def _both(b: Builder) -> dict[str, int]:
    return {"y": b.map("add", b.map("add", _product(b), _row(b, "a")), _row(b, "c"))}


def _taken(b: Builder) -> dict[str, int]:
    rows = b.take(f32(b, "table", 11, 7), i32(b, "indices", B, 3))
    return {"y": b.map("add", _row(b, "c"), b.map("add", _row(b, "a"), rows))}


def _read_between(b: Builder) -> dict[str, int]:
    inner = b.map("add", _product(b), _row(b, "a"))
    return {"y": b.map("add", inner, _row(b, "c")), "z": b.map("tanh", inner)}


def _of_an_input(b: Builder) -> dict[str, int]:
    return {"y": b.map("add", b.map("add", f32(b, "x", B, 3, 7), _row(b, "a")), _row(b, "c"))}


def _along_another_axis(b: Builder) -> dict[str, int]:
    along = b.broadcast(f32(b, "a", 3), (1,), (B, 3, 7))
    return {"y": b.map("add", b.map("add", _product(b), along), _row(b, "c"))}


def _made(make: Made) -> tuple[Graph, Graph]:
    b = new_builder()
    graph = graph_of(b, make(b))
    return graph, with_one_bias(graph)


@pytest.mark.parametrize("make", [_both, _taken])
def test_the_sum_of_rows_is_made_once(make: Made) -> None:
    graph, joined = _made(make)
    large = [n for n in joined if n.op == "add" and len(n.shape) == 3]
    small = [n for n in joined if n.op == "add" and len(n.shape) == 1]
    assert (len(large), len(small)) == (1, 1)
    given = feeds(graph, {"B": 4}, positive=False)
    want, got = (reference.run(g, given, {"B": 4})["y"] for g in (graph, joined))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [_read_between, _of_an_input, _along_another_axis])
def test_others_stay(make: Made) -> None:
    graph, joined = _made(make)
    assert joined is graph
