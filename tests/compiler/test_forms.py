"""Equal layers are planned once, and come out as if each were planned alone."""

from __future__ import annotations

import itertools
import random
from typing import Any

import networkx as nx
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, lower
from weft.compiler.plan.forms import Plans
from weft.compiler.plan.order import Order

TEXT = """
param depth=2
block Block {
  residual { layer_norm -> attention(2, causal=true, dropout=0.1) -> dropout(0.1) }
    -> residual { layer_norm -> linear(96) -> gelu -> linear(48) -> dropout(0.1) }
}
net gpt {
  in tokens: i32[B, 40]
  let table = embedding(61, 48)
  tokens -> table -> learned_positions(40) -> repeat depth { Block } -> layer_norm
    -> linear(61, bias=false, weight=table.weight) as logits
}
train {
  steps = 1
  data tokens: i32[B, 40], targets: i32[B, 40] = npz("none.npz", batch=8)
  step main updates gpt {
    optimizer = adamw(lr=1e-3)
    loss = tokens -> gpt -> cross_entropy(targets)
  }
}
"""
IMAGES = """
block Unit { residual { conv(8, 3) -> batch_norm -> relu -> conv(8, 3) -> batch_norm } -> relu }
net images {
  in x: f32[B, 3, 12, 12]
  x -> conv(8, 3) -> repeat 3 { Unit } -> max_pool(2) -> flatten -> linear(10) as logits
}
train {
  steps = 1
  data x: f32[B, 3, 12, 12], label: i32[B] = npz("none.npz", batch=8)
  step main updates images { optimizer = sgd(lr=0.1), loss = x -> images -> cross_entropy(label) }
}
""".replace("sgd(lr=0.1), ", "sgd(lr=0.1)\n    ")


def _compiled(text: str, target: str, **params: int) -> Artifact:
    program = elaborate(weft.load_text(text, "net.weft", params=params))
    lowered = lower(program, native=target == "cpu")
    return compile_for(lowered, target)


@pytest.mark.parametrize("target", ["cpu", "cuda:90"])
def test_depth_adds_no_kernels(target: str) -> None:
    counts = [len({k.name for k in _compiled(TEXT, target, depth=d).kernels}) for d in (2, 4, 6)]
    assert max(counts) - min(counts) <= 2, counts


class Forgetful(dict[Any, Any]):
    """Finds nothing that it was given before."""

    def __contains__(self, key: object) -> bool:
        return False


@pytest.mark.parametrize("target", ["cpu", "cuda:90"])
@pytest.mark.parametrize("text", [TEXT, IMAGES], ids=["gpt", "images"])
def test_what_is_shared_is_what_each_would_be(
    text: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = _compiled(text, target)

    def forgetful() -> Plans:
        return Plans({}, Forgetful(), Forgetful(), Forgetful())

    for module in ("native", "gpu"):
        monkeypatch.setattr(f"weft.compiler.{module}.Plans", forgetful)
    alone = _compiled(text, target)
    assert alone.files == shared.files
    assert alone.entries == shared.entries
    assert alone.kernels == shared.kernels


@pytest.mark.parametrize("seed", range(20))
def test_order_answers_as_the_whole_graph_does(seed: int) -> None:
    chance = random.Random(seed)
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_nodes_from(range(14))
    pairs = itertools.combinations(range(14), 2)
    graph.add_edges_from((a, b) for a, b in pairs if chance.random() < 0.15)
    order: Order[Any] = Order({i: list(graph.successors(i)) for i in graph})
    for number in range(100, 140):
        a, b = chance.sample(list(graph), 2)
        further = nx.restricted_view(graph, [], [(a, b), (b, a)])
        assert order.reaches(a, b) == nx.has_path(graph, a, b)
        assert order.apart((a, b)) != (nx.has_path(further, a, b) or nx.has_path(further, b, a))
        if order.apart((a, b)) and len(graph) > 3:
            order.merge((a, b), number)
            joined = nx.relabel_nodes(graph, {a: number, b: number})
            joined.remove_edges_from(list(nx.selfloop_edges(joined)))
            graph = joined
            assert order.readers(number) == set(graph.successors(number))
