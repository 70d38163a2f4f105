"""Triton kernels of recurrences in the interpreter = reference, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from tests.laws.cases import Case
from tests.laws.harness import backward, build, expected, feeds, graph_of
from tests.laws.recurrence_cases import RECURRENCE_CASES
from tests.laws.test_interpreted import SIZES, Guarded, Key, _agree, emitted
from weft.compiler.ir.graph import Graph

SMALL = ({"B": 3, "T": 3}, {"B": 1, "T": 1})
SEVERAL = {"B": 35, "T": 2}
EMPTY = {"B": 2, "T": 0}
SAMPLE = [c for c in RECURRENCE_CASES if c.name.endswith("_17")]


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = {("forward", c.name): graph_of(*build(c)) for c in RECURRENCE_CASES}
    return found | {("backward", c.name): backward(c) for c in RECURRENCE_CASES}


@pytest.fixture(scope="module")
def guarded(graphs: dict[Key, Graph]) -> Iterator[Guarded]:
    found = Guarded(emitted(graphs, SIZES, "interpret"))
    yield found
    found.engine.close()


def _check(guarded: Guarded, key: Key, graph: Graph, sizes: Mapping[str, int]) -> None:
    fed = feeds(graph, sizes, positive=False)
    got = guarded.run(key, fed)
    for name, value in expected(graph, fed, sizes).items():
        _agree(f"{key} {name} at {sizes}", got[name], value)


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("case", RECURRENCE_CASES, ids=lambda c: c.name)
def test_cells(case: Case, kind: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Units of one block, a block and a rest, two blocks; several steps, and one of one sample."""
    for sizes in SMALL:
        _check(guarded, (kind, case.name), graphs[kind, case.name], sizes)


@pytest.mark.parametrize("case", SAMPLE, ids=lambda c: c.name)
def test_programs_share_nothing(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Three blocks of samples, in order and out of order, to the bit."""
    key = "backward", case.name
    _check(guarded, key, graphs[key], SEVERAL)
    fed = feeds(graphs[key], SEVERAL, positive=False)
    natural = guarded.run(key, fed)
    guarded.device.shuffle = 5  # type: ignore[attr-defined]
    permuted = guarded.run(key, fed)
    guarded.device.shuffle = None  # type: ignore[attr-defined]
    assert all(np.array_equal(natural[name], permuted[name]) for name in natural)


def test_no_step_at_all(guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "forward", "lstm_17"
    _check(guarded, key, graphs[key], EMPTY)
