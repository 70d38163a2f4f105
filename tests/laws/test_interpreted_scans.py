"""Kernels of scans in the interpreter = reference, forward and backward."""

from __future__ import annotations

import pytest

from tests.laws.cases import Case
from tests.laws.harness import backward, feeds, graphs_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted
from tests.laws.scan_cases import SCAN_CASES
from weft.compiler.ir.graph import Graph
from weft.compiler.plan import samples

NOMINAL = {"B": 67, "T": 3, "S": 4}
SMALL = {"B": 3, "T": 3, "S": 4}
ONE = {"B": 1, "T": 1, "S": 1}
SEVERAL = {"B": 35, "T": 2, "S": 2}
EMPTY = ({"B": 0, "T": 2, "S": 2}, {"B": 2, "T": 0, "S": 2})
APART = ("convolved", "looking", "nested_apart")
"""What has no kernel of its own for all steps."""

LARGE = ("plain_17", "plain_32", "long_short_16")
WAITS = (
    ("plain_5", "forward", [1]),
    ("plain_5", "backward", [1, 2]),
    ("long_short_5", "forward", [1]),
    ("long_short_5", "backward", [1, 2]),
    ("gated", "backward", [2, 3]),
    ("normalised", "backward", [1, 2]),
    ("matrices", "forward", [1]),
)
"""How often a step waits, of the loop and of its adjoint."""

CASES = [case for case in SCAN_CASES if case.name.removeprefix("scan_") not in LARGE]
LAUNCHED = [case for case in CASES if case.name == "scan_gated"]


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = graphs_of(CASES)
    return found | {("backward", c.name): backward(c) for c in CASES}


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_cells(case: Case, kind: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = kind, case.name
    check(guarded, key, graphs[key], SMALL)
    loops = [a for a in guarded.engine.artifact.entry(*key).launches if a.times != 1]
    assert bool(loops) == (case.name.removeprefix("scan_") in APART)


@pytest.mark.parametrize(("name", "kind", "waits"), WAITS)
def test_a_step_waits_where_columns_meet(
    name: str, kind: str, waits: list[int], guarded: Guarded
) -> None:
    """What a step hands on at the same place stays in registers: a barrier stands before a product
    of what the step made, and at its end.
    """
    artifact = guarded.engine.artifact
    loops = {k.name for k in artifact.kernels if k.kind == "scan"}
    launched = [
        a.kernel for a in artifact.entry(kind, f"scan_{name}").launches if a.kernel in loops
    ]
    text = artifact.files["kernels.py"]
    bodies = [text.split(f"def {k}(")[1].split("@triton.jit")[0] for k in launched]
    assert [b.split("    for at in ")[1].count("debug_barrier") for b in bodies] == waits


def test_programs_share_nothing(guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Several blocks of samples, in order and out of order, to the bit; one step of one sample."""
    key = "backward", "scan_gated"
    check(guarded, key, graphs[key], ONE)
    check(guarded, key, graphs[key], SEVERAL)
    check_order(guarded, key, feeds(graphs[key], SEVERAL, positive=False))


@pytest.mark.parametrize("sizes", EMPTY, ids=["samples", "steps"])
def test_nothing_to_walk(sizes: dict[str, int], guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    for name in ("scan_gated", "scan_looking"):
        check(guarded, ("forward", name), graphs["forward", name], sizes)


def test_large_weights_are_launched_step_by_step(
    graphs: dict[Key, Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds of small ones holds of the launches that share a step between all programs."""
    monkeypatch.setattr(samples, "WEIGHTS", 0)
    keys = [(kind, case.name) for kind in ("forward", "backward") for case in LAUNCHED]
    guarded = Guarded(emitted({key: graphs[key] for key in keys}, NOMINAL, "interpret"))
    try:
        for key in keys:
            check(guarded, key, graphs[key], SMALL)
            assert any(a.times != 1 for a in guarded.engine.artifact.entry(*key).launches)
        check_order(guarded, keys[-1], feeds(graphs[keys[-1]], SEVERAL, positive=False))
    finally:
        guarded.engine.close()
