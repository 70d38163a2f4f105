"""Two sums of every channel, one after the other, become one pass.

    s = sum(x);  q = sum((x - s/n)²)  ->  m = moments(x);  s/n = m[1];  q = m[2]
    of a long row, on a GPU:          ->  q = squares(x)

The second sum would wait until the first is made of all rows, and read all of `x` again.  The
moments are taken where a panel of `x` (a CPU) or a block (a GPU) has just been made, and merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose, prod

from ...spec.dims import evaluate, numel
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.moments import MEAN, SQUARES
from .panels import SHARED_SUM
from .rewrite import rewritten

LONG, LONGEST = 512, 4_096
"""Columns of a row that a block of a product holds, and of one that fits a tile."""


def with_moments(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with the means and the squares of large batches made together."""
    found = {node.id: pair for node in graph if (pair := _pair(graph, node, sizes)) is not None}
    if not found:
        return graph
    rows = {mean: (x, MEAN) for mean, x in found.values()}
    rows |= {squares: (x, SQUARES) for squares, (_, x) in found.items()}
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    for node in graph:
        with b.like(node):
            if node.id in rows:
                x, row = rows[node.id]
                whole = b.insert("moments", (new[made_as(graph, x)],), "moments")
                one = b.slice(whole, (row, 0), (1, node.shape[0]), (1, 1))
                new[node.id] = b.rename(b.squeeze(one, (0,)), node.name)
            else:
                operands = [new[o] for o in node.operands]
                new[node.id] = b.repeat(node, operands)
    outputs = {name: new[i] for name, i in graph.outputs.items()}
    views = {name for name, i in outputs.items() if OPS[b[i].op].lowering == "view"}
    b.outputs = {name: b.copy(i, name) if name in views else i for name, i in outputs.items()}
    return b.graph()


def with_squares(graph: Graph) -> Graph:
    """The graph in which squares about the mean of a long row do not wait for the mean."""
    found = {node.id: x for node in graph if (x := _row_pair(graph, node)) is not None}
    if not found:
        return graph

    def at_once(b: Builder, node: Node, new: Mapping[int, int]) -> int:
        return b.insert("squares", (new[found[node.id]],), node.name, axes=node["axes"])

    return rewritten(graph, found, at_once)


def _row_pair(graph: Graph, node: Node) -> int | None:
    """The value of which a node sums the squares about the mean of each long row."""
    found = _squared(graph, node)
    if found is None:
        return None
    x, spread = found
    last = len(x.shape) - 1
    mean = graph[spread.operands[0]]
    if node["axes"] != (last,) or last < 1 or x.dtype != "f32" or mean.op != "mul":
        return None
    total, inverse = (graph[o] for o in mean.operands)
    known = inverse.op == "constant" and isinstance(x.shape[last], int)
    if not known or total.op != "sum" or total["axes"] != (last,) or total.operands[0] != x.id:
        return None
    whole = spread["dims"] == tuple(range(last))
    long = LONG < x.shape[last] <= LONGEST and isclose(inverse["value"] * x.shape[last], 1)
    return x.id if whole and long else None


def _squared(graph: Graph, node: Node) -> tuple[Node, Node] | None:
    """The x and the repeated y of sum((x - y)²)."""
    if node.op != "sum" or graph[node.operands[0]].op != "mul":
        return None
    left, right = graph[node.operands[0]].operands
    centred = graph[left]
    if left != right or centred.op != "sub":
        return None
    x, spread = (graph[o] for o in centred.operands)
    return (x, spread) if spread.op == "broadcast" else None


def made_as(graph: Graph, x: int) -> int:
    """What a product makes of which x is the same numbers in 32 bits, or x itself."""
    node = graph[x]
    narrow = node.op == "cast" and graph[node.operands[0]].dtype in ("f16", "bf16")
    return node.operands[0] if narrow else x


def _pair(graph: Graph, node: Node, sizes: Mapping[str, int]) -> tuple[int, int] | None:
    """The mean and the value x of which a node sums the squares about the mean."""
    found = _squared(graph, node)
    if found is None:
        return None
    x, spread = found
    rank = len(x.shape)
    axes = tuple(range(rank - 1))
    if node["axes"] != axes or rank < 3 or x.dtype != "f32":
        return None
    mean = graph[spread.operands[0]]
    total = _mean_of(graph, mean)
    if total is None or spread["dims"] != (rank - 1,) or total["axes"] != axes:
        return None
    alone = total.operands[0] == x.id and graph.users(total.id) == [mean.id]
    maker = graph[made_as(graph, x.id)]
    made = OPS[maker.op].lowering == "heavy" and not isinstance(x.shape[0], int)
    large = evaluate(numel(x.shape), sizes) > SHARED_SUM and isinstance(x.shape[-1], int)
    same_phase = node.phase == mean.phase == x.phase
    return (mean.id, x.id) if alone and made and large and same_phase else None


def _mean_of(graph: Graph, mean: Node) -> Node | None:
    """The sum of which a value is the mean."""
    if mean.op != "mul":
        return None
    total, inverse = (graph[o] for o in mean.operands)
    if total.op != "sum" or len(mean.shape) != 1:
        return None
    count = graph[total.operands[0]].shape
    if inverse.op == "broadcast":
        inverse = graph[inverse.operands[0]]
    if inverse.op == "constant":
        known = [extent for extent in count[:-1] if isinstance(extent, int)]
        whole = len(known) == len(count) - 1
        return total if whole and inverse["value"] * prod(known) == 1.0 else None
    one, size = (graph[o] for o in inverse.operands) if inverse.op == "div" else (None, None)
    if one is None or size is None or one.op != "constant" or size.op != "size":
        return None
    return total if one["value"] == 1.0 and size["dim"] == numel(count[:-1]) else None
