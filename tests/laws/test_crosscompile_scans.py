"""Kernels of scans compile for every GPU: no spills, tensor cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.laws.cases import Case
from tests.laws.cell_cases import CELLS, cell_graphs
from tests.laws.conftest import Share
from tests.laws.harness import backward
from tests.laws.kernels import ARCHITECTURES, Key, emitted
from tests.laws.scan_cases import SCAN_CASES, long_short
from weft.compiler.artifact import Artifact
from weft.compiler.ir.graph import Graph
from weft.compiler.passes.reduce_precision import reduce_precision
from weft.runtime.crosscompile import SHARED, Report
from weft.runtime.gate import gated

SIZES = {"B": 256, "T": 64, "S": 20}


def _graphs(units: tuple[int, ...]) -> dict[Key, Graph]:
    """Each holds a loop and its adjoint."""
    cases = [*SCAN_CASES, *(Case(f"lstm_{n}", long_short(n)) for n in units)]
    return {("backward", c.name): backward(c) for c in cases}


def _loops(graphs: dict[Key, Graph], target: str) -> tuple[Report, ...]:
    """The kernels of loops; the gate answers the few that spill with smaller blocks."""

    def loops(levels: Mapping[str, int]) -> Artifact:
        artifact = emitted(graphs, SIZES, target, levels)
        return replace(artifact, kernels=tuple(k for k in artifact.kernels if k.kind == "scan"))

    return gated(loops, target)[1]


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_a_sample_compiles(dtype: str) -> None:
    graph = backward(Case("lstm_96", long_short(96)))
    if dtype != "f32":
        graph = reduce_precision(graph, dtype, packed=True)
    reports = _loops({("backward", "lstm_96"): graph}, "cuda:90")
    assert len(reports) == 2
    assert all(r.spills == 0 and r.shared <= SHARED["cuda:90"] for r in reports)


@pytest.mark.slow
@pytest.mark.parametrize("target", ARCHITECTURES)
def test_every_loop_compiles(target: str, share: Share) -> None:
    graphs = share(_graphs((7, 33, 200)), ARCHITECTURES.index(target), 10)
    reports = _loops(graphs, target)
    assert len(reports) > len(graphs) // 2
    assert all(r.spills == 0 and r.shared <= SHARED[target] for r in reports)


@pytest.mark.slow
@pytest.mark.parametrize("target", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_every_cell_of_the_library_compiles(target: str, dtype: str, share: Share) -> None:
    number = 2 * ARCHITECTURES.index(target) + (dtype == "bf16")
    graphs = share(cell_graphs(dict.fromkeys(CELLS, ("small", "large"))), number, 10)
    if dtype != "f32":
        graphs = {key: reduce_precision(g, dtype, packed=True) for key, g in graphs.items()}
    reports = _loops(graphs, target)
    assert len(reports) >= len(graphs) // 2
    assert all(r.spills == 0 and r.shared <= SHARED[target] for r in reports)
