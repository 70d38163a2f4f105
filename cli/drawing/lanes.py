"""Skips: lines that leave the column, run down beside it and come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .diagram import Box
from .geometry import Label, Line, Rectangle, Scene
from .metrics import SMALL, width
from .network import Wire
from .ranks import Key

if TYPE_CHECKING:
    from .groups import Rows

LANE, STUB, STEP = 14.0, 7.0, 6.0
RIGHT, FREE = 56.0, 140.0  # how much better it is to run on the right, to arrive from the side


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a skip runs; `reach` is how far out, on one side."""

    side: int
    top: float
    bottom: float
    reach: float


def room(rows: Rows, row: int) -> float:
    """What the gap below a row needs for skips that begin in it, or end at what is below it."""
    return above(rows, row) + _below(rows, row)


def above(rows: Rows, row: int) -> float:
    """Room for the beginnings of skips, at the top of the gap below a row."""
    sources = {w.source for w in rows.skips if rows.row[w.source] == row}
    return STEP * len(sources)


def _below(rows: Rows, row: int) -> float:
    ends = [w for w in rows.skips if rows.row[w.target] == row + 1 and not _may_side(rows, w)]
    return STEP * len(ends)


def route(rows: Rows, places: Mapping[Key, Rectangle], scene: Scene) -> None:
    """The lines of all skips, short ones inside."""
    taken: list[Lane] = []
    sides = {-1: _extents(rows, places, scene, -1), 1: _extents(rows, places, scene, 1)}
    sideways: dict[tuple[Key, int], Wire] = {}
    for wire in sorted(rows.skips, key=lambda w: rows.row[w.target] - rows.row[w.source]):
        first, last = rows.row[wire.source], rows.row[wire.target]
        begin = _begin(rows, places, wire)
        target = places.get(wire.target)
        options = []
        for side in (1, -1):
            end_x = rows.x[wire.target] + rows.arriving(wire)
            free = _may_side(rows, wire) and (wire.target, side) not in sideways
            free = free and _outermost(rows, wire.target, side)
            span = range(first + 1, last + 1)
            reach = max([sides[side][at] for at in span] + [side * begin[0], side * end_x + LANE])
            level = target.y + target.height / 2 if free and target else rows.top[last] - 12.0
            for lane in taken:
                if lane.side == side and lane.top < level + 8 and begin[1] < lane.bottom + 8:
                    reach = max(reach, lane.reach)
            reach += LANE + (SMALL if rows.root else 0.0)
            cost = abs(side * reach - end_x) - RIGHT * side + (0 if free else FREE)
            options.append((cost, side, reach, level, free))
        _, side, reach, level, free = min(options)
        x = side * reach
        points = [(begin[0], begin[2]), (begin[0], begin[1]), (x, begin[1]), (x, level)]
        if free and target:
            sideways[wire.target, side] = wire
            points.append((target.right if side > 0 else target.x, level))
        else:
            end_x = _arrival(rows, places, wire, side)
            bottom = target.y if target else rows.top[last]
            points += [(end_x, level), (end_x, bottom)]
        taken.append(Lane(side, begin[1], level, reach))
        scene.lines.append(Line(tuple(points), square=True, tip=not isinstance(wire.target, tuple)))
        _write(rows, wire, x, begin[1], level, scene)


def extent(scene: Scene) -> tuple[float, float]:
    """The left and right end of all there is."""
    rectangles = (*scene.boxes.values(), *scene.frames.values())
    xs = [x for r in rectangles for x in (r.x, r.right)]
    xs += [x for line in scene.lines for x, _ in line.points]
    for label in scene.labels:
        half = SMALL / 2 + 2 if label.upright else width(label.text, SMALL) / 2 + 2
        xs += [label.at[0] - half, label.at[0] + half]
    return min(xs, default=0.0), max(xs, default=0.0)


def _extents(rows: Rows, places: Mapping[Key, Rectangle], scene: Scene, side: int) -> list[float]:
    """How far each row reaches to a side, with the labels below it."""
    reach = []
    for at, names in enumerate(rows.table):
        ends = [side * rows.x[name] + rows.size[name][0] / 2 for name in names]
        for label in scene.labels:
            if rows.bottom[at - 1] <= label.at[1] <= rows.top[at] if at else False:
                ends.append(side * label.at[0] + width(label.text, SMALL) / 2)
        reach.append(max(ends, default=-1e9))
    return reach


def _begin(rows: Rows, places: Mapping[Key, Rectangle], wire: Wire) -> tuple[float, float, float]:
    """Where a skip begins: across, the height at which it turns away, the height of its source."""
    row = rows.row[wire.source]
    sources = list(dict.fromkeys(w.source for w in rows.skips if rows.row[w.source] == row))
    start = places[wire.source].bottom if wire.source in places else rows.bottom[row]
    turn = rows.bottom[row] + STUB + STEP * sources.index(wire.source)
    return rows.x[wire.source] + rows.leaving(wire), turn, start


def _may_side(rows: Rows, wire: Wire) -> bool:
    """Boxes can be entered from the side."""
    return isinstance(rows.net.parts.get(wire.target), Box)


def _outermost(rows: Rows, node: Key, side: int) -> bool:
    """Is there nothing between a node and the side?"""
    row = rows.table[rows.row[node]]
    sideways = any(rows.is_side(w) for w in rows.net.into(node))
    return row[-1 if side > 0 else 0] == node and not (sideways and side > 0)


def _arrival(rows: Rows, places: Mapping[Key, Rectangle], wire: Wire, side: int) -> float:
    """Where a skip comes down on its target: beside what comes straight."""
    x = rows.x[wire.target] + rows.arriving(wire)
    if not _may_side(rows, wire):
        return x
    return x + side * min(14.0, rows.size[wire.target][0] / 4)


def _write(rows: Rows, wire: Wire, x: float, top: float, bottom: float, scene: Scene) -> None:
    """The shape of a skip of the whole net, along it."""
    text = wire.value[1]
    if rows.root and text and width(text, SMALL) + 12 < bottom - top:
        scene.labels.append(Label(text, (x, (top + bottom) / 2), upright=True))
