"""A step in which gates are parts of one product -> the same, gate by gate.

    slice(f(x, y))            ->  f(slice(x), slice(y)), where nothing but parts of it is read and
                                  f is nothing but maps
    pad(a) + pad(b) + pad(c)  ->  concat(a, b, c), where they fill an axis between them

The first lets one loop over the units make all gates of a step; the second is how the cotangents of
gates meet again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from ..ir.body import Body, moved, rows_axis
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.op import Op


class Part(NamedTuple):
    """Entries of a value along one axis."""

    axis: int
    start: int
    size: int


def in_pieces(ops: Mapping[str, Op], body: Body) -> Body:
    """The body with such values in pieces."""
    if not any(node.op in ("slice", "pad") for node in body.nodes):
        return body
    return _Cutting(body, Builder(ops, {})).run()


@dataclass(slots=True)
class _Cutting:
    body: Body
    c: Builder
    live: list[Node] = field(default_factory=list)
    users: dict[int, list[Node]] = field(default_factory=dict)
    cut: dict[int, set[Part]] = field(default_factory=dict)  # values of which parts alone are read
    new: dict[int, int] = field(default_factory=dict)
    pieces: dict[tuple[int, Part], int] = field(default_factory=dict)

    def run(self) -> Body:
        body = self.body
        reached = {node.id for node in body.reached(body.results)} | {*body.inputs}
        self.live = [node for node in body.nodes if node.id in reached]
        for node in self.live:
            for o in node.operands:
                self.users.setdefault(o, []).append(node)
        self._find_cut()
        for node in self.live:
            if node.id not in self.cut:
                with self.c.at(node.place, node.scope):
                    self.new[node.id] = self._value(node)

        return moved(body, self.c.nodes, self.new)

    def _value(self, node: Node) -> int:
        part = _part_of(self.body, node)
        if part is not None:
            return self.c.rename(self._piece(node.operands[0], part), node.name)
        filled = self._filling(node)
        if filled is not None:
            return self.c.rename(self._joined(*filled), node.name)
        return self.c.repeat(node, [self.new[o] for o in node.operands])

    # ---- slices ----------------------------------------------------------------------------------

    def _find_cut(self) -> None:
        """Find the maps of which only parts are read, none of them twice."""
        bare = self._bare()
        for node in reversed(self.live):
            if node.id not in bare or not node.operands or node.id in self.body.results:
                continue
            parts = set[Part]()
            for user in self.users[node.id]:
                read = self._read(user, node)
                if not read:
                    break
                parts |= read
            else:
                if _apart(parts):
                    self.cut[node.id] = parts

    def _bare(self) -> set[int]:
        """The maps of products, inputs and numbers alone: what is normalised stays whole."""
        found = set[int]()
        for node in self.live:
            if node.op == "broadcast" or self.c.ops[node.op].lowering == "map":
                sources = (self.body.nodes[o] for o in node.operands)
                if all(n.op in ("input", "contract", "slice") or n.id in found for n in sources):
                    found.add(node.id)
            elif node.op == "constant":
                found.add(node.id)
        return found

    def _read(self, user: Node, node: Node) -> set[Part]:
        """The parts of a value that a user reads; none where it may read all."""
        part = _part_of(self.body, user)
        if part is not None:
            return {part}
        parts = self.cut.get(user.id, set())
        if user.op != "broadcast":
            return parts
        dims = user["dims"]
        if any(part.axis not in dims for part in parts):
            return set()
        return {part._replace(axis=dims.index(part.axis)) for part in parts}

    def _piece(self, i: int, part: Part) -> int:
        """Part of a value: a slice of it, or what the same parts of its operands give."""
        known = self.pieces.get((i, part))
        if known is None:
            node = self.body.nodes[i]
            with self.c.at(node.place, node.scope):
                made = self._slice(node, part) if i not in self.cut else self._opened(node, part)
            known = self.pieces[i, part] = made
        return known

    def _slice(self, node: Node, part: Part) -> int:
        starts = [0] * len(node.shape)
        starts[part.axis] = part.start
        sizes = (*node.shape[: part.axis], part.size, *node.shape[part.axis + 1 :])
        return self.c.slice(self.new[node.id], starts, sizes, (1,) * len(sizes))

    def _opened(self, node: Node, part: Part) -> int:
        if node.op != "broadcast":
            operands = [self._operand(o, part) for o in node.operands]
            return self.c.repeat(node, operands)
        (o,) = node.operands
        dims, shape = node["dims"], list(node.shape)
        shape[part.axis] = part.size
        if part.axis in dims:
            return self.c.broadcast(
                self._operand(o, part._replace(axis=dims.index(part.axis))), dims, tuple(shape)
            )
        return self.c.broadcast(self.new[o], dims, tuple(shape))

    def _operand(self, i: int, part: Part) -> int:
        return self.new[i] if not self.body.nodes[i].shape else self._piece(i, part)

    def _joined(self, axis: int, parts: Sequence[int]) -> int:
        """concat(a, b); concat(sum a, sum b) -> sum concat(a, b), which a product may read too"""
        nodes = [self.body.nodes[i] for i in parts]
        sums = {node["axes"] if node.op == "sum" else None for node in nodes}
        axes = sums.pop()
        if sums or axes is None:
            return self.c.concat([self.new[i] for i in parts], axis)
        kept = [a for a in range(len(nodes[0].shape) + len(axes)) if a not in axes]
        inner = self.c.concat([self.new[node.operands[0]] for node in nodes], kept[axis])
        return self.c.sum(inner, axes)

    # ---- sums ------------------------------------------------------------------------------------

    def _filling(self, node: Node) -> tuple[int, list[int]] | None:
        """The axis and, in order, the values that fill it between them."""
        found: list[tuple[Part, int]] = []
        stack = [node] if node.op == "add" else []
        while stack:
            each = stack.pop()
            if each.op == "add" and (each is node or len(self.users[each.id]) == 1):
                stack += [self.body.nodes[o] for o in each.operands]
                continue
            part = _place_of(self.body, each)
            if part is None:
                return None
            found.append((part, each.operands[0]))
        found.sort()
        at = 0
        for part, _ in found:
            if part.axis != found[0][0].axis or part.start != at:
                return None
            at += part.size
        if not found or at != node.shape[found[0][0].axis]:
            return None
        return found[0][0].axis, [i for _, i in found]


def _part_of(body: Body, node: Node) -> Part | None:
    """The part that a slice takes along an axis that is not that of the samples."""
    if node.op != "slice" or set(node["steps"]) != {1}:
        return None
    whole = body.nodes[node.operands[0]].shape
    axes = [a for a, (n, size) in enumerate(zip(whole, node["sizes"], strict=True)) if n != size]
    if len(axes) != 1 or axes[0] == rows_axis(whole):
        return None
    start, size = node["starts"][axes[0]], node["sizes"][axes[0]]
    known = isinstance(start, int) and isinstance(size, int)
    return Part(axes[0], start, size) if known else None


def _place_of(body: Body, node: Node) -> Part | None:
    """Where a value stands among zeros along one axis."""
    if node.op != "pad" or node["value"] != 0:
        return None
    inner = body.nodes[node.operands[0]].shape
    axes = [a for a, (n, e) in enumerate(zip(node.shape, inner, strict=True)) if n != e]
    if len(axes) != 1:
        return None
    low, size = node["low"][axes[0]], inner[axes[0]]
    known = isinstance(low, int) and isinstance(size, int) and isinstance(node.shape[axes[0]], int)
    return Part(axes[0], low, size) if known else None


def _apart(parts: set[Part]) -> bool:
    """Do parts lie beside each other, along one axis?"""
    ordered = sorted(parts)
    if len({part.axis for part in parts}) != 1:
        return False
    return all(a.start + a.size <= b.start for a, b in pairwise(ordered))
