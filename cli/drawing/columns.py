"""Breaks tall pictures into columns, where a single value goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import ranks
from .diagram import Box, Diagram, Frame
from .geometry import Label, Line, Scene
from .network import network

if TYPE_CHECKING:
    from .groups import Group

TALLEST, SHORTER, WIDE, MOST, GUTTER, TURN = 1500.0, 0.7, 1.4, 8, 56.0, 16.0
Span = tuple[float, float, float]
Parts = tuple[Box | Frame, ...]


def break_up(diagram: Diagram, scene: Scene) -> list[Parts]:
    """The parts of each column; as they are, where the picture is not tall or hangs together."""
    if scene.height <= TALLEST:
        return [diagram.parts]
    groups = _between_cuts(diagram)
    spans = [_span(group, scene) for group in groups]
    best: tuple[float, list[list[int]]] = (math.inf, [[*range(len(groups))]])
    for count in range(2, min(len(groups), MOST) + 1):
        pieces = _even(spans, count)
        high = max(spans[piece[-1]][1] - spans[piece[0]][0] for piece in pieces)
        if high > SHORTER * scene.height:
            continue
        wide = sum(max(spans[i][2] for i in piece) + GUTTER for piece in pieces)
        best = min(best, (abs(math.log(wide / high / WIDE)), pieces))
    return [tuple(part for i in piece for part in groups[i]) for piece in best[1]]


def _even(spans: Sequence[Span], count: int) -> list[list[int]]:
    """Consecutive groups in at most so many columns, the tallest as low as it can be."""
    heights = {b[1] - a[0] for i, a in enumerate(spans) for b in spans[i:]}
    for high in sorted(heights):
        pieces: list[list[int]] = [[0]]
        for i in range(1, len(spans)):
            if spans[i][1] - spans[pieces[-1][0]][0] <= high:
                pieces[-1].append(i)
            else:
                pieces.append([i])
        if len(pieces) <= count and all(s[1] - s[0] <= high for s in spans):
            return pieces
    return [list(range(len(spans)))]


def _span(group: Sequence[Box | Frame], scene: Scene) -> Span:
    """The top and bottom of some parts, and how wide they are."""
    places = [(scene.frames if isinstance(p, Frame) else scene.boxes)[p.id] for p in group]
    left, right = min(p.x for p in places), max(p.right for p in places)
    return min(p.y for p in places), max(p.bottom for p in places), right - left


def join(groups: Sequence[Group]) -> Scene:
    """Columns beside each other; the value goes up between them."""
    scene, x = Scene(), 0.0
    for i, group in enumerate(groups):
        top = TURN if i else 0.0
        scene.add(group.scene, x, top)
        if i + 1 < len(groups):
            ((value, leaves),) = group.leaves.items()
            (enters,) = groups[i + 1].enters.values()
            right = x + group.scene.width
            up, low, high = right + GUTTER / 2, top + group.scene.height + TURN, 0.0
            end = right + GUTTER + enters
            points = (x + leaves, low - TURN), (x + leaves, low), (up, low), (up, high)
            scene.lines.append(Line((*points, (end, high), (end, TURN)), square=True, tip=False))
            scene.labels.append(Label(value[1], (up, (low + high) / 2), upright=True))
        scene.height = max(scene.height, top + group.scene.height + TURN)
        scene.width = x + group.scene.width
        x = scene.width + GUTTER
    return scene


def _between_cuts(diagram: Diagram) -> list[list[Box | Frame]]:
    """Groups of parts in the order of their rows, between which one value flows."""
    net = network(diagram.parts, diagram.arrows)
    links = [ranks.Link(w.source, w.target) for w in net.wires]
    row = ranks.rank(net.nodes, links, frozenset(), frozenset())
    groups: list[list[Box | Frame]] = []
    for at in range(1 + max(row.values())):
        here = [part for part in diagram.parts if row[part.id] == at]
        crossing = {w.value for w in net.wires if row[w.source] < at <= row[w.target]}
        sources = [w for w in net.wires if row[w.source] < at <= row[w.target]]
        single = len(crossing) == 1 and len(sources) == 1
        if groups and not single:
            groups[-1] += here
        else:
            groups.append(here)
    return groups
