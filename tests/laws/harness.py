"""Run a case through the reference and through emitted kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tests.laws.cases import Case
from weft.compiler import reference
from weft.compiler.entries import EntryGraph, own_memory, port
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ops import new_builder
from weft.compiler.passes.differentiate import differentiate
from weft.spec.dims import evaluate

SEED, STEP = 11, 7
TOLERANCE = 2e-6  # of the largest element, at least of 1


def build(case: Case) -> tuple[Builder, dict[str, int]]:
    b = new_builder()
    return b, case.build(b)


def graph_of(b: Builder, outputs: Mapping[str, int]) -> Graph:
    b.outputs = own_memory(b, outputs)
    return b.graph()


def graphs_of(cases: Iterable[Case], kind: str = "forward") -> dict[tuple[str, str], Graph]:
    """The graphs of cases, by kind and name."""
    return {(kind, case.name): graph_of(*build(case)) for case in cases}


def feeds(
    graph: Graph, sizes: Mapping[str, int], *, positive: bool, seed: int = 0
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for node in graph.inputs():
        shape = tuple(evaluate(d, sizes) for d in node.shape)
        if node.dtype == "i32":
            low = 0 if node["feed"] == "indices" else -9
            found[node["feed"]] = rng.integers(low, 11, shape).astype(np.int32)
        else:
            x = rng.uniform(0.3, 2.0, shape) if positive else rng.normal(size=shape)
            found[node["feed"]] = x.astype(np.float32)
    return found


def backward(case: Case) -> Graph:
    """The gradients of a curved function of all real outputs."""
    b, outputs = build(case)
    total = None
    for i in outputs.values():
        if b[i].dtype == "f32":
            part = b.sum(b.map("mul", b.map("tanh", i), i), range(len(b[i].shape)))
            total = part if total is None else b.map("add", total, part)
    assert total is not None
    wrt = {n["feed"]: n.id for n in b.nodes if n.op == "input" and n.dtype == "f32"}
    found = differentiate(b, total, list(wrt.values()))
    return graph_of(b, {f"d_{name}": found[i] for name, i in wrt.items()})


def entry_of(graph: Graph, kind: str, subject: str) -> EntryGraph:
    inputs = tuple(port(n["feed"], n.type) for n in graph.inputs())
    outputs = tuple(port(name, graph[i].type) for name, i in graph.outputs.items())
    return EntryGraph(kind, subject, graph, inputs, outputs, {})


def expected(
    graph: Graph, fed: Mapping[str, np.ndarray], sizes: Mapping[str, int]
) -> dict[str, np.ndarray]:
    return reference.run(graph, fed, sizes, seed=SEED, step=STEP)


def agree(name: str, got: np.ndarray, want: np.ndarray) -> None:
    """Kernels in f32 = the reference; NaN and infinities are at the same places."""
    if want.dtype.kind in "ib":
        assert np.array_equal(got, want), name
        return
    assert np.array_equal(np.isnan(got), np.isnan(want)), name
    scale = max(1.0, float(np.abs(np.nan_to_num(want)).max(initial=0.0)))
    same = got == want  # infinities too
    got, want = np.where(same, 0, got), np.where(same, 0, want)
    assert np.abs(np.nan_to_num(got - want)).max(initial=0.0) <= TOLERANCE * scale, name
