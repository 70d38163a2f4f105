"""C kernel = reference, forward and backward, for every case at every size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.laws.cases import B, Build, Case, f32
from tests.laws.harness import (
    SEED,
    STEP,
    agree,
    backward,
    build,
    entry_of,
    expected,
    feeds,
    graph_of,
)
from tests.laws.primitive_cases import CASES as PLAIN
from tests.laws.scan_cases import SCAN_CASES, WIDE_SCANS
from tests.laws.turned_cases import TURNED_CASES
from tests.laws.window_cases import GROUPED_CASES, PLACED_CASES, SQUARES_CASES, WINDOW_CASES
from tests.laws.winner_cases import TOGETHER_CASES, WINNER_CASES
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.native import emit_native
from weft.runtime.native_engine import NativeEngine


def _moments(*shape: int) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x = f32(b, "x", B, *shape)
        return {"m": b.copy(b.insert("moments", (x,)), "m"), "squares": b.map("mul", x, x)}

    return build


MOMENTS = tuple(
    Case(f"moments_{shape[-1]}", _moments(*shape), ({"B": 67}, {"B": 1}, {"B": 330}), smooth=False)
    for shape in ((3, 1), (5, 7, 16), (2, 40), (3, 300))
)
PLAIN_WINDOWS = (*WINDOW_CASES, *GROUPED_CASES, *SQUARES_CASES)
WINDOWS = (*PLAIN_WINDOWS, *PLACED_CASES, *WINNER_CASES, *TOGETHER_CASES)
CASES = (*PLAIN, *WINDOWS, *SCAN_CASES, *WIDE_SCANS, *MOMENTS, *TURNED_CASES)
SMOOTH = [c for c in CASES if c.smooth]


@pytest.fixture(scope="module")
def graphs() -> dict[tuple[str, str], Graph]:
    found: dict[tuple[str, str], Graph] = {}
    for case in CASES:
        found["forward", case.name] = graph_of(*build(case))
    for case in SMOOTH:
        found["backward", case.name] = backward(case)
    return found


@pytest.fixture(scope="module")
def engine(graphs: dict[tuple[str, str], Graph]) -> Iterator[NativeEngine]:
    """All cases as the entries of one C file."""
    sizes = {"B": 67, "T": 3, "S": 4}
    entries = [entry_of(graph, *key) for key, graph in graphs.items()]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, sizes, "laws")
    yield NativeEngine(
        Artifact(
            "laws",
            "cpu",
            "f32",
            files,
            {},
            (),
            0,
            (),
            tuple(records),
            tuple(kernels),
            sizes,
            None,
            {},
        )
    )


def check(engine: NativeEngine, kind: str, case: Case, graph: Graph) -> None:
    for sizes in case.sizes:
        fed = feeds(graph, sizes, positive=case.positive)
        bound = engine._entry(kind, case.name)
        bound.run(fed, SEED, STEP)
        for name, value in expected(graph, fed, sizes).items():
            agree(f"{case.name}.{name} at {sizes}", bound.outputs[name], value)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_forward(case: Case, engine: NativeEngine, graphs: dict[tuple[str, str], Graph]) -> None:
    check(engine, "forward", case, graphs["forward", case.name])


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: c.name)
def test_backward(case: Case, engine: NativeEngine, graphs: dict[tuple[str, str], Graph]) -> None:
    check(engine, "backward", case, graphs["backward", case.name])
