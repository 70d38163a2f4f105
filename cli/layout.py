"""Puts boxes into layers so that arrows run downwards: the arithmetic behind `weft show`.

Source: Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System
Structures" (1981); long arrows pass through invisible boxes, orders come from barycentres.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP_ACROSS, GAP_DOWN, BEND = 36.0, 46.0, 10.0
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to a later one."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies.

    Units: pixels; `centres` are the middles of the boxes, `bends` the points each arrow passes
    between its ends.
    """

    centres: Mapping[str, tuple[float, float]]
    bends: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float


def arrange(sizes: Mapping[str, tuple[float, float]], arrows: Sequence[Arrow]) -> Layout:
    """Lay out boxes of given (width, height); the order of `sizes` breaks ties.

    Arrows must not form a cycle.
    """
    rank = _ranks(list(sizes), arrows)
    chains = [_chain(i, arrow, rank) for i, arrow in enumerate(arrows)]
    width = {name: size[0] for name, size in sizes.items()}
    for chain in chains:
        for name, at in chain[1:-1]:
            rank[name], width[name] = at, BEND
    links = [(a, b) for chain in chains for (a, _), (b, _) in itertools.pairwise(chain)]
    rows = _order(rank, links)
    x = _across(rows, width, links)
    y, height = _down(rows, sizes)
    bends = tuple(tuple((x[name], y[at]) for name, at in chain[1:-1]) for chain in chains)
    centres = {name: (x[name], y[rank[name]]) for name in sizes}
    right = max((x[name] + width[name] / 2 for name in x), default=0.0)
    return Layout(centres, bends, right, height)


def _ranks(names: list[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """The layer of each box: one below the lowest box that points at it."""
    before: dict[str, list[str]] = {name: [] for name in names}
    for arrow in arrows:
        before[arrow.target].append(arrow.source)
    rank: dict[str, int] = {}
    waiting = list(names)
    while waiting:
        ready = [n for n in waiting if all(b in rank for b in before[n])]
        if not ready:
            raise ValueError(f"the arrows form a cycle among {', '.join(waiting)}")
        for name in ready:
            rank[name] = 1 + max((rank[b] for b in before[name]), default=-1)
        waiting = [n for n in waiting if n not in rank]
    return _pull_down(names, arrows, rank)


def _pull_down(names: list[str], arrows: Sequence[Arrow], rank: dict[str, int]) -> dict[str, int]:
    """Move boxes that read nothing down to their first reader."""
    targets = {arrow.target for arrow in arrows}
    for name in names:
        readers = [rank[a.target] for a in arrows if a.source == name]
        if name not in targets and readers:
            rank[name] = min(readers) - 1
    return rank


def _chain(i: int, arrow: Arrow, rank: Mapping[str, int]) -> list[tuple[str, int]]:
    """The boxes an arrow passes, invisible ones between: (name, layer)."""
    first, last = rank[arrow.source], rank[arrow.target]
    between = [(f"{i}\0{layer}", layer) for layer in range(first + 1, last)]
    return [(arrow.source, first), *between, (arrow.target, last)]


def _order(rank: Mapping[str, int], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The order inside each layer, by a few sweeps of barycentres down and up."""
    rows: list[list[str]] = [[] for _ in range(1 + max(rank.values(), default=-1))]
    for name, at in rank.items():
        rows[at].append(name)
    above: dict[str, list[str]] = {name: [] for name in rank}
    below: dict[str, list[str]] = {name: [] for name in rank}
    for a, b in links:
        below[a].append(b)
        above[b].append(a)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in rows if down else reversed(rows):
            position = {n: i / len(r) for r in rows for i, n in enumerate(r)}
            mean = {n: _mean([position[m] for m in neighbours[n]], position[n]) for n in row}
            row.sort(key=lambda n: mean[n])
    return rows


def _across(
    rows: list[list[str]], width: Mapping[str, float], links: Sequence[tuple[str, str]]
) -> dict[str, float]:
    """Horizontal middles: pulled to the mean of the neighbours, kept apart inside a layer."""
    x: dict[str, float] = {}
    for row in rows:
        left = 0.0
        for name in row:
            x[name] = left + width[name] / 2
            left += width[name] + GAP_ACROSS
    near: dict[str, list[str]] = {name: [] for name in x}
    for a, b in links:
        near[a].append(b)
        near[b].append(a)
    for sweep in range(4 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = [_pull([(x[m], width[m]) for m in near[name]], x[name]) for name in row]
            for name, at in zip(row, _apart(row, wish, width), strict=True):
                x[name] = at
    left = min((x[n] - width[n] / 2 for n in x), default=0.0)
    return {name: at - left for name, at in x.items()}


def _apart(row: list[str], wish: list[float], width: Mapping[str, float]) -> list[float]:
    """The middles nearest to the wishes that keep the gaps (pools of adjacent violators)."""
    offset, offsets = 0.0, []
    for i, name in enumerate(row):
        offset += (width[row[i - 1]] + width[name]) / 2 + GAP_ACROSS if i else 0.0
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # (mean, weight, boxes)
    for name, want, off in zip(row, wish, offsets, strict=True):
        pool = (want - off, _weight(width[name]), 1)
        while pools and pools[-1][0] > pool[0]:
            mean, weight, count = pools.pop()
            total = weight + pool[1]
            pool = ((mean * weight + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + off for mean, off in zip(means, offsets, strict=True)]


def _down(
    rows: list[list[str]], sizes: Mapping[str, tuple[float, float]]
) -> tuple[list[float], float]:
    """Vertical middles of the layers, and the height of all."""
    middles, top = [], 0.0
    for row in rows:
        tall = max((sizes[n][1] for n in row if n in sizes), default=0.0)
        middles.append(top + tall / 2)
        top += tall + GAP_DOWN
    return middles, max(0.0, top - GAP_DOWN)


def _pull(neighbours: list[tuple[float, float]], otherwise: float) -> float:
    """The mean of the neighbours' (middle, width)."""
    total = sum(_weight(wide) for _, wide in neighbours)
    return sum(_weight(wide) * x for x, wide in neighbours) / total if neighbours else otherwise


def _weight(width: float) -> float:
    """What merely passes by pulls little."""
    return 0.02 if width == BEND else 1.0


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
