"""Layers, orders and positions of drawings."""

from __future__ import annotations

import random

import pytest

from weft.cli.layout import GAP_ACROSS, Arrow, arrange


def _random_dag(seed: int) -> tuple[dict[str, tuple[float, float]], list[Arrow]]:
    chance = random.Random(seed)
    count = chance.randint(2, 25)
    sizes = {f"b{i}": (chance.uniform(20, 140), chance.uniform(20, 50)) for i in range(count)}
    arrows = [
        Arrow(f"b{i}", f"b{j}")
        for j in range(1, count)
        for i in chance.sample(range(j), k=min(j, chance.randint(1, 3)))
    ]
    return sizes, arrows


@pytest.mark.parametrize("seed", range(30))
def test_boxes_keep_apart_and_arrows_run_down(seed: int) -> None:
    sizes, arrows = _random_dag(seed)
    layout = arrange(sizes, arrows)
    assert set(layout.centres) == set(sizes)
    names = list(sizes)
    for i, a in enumerate(names):
        (x, y), (w, h) = layout.centres[a], sizes[a]
        assert -1e-6 <= x - w / 2 and x + w / 2 <= layout.width + 1e-6
        assert -1e-6 <= y - h / 2 and y + h / 2 <= layout.height + 1e-6
        for b in names[i + 1 :]:
            (u, v), (wide, _) = layout.centres[b], sizes[b]
            assert v != y or abs(u - x) >= (w + wide) / 2 + GAP_ACROSS - 1e-6
    for arrow, bends in zip(arrows, layout.bends, strict=True):
        down = [layout.centres[arrow.source], *bends, layout.centres[arrow.target]]
        assert [y for _, y in down] == sorted({y for _, y in down})


def test_the_same_drawing_twice() -> None:
    assert arrange(*_random_dag(3)) == arrange(*_random_dag(3))


def test_a_chain_is_straight_beside_its_skip() -> None:
    sizes = dict.fromkeys("abcd", (100.0, 30.0))
    chain = [Arrow("a", "b"), Arrow("b", "c"), Arrow("c", "d")]
    layout = arrange(sizes, [*chain, Arrow("a", "d")])
    middles = [layout.centres[name][0] for name in "abcd"]
    assert max(middles) - min(middles) < 10
    assert len(layout.bends[-1]) == 2
    assert all(x > 100 for x, _ in layout.bends[-1])


def test_cycles_are_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        arrange({"a": (1, 1), "b": (1, 1)}, [Arrow("a", "b"), Arrow("b", "a")])
