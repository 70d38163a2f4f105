"""Kernels of scans compile for every GPU: no spills, tensor cores."""

from __future__ import annotations

import pytest

from tests.laws.cases import Case
from tests.laws.conftest import Share
from tests.laws.harness import backward
from tests.laws.kernels import Key, emitted
from tests.laws.scan_cases import SCAN_CASES, long_short
from weft.compiler.ir.graph import Graph
from weft.compiler.passes.reduce_precision import reduce_precision
from weft.runtime.crosscompile import SHARED, compile_module

SIZES = {"B": 256, "T": 64, "S": 20}


def _graphs(units: tuple[int, ...]) -> dict[Key, Graph]:
    """Each holds a loop and its adjoint."""
    cases = [*SCAN_CASES, *(Case(f"lstm_{n}", long_short(n)) for n in units)]
    return {("backward", c.name): backward(c) for c in cases}


def _check(graphs: dict[Key, Graph], target: str) -> int:
    """How many kernels of loops compile at once, as they should."""
    artifact = emitted(graphs, SIZES, target)
    records = {k.name: dict(k.compile or {}) for k in artifact.kernels if k.kind == "scan"}
    reports = compile_module(artifact.files["kernels.py"], list(records.values()), target)
    assert not [(r.kernel, r.failures) for r in reports if not r.ok]
    assert all(r.spills == 0 and r.shared <= SHARED[target] for r in reports)
    return len(reports)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_a_sample_compiles(dtype: str) -> None:
    graph = backward(Case("lstm_96", long_short(96)))
    if dtype != "f32":
        graph = reduce_precision(graph, dtype, packed=True)
    assert _check({("backward", "lstm_96"): graph}, "cuda:90") == 2


@pytest.mark.slow
@pytest.mark.parametrize("target", list(SHARED))
def test_every_loop_compiles(target: str, share: Share) -> None:
    graphs = share(_graphs((7, 33, 200)), list(SHARED).index(target), 8)
    assert _check(graphs, target) > len(graphs) // 2
