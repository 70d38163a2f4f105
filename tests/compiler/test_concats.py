"""Sums of a concatenation are those of its parts, and what is known of parts is known once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.laws.cases import B, f32
from tests.laws.harness import expected, feeds, graph_of
from weft.compiler.ir.builder import Builder
from weft.compiler.ops import new_builder

AXES = (0, 1)
Made = Callable[[Builder, int], int]


def _mean(b: Builder, x: int) -> int:
    return b.mean(x, AXES)


def _variance(b: Builder, x: int) -> int:
    centred = b.map("sub", x, b.broadcast(b.mean(x, AXES), (2,), b[x].shape))
    return b.mean(b.map("mul", centred, centred), AXES)


def _deviation(b: Builder, x: int) -> int:
    return b.map("rsqrt", b.map("add", _variance(b, x), 0.1))


MADE = (_mean, _variance, _deviation)
WANTED = {
    _mean: lambda x: x.mean(AXES),
    _variance: lambda x: x.var(AXES),
    _deviation: lambda x: (x.var(AXES) + 0.1) ** -0.5,
}


@pytest.mark.parametrize("made", MADE, ids=lambda f: f.__name__)
def test_numbers_of_channels_are_those_of_the_parts(made: Made) -> None:
    b = new_builder()
    x, y, z = f32(b, "x", B, 6, 3), f32(b, "y", B, 6, 5), f32(b, "z", B, 6, 4)
    inner = b.concat((x, y), 2)
    found, known = made(b, b.concat((inner, z), 2)), made(b, inner)
    assert b[found].op == "concat" and known in b[found].operands
    assert b[known].operands == (made(b, x), made(b, y))
    graph = graph_of(b, {"found": found})
    given = feeds(graph, {"B": 7}, positive=False)
    whole = np.concatenate([given[name] for name in "xyz"], 2).astype(np.float64)
    got = expected(graph, given, {"B": 7})["found"]
    assert np.allclose(got, WANTED[made](whole), atol=1e-6)


def test_sums_along_the_joint_stay_whole() -> None:
    b = new_builder()
    x = b.concat((f32(b, "x", B, 6, 3), f32(b, "y", B, 6, 5)), 2)
    for axes in ((2,), (0, 2)):
        assert b[b.sum(x, axes)].op == "sum"


def test_what_lies_across_the_parts_stays_whole() -> None:
    """Nobody knows the parts of a value without taking it apart."""
    b = new_builder()
    x = b.concat((f32(b, "x", B, 6, 3), f32(b, "y", B, 6, 5)), 2)
    other = f32(b, "other", 8)
    centred = b.map("sub", x, b.broadcast(other, (2,), (B, 6, 8)))
    assert b[b.sum(b.map("mul", centred, centred), AXES)].op == "sum"
    assert b[b.sum(b.map("mul", x, f32(b, "d", B, 6, 8)), AXES)].op == "sum"


@pytest.mark.parametrize("op", ["exp", "mul", "add"])
def test_maps_of_images_stay_whole(op: str) -> None:
    """Their parts would be launches of their own."""
    b = new_builder()
    x = b.concat((f32(b, "x", B, 6, 3), f32(b, "y", B, 6, 5)), 2)
    operands = (x,) if op == "exp" else (x, 2.0)
    assert b[b.map(op, *operands)].op == op


def test_cotangents_of_parts_are_joined() -> None:
    """Three slices that fill an axis: their adjoints leave no zeros to add."""
    b = new_builder()
    x, y, z = f32(b, "x", B, 3), f32(b, "y", B, 5), f32(b, "z", B, 4)
    pads = [
        b.pad(v, (0, low), (0, 12 - low - b[v].shape[1])) for v, low in ((x, 0), (y, 3), (z, 8))
    ]
    found = b.map("add", b.map("add", pads[1], pads[0]), pads[2])
    assert b[found].op == "concat"
    apart = b.map("add", pads[0], pads[2])
    graph = graph_of(b, {"found": found, "apart": apart})
    given = feeds(graph, {"B": 7}, positive=False)
    got = expected(graph, given, {"B": 7})
    assert np.array_equal(got["found"], np.concatenate([given[n] for n in "xyz"], 1))
    assert np.array_equal(got["apart"][:, 3:8], np.zeros((7, 5)))
    assert b[apart].op == "add"


def test_parts_of_what_is_repeated_are_repeated() -> None:
    """So heads that are turned in halves, and joined again, are never copied for a new axis."""
    b = new_builder()
    x = f32(b, "x", B, 6, 4)
    wide = b.broadcast(x, (0, 2, 3), (B, 5, 6, 4))
    left, right = (b.slice(wide, (0, 1, 2, n), (B, 3, 4, 2), (1, 1, 1, 1)) for n in (0, 2))
    joined = b.concat((right, left), 3)
    assert [b[i].op for i in (left, right, joined)] == ["broadcast"] * 3
    along = b.concat((left, right), 1)
    assert b[along].op == "concat"
    one = b.concat((b.map("exp", f32(b, "y", B, 1, 4)), b.map("exp", f32(b, "z", B, 1, 3))), 2)
    bare = b.squeeze(one, (1,))
    assert b[bare].op == "concat"
    graph = graph_of(b, {"joined": joined, "along": along, "bare": bare})
    given = feeds(graph, {"B": 7}, positive=False)
    got = expected(graph, given, {"B": 7})
    rows = np.broadcast_to(given["x"][:, None], (7, 5, 6, 4))[:, 1:4, 2:6]
    assert np.array_equal(got["joined"], rows[..., [2, 3, 0, 1]])
    assert np.array_equal(got["along"], np.concatenate((rows[..., :2], rows[..., 2:]), 1))
    assert np.allclose(got["bare"], np.exp(np.concatenate((given["y"], given["z"]), 2)[:, 0]))
