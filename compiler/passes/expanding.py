"""Products to more channels whose mean and variance are all that anybody needs to know beside them.

z = a @ w;  f(z), with f made of numbers of each channel, of the mean of z, and of its variance
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from ...spec.dims import evaluate
from ..ir.graph import Graph, Node
from ..ops.products import letters

WIDER = 2
"""Times that there are more channels after the product than before, at least."""

ROWS = 4
"""Times that there are more rows than channels before the product, at least."""

AFFINE = ("add", "sub", "mul", "neg")


@dataclass(slots=True)
class Fold:
    """One product that goes: its `rows`, its `weight`, and what becomes of its values.

    `letters` are the axes of the weight as a matrix: "kc" if it makes k channels of c, or "ck".

    `affine` are values that are numbers of each channel times the product, plus others; `squares`
    and `sums` are taken of those; `kept` is the one of them that is made after all.
    """

    product: int
    rows: int
    weight: int
    letters: str
    kept: int = -1
    affine: set[int] = field(default_factory=set)
    sums: set[int] = field(default_factory=set)
    squares: set[int] = field(default_factory=set)


def fold_of(graph: Graph, node: Node, sizes: Mapping[str, int]) -> Fold | None:
    """What follows from a product of rows with a weight that makes more channels of them."""
    found = _operands(graph, node)
    if found is None or not _pays(graph, found.rows, node, sizes):
        return None
    _follow(graph, node, found)
    read = {i for i in found.affine if _is_read(graph, i, found)}
    if len(read) != 1 or not found.squares:
        return None
    found.kept = read.pop()
    return found


def _operands(graph: Graph, node: Node) -> Fold | None:
    """The rows and the weight of a product along the last axis of the rows."""
    if node.op == "convolve":
        x, w = (graph[o] for o in node.operands)
        alone = {*w.shape[2:], node["groups"]} == {1} and not any(node["low"])
        inside = {*node["stride"]} != {1} or x.shape[1:-1] == node["sizes"]
        return Fold(node.id, x.id, w.id, "kc") if alone and inside else None
    if node.op != "contract" or node.dtype != "f32":
        return None
    first, second, result = letters(node["spec"])
    for (rows_of, mine), (weight, other) in _both(node, first, second):
        rows = mine[:-1]
        product = len(other) == 2 and mine[-1] in other and result[:-1] == rows
        if product and result[-1] in other and not set(rows) & set(other):
            text = "ck" if other[1] == result[-1] else "kc"
            return Fold(node.id, rows_of, weight, text)
    return None


def _both(node: Node, first: str, second: str) -> list[list[tuple[int, str]]]:
    sides = list(zip(node.operands, (first, second), strict=True))
    return [sides, sides[::-1]]


def _pays(graph: Graph, rows: int, node: Node, sizes: Mapping[str, int]) -> bool:
    """Are there many rows, and many more channels than before?"""
    before, after = graph[rows].shape[-1], node.shape[-1]
    if not isinstance(before, int) or not isinstance(after, int):
        return False
    count = prod(evaluate(extent, sizes) for extent in node.shape[:-1])
    return after >= WIDER * before and count >= ROWS * before


def _follow(graph: Graph, product: Node, found: Fold) -> None:
    """Find what is made of a product by numbers of each channel, and the sums of that."""
    found.affine.add(product.id)
    stack = [product.id]
    while stack:
        for i in graph.users(stack.pop()):
            node = graph[i]
            if _is_affine(graph, node, found) and i not in found.affine:
                found.affine.add(i)
                stack.append(i)
    for i in found.affine:
        for u in graph.users(i):
            if _sums_rows(graph, graph[u]):
                found.sums.add(u)
            elif _is_square(graph, graph[u]) and graph.users(u):
                sums = [s for s in graph.users(u) if _sums_rows(graph, graph[s])]
                if sums == graph.users(u) and u not in graph.outputs.values():
                    found.squares |= {u, *sums}


def _is_affine(graph: Graph, node: Node, found: Fold) -> bool:
    """Is a value made of such values by adding and multiplying numbers of each channel?"""
    if node.op not in AFFINE:
        return False
    ours = [o in found.affine for o in node.operands]
    if node.op == "mul" and all(ours):
        return False
    return all(mine or by_channel(graph[o]) for mine, o in zip(ours, node.operands, strict=True))


def by_channel(node: Node) -> bool:
    """Is a value a number, or one for each channel?"""
    if node.op == "broadcast":
        return node["dims"] in ((), (len(node.shape) - 1,))
    return node.op == "constant"


def _is_square(graph: Graph, node: Node) -> bool:
    return node.op == "mul" and node.operands[0] == node.operands[1]


def _sums_rows(graph: Graph, node: Node) -> bool:
    """Is a value the sum of each channel?"""
    if node.op != "sum":
        return False
    return node["axes"] == tuple(range(len(graph[node.operands[0]].shape) - 1))


def _is_read(graph: Graph, i: int, found: Fold) -> bool:
    """Does anybody read a value who needs all of its elements?"""
    known = found.affine | found.sums | found.squares
    return i in graph.outputs.values() or any(u not in known for u in graph.users(i))
