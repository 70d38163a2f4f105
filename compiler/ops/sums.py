"""Sums that are known before anything is added: of repeated values, of multiples, about a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...spec.dims import Dim
from ..ir.builder import Builder
from ..ir.graph import Node


def sum_rule(b: Builder, _: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """sum(broadcast s) -> n s; sum(-x) -> -sum x; sum(x broadcast s) -> s sum x;
    sum(x - mean x) -> 0; sum(a + b) -> sum a + sum b where one of them is known; sum(sum x) ->
    sum x
    """
    axes, node = a["axes"], b[x[0]]
    if node.op == "broadcast" and set(axes) - set(node["dims"]):
        return _sum_of_broadcast(b, node, axes)
    if node.op == "sum":
        outer = [axis for axis in range(len(b[node.operands[0]].shape)) if axis not in node["axes"]]
        return b.sum(node.operands[0], [*node["axes"], *(outer[axis] for axis in axes)])
    if node.op == "neg":
        return b.map("neg", b.sum(node.operands[0], axes))
    if node.op == "mul":
        for p, q in (node.operands, node.operands[::-1]):
            if _constant_along(b, p, axes):
                return b.map("mul", b.sum(q, axes), _without(b, p, axes))
    if node.op == "sub" and _is_mean(b, node.operands[1], node.operands[0], axes):
        return _zeros(b, node, axes)
    if node.op in ("add", "sub") and any(_sum_known(b, p, axes) for p in node.operands):
        if any(b.value(p) is not None for p in node.operands) or _is_about(b, node):
            return None
        return b.map(node.op, b.sum(node.operands[0], axes), b.sum(node.operands[1], axes))
    return None


def _is_about(b: Builder, node: Node) -> bool:
    """Is a value taken about numbers without a gradient, so that its sum loses nothing?"""
    by = b[node.operands[1]]
    return node.op == "sub" and by.op == "broadcast" and b[by.operands[0]].op == "stop_gradient"


def _constant_along(b: Builder, i: int, axes: Sequence[int]) -> bool:
    """Does the value not change along `axes`?"""
    node = b[i]
    return node.op == "constant" or (node.op == "broadcast" and not set(axes) & set(node["dims"]))


def _without(b: Builder, i: int, axes: Sequence[int]) -> int:
    """A value constant along `axes`, without them."""
    node = b[i]
    if node.op == "constant":
        return i
    kept = [axis for axis in range(len(node.shape)) if axis not in axes]
    shape = tuple(node.shape[axis] for axis in kept)
    return b.broadcast(node.operands[0], [kept.index(d) for d in node["dims"]], shape)


def _is_mean(b: Builder, mean: int, x: int, axes: Sequence[int]) -> bool:
    """Is `mean` the mean of `x` along `axes`, repeated?"""
    node = b[mean]
    if node.op != "broadcast" or set(axes) & set(node["dims"]):
        return False
    scaled = b[node.operands[0]]
    if scaled.op != "mul":
        return False
    total = b[scaled.operands[0]]
    count: Dim = 1
    for axis in axes:
        count = count * b[x].shape[axis]
    same = total.op == "sum" and total.operands == (x,) and total["axes"] == tuple(axes)
    return same and _is_inverse(b, scaled.operands[1], count)


def _is_inverse(b: Builder, i: int, count: Dim) -> bool:
    """Is the value one over a number of elements, in every place?"""
    if isinstance(count, int):
        return b.value(i) == 1.0 / count
    node = b[b[i].operands[0]] if b[i].op == "broadcast" else b[i]
    if node.op != "div" or b.value(node.operands[0]) != 1.0:
        return False
    size = b[node.operands[1]]
    return size.op == "size" and size["dim"] == count


def _sum_known(b: Builder, i: int, axes: Sequence[int]) -> bool:
    """Is the sum along `axes` a multiple of something smaller, or zero?"""
    node: Node = b[i]
    if _constant_along(b, i, axes):
        return True
    if node.op == "sub" and _is_mean(b, node.operands[1], node.operands[0], axes):
        return True
    if node.op == "mul":
        p, q = node.operands
        return (_constant_along(b, p, axes) and _sum_known(b, q, axes)) or (
            _constant_along(b, q, axes) and _sum_known(b, p, axes)
        )
    return False


def _sum_of_broadcast(b: Builder, node: Node, axes: Sequence[int]) -> int:
    """Sum first along the axes that the operand has, then count the others."""
    inner = b.sum(node.operands[0], [k for k, d in enumerate(node["dims"]) if d in axes])
    kept = [axis for axis in range(len(node.shape)) if axis not in axes]
    shape = tuple(node.shape[axis] for axis in kept)
    dims = [kept.index(d) for d in node["dims"] if d not in axes]
    count = 1
    for axis in axes:
        if axis not in node["dims"]:
            count = count * node.shape[axis]
    total = b.map("mul", inner, b.broadcast(b.size(count), (), b[inner].shape))
    return b.broadcast(total, dims, shape)


def _zeros(b: Builder, node: Node, axes: Sequence[int]) -> int:
    shape = tuple(e for axis, e in enumerate(node.shape) if axis not in axes)
    return b.broadcast(b.constant(0.0, node.dtype), (), shape)
