"""Reductions over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import FLOATS, Shape, TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]


def _kept(types: Types, a: Attributes) -> Shape:
    return tuple(e for axis, e in enumerate(types[0].shape) if axis not in a["axes"])


def _infer(types: Types, a: Attributes) -> TensorType:
    if types[0].dtype == "bool":
        raise ShapeError("E414", f"cannot reduce {types[0]}", (0,))
    return TensorType(types[0].dtype, _kept(types, a))


def _infer_real(types: Types, a: Attributes) -> TensorType:
    if types[0].dtype not in FLOATS:
        raise ShapeError("E414", f"needs floating-point numbers, got {types[0]}", (0,))
    return TensorType(types[0].dtype, _kept(types, a))


def _infer_index(types: Types, a: Attributes) -> TensorType:
    if len(a["axes"]) != 1:
        raise ShapeError("E416", "argmax works along one axis", (0,))
    return TensorType("i32", _kept(types, a))


def _sum(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(x.sum(axis=axes))


def _sum_in_order(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    terms = np.moveaxis(x, axes, range(len(axes)))
    count, rest = math.prod(terms.shape[: len(axes)]), terms.shape[len(axes) :]
    if not count:
        return np.zeros(rest, x.dtype)
    return np.asarray(np.add.accumulate(terms.reshape(count, *rest), axis=0)[-1])


def _logsumexp(
    x: np.ndarray, *, axes: tuple[int, ...], add: Callable[..., np.ndarray] = _sum
) -> np.ndarray:
    top = x.max(axis=axes, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    total = np.log(add(np.exp(x - safe), axes=axes)) + safe.squeeze(axes)
    top = top.squeeze(axes)
    return np.where(np.isposinf(top), top, total)


def _logsumexp_in_order(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    return _logsumexp(x, axes=axes, add=_sum_in_order)


def spread(b: Builder, n: Node, x: int) -> int:
    """A value of a reduction's shape, repeated along the axes it folded."""
    shape = b[n.operands[0]].shape
    return b.broadcast(x, [axis for axis in range(len(shape)) if axis not in n["axes"]], shape)


def _d_sum(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    return (spread(b, n, d),)


def _d_extremum(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    """Elements that attain the extremum share the gradient equally, as in PyTorch's amax."""
    hit = b.map(
        "where", b.map("eq", n.operands[0], spread(b, n, n.id)), 1.0, 0.0, name="is_extremum"
    )
    share = b.map("div", d, b.sum(hit, n["axes"]))
    return (b.map("mul", hit, spread(b, n, share)),)


def _d_logsumexp(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    """dx = softmax(x) * d; with common subexpressions merged this is every softmax's backward."""
    weights = b.map("exp", b.map("sub", n.operands[0], spread(b, n, n.id)), name="probability")
    return (b.map("mul", weights, spread(b, n, d)),)


FOLDS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("sum", "fold", _infer, _sum, _d_sum, 1, in_order=_sum_in_order),
        Op("max", "fold", _infer, lambda x, *, axes: x.max(axis=axes), _d_extremum, 1),
        Op("min", "fold", _infer, lambda x, *, axes: x.min(axis=axes), _d_extremum, 1),
        Op(
            "logsumexp",
            "fold",
            _infer_real,
            _logsumexp,
            _d_logsumexp,
            12,
            in_order=_logsumexp_in_order,
        ),
        Op("argmax", "fold", _infer_index, lambda x, *, axes: x.argmax(axis=axes[0]), None, 1),
        Op("argmin", "fold", _infer_index, lambda x, *, axes: x.argmin(axis=axes[0]), None, 1),
    )
}
