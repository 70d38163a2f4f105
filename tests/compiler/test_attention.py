"""Which scores of attention are streamed: launches, what they wait for, and what stays stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from weft.compiler import reference
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import new_builder
from weft.compiler.passes.differentiate import differentiate
from weft.compiler.plan.attention import KEY, QUERY, Refusal, attentions
from weft.compiler.plan.device import DeviceFusion
from weft.compiler.plan.scored import keys_first
from weft.compiler.plan.values import Values
from weft.spec import dims

B, T, S = (dims.symbol(name) for name in "BTS")
SIZES = {"B": 2, "T": 5, "S": 7}
SHAPE = (B, 2, 3, T, S)  # batch, key heads, queries of one, queries, keys

Score = Callable[[Builder, int], int]


def _plain(b: Builder, s: int) -> int:
    return s


def _causal(b: Builder, s: int) -> int:
    seen = b.map("ge", b.iota(SHAPE, 3), b.iota(SHAPE, 4))
    return b.map("where", seen, s, -1e30)


def _capped(b: Builder, s: int) -> int:
    return _causal(b, b.map("mul", b.map("tanh", b.map("mul", s, 0.1)), 10.0))


def _masked(b: Builder, s: int) -> int:
    mask = b.input("mask", TensorType("bool", (B, S)))
    return b.map("where", b.broadcast(mask, (0, 4), SHAPE), s, -1e30)


def _attention(score: Score, dropped: float = 0.0, heads: int = 2) -> Builder:
    """o = dropout(softmax(score(q k'))) v, and the gradients of sum(tanh(o) o)."""
    b = new_builder()
    q = b.input("q", TensorType("f32", (B, T, 2, 3, 4)))
    k, v = (b.input(x, TensorType("f32", (B, S, 2, n))) for x, n in (("k", 4), ("v", 6)))
    s = score(b, b.contract("bthgd,bshd->bhgts", q, k, name="scores"))
    lse = b.broadcast(b.reduce("logsumexp", s, (4,)), (0, 1, 2, 3), SHAPE)
    p = b.map("exp", b.map("sub", s, lse))
    if dropped:
        kept = b.map("ge", b.random("uniform", SHAPE, 3), dropped)
        p = b.map("where", kept, b.map("mul", p, 1 / (1 - dropped)), 0.0)
    o = b.contract("bhgts,bshe->bthge", p, v, name="o")
    loss = b.sum(b.map("mul", b.map("tanh", o), o), range(5))
    found = differentiate(b, loss, [q, k, v])
    b.outputs = {"o": o} | {f"d_{b[i].name}": found[i] for i in (q, k, v)}
    return b


def _names(graph: Graph, values: Sequence[int]) -> list[str]:
    outputs = {i: name for name, i in graph.outputs.items()}
    return [outputs.get(i, graph[i].op) for i in values]


@pytest.mark.parametrize("score", [_plain, _causal, _capped, _masked])
@pytest.mark.parametrize("dropped", [0.0, 0.25])
def test_three_launches_make_all_of_attention(score: Score, dropped: float) -> None:
    graph = _attention(score, dropped).graph()
    forward, keys, queries = sorted(attentions(graph), key=lambda a: a.key)
    if keys.owner == QUERY:
        keys, queries = queries, keys
    assert (forward.owner, keys.owner, queries.owner) == (QUERY, KEY, QUERY)
    assert _names(graph, forward.results) == ["logsumexp", "o"]
    assert sorted(_names(graph, keys.results)) == ["d_k", "d_v"]
    assert _names(graph, queries.results) == ["d_q"]
    assert forward.online == {graph.outputs["o"]} and not keys.online
    assert (keys.owned, keys.walked, keys.repeated) == (4, 3, (2,))


@pytest.mark.parametrize("score", [_plain, _causal, _capped, _masked])
def test_nothing_of_the_shape_of_scores_is_stored(score: Score) -> None:
    graph = _attention(score, 0.25).graph()
    values = Values(graph, SIZES, attention=attentions(graph))
    stored = values.stored | values.launches.keys()
    assert not [graph[i].name for i in stored if {T, S} <= set(graph[i].shape)]
    fusion = DeviceFusion(values)
    read = set().union(*(fusion.reads(g) for g in fusion.groups))
    assert not read & values.streamed
    for launch in values.attention:
        assert not set(values.cone_of(launch)[1]) & values.streamed


@pytest.mark.parametrize("dropped", [0.0, 0.25])
def test_row_sums_of_the_gradient_need_no_scores(dropped: float) -> None:
    """sum_s(p dp) = sum_e(do o), also behind dropout; the numbers are those of the longer way."""
    b = _attention(_causal, dropped)
    graph = b.graph()
    assert not [n for n in graph if n.op == "sum" and {T, S} <= set(graph[n.operands[0]].shape)]
    rng = np.random.default_rng(0)
    shapes = {"q": (2, 5, 2, 3, 4), "k": (2, 7, 2, 4), "v": (2, 7, 2, 6)}
    fed = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    values = reference.run(graph, fed, SIZES, seed=1, step=2)
    step = 1e-6
    for name, shape in shapes.items():
        direction = rng.normal(size=shape)
        losses = []
        for sign in (1, -1):
            o = reference.run(
                graph, fed | {name: fed[name] + sign * step * direction}, SIZES, seed=1, step=2
            )["o"]
            losses.append((np.tanh(o) * o).sum())
        slope = (losses[0] - losses[1]) / (2 * step)
        assert abs(slope - (values[f"d_{name}"] * direction).sum()) < 1e-6 * max(1, abs(slope))


@pytest.mark.parametrize("size", [(), (2,), (2, 3)])
def test_numbers_that_scores_share_are_learnt_without_them(size: tuple[int, ...]) -> None:
    """A temperature of all, of groups, or of heads: its gradient sums along keys and more."""
    b = new_builder()
    q, k = (b.input(x, TensorType("f32", (B, n, 2, 3, 4))) for x, n in (("q", T), ("k", S)))
    warmth = b.input("warmth", TensorType("f32", size))
    s = b.contract("bthgd,bshgd->bhgts", q, k, name="scores")
    s = b.map("mul", s, b.broadcast(warmth, tuple(range(1, 1 + len(size))), SHAPE))
    lse = b.broadcast(b.reduce("logsumexp", s, (4,)), (0, 1, 2, 3), SHAPE)
    o = b.contract("bhgts,bshge->bthge", b.map("exp", b.map("sub", s, lse)), k, name="o")
    found = differentiate(b, b.sum(b.map("mul", o, o), range(5)), [q, k, warmth])
    b.outputs = {"o": o} | {f"d_{b[i].name}": found[i] for i in (q, k, warmth)}
    graph = b.graph()
    refusals: list[Refusal] = []
    assert not attentions(graph, refusals=refusals)
    assert [r.reason for r in refusals] == ["a sum of scores along keys and more"]
    divided = keys_first(graph)
    values = Values(divided, SIZES, attention=attentions(divided))
    stored = values.stored | values.launches.keys()
    assert not [divided[i].name for i in stored if {T, S} <= set(divided[i].shape)]
    rng = np.random.default_rng(0)
    fed = {"q": rng.normal(size=(2, 5, 2, 3, 4)), "k": rng.normal(size=(2, 7, 2, 3, 4))}
    fed["warmth"] = rng.normal(size=size)
    before, after = (reference.run(g, fed, SIZES, seed=1, step=2) for g in (graph, divided))
    for name in graph.outputs:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-12, atol=1e-12)


def test_small_scores_are_stored() -> None:
    b = new_builder()
    q, k = (b.input(x, TensorType("f32", (B, 16, 8))) for x in "qk")
    s = b.contract("btd,bsd->bts", q, k)
    b.outputs = {"o": b.contract("bts,bsd->btd", b.map("exp", s), k)}
    assert attentions(b.graph()) == ()


def _kept(b: Builder, s: int, o: int) -> dict[str, int]:
    return {"o": o, "scores": s}


def _reshaped(b: Builder, s: int, o: int) -> dict[str, int]:
    return {"o": o, "all": b.sum(b.reshape(s, (B * T * T,)), (0,))}


@pytest.mark.parametrize("outputs", [_kept, _reshaped])
def test_scores_that_somebody_wants_are_stored(outputs: Callable[..., dict[str, int]]) -> None:
    b = new_builder()
    q, k = (b.input(x, TensorType("f32", (B, T, 8))) for x in "qk")
    s = b.map("mul", b.contract("btd,bsd->bts", q, k), 2.0)
    lse = b.broadcast(b.reduce("logsumexp", s, (2,)), (0, 1), (B, T, T))
    o = b.contract("bts,bsd->btd", b.map("exp", b.map("sub", s, lse)), k)
    b.outputs = outputs(b, s, o)
    refusals: list[Refusal] = []
    assert attentions(b.graph(), refusals=refusals) == ()
    assert len(refusals) == 1


def test_a_product_of_weights_is_no_attention() -> None:
    """A hidden layer looks like scores, but all samples share its keys."""
    b = new_builder()
    x = b.input("x", TensorType("f32", (B, T, 8)))
    w, u = (b.input(n, TensorType("f32", (100, 8))) for n in "wu")
    hidden = b.map("tanh", b.contract("btd,sd->bts", x, w))
    b.outputs = {"y": b.contract("bts,sd->btd", hidden, u)}
    assert attentions(b.graph()) == ()


def test_a_broadcast_in_another_order_is_a_transposition() -> None:
    b = new_builder()
    x = b.input("x", TensorType("f32", (B, 3, T)))
    turned = b.broadcast(x, (2, 0, 1), (3, T, B))
    assert b[turned].op == "transpose" and b[turned]["order"] == (1, 2, 0)
    fed = np.random.default_rng(0).normal(size=(2, 3, 5))
    b.outputs = {"y": b.copy(turned, "y")}
    assert np.array_equal(reference.run(b.graph(), {"x": fed}, SIZES)["y"], fed.transpose(1, 2, 0))


def test_a_product_reads_operands_without_their_new_axes_of_one() -> None:
    b = new_builder()
    q = b.input("q", TensorType("f32", (B, T, 2, 1, 4)))
    k = b.input("k", TensorType("f32", (B, S, 2, 4)))
    wide = b.broadcast(k, (0, 4, 1, 3), (B, 2, 1, 4, S))
    z = b.contract("bthgd,bhgds->bhgts", q, wide)
    assert b[z].operands == (q, k)
    rng = np.random.default_rng(0)
    fed = {"q": rng.normal(size=(2, 5, 2, 1, 4)), "k": rng.normal(size=(2, 7, 2, 4))}
    b.outputs = {"z": z}
    want = np.einsum("bthgd,bshd->bhgts", fed["q"], fed["k"])
    assert np.allclose(reference.run(b.graph(), fed, SIZES)["z"], want, rtol=1e-14)
