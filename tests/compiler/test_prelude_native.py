"""Blocks over images and sequences in C, forward and backward, equal the reference."""

from __future__ import annotations

import pytest

from weft.compiler import reference
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.ir.graph import Graph
from weft.compiler.native import emit_native
from weft.runtime.native_engine import NativeEngine

from .prelude_case import SIZES
from .prelude_graphs import SEED, STEP, agree, entry_of, fed_to, graph_of
from .prelude_images import IMAGES
from .prelude_sequences import SEQUENCES

CASES = [*IMAGES, *SEQUENCES]


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


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: CASES[i].id)
def test_kernels_equal_the_reference(
    number: int, graphs: list[Graph], engine: NativeEngine
) -> None:
    case, graph = CASES[number], graphs[number]
    fed, sizes = fed_to(case, graph, number)
    entry = engine._entry("forward", f"case_{number}")
    entry.run(fed, SEED, STEP)
    agree(entry.outputs, reference.run(graph, fed, sizes, seed=SEED, step=STEP))
