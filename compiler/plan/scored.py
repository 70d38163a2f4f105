"""Sums of scores along the keys and more go along the keys first.

    sum(s over batch, queries, keys)  ->  sum(sum(s over keys) over batch, queries)

so the scores need not exist: the first sum is made while the keys are walked, a number a query, and
the second reads these.  Gradients of numbers that all scores share are such sums: of a temperature,
a slope of distances, a bound.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from .attention import worth_streaming
from .rewrite import rewritten
from .scores import Refused, cluster_of, dimensions, pairs


def keys_first(graph: Graph) -> Graph:
    """The graph with the sums of scores that are worth streaming made in two."""
    found = _sums(graph)
    if not found:
        return graph

    def in_two(b: Builder, node: Node, new: Mapping[int, int]) -> int:
        key, operand = found[node.id], new[node.operands[0]]
        rows = b.insert("sum", (operand,), axes=(key,))
        rest = tuple(axis - (axis > key) for axis in node["axes"] if axis != key)
        return b.insert("sum", (rows,), node.name, axes=rest)

    return rewritten(graph, found, in_two)


def _sums(graph: Graph) -> dict[int, int]:
    """The sums along the keys and more, and the dimension of the keys."""
    found: dict[int, int] = {}
    seen: set[int] = set()
    for node in graph:
        if node.op != "contract" or node.id in seen or not pairs(node):
            continue
        cluster = cluster_of(graph, node)
        seen |= cluster.streamed
        if not cluster.ends(graph):
            continue
        try:
            query, key = dimensions(graph, cluster)
        except Refused:
            continue
        if worth_streaming(graph, node, query, key):
            sums = (graph[i] for i in cluster.sums if graph[i].op == "sum")
            found |= {s.id: key for s in sums if key in s["axes"] and len(s["axes"]) > 1}
    return found
