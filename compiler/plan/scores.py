"""Scores of attention in a graph: which products pair queries with keys, what maps make of their
results, and what sums these.

A cluster begins at contractions whose results have one shape and are read by maps of that shape
alone, until these are summed along the keys or the queries.  What the maps do does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.products import letters


class Refused(Exception):
    """Scores that have to be stored, and why."""


@dataclass(slots=True)
class Cluster:
    """Streamed values of one shape, and what sums them: result -> the value that it sums."""

    streamed: set[int] = field(default_factory=set)
    sums: dict[int, int] = field(default_factory=dict)

    def ends(self, graph: Graph) -> list[Node]:
        """The results that end the rows of a softmax."""
        return [graph[r] for r in self.sums if graph[r].op == "logsumexp"]

    def behind(self, graph: Graph, sources: Iterable[int], after: int = -1) -> tuple[int, ...]:
        """The streamed values that some are made of, themselves included; those `after` one."""
        seen: set[int] = set()
        stack = list(sources)
        while stack:
            i = stack.pop()
            if i > after and i in self.streamed and i not in seen:
                seen.add(i)
                stack.extend(graph[i].operands)
        return tuple(sorted(seen))


def alone(node: Node) -> tuple[frozenset[int], frozenset[int]]:
    """The dimensions of a contraction that its left, and its right operand alone has."""
    first, second, result = letters(node["spec"])
    left = frozenset(d for d, x in enumerate(result) if x in first and x not in second)
    right = frozenset(d for d, x in enumerate(result) if x in second and x not in first)
    return left, right


def pairs(node: Node) -> bool:
    """Does a contraction pair rows of one batch with each other, as queries and keys are?"""
    left, right = alone(node)
    return bool(left and right) and len(left | right) < len(node.shape)


def cluster_of(graph: Graph, start: Node) -> Cluster:
    """All values of the shape of a contraction that maps lead to, and what sums them."""
    found, stack = Cluster(), [start.id]
    while stack:
        i = stack.pop()
        if i in found.streamed:
            continue
        found.streamed.add(i)
        for user in map(graph.__getitem__, graph.users(i)):
            if OPS[user.op].lowering == "map" and user.shape == start.shape:
                stack.append(user.id)
                stack += _met(graph, user, start)
            else:
                found.sums.setdefault(user.id, i)
    return found


def _met(graph: Graph, node: Node, start: Node) -> list[int]:
    """The contractions that maps of the same shape lead to `node`."""
    found, seen, stack = list[int](), set[int](), list(node.operands)
    while stack:
        i = stack.pop()
        operand = graph[i]
        if i in seen or operand.shape != start.shape:
            continue
        seen.add(i)
        if operand.op == "contract" and pairs(operand):
            found.append(i)
        elif OPS[operand.op].lowering == "map":
            stack.extend(operand.operands)
    return found


def dimensions(graph: Graph, cluster: Cluster) -> tuple[int, int]:
    """The dimensions of queries and of keys.  Raises: Refused."""
    products = [graph[i] for i in sorted(cluster.streamed) if graph[i].op == "contract"]
    shape = products[0].shape
    ends = {node["axes"] for node in cluster.ends(graph)}
    if len(ends) > 1 or any(len(axes) != 1 for axes in ends):
        raise Refused("rows of scores end along several axes")
    key = next(iter(ends))[0] if ends else len(shape) - 1
    sides = [alone(node) for node in products]
    across = [b if key in a else a if key in b else frozenset[int]() for a, b in sides]
    queries = [d for d in frozenset.intersection(*across) if shape[d] != 1]
    if not queries or shape[key] == 1:
        raise Refused("not products of queries and keys")
    return max(queries), key
