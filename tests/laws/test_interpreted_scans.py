"""Scans as launches of one step, in the interpreter = reference, forward and backward."""

from __future__ import annotations

import pytest

from tests.laws.cases import Case
from tests.laws.harness import backward, build, feeds, graph_of
from tests.laws.kernels import Guarded, Key, check, check_order
from tests.laws.scan_cases import SCAN_CASES
from weft.compiler.ir.graph import Graph

NOMINAL = {"B": 67, "T": 3, "S": 4}
SMALL = {"B": 3, "T": 3, "S": 4}
ONE = {"B": 1, "T": 1, "S": 1}
SEVERAL = {"B": 35, "T": 2, "S": 2}
SAMPLE = ("reversed", "long_short_5", "gated", "looking", "matrices", "reshaped")
CASES = [case for case in SCAN_CASES if case.name.removeprefix("scan_") in SAMPLE]


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = {("forward", c.name): graph_of(*build(c)) for c in CASES}
    return found | {("backward", c.name): backward(c) for c in CASES}


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_cells(case: Case, kind: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    check(guarded, (kind, case.name), graphs[kind, case.name], SMALL)


def test_programs_share_nothing(guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Several blocks of samples, in order and out of order, to the bit; one step of one sample."""
    key = "backward", "scan_gated"
    check(guarded, key, graphs[key], ONE)
    check(guarded, key, graphs[key], SEVERAL)
    check_order(guarded, key, feeds(graphs[key], SEVERAL, positive=False))
