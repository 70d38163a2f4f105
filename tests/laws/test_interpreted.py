"""Triton kernel in the interpreter = reference, forward and backward, for every case.

Memory behind every buffer holds NaN: a load past the end shows, a store there fails the test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from tests.laws.cases import CASES, B, Build, Case
from tests.laws.harness import SEED, STEP, backward, build, entry_of, expected, feeds, graph_of
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.gpu import emit_gpu
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.runtime.triton_engine import TritonEngine
from weft.runtime.triton_loader import Pointer

TOLERANCE = 2e-6
GUARD = 256
SIZES = {"B": 67, "T": 3}
SMOOTH = [c for c in CASES if c.smooth]
SAMPLE = [
    c
    for c in CASES
    if c.name in ("layer_norm", "mixed_sums", "chain", "embedding", "random", "softmax")
]

Key = tuple[str, str]


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


def law_graphs() -> dict[Key, Graph]:
    """Every case forward, every smooth one backward."""
    found: dict[Key, Graph] = {("forward", c.name): graph_of(*build(c)) for c in CASES}
    return found | {("backward", c.name): backward(c) for c in SMOOTH}


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


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return law_graphs()


@pytest.fixture(scope="module")
def guarded(graphs: dict[Key, Graph]) -> Iterator[Guarded]:
    """One worker process for all cases."""
    found = Guarded(emitted(graphs, SIZES, "interpret"))
    yield found
    found.engine.close()


def _agree(name: str, got: np.ndarray, want: np.ndarray) -> None:
    if want.dtype.kind in "ib":
        assert np.array_equal(got, want), name
        return
    assert np.array_equal(np.isnan(got), np.isnan(want)), name
    scale = max(1.0, float(np.abs(np.nan_to_num(want)).max(initial=0.0)))
    same = got == want  # infinities too
    got, want = np.where(same, 0, got), np.where(same, 0, want)
    assert np.abs(np.nan_to_num(got - want)).max(initial=0.0) <= TOLERANCE * scale, name


def _check(guarded: Guarded, kind: str, case: Case, graph: Graph, sizes: Mapping[str, int]) -> None:
    fed = feeds(graph, sizes, positive=case.positive)
    got = guarded.run((kind, case.name), fed)
    for name, value in expected(graph, fed, sizes).items():
        _agree(f"{case.name}.{name} at {sizes}", got[name], value)


def _small(case: Case) -> Mapping[str, int]:
    """The second smallest size: several rows, an odd number of columns."""
    return case.sizes[min(1, len(case.sizes) - 1)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_forward(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    _check(guarded, "forward", case, graphs["forward", case.name], _small(case))


@pytest.mark.parametrize("case", SMOOTH, ids=lambda c: c.name)
def test_backward(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    _check(guarded, "backward", case, graphs["backward", case.name], _small(case))


@pytest.mark.parametrize("case", SAMPLE, ids=lambda c: c.name)
def test_several_blocks_of_rows(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    _check(guarded, "forward", case, graphs["forward", case.name], SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_size(case: Case, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    for sizes in case.sizes:
        for kind in ("forward", "backward"):
            if (kind, case.name) in graphs:
                _check(guarded, kind, case, graphs[kind, case.name], sizes)


@pytest.mark.parametrize("case", [c for c in SAMPLE if c.smooth], ids=lambda c: c.name)
def test_the_order_of_programs_does_not_show(
    case: Case, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "backward", case.name
    fed = feeds(graphs[key], SIZES, positive=case.positive)
    natural = guarded.run(key, fed)
    guarded.device.shuffle = 5  # type: ignore[attr-defined]
    permuted = guarded.run(key, fed)
    guarded.device.shuffle = None  # type: ignore[attr-defined]
    assert all(np.array_equal(natural[name], permuted[name]) for name in natural)


# ---- forms that small cases do not take --------------------------------------------------


def _vocabulary(b: Builder) -> dict[str, int]:
    """A row that takes several tiles, and offsets that need 64 bits at the nominal size."""
    x = b.input("x", TensorType("f32", (B, 20_000)))
    lse = b.reduce("logsumexp", x, (1,))
    log = b.map("sub", x, b.broadcast(lse, (0,), (B, 20_000)))
    best, low = b.reduce("argmax", x, (1,)), b.reduce("min", x, (1,))
    return {
        "lse": lse,
        "entropy": b.sum(b.map("mul", b.map("exp", log), log), (1,)),
        "best": best,
        "low": low,
    }


def _quads(b: Builder) -> dict[str, int]:
    """Random numbers whose rows are whole quadruples: alone, and behind a product."""
    x, w = b.input("x", TensorType("f32", (B, 13))), b.input("w", TensorType("f32", (13, 24)))
    y = b.contract("ik,kj->ij", x, w)
    kept = b.map("where", b.map("lt", b.random("uniform", (B, 24), 3), 0.5), y, 0.0)
    return {
        "kept": kept,
        "noise": b.copy(b.random("normal", (B, 300), 4), "noise"),
        "rows": b.sum(kept, (1,)),
    }


@pytest.mark.parametrize("make", [_vocabulary, _quads], ids=["long_rows", "quads"])
def test_forms_of_large_tensors(make: Build) -> None:
    case = Case(make.__name__, make)
    graph = graph_of(*build(case))
    artifact = emitted({("forward", case.name): graph}, {"B": 50_000}, "interpret")
    text = artifact.files["kernels.py"]
    assert ("tl.int64" in text.split("def ")[-1] and "absorb(" in text) or "philox_normal4(" in text
    guarded = Guarded(artifact)
    _check(guarded, "forward", case, graph, {"B": 3})
    guarded.engine.close()
