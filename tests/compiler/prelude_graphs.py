"""The cases of the prelude as graphs for kernels: results, buffers and gradients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weft.compiler.entries import EntryGraph, own_memory, port
from weft.compiler.ir.graph import Graph
from weft.compiler.passes.differentiate import differentiate

from .built import net_program, sizes_of
from .prelude_case import Case, feeds_of, spec_of

TOLERANCE = 3e-3  # a derivative that cancels to zero is left with the rounding of its terms
SEED, STEP = 3, 1


def graph_of(case: Case) -> Graph:
    """Results, what training leaves in buffers, and the gradients of a curved function."""
    built = net_program(spec_of(case), case.training)
    b = built.builder
    (out,) = b.outputs.values()
    outputs = {"out": out, **(built.buffers if case.training else {})}
    fed = (n for n in b.nodes if n.op == "input" and n.dtype == "f32")
    wrt = {n["feed"]: n.id for n in fed if n["feed"] not in built.buffers}
    total = b.sum(b.map("mul", b.map("tanh", out), out), range(len(b[out].shape)))
    found = differentiate(b, total, list(wrt.values()))
    b.outputs = own_memory(b, outputs | {f"d_{name}": found[i] for name, i in wrt.items()})
    return b.graph()


def entry_of(graph: Graph, subject: str) -> EntryGraph:
    inputs = tuple(port(n["feed"], n.type) for n in graph.inputs())
    outputs = tuple(port(name, graph[i].type) for name, i in graph.outputs.items())
    return EntryGraph("forward", subject, graph, inputs, outputs, {})


def single(value: np.ndarray) -> np.ndarray:
    return value.astype({"f": np.float32, "i": np.int32}.get(value.dtype.kind, value.dtype))


def fed_to(case: Case, graph: Graph, seed: int) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """What the graph is fed in single precision, and the sizes of its symbols."""
    plain = {**feeds_of(case, np.random.default_rng(seed)), **case.buffers}
    sizes = sizes_of(net_program(spec_of(case), False).inputs, plain)
    fed = {n["feed"]: single(plain[n["feed"].removeprefix("n.")]) for n in graph.inputs()}
    return fed, sizes


def agree(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    """All results of kernels are those of the reference."""
    for name, value in wanted.items():
        assert got[name].shape == value.shape, name
        scale = max(1.0, float(np.abs(value).max(initial=0)))
        assert np.abs(got[name] - value).max(initial=0) <= TOLERANCE * scale, name
