"""Triton kernel in the interpreter = reference, forward and backward, for every case.

Memory behind every buffer holds NaN: a load past the end shows, a store there fails the test.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.laws.cases import B, Build, Case
from tests.laws.harness import backward, build, feeds, graph_of, graphs_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted
from tests.laws.primitive_cases import CASES
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType

NOMINAL = {"B": 67, "T": 3}
SMOOTH = [c for c in CASES if c.smooth]
SAMPLE = [
    c
    for c in CASES
    if c.name in ("layer_norm", "mixed_sums", "chain", "embedding", "random", "softmax")
]


def law_graphs() -> dict[Key, Graph]:
    """Every case forward, every smooth one backward."""
    found: dict[Key, Graph] = graphs_of(CASES)
    return found | {("backward", c.name): backward(c) for c in SMOOTH}


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return law_graphs()


def _check(guarded: Guarded, kind: str, case: Case, graph: Graph, sizes: Mapping[str, int]) -> None:
    check(guarded, (kind, case.name), graph, sizes, positive=case.positive)


def _small(case: Case) -> Mapping[str, int]:
    """The second smallest size: several rows, an odd number of columns."""
    return case.sizes[min(1, len(case.sizes) - 1)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_forward(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    _check(guarded, "forward", case, graphs["forward", case.name], _small(case))


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: c.name)
def test_backward(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    _check(guarded, "backward", case, graphs["backward", case.name], _small(case))


@pytest.mark.parametrize("case", SAMPLE, ids=lambda c: c.name)
def test_several_blocks_of_rows(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    _check(guarded, "forward", case, graphs["forward", case.name], NOMINAL)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_size(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    for sizes in case.sizes:
        if sizes is _small(case):
            continue  # as above
        for kind in ("forward", "backward"):
            if (kind, case.name) in graphs:
                _check(guarded, kind, case, graphs[kind, case.name], sizes)


@pytest.mark.parametrize("case", [c for c in SAMPLE if c.smooth], ids=lambda c: c.name)
def test_the_order_of_programs_does_not_show(
    case: Case, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "backward", case.name
    check_order(guarded, key, feeds(graphs[key], NOMINAL, positive=case.positive))


# ---- forms that small cases do not take --------------------------------------------------


def _vocabulary(b: Builder) -> dict[str, int]:
    """A row that takes several tiles, and offsets that need 64 bits at the nominal size."""
    x = b.input("x", TensorType("f32", (B, 20_000)))
    lse = b.reduce("logsumexp", x, (1,))
    log = b.map("sub", x, b.broadcast(lse, (0,), (B, 20_000)))
    best, low = b.reduce("argmax", x, (1,)), b.reduce("min", x, (1,))
    return {
        "lse": lse,
        "entropy": b.sum(b.map("mul", b.map("exp", log), log), (1,)),
        "best": best,
        "low": low,
    }


def _quads(b: Builder) -> dict[str, int]:
    """Random numbers whose rows are whole quadruples: alone, and behind a product."""
    x, w = b.input("x", TensorType("f32", (B, 13))), b.input("w", TensorType("f32", (13, 24)))
    y = b.contract("ik,kj->ij", x, w)
    kept = b.map("where", b.map("lt", b.random("uniform", (B, 24), 3), 0.5), y, 0.0)
    return {
        "kept": kept,
        "noise": b.copy(b.random("normal", (B, 300), 4), "noise"),
        "rows": b.sum(kept, (1,)),
    }


@pytest.mark.parametrize("make", [_vocabulary, _quads], ids=["long_rows", "quads"])
def test_forms_of_large_tensors(make: Build) -> None:
    case = Case(make.__name__, make)
    graph = graph_of(*build(case))
    artifact = emitted({("forward", case.name): graph}, {"B": 50_000}, "interpret")
    text = artifact.files["kernels.py"]
    assert ("tl.int64" in text.split("def ")[-1] and "absorb(" in text) or "philox_normal4(" in text
    guarded = Guarded(artifact)
    _check(guarded, "forward", case, graph, {"B": 3})
    guarded.engine.close()
