"""A graph in which some nodes are made in another way, and all others are as they were."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS

Make = Callable[[Builder, Node, Mapping[int, int]], int]
"""Inserts what stands for a node; the mapping has the new id of every value before it."""


def rewritten(graph: Graph, found: Container[int], make: Make) -> Graph:
    """The graph with what `make` inserts in the place of the nodes that were found."""
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    for node in graph:
        with b.like(node):
            if node.id in found:
                new[node.id] = make(b, node, new)
            else:
                new[node.id] = b.repeat(node, [new[o] for o in node.operands])
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()
