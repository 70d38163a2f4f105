"""Transpositions move outwards, so that those in front of an operation meet those behind the last.

A convolution has its channels last, the language has them on axis 1: between two convolutions
`transpose(f(transpose(...)))` becomes `f(...)`, and values lie as the convolutions want them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...spec.dims import Dim, exact_quotient

if TYPE_CHECKING:
    from ..ir.builder import Builder

Ids = tuple[int, ...]
Attributes = dict[str, Any]


def _inverse(order: Sequence[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def _order(b: Builder, x: Ids) -> tuple[int, ...] | None:
    """The order that all transposed operands share; the others must turn at no cost."""
    orders = {b[i]["order"] for i in x if b[i].op == "transpose"}
    if len(orders) != 1:
        return None
    free = ("transpose", "broadcast", "constant", "iota", "random")
    return orders.pop() if all(b[i].op in free for i in x) else None


def _turned(b: Builder, i: int, order: Sequence[int]) -> int:
    """The operand before the transposition."""
    return i if b[i].op == "constant" else b.transpose(i, _inverse(order))


def map_outwards(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """f(transpose a, transpose b, broadcast c) -> transpose f(a, b, broadcast c)"""
    order = _order(b, x)
    if order is None:
        return None
    return b.transpose(b.insert(op, tuple(_turned(b, i, order) for i in x), **a), order)


def fold_outwards(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """sum(transpose x) -> transpose sum(x)"""
    order = _order(b, x)
    if order is None:
        return None
    folded = [order[axis] for axis in a["axes"]]
    made = b.insert(op, (b[x[0]].operands[0],), axes=tuple(sorted(folded)))
    kept = [axis for axis in range(len(order)) if axis not in folded]
    return b.transpose(made, [kept.index(axis) for axis in order if axis in kept])


def concat_outwards(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """concat(transpose a, transpose b) -> transpose concat(a, b)"""
    order = _order(b, x)
    if order is None:
        return None
    return b.transpose(b.concat([_turned(b, i, order) for i in x], order[a["axis"]]), order)


def window_outwards(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """slice(transpose x) -> transpose slice(x); pad alike"""
    order = _order(b, x)
    if order is None:
        return None
    turned: Attributes = {
        key: tuple(value[i] for i in _inverse(order)) if isinstance(value, tuple) else value
        for key, value in a.items()
    }
    return b.transpose(b.insert(op, (b[x[0]].operands[0],), **turned), order)


def band_outwards(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """band(transpose x, …) -> transpose band(x, …)"""
    node = b[x[0]]
    if node.op != "transpose":
        return None
    turned = {**a, "axis": node["order"][a["axis"]]}
    return b.transpose(b.insert(op, (node.operands[0], *x[1:]), **turned), node["order"])


def broadcast_of_transpose(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """broadcast(transpose x) -> broadcast x along other axes"""
    node = b[x[0]]
    if node.op != "transpose":
        return None
    dims = [a["dims"][i] for i in _inverse(node["order"])]
    return b.broadcast(node.operands[0], dims, a["shape"])


def squeeze_outwards(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """squeeze(transpose x) -> transpose squeeze(x)"""
    node = b[x[0]]
    if node.op != "transpose":
        return None
    order = node["order"]
    gone = [order[axis] for axis in a["axes"]]
    kept = [axis for axis in range(len(order)) if axis not in gone]
    made = b.squeeze(node.operands[0], gone)
    return b.transpose(made, [kept.index(axis) for axis in order if axis in kept])


def reshape_outwards(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """reshape(transpose x) -> transpose reshape(x), where axes are only split or joined in place"""
    node = b[x[0]]
    if node.op != "transpose":
        return None
    order = node["order"]
    groups = aligned(node.shape, a["shape"])
    if groups is None:
        return None
    runs: list[tuple[list[int], list[Dim]]] = []  # source axes in their order, result extents
    for mine, made in groups:
        source = [order[axis] for axis in mine]
        if source != list(range(source[0], source[0] + len(source))):
            return None
        runs.append((source, [a["shape"][axis] for axis in made]))
    ranked = sorted(range(len(runs)), key=lambda k: runs[k][0][0])
    shape = [extent for k in ranked for extent in runs[k][1]]
    at: dict[int, int] = {}
    position = 0
    for k in ranked:
        at[k] = position
        position += len(runs[k][1])
    turn = [at[k] + offset for k in range(len(runs)) for offset in range(len(runs[k][1]))]
    return b.transpose(b.reshape(node.operands[0], shape), turn)


def aligned(have: Sequence[Dim], want: Sequence[Dim]) -> list[tuple[list[int], list[int]]] | None:
    """Runs of axes of equal products, one axis on at least one side; None where there are none."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(have) or j < len(want):
        if i == len(have) or j == len(want):
            return None  # ones at the end: rare, and reshape drops them without a copy
        mine, made = [i], [j]
        left, right = have[i], want[j]
        i, j = i + 1, j + 1
        while left != right:
            splits = len(mine) == 1 and j < len(want) and exact_quotient(left, right) is not None
            joins = len(made) == 1 and i < len(have) and exact_quotient(right, left) is not None
            if splits:
                made.append(j)
                right, j = right * want[j], j + 1
            elif joins:
                mine.append(i)
                left, i = left * have[i], i + 1
            else:
                return None
        groups.append((mine, made))
    return groups
