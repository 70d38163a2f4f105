"""Triton kernels of recurrences in the interpreter = reference, forward and backward."""

from __future__ import annotations

import pytest

from tests.laws.cases import Case
from tests.laws.harness import backward, build, feeds, graph_of
from tests.laws.kernels import Guarded, Key, check, check_order
from tests.laws.recurrence_cases import ON_THE_WAY_CASES, RECURRENCE_CASES
from weft.compiler.ir.graph import Graph

NOMINAL = {"B": 67, "T": 3}
SMALL = ({"B": 3, "T": 3}, {"B": 1, "T": 1})
SEVERAL = {"B": 35, "T": 2}
EMPTY = {"B": 2, "T": 0}
SAMPLE = [c for c in RECURRENCE_CASES if c.name.endswith("_17")]


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    cases = (*RECURRENCE_CASES, *ON_THE_WAY_CASES)
    found: dict[Key, Graph] = {("forward", c.name): graph_of(*build(c)) for c in cases}
    return found | {("backward", c.name): backward(c) for c in RECURRENCE_CASES}


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("case", RECURRENCE_CASES, ids=lambda c: c.name)
def test_cells(case: Case, kind: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Units of one block, a block and a rest, two blocks; several steps, and one of one sample."""
    for sizes in SMALL:
        check(guarded, (kind, case.name), graphs[kind, case.name], sizes)


@pytest.mark.parametrize("case", ON_THE_WAY_CASES, ids=lambda c: c.name)
def test_on_the_way(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Made together with the rest, or from the rest that is known."""
    check(guarded, ("forward", case.name), graphs["forward", case.name], SMALL[0])


@pytest.mark.parametrize("case", SAMPLE, ids=lambda c: c.name)
def test_programs_share_nothing(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Three blocks of samples, in order and out of order, to the bit."""
    key = "backward", case.name
    check(guarded, key, graphs[key], SEVERAL)
    check_order(guarded, key, feeds(graphs[key], SEVERAL, positive=False))


def test_no_step_at_all(guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "forward", "lstm_17"
    check(guarded, key, graphs[key], EMPTY)
