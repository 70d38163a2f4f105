"""Pooling over windows of channels-last values, and the adjoints.

`pool_max_place` tells which tap of a window won, and `pool_max_put` gives cotangents to those: a
backward pass then reads a number for each window instead of all elements.

As in convolution, `sizes` gives the spatial extents of the result (of a pool) or of the operand
(of an adjoint); what falls outside the operand is left out of a maximum and of a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import FLOATS, TensorType
from .windows import taps

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]
GEOMETRY = ("kernel", "stride", "dilation", "low")


def _infer_pool(types: Types, a: Attributes) -> TensorType:
    x = types[0]
    if x.dtype not in FLOATS:
        raise ShapeError("E414", f"a pool needs floating-point numbers, got {x}", (0,))
    if x.rank != len(a["sizes"]) + 2:
        raise ShapeError("E402", f"{x} does not have {len(a['sizes'])} axes to pool", (0,))
    return TensorType(x.dtype, (x.shape[0], *a["sizes"], x.shape[-1]))


def _infer_like_first(types: Types, _: Attributes) -> TensorType:
    return types[0]


def _infer_like_second(types: Types, _: Attributes) -> TensorType:
    return types[1]


def _infer_place(types: Types, _: Attributes) -> TensorType:
    return TensorType("i32", types[0].shape)


def _infer_put(types: Types, a: Attributes) -> TensorType:
    place, d = types
    return TensorType(d.dtype, (place.shape[0], *a["sizes"], place.shape[-1]))


def _pool_max(x: np.ndarray, *, kernel: Any, stride: Any, dilation: Any, low: Any,
              sizes: Any) -> np.ndarray:  # fmt: skip
    y = np.full((x.shape[0], *sizes, x.shape[-1]), -np.inf, x.dtype)
    for _, windows, elements in taps(kernel, stride, dilation, low, sizes, x.shape[1:-1]):
        y[:, *windows] = np.maximum(y[:, *windows], x[:, *elements])
    return y


def _hits(
    x: np.ndarray, y: np.ndarray, geometry: tuple[Any, Any, Any, Any]
) -> Iterator[tuple[np.ndarray, Any, Any]]:
    """For each tap: which windows first attain their maximum there, the windows, the elements."""
    looking = np.ones(y.shape, bool)
    for _, windows, elements in taps(*geometry, y.shape[1:-1], x.shape[1:-1]):
        hit = looking[:, *windows] & (x[:, *elements] == y[:, *windows])
        yield hit, windows, elements
        looking[:, *windows] &= ~hit


def _pool_max_input(x: np.ndarray, y: np.ndarray, d: np.ndarray, *, kernel: Any, stride: Any,
                    dilation: Any, low: Any) -> np.ndarray:  # fmt: skip
    """The first element of a window that attains its maximum gets the gradient."""
    result = np.zeros_like(x)
    for hit, windows, elements in _hits(x, y, (kernel, stride, dilation, low)):
        result[:, *elements] += np.where(hit, d[:, *windows], 0)
    return result


def _pool_max_pick(x: np.ndarray, y: np.ndarray, e: np.ndarray, *, kernel: Any, stride: Any,
                   dilation: Any, low: Any) -> np.ndarray:  # fmt: skip
    """What `e` has where a window first attains its maximum; 0 where nothing does."""
    result = np.zeros_like(y)
    for hit, windows, elements in _hits(x, y, (kernel, stride, dilation, low)):
        result[:, *windows] = np.where(hit, e[:, *elements], result[:, *windows])
    return result


def _pool_max_place(y: np.ndarray, x: np.ndarray, *, kernel: Any, stride: Any, dilation: Any,
                    low: Any) -> np.ndarray:  # fmt: skip
    """The number of the first tap that attains a window's maximum; -1 where none does."""
    result = np.full(y.shape, -1, np.int32)
    numbers = dict(zip(np.ndindex(*kernel), range(int(np.prod(kernel))), strict=True))
    looking = np.ones(y.shape, bool)
    for tap, windows, elements in taps(kernel, stride, dilation, low, y.shape[1:-1], x.shape[1:-1]):
        hit = looking[:, *windows] & (x[:, *elements] == y[:, *windows])
        result[:, *windows] = np.where(hit, numbers[tuple(tap)], result[:, *windows])
        looking[:, *windows] &= ~hit
    return result


def _pool_max_put(place: np.ndarray, d: np.ndarray, *, kernel: Any, stride: Any, dilation: Any,
                  low: Any, sizes: Any) -> np.ndarray:  # fmt: skip
    """Each window gives its cotangent to the tap that won."""
    x = np.zeros((d.shape[0], *sizes, d.shape[-1]), d.dtype)
    numbers = dict(zip(np.ndindex(*kernel), range(int(np.prod(kernel))), strict=True))
    for tap, windows, elements in taps(kernel, stride, dilation, low, d.shape[1:-1], sizes):
        hit = place[:, *windows] == numbers[tuple(tap)]
        x[:, *elements] += np.where(hit, d[:, *windows], 0)
    return x


def _pool_sum(x: np.ndarray, *, kernel: Any, stride: Any, dilation: Any, low: Any,
              sizes: Any) -> np.ndarray:  # fmt: skip
    y = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    for _, windows, elements in taps(kernel, stride, dilation, low, sizes, x.shape[1:-1]):
        y[:, *windows] += x[:, *elements]
    return y


def _pool_sum_input(d: np.ndarray, *, kernel: Any, stride: Any, dilation: Any, low: Any,
                    sizes: Any) -> np.ndarray:  # fmt: skip
    x = np.zeros((d.shape[0], *sizes, d.shape[-1]), d.dtype)
    for _, windows, elements in taps(kernel, stride, dilation, low, d.shape[1:-1], sizes):
        x[:, *elements] += d[:, *windows]
    return x


def _geometry(n: Node) -> dict[str, Any]:
    return {key: n[key] for key in GEOMETRY}


def _d_pool_max(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x = n.operands[0]
    return (b.insert("pool_max_input", (x, n.id, d), **_geometry(n)),)


def _d_pool_max_input(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x, y, _ = n.operands
    return None, None, b.insert("pool_max_pick", (x, y, d), **_geometry(n))


def _d_pool_max_pick(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x, y, _ = n.operands
    return None, None, b.insert("pool_max_input", (x, y, d), **_geometry(n))


def _d_pool_sum(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    space = b[n.operands[0]].shape[1:-1]
    return (b.insert("pool_sum_input", (d,), sizes=space, **_geometry(n)),)


def _d_pool_sum_input(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    space = b[n.operands[0]].shape[1:-1]
    return (b.insert("pool_sum", (d,), sizes=space, **_geometry(n)),)


POOLS: dict[str, Op] = {
    op.name: op
    for op in (
        Op("pool_max", "heavy", _infer_pool, _pool_max, _d_pool_max, 1),
        Op("pool_max_input", "heavy", _infer_like_first, _pool_max_input, _d_pool_max_input, 1),
        Op("pool_max_pick", "heavy", _infer_like_second, _pool_max_pick, _d_pool_max_pick, 1),
        Op("pool_max_place", "heavy", _infer_place, _pool_max_place, None, 1),
        Op("pool_max_put", "heavy", _infer_put, _pool_max_put, None, 1),
        Op("pool_sum", "heavy", _infer_pool, _pool_sum, _d_pool_sum, 1),
        Op("pool_sum_input", "heavy", _infer_pool, _pool_sum_input, _d_pool_sum_input, 1),
    )
}

PLACED = {"pool_max": "pool_max_place"}
"""What the kernel of a pool also makes: an operation on its result."""
