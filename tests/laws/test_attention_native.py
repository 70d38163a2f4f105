"""Attention by tiles in C: the reference's results and gradients, and no matrix of scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.laws.harness import SEED, STEP, entry_of
from tests.laws.test_attention import CASES, TOLERANCE, B, S, T, attention_graph, feeds_of
from weft.compiler import reference
from weft.compiler.arena import Arena
from weft.compiler.artifact import THREADS, Artifact, evaluate
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.compiler.native import emit_native
from weft.compiler.ops import new_builder
from weft.compiler.passes.differentiate import differentiate
from weft.compiler.plan.attention import attentions
from weft.runtime.native_engine import NativeEngine

NOMINAL = {"B": 2, "T": 130, "S": 67}


def _shared() -> Graph:
    """Keys and values are the same for all samples, and their gradients sum over these too."""
    b = new_builder()
    q = b.input("q", TensorType("f32", (B, T, 2, 8)))
    k, v = (b.input(name, TensorType("f32", (S, 2, 8))) for name in "kv")
    s = b.contract("bthd,shd->bhts", q, k)
    lse = b.broadcast(b.reduce("logsumexp", s, (3,)), (0, 1, 2), b[s].shape)
    o = b.contract("bhts,she->bthe", b.map("exp", b.map("sub", s, lse)), v)
    found = differentiate(b, b.sum(b.map("mul", b.map("tanh", o), o), range(4)), [q, k, v])
    b.outputs = {"o": o} | {f"d_{b[i].name}": found[i] for i in (q, k, v)}
    return b.graph()


def _linear() -> Graph:
    """No softmax: scores are weights as they are; one sequence, and queries of several threads."""
    b = new_builder()
    q, k, v = (b.input(name, TensorType("f32", (1, T, 20))) for name in "qkv")
    s = b.contract("btd,bsd->bts", q, k)
    seen = b.map("ge", b.iota(b[s].shape, 1), b.iota(b[s].shape, 2))
    w = b.map("where", seen, s, 0.0)
    b.outputs = {"o": b.contract("bts,bse->bte", s, v), "causal": b.contract("bts,bse->bte", w, v)}
    b.outputs |= {"total": b.sum(w, (2,)), "most": b.reduce("max", s, (2,))}
    b.outputs |= {"columns": b.sum(s, (1,)), "rows": b.sum(s, (2,))}
    return b.graph()


MORE: dict[str, tuple[Graph, Mapping[str, int]]] = {
    "nobody": (attention_graph("causal"), {"B": 0, "T": 5}),
    "shared": (_shared(), {"B": 3, "T": 40, "S": 35}),
    "linear": (_linear(), {"T": 170}),
    "several tiles": (attention_graph("", keys=S, depth=16, width=32), {"B": 2, "T": 70, "S": 289}),
    "long window": (attention_graph("causal window", depth=32, width=24), {"B": 1, "T": 300}),
    "long prefix": (attention_graph("prefix distance", groups=3), {"B": 1, "T": 170}),
    "long dropout": (attention_graph("causal softcap", dropped=0.3), {"B": 2, "T": 161}),
    "widest": (attention_graph("causal scaled", depth=256, width=256), {"B": 1, "T": 37}),
    "long masked": (attention_graph("scaled mask", keys=S, depth=40), {"B": 2, "T": 5, "S": 200}),
    "long learned": (attention_graph("causal learned", groups=2), {"B": 2, "T": 140}),
    "long documents": (attention_graph("scaled causal documents", depth=64), {"B": 2, "T": 131}),
}
ALL = CASES | MORE


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    """All cases as the entries of one file."""
    entries = [entry_of(graph, "forward", name) for name, (graph, _) in ALL.items()]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, NOMINAL, "laws")
    entered = (tuple(records), tuple(kernels))
    return Artifact("laws", "cpu", "f32", files, {}, (), 0, (), *entered, NOMINAL, None, {})


@pytest.fixture(scope="module", params=[1, 2])
def engine(artifact: Artifact, request: pytest.FixtureRequest) -> NativeEngine:
    return NativeEngine(artifact, threads=request.param)


def _run(engine: NativeEngine, name: str, fed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    bound = engine._entry("forward", name)
    bound.run(fed, SEED, STEP)
    return {key: value.copy() for key, value in bound.outputs.items()}


@pytest.mark.parametrize("name", ALL)
def test_outputs_and_gradients(name: str, engine: NativeEngine) -> None:
    graph, sizes = ALL[name]
    fed = feeds_of(graph, sizes)
    if "mask" in fed:
        fed["mask"][:, :9] = False  # some queries see nothing at all
    got = _run(engine, name, fed)
    for output, want in reference.run(graph, fed, sizes, seed=SEED, step=STEP).items():
        assert np.array_equal(np.isnan(got[output]), np.isnan(want)), output
        scale = max(1.0, float(np.abs(want).max(initial=0.0)))
        assert np.abs(got[output] - want).max(initial=0.0) <= TOLERANCE * scale, output


@pytest.mark.parametrize("name", ["causal", "long dropout", "shared", "linear", "long learned"])
def test_threads_do_not_show(name: str, artifact: Artifact) -> None:
    graph, sizes = ALL[name]
    fed = feeds_of(graph, sizes)
    one, two, five = (_run(NativeEngine(artifact, threads=n), name, fed) for n in (1, 2, 5))
    assert all(one[key].tobytes() == two[key].tobytes() == five[key].tobytes() for key in one)


def test_no_buffer_holds_scores(artifact: Artifact) -> None:
    for entry in artifact.entries:
        shapes = [b.shape for b in entry.buffers if b.space not in ("input", "output")]
        assert not [s for s in shapes if s[-2:] in (("T", "T"), ("T", "S"))], entry.subject
    made = [k.writes for k in artifact.kernels if k.kind == "attention"]
    assert len(made) == sum(len(attentions(graph, merged=True)) for graph, _ in ALL.values())


def test_memory_grows_with_keys_and_not_with_scores(artifact: Artifact) -> None:
    """Workspace of one thread: for 16 times the positions about 16 times as much, not 256."""
    entry = artifact.entry("forward", "causal")
    small, large = (evaluate(entry.workspace, {"B": 1, "T": t, THREADS: 1}) for t in (1024, 16384))
    assert large < 16 * small
    assert large < 4 * 16384 * 16384 / 16


@pytest.mark.parametrize("name", ["causal", "long window"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_rows(
    name: str, value: float, engine: NativeEngine
) -> None:
    graph, sizes = ALL[name]
    fed = feeds_of(graph, sizes)
    fed["q"][0, -2, 0, 0, 1] = value
    got = _run(engine, name, fed)["o"]
    want = reference.run(graph, fed, sizes, seed=SEED, step=STEP)["o"]
    finite = np.isfinite(want)
    assert np.array_equal(np.isfinite(got), finite) and not finite.all()
    assert np.abs(got[finite] - want[finite]).max() <= TOLERANCE * np.abs(want[finite]).max()
