"""Where everything lies: each group by itself, from the inside out; skips run beside the rest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from . import columns, lanes, ranks, spine
from .diagram import Box, Diagram, Frame
from .geometry import Label, Line, Point, Rectangle, Scene
from .groups import Group, Rows
from .metrics import FOOT, HEADER, SIDE, SMALL, box_size, frame_width, width
from .network import Network, Wire, network, skips
from .ranks import BEND, Key, Link
from .spine import Wiring

GAP, LABELLED = 22.0, 36.0
LIGHT = 0.002


def arrange(diagram: Diagram) -> Scene:
    """The whole picture of a net; what is very tall is broken into columns."""
    parts = diagram.parts
    wiring = spine.Wiring.of(diagram.arrows)
    whole = _group(parts, wiring, root=True)
    pieces = columns.break_up(diagram, whole.scene)
    if len(pieces) < 2:
        return whole.scene
    return columns.join([_group(piece, wiring, root=True) for piece in pieces])


def _group(parts: Sequence[Box | Frame], wiring: Wiring, *, root: bool = False) -> Group:
    """Lay out the parts of a block or net."""
    inner: dict[Key, Group] = {}
    size: dict[Key, tuple[float, float]] = {}
    for part in parts:
        if isinstance(part, Frame):
            group = inner[part.id] = _framed(part, wiring)
            size[part.id] = (group.scene.width, group.scene.height)
        else:
            size[part.id] = box_size(part)
    net = network(parts, wiring.arrows)
    rows = _rows(net, inner, size, root)
    _across(rows, wiring.depths)
    _down(rows)
    return _scene(rows)


def _framed(frame: Frame, wiring: Wiring) -> Group:
    """A group inside a frame, with a head."""
    group = _group(frame.parts, wiring)
    wide = max(group.scene.width + 2 * SIDE, frame_width(frame))
    shift = (wide - group.scene.width) / 2
    scene = Scene(width=wide, height=group.scene.height + HEADER + (0 if group.leaves else FOOT))
    scene.frames[frame.id] = Rectangle(0, 0, wide, scene.height)
    scene.add(group.scene, shift, HEADER)
    return Group(
        scene,
        {value: x + shift for value, x in group.enters.items()},
        {value: x + shift for value, x in group.leaves.items()},
    )


def _rows(
    net: Network,
    inner: Mapping[Key, Group],
    size: dict[Key, tuple[float, float]],
    root: bool,
) -> Rows:
    first = frozenset(("in", v) for v in net.enters)
    last = frozenset(("out", v) for v in net.leaves)
    plain = [Link(w.source, w.target) for w in net.wires]
    row = ranks.rank(net.nodes, plain, first, last)
    size.update(dict.fromkeys((*first, *last), (BEND, 0.0)))
    passing = skips(net, row)
    chains = []
    for number, wire in enumerate(net.wires):
        if wire in passing:
            continue
        between = range(row[wire.source] + 1, row[wire.target])
        bends: list[Key] = [("bend", number, at) for at in between]
        for node, at in zip(bends, between, strict=True):
            row[node], size[node] = at, (BEND, 0.0)
        chains.append((wire, [wire.source, *bends, wire.target]))
    ordered = [wire for wire in net.wires if wire in passing]
    return Rows(net, inner, size, row, ordered, chains, root)


def _across(rows: Rows, depths: Mapping[int, int]) -> None:
    """The places across: twice, since where wires arrive depends on where they come from."""
    room = {node: _room(rows, node) for node in rows.row}
    rows.spine = spine.main_wires(rows.net, [wire for wire, _ in rows.chains], depths)
    rows.table = ranks.order(rows.row, _links(rows))
    for _ in range(2):
        rows.x = ranks.across(rows.table, room, _links(rows))
    _straighten(rows)


def _straighten(rows: Rows) -> None:
    """A value that spreads to many arms enters above the place where their result leaves."""
    if len(rows.net.enters) != 1 or len(rows.net.leaves) != 1:
        return
    enters, leaves = ("in", rows.net.enters[0]), ("out", rows.net.leaves[0])
    arms = [rows.x[chain[1]] for wire, chain in rows.chains if wire.source == enters]
    if len(arms) > 2 and min(arms) <= rows.x[leaves] <= max(arms):
        rows.x[enters] = rows.x[leaves]


def _room(rows: Rows, node: Key) -> float:
    """A node is as wide as itself and what is written below it."""
    wide = rows.size[node][0]
    for wire, chain in rows.chains:
        if chain[0] == node and rows.is_labelled(wire):
            wide = max(wide, width(wire.value[1], SMALL) + 8)
    return wide


def _links(rows: Rows) -> list[Link]:
    links = []
    for wire, chain in rows.chains:
        for a, b in itertools.pairwise(chain):
            leaves = rows.leaving(wire) if a == wire.source else 0.0
            arrives = rows.arriving(wire) if b == wire.target else 0.0
            ends = a == wire.source or b == wire.target
            bent = ends and (wire not in rows.spine or rows.is_side(wire))
            links.append(Link(a, b, leaves, arrives, LIGHT if bent else 1.0))
    return links


def _down(rows: Rows) -> None:
    """The rows from top to bottom; a gap has room for what is written and what turns in it."""
    y = 0.0
    for at, names in enumerate(rows.table):
        rows.top.append(y)
        y += max((rows.size[name][1] for name in names), default=0.0)
        rows.bottom.append(y)
        written = any(rows.is_labelled(w) and rows.row[w.source] == at for w, chain in rows.chains)
        y += (LABELLED if written else GAP) + lanes.room(rows, at)
        if at == len(rows.table) - 1:
            y = rows.bottom[-1]


def _scene(rows: Rows) -> Group:
    """The lines, and everything moved to the right of 0."""
    scene = Scene()
    for node, part in rows.net.parts.items():
        wide, high = rows.size[node]
        at = rows.row[node]
        middle = (rows.top[at] + rows.bottom[at]) / 2
        place = Rectangle(rows.x[node] - wide / 2, middle - high / 2, wide, high)
        if isinstance(part, Frame):
            scene.add(rows.inner[node].scene, place.x, place.y)
        else:
            scene.boxes[part.id] = place
    found = scene.boxes | scene.frames
    places: dict[Key, Rectangle] = {node: found[part.id] for node, part in rows.net.parts.items()}
    _straight(rows, places, scene)
    lanes.route(rows, places, scene)
    return _finished(rows, scene)


def _straight(rows: Rows, places: Mapping[Key, Rectangle], scene: Scene) -> None:
    """Lines and labels of all wires but the skips."""
    written: dict[tuple[Key, float], dict[str, None]] = {}
    for wire, chain in sorted(rows.chains, key=lambda pair: _slant(rows, pair)):
        start = (rows.x[wire.source] + rows.leaving(wire), _end(rows, places, wire.source, True))
        bends: list[Point] = []
        if len(rows.table[rows.row[wire.source]]) > 1:
            bends.append((start[0], rows.bottom[rows.row[wire.source]]))
        for node in chain[1:-1]:
            at = rows.row[node]
            bends += [(rows.x[node], rows.top[at]), (rows.x[node], rows.bottom[at])]
        tip = not isinstance(wire.target, tuple)
        x = bends[-1][0] if bends else start[0]
        if rows.is_side(wire) and _is_free(rows, wire, x):
            box = places[wire.target]
            edge = box.right if x > box.x + box.width / 2 else box.x
            level = box.y + box.height / 2
            points = (start, *bends, (x, level), (edge, level))
            scene.lines.append(Line(points, square=True))
        else:
            x = rows.x[wire.target] + rows.arriving(wire)
            bends.append((x, rows.top[rows.row[wire.target]]))
            end = (x, _end(rows, places, wire.target, False))
            scene.lines.append(Line((start, *bends, end), tip=tip))
        if rows.is_labelled(wire):
            written.setdefault((wire.source, start[0]), {})[wire.value[1]] = None
    for (source, x), texts in written.items():
        row = rows.row[source]
        y = rows.bottom[row] + 15 + lanes.above(rows, row)
        scene.labels.append(Label(", ".join(texts), (x, y)))


def _is_free(rows: Rows, wire: Wire, x: float) -> bool:
    """Can a wire come from the side, with nothing between it and its target?"""
    to = rows.x[wire.target]
    if abs(x - to) < rows.size[wire.target][0] / 2 + 8:
        return False
    row = (node for node in rows.table[rows.row[wire.target]] if node in rows.net.parts)
    return not any(min(x, to) < rows.x[node] < max(x, to) for node in row)


def _slant(rows: Rows, pair: tuple[Wire, list[Key]]) -> float:
    """How far a wire is from straight: the straightest carries the label."""
    wire, chain = pair
    return abs(rows.x[chain[1]] - rows.x[wire.source])


def _end(rows: Rows, places: Mapping[Key, Rectangle], node: Key, below: bool) -> float:
    """The height at which a wire leaves or reaches a node."""
    if node in places:
        return places[node].bottom if below else places[node].y
    return rows.bottom[rows.row[node]] if below else rows.top[rows.row[node]]


def _finished(rows: Rows, scene: Scene) -> Group:
    """Everything moved so that it begins at 0."""
    left, right = lanes.extent(scene)
    moved = Scene(width=right - left, height=rows.bottom[-1] if rows.bottom else 0.0)
    moved.add(scene, -left, 0.0)
    enters = {v: rows.x["in", v] - left for v in rows.net.enters}
    leaves = {v: rows.x["out", v] - left for v in rows.net.leaves}
    return Group(moved, enters, leaves)
