"""Rows, orders and places across."""

from __future__ import annotations

import itertools
import random

import pytest

from weft.cli.drawing.ranks import GAP_ACROSS, Link, across, order, rank

NOTHING: frozenset[object] = frozenset()


def _random_dag(seed: int) -> tuple[dict[object, float], list[Link]]:
    chance = random.Random(seed)
    count = chance.randint(2, 25)
    widths: dict[object, float] = {i: chance.uniform(20, 140) for i in range(count)}
    links = [
        Link(i, j, chance.uniform(-9, 9), chance.uniform(-9, 9), chance.choice((0.02, 1.0)))
        for j in range(1, count)
        for i in chance.sample(range(j), k=min(j, chance.randint(1, 3)))
    ]
    return widths, links


@pytest.mark.parametrize("seed", range(30))
def test_nodes_keep_apart_and_links_run_down(seed: int) -> None:
    widths, links = _random_dag(seed)
    rows = rank(list(widths), links, NOTHING, NOTHING)
    assert all(rows[link.source] < rows[link.target] for link in links)
    table = order(rows, links)
    assert sorted(name for row in table for name in row) == sorted(widths)
    x = across(table, widths, links)
    for row in table:
        for a, b in itertools.pairwise(row):
            assert x[b] - x[a] >= (widths[a] + widths[b]) / 2 + GAP_ACROSS - 1e-6
    assert min(x[n] - widths[n] / 2 for n in x) == pytest.approx(0.0)


def test_the_same_twice() -> None:
    widths, links = _random_dag(3)
    table = order(rank(list(widths), links, NOTHING, NOTHING), links)
    assert across(table, widths, links) == across(table, widths, links)


def test_a_chain_is_straight_beside_a_light_link() -> None:
    names = ["a", "b", "c", "aside"]
    links = [Link("a", "b"), Link("b", "c"), Link("aside", "c", weight=0.002)]
    rows = rank(names, links, NOTHING, NOTHING)
    assert rows == {"a": 0, "b": 1, "c": 2, "aside": 1}
    x = across(order(rows, links), dict.fromkeys(names, 80.0), links)
    assert max(x["a"], x["b"], x["c"]) - min(x["a"], x["b"], x["c"]) < 0.5


def test_ends_have_rows_of_their_own() -> None:
    links = [Link("in", "b"), Link("b", "c"), Link("b", "out")]
    rows = rank(["in", "b", "c", "free", "out"], links, frozenset(["in"]), frozenset(["out"]))
    assert rows == {"in": 0, "b": 1, "c": 2, "free": 1, "out": 3}


def test_circles_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        rank(["a", "b"], [Link("a", "b"), Link("b", "a")], NOTHING, NOTHING)
