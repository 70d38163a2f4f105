"""Rows and columns of nodes, so that arrows run downwards and rarely cross.

Source: Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System
Structures" (1981); long arrows pass through invisible nodes, orders come from barycentres.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Key: TypeAlias = Hashable
GAP_ACROSS, BEND = 26.0, 10.0
SWEEPS, HEAVY = 12, 0.5
Pull: TypeAlias = tuple[Key, float, float]  # another node, how far from its middle, weight


@dataclass(frozen=True, slots=True)
class Link:
    """From one node to a later one; it leaves and arrives so far from their middles.

    `weight`: how much it wants to be straight.
    """

    source: Key
    target: Key
    leaves: float = 0.0
    arrives: float = 0.0
    weight: float = 1.0


def rank(
    names: Sequence[Key], links: Sequence[Link], first: frozenset[Key], last: frozenset[Key]
) -> dict[Key, int]:
    """The row of each node: one below the lowest node that points at it.

    `first` are alone in the top row, `last` alone in the bottom row; what reads nothing moves down
    to its first reader.  Raises: ValueError for arrows in a circle.
    """
    before: dict[Key, list[Key]] = {name: [] for name in names}
    after: dict[Key, list[Key]] = {name: [] for name in names}
    for link in links:
        before[link.target].append(link.source)
        after[link.source].append(link.target)
    missing = {name: len(before[name]) for name in names}
    ready = [name for name in names if not missing[name]]
    rows: dict[Key, int] = {}
    for name in ready:
        least = 0 if name in first else 1 if first else 0
        rows[name] = max([least, *(rows[b] + 1 for b in before[name])])
        for other in after[name]:
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    if len(rows) < len(names):
        raise ValueError("the arrows form a circle")
    for name in names:
        if not before[name] and after[name] and name not in first:
            rows[name] = min(rows[a] for a in after[name]) - 1
    bottom = max((row for name, row in rows.items() if name not in last), default=-1) + 1
    return rows | dict.fromkeys(last, bottom)


def order(rows: Mapping[Key, int], links: Sequence[Link]) -> list[list[Key]]:
    """The order inside each row, by a few sweeps of barycentres down and up."""
    table: list[list[Key]] = [[] for _ in range(1 + max(rows.values(), default=-1))]
    for name, at in rows.items():
        table[at].append(name)
    above: dict[Key, list[Key]] = {name: [] for name in rows}
    below: dict[Key, list[Key]] = {name: [] for name in rows}
    for link in links:
        below[link.source].append(link.target)
        above[link.target].append(link.source)
    if all(len(row) < 2 for row in table):
        return table
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        place = {n: i / len(r) for r in table for i, n in enumerate(r)}
        for row in table if down else reversed(table):
            if len(row) > 1:
                mean = {n: _mean([place[m] for m in neighbours[n]], place[n]) for n in row}
                row.sort(key=lambda n: mean[n])
                place.update({n: i / len(row) for i, n in enumerate(row)})
    return table


def across(
    table: list[list[Key]], width: Mapping[Key, float], links: Sequence[Link]
) -> dict[Key, float]:
    """Horizontal middles: pulled straight by the links, kept apart inside a row.

    First by all links together, then downwards and upwards by those that come from there.
    """
    x: dict[Key, float] = {}
    for row in table:
        left = 0.0
        for name in row:
            x[name] = left + width[name] / 2
            left += width[name] + GAP_ACROSS
    above: dict[Key, list[Pull]] = {name: [] for name in x}
    below: dict[Key, list[Pull]] = {name: [] for name in x}
    for link in links:
        shift = link.leaves - link.arrives
        above[link.target].append((link.source, shift, link.weight))
        below[link.source].append((link.target, -shift, link.weight))
    for sweep in range(2 * SWEEPS + 1):
        down = sweep % 2 == 0
        for row in table if down else reversed(table):
            sides = ((above, below) if down else (below, above)) if sweep > SWEEPS else None
            wish = []
            for name in row:
                near = above[name] + below[name]
                if sides is not None:
                    near = sides[0][name] or sides[1][name]
                wish.append(_pull(near, x) or (x[name], 0.01))
            for name, at in zip(row, _apart(row, wish, width), strict=True):
                x[name] = at
    left = min((x[n] - width[n] / 2 for n in x), default=0.0)
    return {name: at - left for name, at in x.items()}


def _apart(
    row: Sequence[Key], wish: Sequence[tuple[float, float]], width: Mapping[Key, float]
) -> list[float]:
    """The middles nearest to the wishes that keep the gaps (pools of adjacent violators)."""
    offset, offsets = 0.0, []
    for i, name in enumerate(row):
        offset += (width[row[i - 1]] + width[name]) / 2 + GAP_ACROSS if i else 0.0
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # (mean, weight, nodes)
    for (want, weight), off in zip(wish, offsets, strict=True):
        pool = (want - off, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, other, count = pools.pop()
            total = other + pool[1]
            pool = ((mean * other + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + off for mean, off in zip(means, offsets, strict=True)]


def _pull(near: Sequence[Pull], x: Mapping[Key, float]) -> tuple[float, float] | None:
    """Where the links want a node, and how much; light ones count where there are no others."""
    near = [pull for pull in near if pull[2] >= HEAVY] or near
    total = sum(weight for _, _, weight in near)
    if not total:
        return None
    return sum(weight * (x[other] + shift) for other, shift, weight in near) / total, total


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
