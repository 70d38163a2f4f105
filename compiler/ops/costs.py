"""Floating-point operations of one node, by the counts in the op records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from ...spec.dims import Dim, numel
from ..ir.graph import Node
from ..ir.op import Op
from ..ir.types import Shape, TensorType
from .products import letters


def flops(ops: Mapping[str, Op], node: Node, operands: Sequence[TensorType]) -> Dim:
    """What one node costs: a multiplication and an addition are two."""
    if node.op == "contract":
        first, second, _ = letters(node["spec"])
        a, b = (type.shape for type in operands)
        extents = dict(zip(first, a, strict=True)) | dict(zip(second, b, strict=True))
        return 2 * _volume(tuple(extents.values()))
    op = ops[node.op]
    if op.work is not None:
        return op.work(tuple(operands), node.type, dict(node.attributes))
    if op.flops == 0:
        return 0
    return op.flops * _volume(operands[0].shape if op.lowering == "fold" else node.shape)


@lru_cache(maxsize=10_000)
def _volume(shape: Shape) -> Dim:
    """The elements of a shape; the layers of a net have few different ones."""
    return numel(shape)
