"""What a loop over time makes again in each step, rather than read it: views, parts, quick maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir.body import Body, of_samples
from ..ir.graph import Node
from ..ir.op import Op

DEPTH = 3  # maps one after the other that are made again
CHEAP = 2  # operations of a map that are not worth a sequence of their own
AGAIN = ("constant", "size", "iota", "table")
"""What is made again inside the loop, beside views and parts of sequences: it costs nothing."""


@dataclass(frozen=True, slots=True)
class Again:
    """A step, and the values of it that depend on a sequence or a state."""

    ops: Mapping[str, Op]
    body: Body
    moving: set[int]

    def within(self, inside: set[int]) -> set[int]:
        """What is computed `inside`, with what is quicker made again there than read."""
        body, ops = self.body, self.ops
        given, within = {*body.inputs}, set(inside)
        read = {o for i in within for o in body.nodes[i].operands} | set(body.next)
        read -= within
        for i in range(len(body.nodes) - 1, -1, -1):
            if i not in read or i in given:
                continue
            node = body.nodes[i]
            cut = node.op == "slice" and (i in self.moving or self._narrow(i))
            view = cut or ops[node.op].lowering == "view" or node.op in AGAIN
            cheap = node.operands and self._cheap(node, read, DEPTH)
            if view or cheap or self._moved(node):
                read |= set(node.operands)
                within.add(i)
        return within

    def _cheap(self, node: Node, read: set[int], depth: int) -> bool:
        """Are a few quick maps all that lies between a value and what is read anyway?"""
        op, body = self.ops[node.op], self.body
        if op.lowering != "map" or op.flops > CHEAP or not depth or not self._plain(node):
            return False
        moving = (o for o in node.operands if o in self.moving)
        return all(o in read or self._cheap(body.nodes[o], read, depth - 1) for o in moving)

    def _moved(self, node: Node) -> bool:
        """Is it a quick map of one value that exists anyway, and of numbers or vectors?"""
        op = self.ops[node.op]
        if op.lowering != "map" or op.flops > CHEAP or node.id not in self.moving:
            return False
        moving = {o for o in node.operands if o in self.moving}
        still = (o for o in node.operands if o not in self.moving)
        if len(moving) != 1 or not all(self._number(o) or self._narrow(o) for o in still):
            return False
        source = self.body.nodes[moving.pop()]
        while source.op == "slice":
            source = self.body.nodes[source.operands[0]]
        return source.op in ("input", "contract")

    def _plain(self, node: Node) -> bool:
        """Are those operands that do not move numbers, perhaps repeated?"""
        still = (o for o in node.operands if o not in self.moving)
        return all(self._number(o) for o in still)

    def _number(self, i: int) -> bool:
        return self._repeated(i).op == "constant"

    def _narrow(self, i: int) -> bool:
        """Is it a vector that is the same in all steps, or part of one, perhaps repeated?"""
        node = self._repeated(i)
        while node.op == "slice":
            node = self.body.nodes[node.operands[0]]
        return node.id in self.body.fixed and len(node.shape) == 1 and not of_samples(node.shape)

    def _repeated(self, i: int) -> Node:
        node = self.body.nodes[i]
        while node.op in ("broadcast", "cast") and node.operands:
            node = self.body.nodes[node.operands[0]]
        return node
