"""Floating-point operations of graph nodes, by the counts in the op records."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ...spec.dims import Dim, numel
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.types import Shape
from ..ops import OPS
from ..ops.products import letters


def flops(b: Builder, node: Node) -> Dim:
    """What one node costs: a multiplication and an addition are two."""
    if node.op == "contract":
        first, second, _ = letters(node["spec"])
        shapes = [b[o].shape for o in node.operands]
        extents = dict(zip(first, shapes[0], strict=True)) | dict(
            zip(second, shapes[1], strict=True)
        )
        return 2 * _volume(tuple(extents.values()))
    op = OPS[node.op]
    if op.work is not None:
        return op.work(tuple(b[o].type for o in node.operands), node.type)
    if op.flops == 0:
        return 0
    counted = b[node.operands[0]].shape if op.lowering == "fold" else node.shape
    return op.flops * _volume(counted)


@lru_cache(maxsize=10_000)
def _volume(shape: Shape) -> Dim:
    """The elements of a shape; the layers of a net have few different ones."""
    return numel(shape)


def total(b: Builder, ids: Iterable[int]) -> Dim:
    """The sum over some nodes."""
    result: Dim = 0
    for i in ids:
        cost = flops(b, b[i])
        if cost != 0:
            result = result + cost
    return result


def live(b: Builder, outputs: Iterable[int]) -> set[int]:
    """The nodes that some outputs depend on."""
    found: set[int] = set()
    stack = list(outputs)
    while stack:
        i = stack.pop()
        if i not in found:
            found.add(i)
            stack.extend(b[i].operands)
    return found
