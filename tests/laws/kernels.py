"""Graphs of laws as Triton: emitted as one module, run in the interpreter, compiled for GPUs.

Memory behind every buffer holds NaN: a load past the end shows, a store there fails the test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.laws.harness import SEED, STEP, agree, entry_of, expected, feeds
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.emit.triton import compose
from weft.compiler.emit.triton.tiles import Tile
from weft.compiler.gpu import emit_gpu
from weft.compiler.ir.graph import Graph
from weft.runtime.crosscompile import SHARED, Report
from weft.runtime.gate import gated
from weft.runtime.launch import Pointer
from weft.runtime.triton_engine import TritonEngine

GUARD = 256

ARCHITECTURES = tuple(target for target in SHARED if target != "cuda:89")
"""What tests compile kernels for: an RTX 40 has the instructions and the memory of an RTX 30.
"""

Key = tuple[str, str]


SMALL = Tile(16, 16, 16, 4, 2, split=3)


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    """Let products take small blocks that share k."""
    plain = compose.choose

    def chosen(*arguments: Any, **settings: Any) -> Tile:
        whole = plain(*arguments, **settings)
        return SMALL if whole.form == "dot" else whole

    patch.setattr(compose, "choose", chosen)


def emitted(
    graphs: Mapping[Key, Graph],
    sizes: Mapping[str, int],
    target: str,
    levels: Mapping[str, int] | None = None,
) -> Artifact:
    """All graphs as the entries of one module."""
    entries = [entry_of(graph, *key) for key, graph in graphs.items()]
    text, records, kernels, _ = emit_gpu(
        entries, Arena({}, {}, 0), {}, sizes, "laws", target, levels
    )
    files, entered = {"kernels.py": text}, (tuple(records), tuple(kernels))
    return Artifact("laws", target, "f32", files, {}, (), 0, (), *entered, dict(sizes), None, {})


def passed(
    graphs: Mapping[Key, Graph], sizes: Mapping[str, int], target: str
) -> tuple[Artifact, tuple[Report, ...]]:
    """The module whose kernels all pass the gate of an architecture.

    Raises: DeviceError where one does not.
    """
    return gated(lambda levels: emitted(graphs, sizes, target, levels), target)


class Guarded:
    """An engine whose arenas end in NaN; nothing may read or write there."""

    def __init__(self, artifact: Artifact) -> None:
        self.engine = TritonEngine(artifact, "interpret")
        self.device = self.engine.device
        self.lengths: dict[str, int] = {}
        self.make = self.device.arena
        self.device.arena = self.arena  # type: ignore[method-assign]

    def arena(self, name: str, size: int) -> bool:
        moved = self.make(name, size + GUARD)
        self.lengths[name] = size
        self.memory(name, 0, size + GUARD)[:] = 0xFF
        return moved

    def memory(self, name: str, start: int, end: int) -> np.ndarray:
        view = self.device.view(Pointer(name, start, "bool"), (end - start,))
        assert view is not None
        return view.view(np.uint8)

    def run(self, key: Key, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        call = self.engine._run(*key, inputs, index=STEP, seed=SEED)
        for name, size in self.lengths.items():
            assert (self.memory(name, size, size + GUARD) == 0xFF).all(), (
                f"{key} wrote past `{name}`"
            )
        return {
            p.name: self.engine._output(call, i).copy() for i, p in enumerate(call.entry.outputs)
        }

    def shuffled(self, key: Key, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The results with programs out of order."""
        self.device.shuffle = 5  # type: ignore[attr-defined]
        try:
            return self.run(key, inputs)
        finally:
            self.device.shuffle = None  # type: ignore[attr-defined]


def check(
    guarded: Guarded, key: Key, graph: Graph, sizes: Mapping[str, int], *, positive: bool = False
) -> None:
    """The kernels of a graph = the reference."""
    fed = feeds(graph, sizes, positive=positive)
    got = guarded.run(key, fed)
    for name, value in expected(graph, fed, sizes).items():
        agree(f"{key} {name} at {sizes}", got[name], value)


def check_order(guarded: Guarded, key: Key, fed: Mapping[str, np.ndarray]) -> None:
    """The order of programs does not show, to the bit."""
    natural, permuted = guarded.run(key, fed), guarded.shuffled(key, fed)
    assert all(np.array_equal(natural[name], permuted[name]) for name in natural)


def products(artifact: Artifact) -> list[set[str]]:
    """What each launch of products writes."""
    return [set(k.writes) for k in artifact.kernels if k.kind == "product"]
