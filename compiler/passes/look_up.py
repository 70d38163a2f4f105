"""Multiply a table, not what is looked up in it, where a batch looks up more rows than it has.

    take(t, i) @ w              ->  take(t @ w, i)
    take(t, i)' @ d             ->  t' @ s                s = scatter_add(i, d)
    scatter_add(i, d @ w)       ->  s @ w

The products of an embedding and the layer after it then have as many rows as there are tokens to
tell apart, not as many as a batch holds.  Only for entries that see the batches of the data: a
single token would pay for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from ...spec.dims import evaluate
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.products import letters
from ..ops.rules import RULES

Side = TypeVar("Side")

TIMES = 2
"""How many rows a batch looks up for each row of the table, at least."""

LEAST = 32
"""The depth of a product that is worth looking up longer or shorter rows."""


def look_up(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with products of tables where they are smaller; itself if there are none."""
    found = {node.id: rewrite for node in graph if (rewrite := _rewrite(graph, node, sizes))}
    return _copied(graph, found) if found else graph


@dataclass(frozen=True, slots=True)
class _Rewrite:
    """The product that takes the place of a node: einsum `spec` of two values.

    `summed`: which of the two is first added up by `indices`, for each of the `entries`;
    `looked_up`: the result are rows of the product.
    """

    spec: str
    operands: tuple[int, int]
    indices: int
    entries: int
    summed: int | None = None
    looked_up: bool = False


def _rewrite(graph: Graph, node: Node, sizes: Mapping[str, int]) -> _Rewrite | None:
    if node.op == "scatter_add":
        return _of_scatter(graph, node, sizes)
    if node.op != "contract":
        return None
    for slot, operand in enumerate(node.operands):
        taken = graph[operand]
        if taken.op == "take" and _many(graph, taken.operands[1], graph[taken.operands[0]], sizes):
            return _of_take(graph, node, slot, taken)
    return None


def _many(graph: Graph, indices: int, table: Node, sizes: Mapping[str, int]) -> bool:
    """Are more rows looked up than there are, and are they long?"""
    if len(table.shape) != 2 or not all(isinstance(e, int) for e in table.shape):
        return False
    rows = prod(evaluate(e, sizes) for e in graph[indices].shape)
    entries, width = (evaluate(e, sizes) for e in table.shape)
    return rows >= TIMES * entries and width >= LEAST


def _of_take(graph: Graph, node: Node, slot: int, taken: Node) -> _Rewrite | None:
    """A product of looked-up rows, along their columns or over all of them."""
    table, indices = taken.operands
    first, second, result = letters(node["spec"])
    mine, other = (first, second) if slot == 0 else (second, first)
    rows, column = mine[:-1], mine[-1]
    new = _free(node["spec"])
    entries = evaluate(graph[table].shape[0], {})
    rest = node.operands[1 - slot]
    if column not in result and result.startswith(rows) and not set(rows) & set(other):
        made = _spec(slot, new + column, other, new + result[len(rows) :])
        return _Rewrite(made, _pair(slot, table, rest), indices, entries, looked_up=True)
    over = other.startswith(rows) and not set(rows) & set(result)
    if over and column in result and column not in other:
        made = _spec(slot, new + column, new + other[len(rows) :], result)
        return _Rewrite(made, _pair(slot, table, rest), indices, entries, summed=1 - slot)
    return None


def _of_scatter(graph: Graph, node: Node, sizes: Mapping[str, int]) -> _Rewrite | None:
    """Rows that a product makes, and nobody but their sum reads."""
    indices, made = node.operands
    product = graph[made]
    if product.op != "contract" or graph.users(made) != [node.id]:
        return None
    if not _many(graph, indices, node, sizes):
        return None
    first, second, result = letters(product["spec"])
    rows, new = result[: len(graph[indices].shape)], _free(product["spec"])
    for slot, (mine, other) in enumerate(((first, second), (second, first))):
        if mine.startswith(rows) and not set(rows) & set(other):
            spec = _spec(slot, new + mine[len(rows) :], other, new + result[len(rows) :])
            x, y = product.operands
            return _Rewrite(spec, (x, y), indices, evaluate(node.shape[0], {}), summed=slot)
    return None


def _spec(slot: int, mine: str, other: str, result: str) -> str:
    """The new product, its operands in their old order."""
    return f"{','.join(_pair(slot, mine, other))}->{result}"


def _pair(slot: int, mine: Side, other: Side) -> tuple[Side, Side]:
    return (mine, other) if slot == 0 else (other, mine)


def _free(spec: str) -> str:
    """A letter that a product does not use."""
    return next(letter for letter in "vwxyzabcdefghijklmnopqrstu" if letter not in spec)


def _copied(graph: Graph, rewrites: Mapping[int, _Rewrite]) -> Graph:
    b = Builder(OPS, RULES)
    new: dict[int, int] = {}
    for node in graph:
        with b.like(node):
            rewrite = rewrites.get(node.id)
            if rewrite is None:
                operands = [new[o] for o in node.operands]
                new[node.id] = b.repeat(node, operands)
            else:
                new[node.id] = _inserted(b, node, rewrite, new)
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def _inserted(b: Builder, node: Node, r: _Rewrite, new: Mapping[int, int]) -> int:
    indices = new[r.indices]
    operands = [new[o] for o in r.operands]
    if r.summed is not None:
        operands[r.summed] = b.scatter_add(indices, operands[r.summed], r.entries)
    product = b.contract(r.spec, operands[0], operands[1], name=node.name)
    return b.take(product, indices) if r.looked_up else product
