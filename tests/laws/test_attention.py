"""Streamed attention: the interpreter agrees with the reference, and every machine compiles it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.laws.harness import SEED, STEP
from tests.laws.kernels import ARCHITECTURES, Guarded, Key, check_order, passed
from weft.compiler import reference
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import new_builder
from weft.compiler.passes.differentiate import differentiate
from weft.compiler.passes.reduce_precision import reduce_precision
from weft.compiler.plan.attention import attentions
from weft.compiler.plan.scored import keys_first
from weft.compiler.plan.visible import Linear, Range, visible
from weft.runtime.crosscompile import Report
from weft.spec import dims
from weft.spec.dims import Dim, evaluate

B, T, S = (dims.symbol(name) for name in "BTS")
NOMINAL = {"B": 1, "T": 37, "S": 21}
TOLERANCE = 3e-6
TRAINED = ("learned", "warmth", "slope")
"""Inputs beside queries, keys and values that have gradients."""


def _position(b: Builder, shape: tuple[Dim, ...], axis: int) -> int:
    return b.iota(shape, len(shape) + axis)


def _score(b: Builder, kind: str, s: int) -> int:
    """What specs do with scores, `kind` by its words."""
    shape = b[s].shape
    i, j = _position(b, shape, -2), _position(b, shape, -1)
    words = kind.split()
    if "scaled" in words:
        s = b.map("mul", s, 0.0625)
    if "warmth" in words:
        warmth = b.input("warmth", TensorType("f32", shape[1:3]))
        s = b.map("mul", s, b.broadcast(warmth, (1, 2), shape))
    if "softcap" in words:
        s = b.map("mul", b.map("tanh", b.map("mul", s, 0.2)), 5.0)
    if "distance" in words:
        apart = b.cast(b.map("sub", i, j), "f32")
        slope = 0.1 if "slope" not in words else b.input("slope", TensorType("f32", ()))
        slope = slope if isinstance(slope, float) else b.broadcast(slope, (), shape)
        s = b.map("sub", s, b.map("mul", b.map("abs", apart), slope))
    if "causal" in words:
        s = b.map("where", b.map("ge", i, j), s, -1e30)
    if "window" in words:
        near = b.map("lt", b.map("abs", b.map("sub", i, j)), b.constant(5, "i32"))
        s = b.map("where", near, s, -1e30)
    if "prefix" in words:
        early = b.map("lt", j, b.constant(3, "i32"))
        s = b.map("where", b.map("or", b.map("ge", i, j), early), s, -1e30)
    if "documents" in words:
        ids = b.input("ids", TensorType("i32", (B, T)))
        same = b.map("eq", b.broadcast(ids, (0, 3), shape), b.broadcast(ids, (0, 4), shape))
        s = b.map("where", same, s, -1e30)
    if "mask" in words:
        mask = b.input("mask", TensorType("bool", (B, shape[-1])))
        s = b.map("where", b.broadcast(mask, (0, 4), shape), s, -1e30)
    if "learned" in words:
        learned = b.input("learned", TensorType("f32", shape[1:]))
        s = b.map("add", s, b.broadcast(learned, (1, 2, 3, 4), shape))
    if "biased" in words:
        s = b.map("add", s, b.input("biases", TensorType("f32", shape)))
    return s


def attention_graph(
    kind: str,
    *,
    keys: Dim = T,
    groups: int = 1,
    depth: int = 5,
    width: int = 5,
    dropped: float = 0.0,
) -> Graph:
    """o = dropout(softmax(score(q k'))) v and all gradients of sum(tanh(o) o)."""
    b = new_builder()
    shape = (B, 2, groups, T, keys)
    q = b.input("q", TensorType("f32", (B, T, 2, groups, depth)))
    k = b.input("k", TensorType("f32", (B, keys, 2, depth)))
    v = b.input("v", TensorType("f32", (B, keys, 2, width)))
    s = _score(b, kind, b.contract("bthgd,bshd->bhgts", q, k, name="scores"))
    lse = b.broadcast(b.reduce("logsumexp", s, (4,)), (0, 1, 2, 3), shape)
    p = b.map("exp", b.map("sub", s, lse), name="softmax")
    if dropped:
        kept = b.map("ge", b.random("uniform", shape, 3), dropped)
        p = b.map("where", kept, b.map("mul", p, 1 / (1 - dropped)), 0.0)
    o = b.contract("bhgts,bshe->bthge", p, v, name="o")
    loss = b.sum(b.map("mul", b.map("tanh", o), o), range(5))
    wrt = [q, k, v, *(n.id for n in b.nodes if n.op == "input" and n.name in TRAINED)]
    found = differentiate(b, loss, wrt)
    b.outputs = {"o": o} | {f"d_{b[i].name}": found[i] for i in wrt}
    return keys_first(b.graph())


CASES: dict[str, tuple[Graph, Mapping[str, int]]] = {
    "plain": (attention_graph(""), {"B": 2, "T": 5}),
    "one": (attention_graph("causal"), {"B": 1, "T": 1}),
    "causal": (attention_graph("causal", groups=2), {"B": 1, "T": 33}),
    "window": (attention_graph("causal window", depth=16), {"B": 1, "T": 49}),
    "both sides": (attention_graph("window"), {"B": 1, "T": 19}),
    "prefix": (attention_graph("prefix"), {"B": 1, "T": 19}),
    "documents": (attention_graph("causal documents"), {"B": 1, "T": 19}),
    "masked": (attention_graph("causal mask", keys=S), {"B": 1, "T": 7, "S": 21}),
    "cross": (attention_graph("causal softcap", keys=S, width=17), {"B": 1, "T": 33, "S": 18}),
    "dropout": (attention_graph("distance", dropped=0.3), {"B": 1, "T": 17}),
    "biased": (attention_graph("biased causal"), {"B": 1, "T": 18}),
    "learned": (attention_graph("causal learned", groups=2), {"B": 3, "T": 18}),
    "shared numbers": (
        attention_graph("warmth distance slope causal", groups=2),
        {"B": 2, "T": 18},
    ),
}


ROUNDED = ("plain", "causal", "window", "masked", "dropout", "learned")
"""Cases that are computed in 16 bits too."""


def _rounded(graph: Graph, dtype: str) -> Graph:
    return reduce_precision(graph, dtype, packed=True)


def feeds_of(graph: Graph, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for node in graph.inputs():
        shape = tuple(evaluate(d, sizes) for d in node.shape)
        if node.dtype == "bool":
            found[node["feed"]] = rng.random(shape) < 0.5
        elif node.dtype == "i32":
            found[node["feed"]] = np.sort(rng.integers(0, 3, shape), axis=-1).astype(np.int32)
        else:
            found[node["feed"]] = rng.normal(size=shape).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found = {("forward", name): graph for name, (graph, _) in CASES.items()}
    return found | {("f16", name): _rounded(found["forward", name], "f16") for name in ROUNDED}


def _check(guarded: Guarded, key: Key, graph: Graph, tolerance: float) -> None:
    sizes = CASES[key[1]][1]
    fed = feeds_of(graph, sizes)
    if "mask" in fed:
        fed["mask"][:, :9] = False  # some queries see nothing at all
    got = guarded.run(key, fed)
    for output, want in reference.run(graph, fed, sizes, seed=SEED, step=STEP).items():
        scale = max(1.0, float(np.abs(want).max()))
        assert np.abs(got[output] - want).max() <= tolerance * scale, output


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients(name: str, guarded: Guarded) -> None:
    _check(guarded, ("forward", name), CASES[name][0], TOLERANCE)


@pytest.mark.parametrize("name", ROUNDED)
def test_sixteen_bits(name: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """The scores stay in registers and are not rounded; softmax and sums are in float32."""
    key = "f16", name
    _check(guarded, key, graphs[key], 4 * 2.0**-11)
    kinds = [k.kind for k in guarded.engine.artifact.kernels if k.entry == f"f16_{name}"]
    assert kinds.count("attention") == (4 if name == "learned" else 3)


def test_the_order_of_programs_does_not_show(guarded: Guarded) -> None:
    graph, sizes = CASES["prefix"]
    fed = feeds_of(graph, sizes)
    check_order(guarded, ("forward", "prefix"), fed)


def test_no_buffer_holds_scores(guarded: Guarded) -> None:
    artifact: Any = guarded.engine.artifact
    for entry in artifact.entries:
        shapes = [b.shape for b in entry.buffers if b.space == "workspace"]
        assert not [s for s in shapes if s[-2:] in (("T", "T"), ("T", "S"))], entry.subject
    kinds = [k.kind for k in artifact.kernels if k.entry == "forward_learned"]
    assert kinds.count("attention") == 4


def test_ranges_follow_from_conditions() -> None:
    ranges = {}
    for kind in ("causal", "causal window", "prefix", "causal documents", "causal mask"):
        forward = attentions(attention_graph(kind))[0]
        ranges[kind] = visible(attention_graph(kind), forward)
    assert ranges["causal"] == Range(None, Linear(1, 0, 0))
    assert str(ranges["causal window"].low) == str(Linear(1, 0, -4))
    assert str(ranges["prefix"].high).count("Linear") == 2
    assert ranges["causal documents"] == Range(None, Linear(1, 0, 0))
    assert ranges["causal mask"] == Range()  # a query may see nothing, and then it sees all


def _compiles(target: str, dtype: str, depth: int, dropped: float) -> tuple[Report, ...]:
    graph = attention_graph("causal", groups=2, depth=depth, width=depth, dropped=dropped)
    graph = graph if dtype == "f32" else _rounded(graph, dtype)
    artifact, reports = passed({("forward", "head"): graph}, {"B": 8, "T": 2048}, target)
    dots = {
        k.name: k.compile["dots"] for k in artifact.kernels if k.kind == "attention" and k.compile
    }
    assert sorted(dots.values()) == [4, 6, 8]
    assert all(r.ok for r in reports)
    return tuple(r for r in reports if r.kernel in dots)


def test_heads_of_64_compile() -> None:
    assert all(r.instructions.get("wgmma") for r in _compiles("cuda:90", "bf16", 64, 0.0))


USUAL = (
    ("cuda:80", "bf16", 64, 0.1),
    ("cuda:90", "f32", 64, 0.0),
    ("cuda:90", "bf16", 128, 0.0),
    ("cuda:100", "f16", 64, 0.0),
    ("hip:gfx942", "f32", 128, 0.0),
)
"""What is compiled in every run of the tests; the rest is for sweeps."""


@pytest.mark.parametrize(
    ("target", "dtype", "depth", "dropped"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case in USUAL else pytest.mark.sweep)
        for case in itertools.product(
            ARCHITECTURES, ("f32", "f16", "bf16"), (64, 128, 256), (0.0, 0.1)
        )
    ],
)
def test_heads_compile_for_every_machine(
    target: str, dtype: str, depth: int, dropped: float
) -> None:
    """A Hopper's own instructions multiply matrices of 16 bits up to heads of 128."""
    reports = _compiles(target, dtype, depth, dropped)
    if target == "cuda:90" and dtype != "f32" and depth <= 128:
        assert all(r.instructions.get("wgmma") for r in reports)
