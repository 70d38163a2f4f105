"""Normalisation and activation in front of a convolution: made where they are read, not stored.

    a = relu(normalise(z)):  convolve(a, w), convolve_weight(a, d)
    ->  convolve(copy_1(a), w), convolve_weight(copy_2(a), d), and nobody stores a

A copy is made in the panel of its reader and never leaves the cache.  So `z` is all that memory
holds between the forward and the backward pass, and the mask of the activation is read off `z`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from .chains import chain
from .values import Values
from .windows import WINDOWED

LIGHT = 32  # operations an element that take no longer than writing it and reading it back


FORWARD = ("pool_max", "pool_max_place", "pool_sum")
"""Pools, which read what they make in the same panel."""


def made_again(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph in which readers of windows make what `chains` finds for themselves."""
    found = chains(graph, sizes)
    if not found:
        return graph
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    count, late = dict.fromkeys(found, 0), _late(graph, found)
    for node in graph:
        with b.like(node):
            operands = [new[o] for o in node.operands]
            for o in dict.fromkeys(node.operands if node.op in WINDOWED else ()):
                if o in found:
                    waiting = (node.id, o) in late
                    count[o] += waiting
                    number = count[o] if waiting else 0
                    copy = b.insert("again", (new[o],), graph[o].name, number=number)
                    operands = [
                        copy if x == o else y for x, y in zip(node.operands, operands, strict=True)
                    ]
            new[node.id] = b.repeat(node, operands)
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def waits(graph: Graph) -> dict[int, frozenset[int]]:
    """What is made before each copy that comes late: what its reader reads beside it.

    Otherwise it would join the first, since both read the same.
    """
    found = {}
    for node in graph:
        if node.op == "again" and node["number"]:
            others = {o for u in graph.users(node.id) for o in graph[u].operands}
            found[node.id] = frozenset(others - {node.id})
    return found


def chains(graph: Graph, sizes: Mapping[str, int]) -> frozenset[int]:
    """Maps that windows read twice, the second time beside something that depends on them, and that
    follow quickly from as much memory as they take and from sums over the batch.

    Only such sums keep the readers of a map from sharing a stage with it.
    """
    read = {o for node in graph if node.op in WINDOWED for o in node.operands}
    read = {o for o in read if OPS[graph[o].op].lowering == "map"} - set(graph.outputs.values())
    late = _late(graph, read)
    first = {o for n in graph if n.op in WINDOWED for o in n.operands if (n.id, o) not in late}
    both = first & {o for _, o in late}
    values, found = (Values(graph, sizes), set[int]()) if both else (None, set[int]())
    for i in sorted(both):
        if values is not None and _is_made_again(values, graph[i]):
            values.stored -= {i}
            found.add(i)
    return frozenset(found)


def _late(graph: Graph, maps: Collection[int]) -> set[tuple[int, int]]:
    """The readers of maps, windows, that also read what depends on these."""
    bits = {i: 1 << n for n, i in enumerate(sorted(maps))}
    below: dict[int, int] = {}
    found: set[tuple[int, int]] = set()
    for node in graph:
        below[node.id] = bits.get(node.id, 0)
        for o in node.operands:
            below[node.id] |= below[o]
        for o in node.operands if node.op in WINDOWED and node.op not in FORWARD else ():
            if o in bits and any(below[x] & bits[o] for x in node.operands if x != o):
                found.add((node.id, o))
    return found


def _is_made_again(values: Values, node: Node) -> bool:
    """Does nobody else want it in memory, and is there little work?"""
    graph = values.graph
    readers = [graph[u] for u in graph.users(node.id) if graph[u].op not in WINDOWED]
    if any(OPS[u.op].lowering in ("heavy", "alias", "reindex") for u in readers):
        return False
    found = chain(values, node)
    return found is not None and found.work <= LIGHT and found.bytes <= values.bytes_of(node.id)
