"""Convolution and its two adjoints: channels-last values, weights in PyTorch's layout.

    convolve(x, w)          [batch, *space, in], [out, in / groups, *kernel] -> [batch, *sizes, out]
    convolve_input(d, u)    its adjoint in x, of a *turned* weight: [batch, *sizes, in]
    convolve_weight(x, d)   its adjoint in w: [out, in / groups, *kernel]

A turned weight is [*kernel, out, in / groups] with every kernel axis backwards: at stride 1 the
adjoint in x is the convolution of d with it.  `sizes` gives the spatial extents of the result; a
tap that falls outside the operand reads zero, so only the padding in front (`low`) is named.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import FLOATS, TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]
Slices = tuple[slice, ...]


def taps(
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    low: Sequence[int],
    outer: Sequence[int],
    inner: Sequence[int],
) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
    """For every tap, the windows that read inside the operand, and what they read there.

    `outer` counts windows, `inner` elements of the operand.
    """
    for tap in itertools.product(*(range(k) for k in kernel)):
        windows, elements = [], []
        for t, s, d, p, count, extent in zip(tap, stride, dilation, low, outer, inner, strict=True):
            start = t * d - p
            first = max(0, -(start // s))
            last = min(count - 1, (extent - 1 - start) // s)
            last = max(last, first - 1)
            windows.append(slice(first, last + 1))
            begin = first * s + start
            elements.append(
                slice(begin, begin + (last - first) * s + 1, s) if last >= first else slice(0, 0)
            )
        yield tap, tuple(windows), tuple(elements)


# ---- shape rules ---------------------------------------------------------------------------------


def _check(types: Types, a: Attributes) -> None:
    x, w = types
    for index, type in enumerate(types):
        if type.dtype not in FLOATS:
            message = f"a convolution needs floating-point numbers, got {type}"
            raise ShapeError("E414", message, (index,))
    if x.rank != w.rank or x.rank != len(a["sizes"]) + 2:
        raise ShapeError("E402", f"{x} and the weight {w} do not fit: their ranks differ", (0, 1))


def _infer_convolve(types: Types, a: Attributes) -> TensorType:
    _check(types, a)
    x, w = types
    depth: Dim = w.shape[1] * a["groups"]
    if x.shape[-1] != depth:
        message = f"the weight takes {depth} channels, {x} has {x.shape[-1]}"
        raise ShapeError("E403", message, (0, 1))
    return TensorType(a.get("to", x.dtype), (x.shape[0], *a["sizes"], w.shape[0]))


def _infer_convolve_input(types: Types, a: Attributes) -> TensorType:
    _check(types, a)
    d, u = types
    if d.shape[-1] != u.shape[-2]:
        message = f"the weight takes {u.shape[-2]} channels, {d} has {d.shape[-1]}"
        raise ShapeError("E403", message, (0, 1))
    shape = (d.shape[0], *a["sizes"], u.shape[-1] * a["groups"])
    return TensorType(a.get("to", d.dtype), shape)


def _infer_convolve_weight(types: Types, a: Attributes) -> TensorType:
    x, d = types
    if x.rank != d.rank or x.shape[0] != d.shape[0]:
        raise ShapeError("E403", f"{x} and {d} do not fit", (0, 1))
    shape = (d.shape[-1], x.shape[-1] // a["groups"], *a["kernel"])
    return TensorType(a.get("to", x.dtype), shape)


# ---- references ----------------------------------------------------------------------------------


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _first(x: np.ndarray) -> np.ndarray:
    """[..., groups, depth] -> [groups, rest, depth]."""
    *rest, groups, depth = x.shape
    return x.reshape(math.prod(rest), groups, depth).swapaxes(0, 1)


def _by_group(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """[..., groups, in] and [groups, in, out] -> [..., groups, out]."""
    y = _first(x) @ w
    return y.swapaxes(0, 1).reshape(*x.shape[:-1], w.shape[-1])


def _by_tap(w: np.ndarray, groups: int) -> np.ndarray:
    """[*kernel, groups, in, out] of a weight."""
    out, depth, *kernel = w.shape
    split = w.reshape(groups, out // groups, depth, *kernel)
    return np.moveaxis(split, (0, 2, 1), (-3, -2, -1))


def _convolve(x: np.ndarray, w: np.ndarray, *, stride: Any, dilation: Any, low: Any, groups: int,
              sizes: Any, to: str = "") -> np.ndarray:  # fmt: skip
    batch, *space, _ = x.shape
    y = np.zeros((batch, *sizes, groups, w.shape[0] // groups), np.result_type(x, w))
    xs, ws = _grouped(x, groups), _by_tap(w, groups)
    for tap, windows, elements in taps(w.shape[2:], stride, dilation, low, sizes, space):
        y[:, *windows] += _by_group(xs[:, *elements], ws[tap])
    return y.reshape(batch, *sizes, w.shape[0])


def _convolve_input(d: np.ndarray, u: np.ndarray, *, stride: Any, dilation: Any, low: Any,
                    groups: int, sizes: Any, to: str = "") -> np.ndarray:  # fmt: skip
    batch, *outer, _ = d.shape
    w = np.moveaxis(np.flip(u, tuple(range(u.ndim - 2))), (-2, -1), (0, 1))
    x = np.zeros((batch, *sizes, groups, w.shape[1]), np.result_type(d, w))
    ds, ws = _grouped(d, groups), _by_tap(w, groups)
    for tap, windows, elements in taps(w.shape[2:], stride, dilation, low, outer, sizes):
        x[:, *elements] += _by_group(ds[:, *windows], ws[tap].swapaxes(1, 2))
    return x.reshape(batch, *sizes, groups * w.shape[1])


def _convolve_weight(x: np.ndarray, d: np.ndarray, *, stride: Any, dilation: Any, low: Any,
                     groups: int, kernel: Any, to: str = "") -> np.ndarray:  # fmt: skip
    xs, ds = _grouped(x, groups), _grouped(d, groups)
    w = np.zeros((*kernel, groups, xs.shape[-1], ds.shape[-1]), np.result_type(x, d))
    for tap, windows, elements in taps(kernel, stride, dilation, low, d.shape[1:-1], x.shape[1:-1]):
        seen, given = xs[:, *elements], ds[:, *windows]
        w[tap] = _first(seen).swapaxes(1, 2) @ _first(given)
    return np.moveaxis(w, (-3, -2, -1), (0, 2, 1)).reshape(-1, xs.shape[-1], *kernel)


# ---- gradients -----------------------------------------------------------------------------------


def _shared(n: Node) -> dict[str, Any]:
    return {key: n[key] for key in ("stride", "dilation", "low", "groups")}


def turned(b: Builder, w: int) -> int:
    """[out, in, *kernel] -> [*kernel backwards, out, in]"""
    rank = len(b[w].shape)
    return b.transpose(_backwards(b, w, range(2, rank)), [*range(2, rank), 0, 1])


def _turned_back(b: Builder, u: int) -> int:
    rank = len(b[u].shape)
    return b.transpose(_backwards(b, u, range(rank - 2)), [rank - 2, rank - 1, *range(rank - 2)])


def _backwards(b: Builder, x: int, axes: Sequence[int]) -> int:
    shape = b[x].shape
    starts = [e - 1 if i in axes else 0 for i, e in enumerate(shape)]
    return b.slice(x, starts, shape, [-1 if i in axes else 1 for i in range(len(shape))])


def _d_convolve(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x, w = n.operands
    return (
        b.insert("convolve_input", (d, turned(b, w)), sizes=b[x].shape[1:-1], **_shared(n)),
        b.insert("convolve_weight", (x, d), kernel=b[w].shape[2:], **_shared(n)),
    )


def _d_convolve_input(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    y, u = n.operands
    w = _turned_back(b, u)
    found = b.insert("convolve_weight", (d, y), kernel=b[w].shape[2:], **_shared(n))
    return b.insert("convolve", (d, w), sizes=b[y].shape[1:-1], **_shared(n)), turned(b, found)


def _d_convolve_weight(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x, y = n.operands
    if x == y and {*n["kernel"], *n["stride"], n["groups"]} == {1} and not any(n["low"]):
        both = b.map("add", d, b.transpose(d, (1, 0, *range(2, len(b[d].shape)))))
        return b.insert("convolve", (x, both), sizes=b[x].shape[1:-1], **_shared(n)), None
    return (
        b.insert("convolve_input", (y, turned(b, d)), sizes=b[x].shape[1:-1], **_shared(n)),
        b.insert("convolve", (x, d), sizes=b[y].shape[1:-1], **_shared(n)),
    )


# ---- cost ----------------------------------------------------------------------------------------


def _work_convolve(types: Types, result: TensorType, a: Attributes) -> Dim:
    """A multiplication and an addition for every window and every element of the weight."""
    return 2 * numel(result.shape[:-1]) * numel(types[1].shape)


def _work_input(types: Types, _: TensorType, a: Attributes) -> Dim:
    return 2 * numel(types[0].shape[:-1]) * numel(types[1].shape)


def _work_weight(types: Types, result: TensorType, a: Attributes) -> Dim:
    return 2 * numel(types[1].shape[:-1]) * numel(result.shape)


WINDOWS: dict[str, Op] = {
    op.name: op
    for op in (
        Op(
            "convolve",
            "heavy",
            _infer_convolve,
            _convolve,
            _d_convolve,
            work=_work_convolve,
        ),
        Op(
            "convolve_input",
            "heavy",
            _infer_convolve_input,
            _convolve_input,
            _d_convolve_input,
            work=_work_input,
        ),
        Op(
            "convolve_weight",
            "heavy",
            _infer_convolve_weight,
            _convolve_weight,
            _d_convolve_weight,
            work=_work_weight,
        ),
    )
}
