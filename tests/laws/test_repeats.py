"""Products that are made again behind sums over the batch = reference; the kernels compile."""

from __future__ import annotations

import pytest

from tests.laws.cases import B, Build, Case, f32
from tests.laws.conftest import Share
from tests.laws.harness import graphs_of
from tests.laws.kernels import Guarded, Key, check, emitted, passed
from tests.laws.window_cases import shared, square
from weft.compiler.emit.triton.tiles import MACHINES
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.plan.repeats import with_repeats

NOMINAL, MANY = {"B": 67}, {"B": 60_000}


def _back(channels: int = 20, *, kept: bool = False, far: bool = False) -> Build:
    """The cotangent of what is normalised, which takes two sums of a product behind a mask.

    `kept`: somebody else reads the masked product; `far`: it takes a value more.
    """
    g = square("image", 3, 1, channels=(channels, 20))

    def build(b: Builder) -> dict[str, int]:
        z, w = f32(b, "z", B, 3, 3, channels), f32(b, "w", 20, channels, 1, 1)
        y, d = (f32(b, name, B, 3, 3, 20) for name in ("y", "d"))
        n = b.insert("convolve", (b.map("maximum", z, 0.0), w), sizes=g.sizes, **shared(g))
        seen = b.map("gt", z if channels == 20 else y, 0.0)
        whole = b.map("add", n, b.map("mul", d, y) if far else d)
        m = b.map("where", seen, b.map("mul", whole, 0.1), 0.0)
        spread = lambda s: b.broadcast(b.map("mul", s, 0.01), (3,), b[m].shape)  # noqa: E731
        first, second = (
            b.sum(m, (0, 1, 2)),
            b.sum(b.map("mul", m, z if channels == 20 else d), (0, 1, 2)),
        )
        c = b.map("sub", b.map("sub", m, spread(first)), spread(second))
        c = b.map("add", c, b.map("mul", z, 0.1)) if channels == 20 else c
        found = {"c": c, "first": first, "second": second}
        return found | ({"m": m} if kept else {})

    return build


CASES = (Case("repeated", _back()),)
LEFT = (
    Case("kept", _back(kept=True)),
    Case("far", _back(far=True)),
    Case("deep", _back(160)),
)
"""Where it would not save anything."""


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return graphs_of([*CASES, *LEFT])


def _products(graph: Graph) -> int:
    return sum(node.op == "convolve" for node in graph)


@pytest.mark.parametrize("batch", [1, 19])
@pytest.mark.parametrize("case", (*CASES, *LEFT), ids=lambda c: c.name)
def test_kernels_are_the_reference(
    case: Case, batch: int, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "forward", case.name
    check(guarded, key, graphs[key], {"B": batch})


@pytest.mark.parametrize("case", (*CASES, *LEFT), ids=lambda c: c.name)
def test_a_product_is_made_again_where_that_saves_writing_it(
    case: Case, graphs: dict[Key, Graph]
) -> None:
    graph = graphs["forward", case.name]
    assert _products(with_repeats(graph)) == _products(graph) + (case in CASES)


def test_it_is_nowhere_in_memory(graphs: dict[Key, Graph]) -> None:
    key = "forward", "repeated"
    artifact = emitted({key: graphs[key]}, MANY, "cuda:90")
    images = [b for b in artifact.entries[0].buffers if len(b.shape) == 4]
    assert [b.name for b in images if b.space == "workspace"] == ["maximum"]  # its rows


@pytest.mark.parametrize("number", range(4), ids=MACHINES)
def test_every_architecture(number: int, graphs: dict[Key, Graph], share: Share) -> None:
    passed(share(graphs, number, 4), MANY, list(MACHINES)[number])
