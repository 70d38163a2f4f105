"""C for narrower vectors than this machine's = the reference, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compiler.narrow import NARROWER
from tests.laws.cases import Case
from tests.laws.harness import backward, build, entry_of, graph_of
from tests.laws.test_native import MOMENTS, check
from tests.laws.turned_cases import TURNED_CASES
from tests.laws.window_cases import GROUPED_CASES, SQUARES_CASES, WINDOW_CASES
from tests.laws.winner_cases import TOGETHER_CASES, WINNER_CASES
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.ir.graph import Graph
from weft.compiler.native import emit_native
from weft.runtime.native import compiler
from weft.runtime.native_engine import NativeEngine

CASES = (
    *WINDOW_CASES[::3],
    *GROUPED_CASES[::3],
    *SQUARES_CASES[::2],
    *WINNER_CASES,
    *TOGETHER_CASES,
    *MOMENTS,
    *TURNED_CASES[::2],
)
SIZES = {"B": 67, "T": 3, "S": 4}


@pytest.fixture(scope="module")
def graphs() -> dict[tuple[str, str], Graph]:
    found = {("forward", case.name): graph_of(*build(case)) for case in CASES}
    return found | {("backward", case.name): backward(case) for case in CASES if case.smooth}


@pytest.fixture(scope="module", params=NARROWER[:1])
def engine(
    graphs: dict[tuple[str, str], Graph], request: pytest.FixtureRequest
) -> Iterator[NativeEngine]:
    """All cases as the entries of one C file, compiled for an older processor."""
    entries = [entry_of(graph, *key) for key, graph in graphs.items()]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, SIZES, "narrow")
    entered = (tuple(records), tuple(kernels))
    found = Artifact("narrow", "cpu", "f32", files, {}, (), 0, (), *entered, SIZES, None, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", " ".join([*compiler().command, f"-march={request.param}"]))
        yield NativeEngine(found)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_older_processors(
    case: Case, engine: NativeEngine, graphs: dict[tuple[str, str], Graph]
) -> None:
    for kind in ("forward", "backward"):
        if (kind, case.name) in graphs:
            check(engine, kind, case, graphs[kind, case.name])
