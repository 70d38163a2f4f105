"""Kernels of recurrences compile for every GPU: no spills, tensor cores."""

from __future__ import annotations

import pytest

from tests.laws.cases import Case
from tests.laws.conftest import Share
from tests.laws.harness import backward
from tests.laws.kernels import Key, emitted, passed
from tests.laws.recurrence_cases import recurrence
from weft.compiler.artifact import Artifact
from weft.compiler.ir.graph import Graph
from weft.compiler.ops.recurrences import CELLS
from weft.runtime.crosscompile import SHARED, compile_module

SIZES = {"B": 256, "T": 64}


def _graphs(cells: tuple[str, ...], units: tuple[int, ...]) -> dict[Key, Graph]:
    """Each holds a recurrence and its adjoint."""
    cases = [Case(f"{cell}_{n}", recurrence(cell, n)) for cell in cells for n in units]
    return {("backward", c.name): backward(c) for c in cases}


def _check(artifact: Artifact, target: str) -> int:
    """How many kernels of recurrences compile at once, as they should."""
    records = {k.name: dict(k.compile or {}) for k in artifact.kernels if k.kind == "recurrence"}
    reports = compile_module(artifact.files["kernels.py"], list(records.values()), target)
    assert not [(r.kernel, r.failures) for r in reports if not r.ok]
    assert all(r.spills == 0 and r.shared <= SHARED[target] for r in reports)
    return len(reports)


def test_a_sample_compiles() -> None:
    assert _check(emitted(_graphs(("lstm",), (96,)), SIZES, "cuda:90"), "cuda:90") == 2


@pytest.mark.slow
@pytest.mark.parametrize("target", list(SHARED))
def test_every_cell_compiles(target: str, share: Share) -> None:
    """The gate answers the few that spill some bytes with smaller blocks."""
    number = list(SHARED).index(target)
    graphs = share(_graphs(tuple(CELLS), (5, 17, 64, 650)), number, 4)
    artifact, reports = passed(graphs, SIZES, target)
    names = {k.name for k in artifact.kernels if k.kind == "recurrence"}
    assert len(names) == 2 * len(graphs)
    assert all(r.ok for r in reports if r.kernel in names)
