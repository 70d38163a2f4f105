"""Cut what is made of a large product and used up again into pieces along its rows.

z = x @ w;  d_z = f(z);  d_x = d_z @ w;  d_w = x' @ d_z

->  for every stretch of rows: its z and d_z, its rows of d_x, and d_w = d_w + x' @ d_z

The logits of a large vocabulary, and their cotangent, then exist for a few rows at a time.  Each
stretch is a phase, so that one is used up before the next is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...spec.dims import Dim, evaluate
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.products import letters

LARGE = 1 << 24
"""Elements of a product that are worth cutting."""

DEEP = 8
"""Times that it must be larger than the operand it is cut along with."""

PIECES, FEWEST = 32, 2
"""Pieces at most, and at least."""

EACH = 4
"""Times that a piece is as large as the parameter, which moves four times for each piece."""


class Uncut(Exception):
    """The values made of a product cannot be had piece by piece."""


def cut(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with its largest product with a parameter in pieces, if it is large and its rows
    are a number.
    """
    for z, axis in _candidates(graph, sizes):
        try:
            return _Cut(graph, sizes, z, axis).run()
        except Uncut:
            continue
    return graph


def _candidates(graph: Graph, sizes: Mapping[str, int]) -> list[tuple[int, int]]:
    """Products with parameters, and the axis of rows to cut; the largest first."""
    found: list[tuple[int, int, int]] = []
    for node in graph:
        if node.op != "contract" or node.phase:
            continue
        count = _count(node, sizes)
        if count < LARGE:
            continue
        *sides, result = letters(node["spec"])
        for mine, other in ((0, 1), (1, 0)):
            x, w = graph[node.operands[mine]], _source(graph, node.operands[other])
            rows = [
                (extent, axis)
                for axis, extent in enumerate(node.shape)
                if result[axis] in sides[mine] and result[axis] not in sides[other]
                if isinstance(extent, int) and extent > 1
            ]
            if rows and w.op == "input" and count >= DEEP * _count(x, sizes):
                found.append((count, node.id, max(rows)[1]))
    return [(z, axis) for _, z, axis in sorted(found, reverse=True)]


def _source(graph: Graph, i: int) -> Node:
    """What a value is a view of."""
    while OPS[graph[i].op].lowering in ("view", "alias"):
        i = graph[i].operands[0]
    return graph[i]


def _count(node: Node, sizes: Mapping[str, int]) -> int:
    total = 1
    for extent in node.shape:
        total *= evaluate(extent, sizes)
    return total


@dataclass
class _Cut:
    """One product, cut along one of its axes.

    `along` is the axis of each value that must be made piece by piece; `rows` are values that
    follow of one piece each, `sums` those that are added over the pieces.
    """

    graph: Graph
    sizes: Mapping[str, int]
    z: int
    axis: int
    along: dict[int, int] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    sums: set[int] = field(default_factory=set)

    def run(self) -> Graph:
        """The graph in pieces.  Raises: Uncut."""
        self.size = _count(self.graph[self.z], self.sizes)
        self.follow()
        self.b = Builder(OPS, {})
        self.b.nodes = list(self.graph.nodes)
        extent = self.graph[self.z].shape[self.axis]
        assert isinstance(extent, int)
        step = -(-extent // self.pieces(extent))
        bounds = [(at, min(at + step, extent)) for at in range(0, extent, step)]
        parts: dict[int, list[int]] = {i: [] for i in (*self.rows, *sorted(self.sums))}
        for number, (begin, end) in enumerate(bounds, 1):
            piece = _Piece(self, number, begin, end)
            for i, axis in self.rows.items():
                parts[i].append(piece.rebuilt(i, axis))
            for i in sorted(self.sums):
                made = piece.summed(self.graph[i])
                with self.b.like(replace(self.graph[i], phase=number)):
                    total = (
                        self.b.map("add", parts[i][-1], made, name=self.graph[i].name)
                        if parts[i]
                        else made
                    )
                parts[i].append(total)
        return self._joined(parts, len(bounds) + 1)

    def pieces(self, extent: int) -> int:
        """How many: each `EACH` times as large as the parameter, which all of them read, and whose
        gradient all of them read and write; alike if that can be.
        """
        node = self.graph[self.z]
        sources = (_source(self.graph, i) for i in node.operands)
        parameter = min(_count(w, self.sizes) for w in sources if w.op == "input")
        most = min(PIECES, extent, max(FEWEST, self.size // (EACH * parameter)))
        alike = (n for n in range(most, most // 2, -1) if extent % n == 0)
        return next(alike, most)

    def _joined(self, parts: Mapping[int, list[int]], last: int) -> Graph:
        """Everything after the pieces."""
        new: dict[int, int] = {}
        for node in self.graph:
            if node.id in self.sums:
                new[node.id] = parts[node.id][-1]
                continue
            with self.b.like(replace(node, phase=last)):
                if node.id in self.rows:
                    new[node.id] = self.b.concat(parts[node.id], self.rows[node.id])
                    self.b.rename(new[node.id], node.name)
                elif node.id not in self.along and any(o in new for o in node.operands):
                    moved = [new.get(o, o) for o in node.operands]
                    new[node.id] = self.b.repeat(node, moved)
        self.b.outputs = {name: new.get(i, i) for name, i in self.graph.outputs.items()}
        return self.b.graph()

    # ---- what is made of the product -----------------------------------------------------------

    def large(self, i: int) -> bool:
        """Is a value as large as the product?"""
        return _count(self.graph[i], self.sizes) >= self.size

    def follow(self) -> None:
        """Find what must be made in pieces, and what leaves them.  Raises: Uncut."""
        graph = self.graph
        reached: dict[int, int | None] = {self.z: self.axis}  # None: no rows any more
        for node in graph:
            if node.id != self.z and any(o in reached for o in node.operands):
                reached[node.id] = self._followed(node, reached)
        needed = {i for i in reached if self.large(i)}
        for i in sorted(reached, reverse=True):
            if any(u in needed for u in graph.users(i) if u in reached):
                needed.add(i)
        for i in needed:
            axis = reached[i]
            if axis is None:
                raise Uncut(f"{graph[i].name} needs all rows")
            self.along[i] = axis
        outputs = set(graph.outputs.values())
        for i in sorted(needed):
            left = [u for u in graph.users(i) if u not in needed]
            if self.large(i):
                if i in outputs:
                    raise Uncut(f"{graph[i].name} is wanted whole")
                for u in left:
                    self._leaves(u, reached[u])
            elif left or i in outputs:
                self.rows[i] = self.along[i]

    def _leaves(self, user: int, axis: int | None) -> None:
        """A small value that is made of a large one."""
        if axis is not None:
            self.rows[user] = axis
        elif _adds(self.graph[user]):
            self.sums.add(user)
        else:
            raise Uncut(f"{self.graph[user].name} needs all rows")

    def _followed(self, node: Node, reached: Mapping[int, int | None]) -> int | None:
        """The axis of a value along which its rows are those of its operands, if there is one."""
        found = {
            _axis_after(node, slot, reached[o], self.graph)
            for slot, o in enumerate(node.operands)
            if o in reached
        }
        return found.pop() if len(found) == 1 else None


def _adds(node: Node) -> bool:
    """Is a value a sum over rows, so that it may be added piece by piece?"""
    return node.op in ("sum", "contract")


def _axis_after(node: Node, slot: int, axis: int | None, graph: Graph) -> int | None:
    """Where an axis of an operand is in the value; None where it is folded or mixed."""
    if axis is None:
        return None
    kind = OPS[node.op].lowering
    if kind == "map":
        return axis
    if node.op == "broadcast":
        return node["dims"][axis]
    if node.op == "transpose":
        return node["order"].index(axis)
    if kind == "fold" or node.op == "squeeze":
        axes = node["axes"]
        return None if axis in axes else axis - sum(a < axis for a in axes)
    if node.op == "contract":
        texts = letters(node["spec"])
        letter = texts[slot][axis]
        return texts[2].index(letter) if letter in texts[2] else None
    return None


class _Piece:
    """The values of one stretch of rows."""

    def __init__(self, whole: _Cut, phase: int, begin: int, end: int) -> None:
        self.whole, self.graph, self.b = whole, whole.graph, whole.b
        self.phase, self.begin, self.end = phase, begin, end
        self.known: dict[tuple[int, int], int] = {}

    def rebuilt(self, i: int, axis: int) -> int:
        """The rows of a value, `axis` counting them.  Raises: Uncut."""
        key = i, axis
        if key not in self.known:
            node = self.graph[i]
            with self.b.like(replace(node, phase=self.phase)):
                inside = i in self.whole.along or i in self.whole.rows
                made = inside or self.whole.large(i)
                self.known[key] = self._made(node, axis) if made else self._sliced(node, axis)
        return self.known[key]

    def summed(self, node: Node) -> int:
        """What the rows add to a sum over all of them.  Raises: Uncut."""
        along = self.whole.along
        with self.b.like(replace(node, phase=self.phase)):
            if node.op == "sum":
                source = node.operands[0]
                made = [self.rebuilt(source, along[source])]
            else:
                first, second, result = letters(node["spec"])
                sides = list(zip((first, second), node.operands, strict=True))
                letter = next(
                    t[along[o]] for t, o in sides if o in along and t[along[o]] not in result
                )
                if any(letter not in text for text, _ in sides):
                    raise Uncut(f"{node.name} sums one operand")
                made = [self.rebuilt(o, text.index(letter)) for text, o in sides]
            return self.b.repeat(node, made)

    def _sliced(self, node: Node, axis: int) -> int:
        """Some rows of a value that exists."""
        starts: list[Dim] = [0] * len(node.shape)
        starts[axis] = self.begin
        ones = [1] * len(node.shape)
        found = self.b.slice(node.id, starts, self._shape(node.shape, axis), ones)
        return self.b.rename(found, node.name)

    def _shape(self, shape: tuple[Dim, ...], axis: int) -> tuple[Dim, ...]:
        return (*shape[:axis], self.end - self.begin, *shape[axis + 1 :])

    def _made(self, node: Node, axis: int) -> int:
        """Some rows of a value, computed."""
        kind, attributes = OPS[node.op].lowering, dict(node.attributes)
        if kind == "map":
            numbers = [self.graph[o].op == "constant" for o in node.operands]
            pairs = zip(node.operands, numbers, strict=True)
            operands = [o if number else self.rebuilt(o, axis) for o, number in pairs]
        elif node.op == "iota":
            return self._counted(node, axis)
        elif node.op == "broadcast":
            attributes["shape"] = self._shape(node.shape, axis)
            dims = node["dims"]
            operands = list(node.operands)
            if axis in dims:
                operands = [self.rebuilt(operands[0], dims.index(axis))]
        elif node.op == "transpose":
            operands = [self.rebuilt(node.operands[0], node["order"][axis])]
        elif kind == "fold" or node.op == "squeeze":
            rank = len(self.graph[node.operands[0]].shape)
            kept = [d for d in range(rank) if d not in node["axes"]]
            operands = [self.rebuilt(node.operands[0], kept[axis])]
        elif node.op == "contract":
            texts = letters(node["spec"])
            letter = texts[2][axis]
            operands = [
                self.rebuilt(o, text.index(letter)) if letter in text else o
                for text, o in zip(texts, node.operands, strict=False)
            ]
        else:
            raise Uncut(f"{node.name} has no rows of its own")
        return self.b.insert(node.op, operands, node.name, **attributes)

    def _counted(self, node: Node, axis: int) -> int:
        """Positions, from the first of these rows on where those are counted."""
        shape = self._shape(node.shape, axis)
        found = self.b.iota(shape, node["axis"])
        if node["axis"] != axis or not self.begin:
            return found
        return self.b.map("add", found, self.b.constant(self.begin, "i32"))
