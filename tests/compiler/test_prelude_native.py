"""Blocks over images and sequences in C, forward and backward, equal the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from weft.compiler import reference
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.entries import EntryGraph, own_memory, port
from weft.compiler.ir.graph import Graph
from weft.compiler.native import emit_native
from weft.compiler.passes.differentiate import differentiate
from weft.runtime.native_engine import NativeEngine

from .built import net_program, sizes_of
from .prelude_case import Case, feeds_of, spec_of
from .prelude_images import IMAGES
from .prelude_sequences import SEQUENCES

CASES = [*IMAGES, *SEQUENCES]
TOLERANCE = 3e-3  # a derivative that cancels to zero is left with the rounding of its terms
SIZES = {"B": 5, "T": 3, "H": 2, "W": 4}
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


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [graph_of(case) for case in CASES]


@pytest.fixture(scope="module")
def engine(graphs: list[Graph]) -> NativeEngine:
    """All cases as the entries of one C file."""
    entries = [entry_of(graph, f"case_{i}") for i, graph in enumerate(graphs)]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, SIZES, "prelude")
    return NativeEngine(
        Artifact("prelude", "cpu", "f32", files, {}, (), 0, (), tuple(records), tuple(kernels),
                 SIZES, None, {})
    )  # fmt: skip


def single(value: np.ndarray) -> np.ndarray:
    return value.astype({"f": np.float32, "i": np.int32}.get(value.dtype.kind, value.dtype))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: CASES[i].id)
def test_kernels_equal_the_reference(
    number: int, graphs: list[Graph], engine: NativeEngine
) -> None:
    case, graph = CASES[number], graphs[number]
    plain = {**feeds_of(case, np.random.default_rng(number)), **case.buffers}
    sizes = sizes_of(net_program(spec_of(case), False).inputs, plain)
    fed: Mapping[str, np.ndarray] = {
        n["feed"]: single(plain[n["feed"].removeprefix("n.")]) for n in graph.inputs()
    }
    entry = engine._entry("forward", f"case_{number}")
    entry.run(fed, SEED, STEP)
    for name, wanted in reference.run(graph, fed, sizes, seed=SEED, step=STEP).items():
        got = entry.outputs[name]
        assert got.shape == wanted.shape, name
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        assert np.abs(got - wanted).max(initial=0) <= TOLERANCE * scale, name
