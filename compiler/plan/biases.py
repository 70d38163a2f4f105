"""Two rows that are added to a product, or to rows of a table, are added up first.

    y = (x + a) + b   ->   y = x + (a + b)        a, b: rows along the last axis of x

So the two biases of the gates of an `lstm` are one, and the product can begin with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from .rewrite import rewritten

JOINED = ("contract", "take")
"""What makes the rows that others are added to."""


def with_one_bias(graph: Graph) -> Graph:
    """The graph in which a sum of two rows is made once, not for each row of what they join."""
    found = {node.id: parts for node in graph if (parts := _parts(graph, node))}

    def make(b: Builder, node: Node, new: Mapping[int, int]) -> int:
        x, first, second = (new[i] for i in found[node.id])
        total = b.copy(b.insert("add", (first, second)), f"{node.name}_bias")  # made once
        last = len(node.shape) - 1
        return b.insert("add", (x, b.broadcast(total, (last,), node.shape)), node.name)

    return rewritten(graph, found, make) if found else graph


def _parts(graph: Graph, node: Node) -> tuple[int, int, int] | None:
    """What two rows are added to, and the rows."""
    outer = _row(graph, node)
    if outer is None:
        return None
    before = graph[outer[0]]
    inner = _row(graph, before)
    if inner is None or graph[inner[0]].op not in JOINED:
        return None
    alone = graph.users(before.id) == [node.id] and before.id not in graph.outputs.values()
    return (*inner, outer[1]) if alone else None


def _row(graph: Graph, node: Node) -> tuple[int, int] | None:
    """What a row is added to, and the row."""
    last = len(node.shape) - 1
    if node.op != "add" or node.dtype != "f32" or last < 1:
        return None
    for x, spread in (node.operands, node.operands[::-1]):
        along = graph[spread]
        if along.op == "broadcast" and along["dims"] == (last,):
            row = along.operands[0]
            return (x, row) if graph[row].shape == node.shape[-1:] else None
    return None
