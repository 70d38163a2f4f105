"""What is joined is made side by side: kernels are the reference, and nobody carries out a
concatenation whose parts can be stored by strides.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.laws.cases import B, Case, f32
from tests.laws.harness import backward, graphs_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted, feeds
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.plan.loaded import LoadedValues

NOMINAL, SIZES, LARGER = {"B": 67}, {"B": 3}, {"B": 11}
CONV = {"stride": (1, 1), "dilation": (1, 1), "low": (1, 1), "groups": 1, "sizes": (4, 5)}
POINT = {**CONV, "low": (0, 0)}
SHAPE = (B, 4, 5, 8)
Join = Callable[[Builder, int, int, int], int]


def _conv(b: Builder, x: int, name: str, columns: int = 8) -> int:
    w = f32(b, name, columns, b[x].shape[-1], 3, 3)
    return b.map("mul", b.insert("convolve", (x, w), **CONV), 0.2)


def _joined(join: Join) -> Callable[[Builder], dict[str, int]]:
    """A map, a convolution and one with a map behind it, joined for another convolution."""

    def made(b: Builder) -> dict[str, int]:
        x = f32(b, "x", *SHAPE)
        one, two = b.map("tanh", x), _conv(b, x, "v")
        bare = b.insert("convolve", (x, f32(b, "u", 8, 8, 3, 3)), **CONV)
        y = join(b, one, two, bare)
        return {"z": _conv(b, y, "w"), "most": b.reduce("max", y, (1, 2)), "own": b.map("exp", two)}

    return made


def _flat(b: Builder, one: int, two: int, bare: int) -> int:
    return b.concat((one, two, bare), 3)


def _nested(b: Builder, one: int, two: int, bare: int) -> int:
    inner = b.concat((one, bare), 3)
    return b.concat((two, b.map("add", b.concat((inner, two), 3), 0.5), inner), 3)


def _inside(b: Builder, one: int, two: int, bare: int) -> int:
    """The inner one is read by itself, too."""
    inner = b.concat((one, bare), 3)
    other = b.concat((inner, two), 3)
    return b.concat((b.map("mul", _conv(b, inner, "inner"), 0.1), other), 3)


def _twice(b: Builder, one: int, two: int, bare: int) -> int:
    """A value can lie in one place alone."""
    return b.concat((one, two, bare, one), 3)


def _odd(b: Builder, one: int, two: int, bare: int) -> int:
    """Pointers promise to be multiples of 16 bytes."""
    some = b.slice(one, (0, 0, 0, 0), (B, 4, 5, 3), (1, 1, 1, 1))
    return b.concat((b.map("neg", some), two, bare), 3)


def _rows(b: Builder, one: int, two: int, bare: int) -> int:
    """Along another axis, and then along the channels."""
    taller = b.concat((b.map("neg", one), b.map("neg", two)), 1)
    whole = b.concat((taller, b.map("abs", taller)), 3)
    return b.rename(b.slice(whole, (0, 2, 0, 0), (B, 4, 5, 16), (1, 1, 1, 1)), "cut")


JOINS = {_flat: 1, _nested: 2, _inside: 3, _twice: 0, _odd: 0, _rows: 2}
"""How many concatenations nobody carries out."""

CASES = {join: Case(f"joined{join.__name__}", _joined(join), (SIZES,)) for join in JOINS}


def _channels(b: Builder) -> dict[str, int]:
    """Numbers a channel of two convolutions."""
    x = f32(b, "x", *SHAPE)
    parts = [b.insert("convolve", (x, f32(b, n, 8, 8, 3, 3)), **CONV) for n in "uv"]
    means = b.concat([b.mean(part, (0, 1, 2)) for part in parts], 0)
    y = b.map("sub", b.concat(parts, 3), b.broadcast(means, (3,), (*SHAPE[:-1], 16)))
    w = f32(b, "w", 16, 16, 1, 1)
    return {"z": b.map("mul", b.insert("convolve", (b.map("tanh", y), w), **POINT), 0.1)}


def _reshaped(b: Builder) -> dict[str, int]:
    """What is read in another shape lies row by row: a whole may, a part of one does not."""
    x = f32(b, "x", B, 6, 8)
    inner = b.concat((b.map("tanh", x), b.map("exp", x)), 2)
    outer = b.concat((inner, b.map("abs", x)), 2)
    w, v = f32(b, "w", 144, 16), f32(b, "v", 96, 16)
    whole = b.contract("bi,io->bo", b.reshape(outer, (B, 144)), w)
    part = b.contract("bi,io->bo", b.reshape(inner, (B, 96)), v)
    return {"whole": b.map("mul", whole, 0.05), "part": b.map("mul", part, 0.05)}


def _namesakes(b: Builder) -> dict[str, int]:
    """Parts and whole have one name, and what is made first lies behind."""
    x = f32(b, "x", B, 6, 8)
    behind, before = (b.map(f, x, name="same") for f in ("tanh", "exp"))
    whole = b.concat([before, behind], 2)
    cut = b.slice(b.rename(whole, "same"), (0, 0, 1), (B, 6, 15), (1, 1, 1))
    return {"y": b.map("mul", cut, 0.5)}


OTHERS = (
    Case("channels", _channels, (SIZES,)),
    Case("reshaped", _reshaped, (SIZES,)),
    Case("namesakes", _namesakes, (SIZES,)),
)
ALL = (*CASES.values(), *OTHERS)


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = graphs_of(ALL)
    return found | {("backward", c.name): backward(c) for c in ALL}


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_kernels_are_the_reference(
    case: Case, kind: str, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    check(guarded, (kind, case.name), graphs[kind, case.name], SIZES)


@pytest.mark.parametrize("join", JOINS, ids=lambda f: f.__name__)
def test_parts_lie_side_by_side(join: Join, graphs: dict[Key, Graph]) -> None:
    graph = graphs["forward", CASES[join].name]
    values = LoadedValues(graph, NOMINAL)
    assert len(values.parts) == JOINS[join]
    assert values.within.keys() == {o for parts in values.parts.values() for o in parts}
    artifact = emitted({("forward", "joined"): graph}, NOMINAL, "cuda:90")
    made = {name for k in artifact.kernels for name in k.writes}
    joined = {b.name for e in artifact.entries for b in e.buffers if b.name.startswith("concat")}
    assert bool(joined & made) == (JOINS[join] == 0)


def test_a_whole_may_be_read_in_another_shape(graphs: dict[Key, Graph]) -> None:
    graph = graphs["forward", "reshaped"]
    values = LoadedValues(graph, NOMINAL)
    assert [graph[i].shape for i in values.parts] == [(B, 6, 16)]


@pytest.mark.parametrize("join", [_flat, _inside], ids=lambda f: f.__name__)
def test_the_order_of_programs_does_not_show(
    join: Join, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "forward", CASES[join].name
    check_order(guarded, key, feeds(graphs[key], LARGER, positive=False))
