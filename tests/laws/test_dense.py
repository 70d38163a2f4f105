"""A dense block, where each layer normalises all maps before it and adds its own: kernels are the
reference, what is normalised is not stored, and statistics are taken once.
"""

from __future__ import annotations

import pytest

from tests.laws.cases import B, Case, f32
from tests.laws.harness import backward, graphs_of
from tests.laws.kernels import Guarded, Key, check, emitted
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph

NOMINAL, SIZES = {"B": 131}, {"B": 2}
POINT = {"stride": (1, 1), "dilation": (1, 1), "low": (0, 0), "groups": 1}
AROUND = {**POINT, "low": (1, 1)}
SPACE = (4, 5)


def _normalised(b: Builder, x: int, name: str) -> int:
    shape = b[x].shape

    def spread(i: int) -> int:
        return b.broadcast(i, (3,), shape)

    centred = b.map("sub", x, spread(b.mean(x, (0, 1, 2))))
    variance = b.mean(b.map("mul", centred, centred), (0, 1, 2))
    gain = b.map("mul", b.map("rsqrt", b.map("add", variance, 0.1)), f32(b, name, shape[-1]))
    return b.map("maximum", b.map("mul", centred, spread(gain)), -0.25)


def _dense(first: int, growth: int, layers: int) -> Case:
    def made(b: Builder) -> dict[str, int]:
        x = f32(b, "x", B, *SPACE, first)
        x = b.insert("convolve", (x, f32(b, "w", first, first, 1, 1)), sizes=SPACE, **POINT)
        for n in range(layers):
            across = b[x].shape[-1]
            v, w = f32(b, f"v_{n}", 32, across, 1, 1), f32(b, f"w_{n}", growth, 32, 3, 3)
            h = b.insert("convolve", (_normalised(b, x, f"a_{n}"), v), sizes=SPACE, **POINT)
            h = _normalised(b, h, f"b_{n}")
            x = b.concat((x, b.insert("convolve", (h, w), sizes=SPACE, **AROUND)), 3)
        return {"y": b.map("mul", _normalised(b, x, "a"), 0.3)}

    return Case(f"dense_{first}_{growth}", made, (SIZES,))


CASES = (_dense(16, 16, 2), _dense(24, 8, 2))


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = graphs_of(CASES)
    return found | {("backward", c.name): backward(c) for c in CASES}


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_kernels_are_the_reference(
    case: Case, kind: str, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    check(guarded, (kind, case.name), graphs[kind, case.name], SIZES)


@pytest.mark.parametrize("kind", ["forward", "backward"])
def test_products_normalise_what_they_load(kind: str, graphs: dict[Key, Graph]) -> None:
    """Behind the first layer, whose batch norms fold into a weight or are stored as they are."""
    artifact = emitted({(kind, "dense"): graphs[kind, CASES[0].name]}, NOMINAL, "cuda:90")
    written = [name for k in artifact.kernels for name in k.writes]
    assert not [name for name in written if name.startswith("maximum")]
    assert sum("moments" in name and "partial" in name for name in written) == 5
