"""The slope of an activation is kept in place of what it is computed from (on a CPU).

    g = dropout(gelu(z));  d_z = d * mask * gelu'(z)
    ->  g = dropout(gelu(z)), s = slope(mask * gelu'(z));  d_z = d * s

The kernel of `g` makes `s` on the way, and memory holds `s` where it held `z`.  So the backward
pass draws no mask again, and computes no function again: it multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS

DEAR = 50
"""Operations that take longer than one more value through the caches while `g` is made."""

SMALL = ("constant", "size", "iota")
LIGHT = ("random", "broadcast")
"""Leaves that take no memory, or little."""


@dataclass(frozen=True, slots=True)
class Slope:
    """`made` is another `cotangent` times what follows from values of the forward pass: `along`
    are the maps that lead from one to the other.  `beside` is made of the same stored value.
    """

    made: int
    cotangent: int
    along: tuple[int, ...]
    beside: int


def with_slopes(graph: Graph) -> Graph:
    """The graph in which cotangents of dear maps are products with slopes that were kept."""
    found = {slope.made: slope for slope in slopes(graph)}
    if not found:
        return graph
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    for node in graph:
        if node.id not in found:
            with b.like(node):
                new[node.id] = b.repeat(node, [new[o] for o in node.operands])
            continue
        slope, beside = found[node.id], graph[found[node.id].beside]
        with b.like(beside):
            factor = _factor(b, graph, new, slope)
            kept = b.insert("slope", (factor,), f"{beside.name}_slope")
        with b.like(node):
            new[node.id] = b.insert("mul", (new[slope.cotangent], kept), node.name)
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def slopes(graph: Graph) -> list[Slope]:
    """The cotangents that are one other cotangent times a dear function of one stored value."""
    found = (_slope(graph, node) for node in graph if _is_map(node) and _is_stored(graph, node))
    return [slope for slope in found if slope is not None]


def _is_map(node: Node) -> bool:
    """Is it a map of a batch?"""
    large = len(node.shape) > 1 and not isinstance(node.shape[0], int)
    return large and node.dtype == "f32" and OPS[node.op].lowering == "map"


def _is_stored(graph: Graph, node: Node) -> bool:
    """Is it in memory?"""
    kinds = (OPS[graph[u].op].lowering for u in graph.users(node.id))
    kept = node.op == "slope" or node.id in graph.outputs.values()
    return kept or any(kind not in ("map", "view") for kind in kinds)


def _slope(graph: Graph, node: Node) -> Slope | None:
    members, leaves = _cone(graph, node)
    large = sorted(i for i in leaves if graph[i].shape == node.shape and graph[i].op not in LIGHT)
    if len(large) != 2:
        return None
    source, cotangent = large
    results = _results(graph, source)
    if results is None or node.id not in results or len(results) < 2:
        return None
    beside = sorted(results - {node.id})
    if beside[-1] > cotangent or any(graph[i].phase != graph[source].phase for i in beside):
        return None
    along = _along(graph, members, cotangent)
    if any(not _is_linear(graph, graph[i], {*along, cotangent}) for i in along):
        return None
    before = min(u for i in beside for u in graph.users(i) if OPS[graph[u].op].lowering != "map")
    known = all(i < before for i in leaves - {cotangent})
    drawn = {i for i in leaves if graph[i].op == "random"}
    work = sum(OPS[graph[i].op].flops for i in drawn | (members - along))
    if not known or work < DEAR:
        return None
    return Slope(node.id, cotangent, tuple(sorted(along)), beside[0])


def _cone(graph: Graph, node: Node) -> tuple[set[int], set[int]]:
    """The maps that make a value, and what they read: it lies in memory, is spread or drawn."""
    members, leaves, stack = {node.id}, set[int](), list(node.operands)
    while stack:
        i = stack.pop()
        if i in members or i in leaves or graph[i].op in SMALL:
            continue
        if OPS[graph[i].op].lowering == "map" and not _is_stored(graph, graph[i]):
            members.add(i)
            stack.extend(graph[i].operands)
        else:
            leaves.add(i)
    return members, leaves


def _results(graph: Graph, source: int) -> set[int] | None:
    """What memory holds of maps of a heavy result; None where somebody reads that itself."""
    if OPS[graph[source].op].lowering != "heavy" or source in graph.outputs.values():
        return None
    found, seen, stack = set[int](), set[int](), [source]
    while stack:
        for u in graph.users(stack.pop()):
            node = graph[u]
            if u in seen:
                continue
            seen.add(u)
            if OPS[node.op].lowering != "map" or node.shape != graph[source].shape:
                return None
            if _is_stored(graph, node):
                found.add(u)
            else:
                stack.append(u)
    return found


def _along(graph: Graph, members: set[int], cotangent: int) -> set[int]:
    """The members that a cotangent has a part in."""
    found: set[int] = set()
    for i in sorted(members):
        if any(o == cotangent or o in found for o in graph[i].operands):
            found.add(i)
    return found


def _is_linear(graph: Graph, node: Node, along: set[int]) -> bool:
    """Is a map of cotangents a multiple of them, whatever else it reads?"""
    parts = [o in along for o in node.operands]
    if node.op in ("add", "sub"):
        return all(parts)
    if node.op == "where":
        zero = [p or _is_zero(graph[o]) for o, p in zip(node.operands, parts, strict=True)]
        return not parts[0] and all(zero[1:])
    if node.op == "mul":
        return sum(parts) == 1
    return (node.op == "div" and parts == [True, False]) or node.op == "neg"


def _is_zero(node: Node) -> bool:
    return node.op == "constant" and node["value"] == 0


def _factor(b: Builder, graph: Graph, new: Mapping[int, int], slope: Slope) -> int:
    """What a cotangent is multiplied with: its maps, with the number 1 for it."""
    made: dict[int, int | float] = {slope.cotangent: 1.0}
    for i in slope.along:
        operands = [made.get(o, new.get(o, o)) for o in graph[i].operands]
        if graph[i].op == "mul" and 1.0 in operands:
            operands.remove(1.0)
            made[i] = operands[0]
        else:
            made[i] = b.map(graph[i].op, *operands, name=graph[i].name)
    found = made[slope.made]
    return found if isinstance(found, int) else b.constant(found)
