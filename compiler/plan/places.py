"""A pool of maxima remembers where they were.

    y = pool_max(x);  pool_max_input(x, y, d)
    ->  y = pool_max(x);  p = pool_max_place(y, x);  pool_max_put(p, d)

The kernel of the pool makes `p` on the way.  So the backward pass reads a number for each window
and not all that the windows read, and `x` need not be kept for it.
"""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.pools import GEOMETRY


def with_places(graph: Graph) -> Graph:
    """The graph in which adjoints of pools are told where the maxima were."""
    asked = {node.operands[1] for node in graph if _is_adjoint(graph, node)}
    if not asked:
        return graph
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    places: dict[int, int] = {}
    for node in graph:
        settings = {key: node[key] for key in GEOMETRY} if node.op.startswith("pool_max") else {}
        with b.like(node):
            operands = [new[o] for o in node.operands]
            if _is_adjoint(graph, node):
                sizes, pair = node.shape[1:-1], (places[node.operands[1]], operands[2])
                new[node.id] = b.insert("pool_max_put", pair, node.name, sizes=sizes, **settings)
                continue
            y = new[node.id] = b.repeat(node, operands)
            if node.id in asked:
                name = f"{node.name}_place"
                places[node.id] = b.insert("pool_max_place", (y, operands[0]), name, **settings)
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def _is_adjoint(graph: Graph, node: Node) -> bool:
    """Is it the adjoint of a pool of this graph?"""
    if node.op != "pool_max_input":
        return False
    x, y = node.operands[0], graph[node.operands[1]]
    return y.op == "pool_max" and y.operands[0] == x and all(y[k] == node[k] for k in GEOMETRY)
