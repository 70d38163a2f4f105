"""Weights of convolutions behind a pool of maxima are told who won, where that is less work."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from tests.laws.cases import B, Case, f32
from tests.laws.harness import feeds, graph_of
from tests.laws.winner_cases import CASES, WINNER_CASES
from weft.compiler import reference
from weft.compiler.ir.graph import Graph
from weft.compiler.ops import new_builder
from weft.compiler.plan.places import with_places
from weft.compiler.plan.windows import geometry
from weft.compiler.plan.winners import images_of, lanes_of, pool_of, room, rows_of, with_winners


def _told(number: int) -> Graph:
    b = new_builder()
    return with_winners(with_places(graph_of(b, WINNER_CASES[number].build(b))))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[w.name for w in CASES])
def test_who_won_is_asked(number: int) -> None:
    graph = _told(number)
    assert [node.op for node in graph].count("convolve_weight_put") == 1
    put = next(node.id for node in graph if node.op == "pool_max_put")
    assert [graph[u].op for u in graph.users(put)] == ["convolve_input"]
    node = next(node for node in graph if node.op == "convolve_weight_put")
    g, pool = geometry(graph, node), pool_of(graph, node)
    assert 1 <= rows_of(g, pool) <= pool.out[0] and images_of(g, pool) >= 1
    assert room(g, pool) > g.outputs * lanes_of(g)


@pytest.mark.parametrize("case", WINNER_CASES, ids=lambda c: c.name)
def test_the_reference_is_that_of_both(case: Case) -> None:
    b = new_builder()
    graph = graph_of(b, case.build(b))
    sizes = case.sizes[1]
    given = feeds(graph, sizes, positive=False)
    got, want = (reference.run(g, given, sizes) for g in (with_winners(with_places(graph)), graph))
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, atol=1e-12)


def test_windows_that_overlap_much_stay() -> None:
    b = new_builder()
    x, y, d = f32(b, "x", B, 8, 8, 16), f32(b, "y", B, 8, 8, 4), f32(b, "d", B, 6, 6, 4)
    pool = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "low": (0, 0)}
    most = b.insert("pool_max", (y,), sizes=(6, 6), **pool)
    given = b.insert("pool_max_input", (y, most, d), **pool)
    own = {"stride": (1, 1), "dilation": (1, 1), "low": (1, 1), "groups": 1}
    w = b.insert("convolve_weight", (x, given), kernel=(3, 3), **own)
    graph = with_winners(with_places(graph_of(b, {"w": w})))
    assert all(node.op != "convolve_weight_put" for node in graph)


FLOW = "conv(6, 5) as c -> max_pool(2) -> global_avg_pool as y"
NET = f"net n {{\n  in x: f32[B, 1, 28, 28]\n  x -> {FLOW}\n"


@pytest.mark.parametrize(("more", "together"), [("}\n", True), ("  out c, y\n}\n", False)])
def test_a_pool_that_alone_reads_a_convolution_is_one_call(more: str, together: bool) -> None:
    artifact = weft.compile(weft.load_text(NET + more, "n.weft"), target="cpu").artifact
    texts = [text for name, text in artifact.files.items() if "weft_forward_n(" in text]
    calls = [
        text.count(f"{name}(rows,")
        for text in texts
        for name in ("weft_convolve", "weft_convolve_pool")
    ]
    assert calls == [int(not together), int(together)]
