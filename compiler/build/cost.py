"""Floating-point operations of the nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterable

from ...spec.dims import Dim
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ops import OPS, costs
from ..ops.scans import loop_key


def flops(b: Builder, node: Node) -> Dim:
    """What one node costs: a multiplication and an addition are two."""
    return costs.flops(OPS, node, [b[o].type for o in node.operands])


def total(b: Builder, ids: Iterable[int]) -> Dim:
    """The sum over some nodes; a loop with several results counts once."""
    result: Dim = 0
    loops: set[object] = set()
    for i in ids:
        node = b[i]
        if node.op == "scan":
            loop = loop_key(node)
            if loop in loops:
                continue
            loops.add(loop)
        cost = flops(b, node)
        if cost != 0:
            result = result + cost
    return result


def live(b: Builder, outputs: Iterable[int]) -> set[int]:
    """The nodes that some outputs depend on."""
    found: set[int] = set()
    stack = list(outputs)
    while stack:
        i = stack.pop()
        if i not in found:
            found.add(i)
            stack.extend(b[i].operands)
    return found
