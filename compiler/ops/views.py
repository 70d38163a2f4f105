"""Ops that only move or repeat elements: what the result holds is an index into the operand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import Shape, TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]


# ---- shape rules ---------------------------------------------------------------------------------


def _infer_broadcast(types: Types, a: Attributes) -> TensorType:
    for axis, place in enumerate(a["dims"]):
        if types[0].shape[axis] != a["shape"][place]:
            raise ShapeError("E401", f"cannot broadcast {types[0]} to {a['shape']}", (0,))
    return TensorType(types[0].dtype, a["shape"])


def _infer_transpose(types: Types, a: Attributes) -> TensorType:
    if sorted(a["order"]) != list(range(types[0].rank)):
        raise ShapeError("E416", f"{a['order']} does not order the {types[0].rank} axes", (0,))
    return TensorType(types[0].dtype, tuple(types[0].shape[i] for i in a["order"]))


def _infer_squeeze(types: Types, a: Attributes) -> TensorType:
    for axis in a["axes"]:
        if types[0].shape[axis] != 1:
            raise ShapeError("E415", f"axis {axis} of {types[0]} is not 1", (0,))
    return TensorType(
        types[0].dtype, tuple(e for i, e in enumerate(types[0].shape) if i not in a["axes"])
    )


def _infer_reshape(types: Types, a: Attributes) -> TensorType:
    have, want = numel(types[0].shape), numel(a["shape"])
    if have != want:
        raise ShapeError(
            "E411", f"{types[0]} has {have} elements, {list(map(str, a['shape']))} has {want}", (0,)
        )
    return TensorType(types[0].dtype, a["shape"])


def _infer_slice(types: Types, a: Attributes) -> TensorType:
    return TensorType(types[0].dtype, a["sizes"])


def _infer_pad(types: Types, a: Attributes) -> TensorType:
    extents = tuple(
        low + e + high for low, e, high in zip(a["low"], types[0].shape, a["high"], strict=True)
    )
    return TensorType(types[0].dtype, extents)


def _infer_spread(types: Types, a: Attributes) -> TensorType:
    return TensorType(types[0].dtype, a["sizes"])


def _infer_concat(types: Types, a: Attributes) -> TensorType:
    axis, first = a["axis"], types[0]
    for index, other in enumerate(types):
        same = other.rank == first.rank and all(
            e == f
            for i, (e, f) in enumerate(zip(other.shape, first.shape, strict=True))
            if i != axis
        )
        if not same or other.dtype != first.dtype:
            raise ShapeError("E401", f"{first} and {other} differ outside axis {axis}", (0, index))
    total: Dim = sum(t.shape[axis] for t in types)
    return TensorType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _infer_take(types: Types, _: Attributes) -> TensorType:
    if types[1].dtype not in ("i32", "i64"):
        raise ShapeError("E414", f"an index must be an integer tensor, got {types[1]}", (1,))
    return TensorType(types[0].dtype, (*types[1].shape, *types[0].shape[1:]))


# ---- references ----------------------------------------------------------------------------------


def _broadcast(x: np.ndarray, *, dims: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    order = sorted(range(len(dims)), key=lambda axis: dims[axis])
    ones = [1] * len(shape)
    for axis, place in enumerate(dims):
        ones[place] = x.shape[axis]
    return np.broadcast_to(x.transpose(order).reshape(ones), shape)


def _slice(
    x: np.ndarray, *, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]
) -> np.ndarray:
    index = tuple(
        np.arange(n) * step + start for start, n, step in zip(starts, sizes, steps, strict=True)
    )
    return x[np.ix_(*index)] if index else x


def _spread(
    x: np.ndarray, *, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]
) -> np.ndarray:
    found = np.zeros(sizes, x.dtype)
    places = (
        np.arange(n) * step + start for start, n, step in zip(starts, x.shape, steps, strict=True)
    )
    found[np.ix_(*places)] = x
    return found


def _pad(x: np.ndarray, *, low: tuple[int, ...], high: tuple[int, ...], value: float) -> np.ndarray:
    return np.pad(x, list(zip(low, high, strict=True)), constant_values=value)


def _take(table: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return table[indices.astype(np.int64)]


# ---- gradients -----------------------------------------------------------------------------------


def _d_broadcast(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    kept = sorted(n["dims"])
    new = [axis for axis in range(len(n.shape)) if axis not in kept]
    total = b.sum(d, [axis for axis in new if n.shape[axis] != 1])
    left = [axis for axis in range(len(n.shape)) if axis in kept or n.shape[axis] == 1]
    total = b.squeeze(total, [at for at, axis in enumerate(left) if axis not in kept])
    return (b.transpose(total, [kept.index(axis) for axis in n["dims"]]),)


def _d_transpose(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    order = n["order"]
    return (b.transpose(d, [order.index(axis) for axis in range(len(order))]),)


def _d_squeeze(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    shape = b[n.operands[0]].shape
    return (b.broadcast(d, [axis for axis in range(len(shape)) if axis not in n["axes"]], shape),)


def _d_reshape(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    return (b.reshape(d, b[n.operands[0]].shape),)


def _d_slice(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    shape = b[n.operands[0]].shape
    if all(step in (1, -1) for step in n["steps"]) and n["sizes"] == shape:
        return (b.slice(d, n["starts"], shape, n["steps"]),)  # backwards, and back
    if any(step != 1 for step in n["steps"]):
        return (_d_steps(b, n, d, shape),)
    high = [e - start - size for e, start, size in zip(shape, n["starts"], n["sizes"], strict=True)]
    return (b.pad(d, n["starts"], high),)


def _d_steps(b: Builder, n: Node, d: int, shape: Shape) -> int:
    """The elements that a slice took, where they were taken: forwards along every axis."""
    starts, sizes, steps = list(n["starts"]), n["sizes"], list(n["steps"])
    turned = [-1 if step < 0 else 1 for step in steps]
    for axis, step in enumerate(steps):
        if step < 0:
            starts[axis], steps[axis] = starts[axis] + (sizes[axis] - 1) * step, -step
    if -1 in turned:
        ends = [e - 1 if t < 0 else 0 for e, t in zip(sizes, turned, strict=True)]
        d = b.slice(d, ends, sizes, turned)
    return b.insert("spread", (d,), starts=tuple(starts), sizes=shape, steps=tuple(steps))


def _d_spread(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    return (b.slice(d, n["starts"], b[n.operands[0]].shape, n["steps"]),)


def _d_pad(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    shape = b[n.operands[0]].shape
    return (b.slice(d, n["low"], shape, (1,) * len(shape)),)


def _d_concat(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    start: Dim = 0
    pieces: list[int | None] = []
    for operand in n.operands:
        shape = b[operand].shape
        starts = [start if axis == n["axis"] else 0 for axis in range(len(shape))]
        pieces.append(b.slice(d, starts, shape, (1,) * len(shape)))
        start = start + shape[n["axis"]]
    return tuple(pieces)


def _d_take(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    table, indices = n.operands
    return b.scatter_add(indices, d, b[table].shape[0]), None


VIEWS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("broadcast", "view", _infer_broadcast, _broadcast, _d_broadcast),
        Op(
            "transpose",
            "view",
            _infer_transpose,
            lambda x, *, order: x.transpose(order),
            _d_transpose,
        ),
        Op("squeeze", "view", _infer_squeeze, lambda x, *, axes: x.squeeze(axes), _d_squeeze),
        Op("reshape", "alias", _infer_reshape, lambda x, *, shape: x.reshape(shape), _d_reshape),
        Op("slice", "reindex", _infer_slice, _slice, _d_slice),
        Op("spread", "reindex", _infer_spread, _spread, _d_spread),
        Op("pad", "reindex", _infer_pad, _pad, _d_pad),
        Op(
            "concat",
            "reindex",
            _infer_concat,
            lambda *xs, axis: np.concatenate(xs, axis),
            _d_concat,
        ),
        Op("joined", "heavy", _infer_concat, lambda *xs, axis: np.concatenate(xs, axis), None),
        Op("take", "reindex", _infer_take, _take, _d_take),
    )
}
