"""Contractions, scatter, casts: ops with a kernel of their own, and the odd ones.

A product of 16-bit numbers gives 16-bit numbers, unless the attribute `to` names another type.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import FLOATS, TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]


def letters(spec: str) -> tuple[str, str, str]:
    """The three index strings of "ik,kj->ij"."""
    inputs, result = spec.split("->")
    a, b = inputs.split(",")
    return a, b, result


def _contract(x: np.ndarray, y: np.ndarray, *, spec: str, to: str = "") -> np.ndarray:
    """By matrix products: axes as [shared, rows, summed] and [shared, summed, columns]."""
    first, second, result = letters(spec)
    x, first = _alone(x, first, second + result)
    y, second = _alone(y, second, first + result)
    extents = {**dict(zip(first, x.shape, strict=True)), **dict(zip(second, y.shape, strict=True))}
    shared = [letter for letter in first if letter in second and letter in result]
    rows = [letter for letter in first if letter not in second]
    summed = [letter for letter in first if letter in second and letter not in result]
    columns = [letter for letter in second if letter not in first]

    def laid(a: np.ndarray, text: str, *groups: list[str]) -> np.ndarray:
        """The axes in this order, those of a group as one."""
        axes = [text.index(letter) for group in groups for letter in group]
        counts = [math.prod(extents[letter] for letter in group) for group in groups]
        return a.transpose(axes).reshape(counts)

    product = laid(x, first, shared, rows, summed) @ laid(y, second, shared, summed, columns)
    names = [*shared, *rows, *columns]
    apart = product.reshape([extents[letter] for letter in names])
    return apart.transpose([names.index(letter) for letter in result])


def _alone(x: np.ndarray, text: str, elsewhere: str) -> tuple[np.ndarray, str]:
    """The sum over axes that nothing else names."""
    axes = tuple(i for i, letter in enumerate(text) if letter not in elsewhere)
    kept = "".join(letter for letter in text if letter in elsewhere)
    return (x.sum(axes), kept) if axes else (x, text)


def _contract_in_order(x: np.ndarray, y: np.ndarray, *, spec: str, to: str = "") -> np.ndarray:
    first, second, result = letters(spec)
    extents = {**dict(zip(first, x.shape, strict=True)), **dict(zip(second, y.shape, strict=True))}
    summed = [letter for letter in extents if letter not in result]

    def laid(text: str, a: np.ndarray) -> np.ndarray:
        """Axes as in the sum, then as in the result; 1 where there is none."""
        names = [*summed, *result]
        a = a.transpose([text.index(letter) for letter in names if letter in text])
        return a.reshape([extents[letter] if letter in text else 1 for letter in names])

    xs, ys = laid(first, x), laid(second, y)
    total = np.zeros([extents[letter] for letter in result])
    for k in np.ndindex(*(extents[letter] for letter in summed)):
        here = (a[tuple(min(i, n - 1) for i, n in zip(k, a.shape, strict=False))] for a in (xs, ys))
        total += np.multiply(*here)
    return total


def _infer_contract(types: Types, a: Attributes) -> TensorType:
    first, second, result = letters(a["spec"])
    if types[0].rank != len(first) or types[1].rank != len(second):
        raise ShapeError("E402", f"{a['spec']} does not fit {types[0]} and {types[1]}", (0, 1))
    extents = dict(zip(first, types[0].shape, strict=True))
    for letter, extent in zip(second, types[1].shape, strict=True):
        if extents.setdefault(letter, extent) != extent:
            raise ShapeError(
                "E403",
                f"{types[0]} and {types[1]} do not fit: {extents[letter]} is not {extent}",
                (0, 1),
            )
    for index, type in enumerate(types):
        if type.dtype not in FLOATS:
            raise ShapeError(
                "E414", f"a product needs floating-point numbers, got {type}", (index,)
            )
    dtype = a.get("to", types[0].dtype)
    return TensorType(dtype, tuple(extents[letter] for letter in result))


def _d_contract(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    first, second, result = letters(n["spec"])
    x, y = n.operands
    turned = _turned(first, second, result) if x == y else None
    if turned is not None:  # x' x: one product with d + d'
        both = b.map("add", d, b.transpose(d, turned))
        return b.contract(f"{result},{second}->{first}", both, y), None
    return b.contract(f"{result},{second}->{first}", d, y), b.contract(
        f"{result},{first}->{second}", d, x
    )


def _turned(first: str, second: str, result: str) -> list[int] | None:
    """How the result is turned where the operands change places; None where it is another."""
    names = dict(zip(first + second, second + first, strict=True))
    turned = "".join(names[x] for x in result)
    same = all(names[x] == y and names[y] == x for x, y in zip(first, second, strict=True))
    return [result.index(x) for x in turned] if same and {*turned} == {*result} else None


def _infer_scatter(types: Types, a: Attributes) -> TensorType:
    indices, updates = types
    if updates.shape[: indices.rank] != indices.shape:
        raise ShapeError("E403", f"updates {updates} do not fit indices {indices}", (0, 1))
    return TensorType(updates.dtype, (a["entries"], *updates.shape[indices.rank :]))


def _scatter(indices: np.ndarray, updates: np.ndarray, *, entries: int) -> np.ndarray:
    rest = updates.shape[indices.ndim :]
    table = np.zeros((entries, *rest), updates.dtype)
    np.add.at(table, indices.astype(np.int64).reshape(-1), updates.reshape(-1, *rest))
    return table


def _d_scatter(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    return None, b.take(d, n.operands[0])


def _cast(x: np.ndarray, *, dtype: str) -> np.ndarray:
    if dtype == "bool":
        return x != 0
    if dtype in ("i32", "i64"):
        return np.trunc(x).astype(np.int64)
    return _ROUND.get(dtype, lambda y: y)(x.astype(np.float64))


def _f16(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float64)


def _bf16(x: np.ndarray) -> np.ndarray:
    """The upper half of a float32, rounded half to even."""
    bits = x.astype(np.float32).view(np.uint32)
    near = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, near.view(np.float32).astype(np.float64))


_ROUND = {"f16": _f16, "bf16": _bf16}


def _d_cast(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    source = b[n.operands[0]].dtype
    return (b.cast(d, source) if source in FLOATS else None,)


PRODUCTS: dict[str, Op] = {
    op.name: op
    for op in (
        Op(
            "contract",
            "heavy",
            _infer_contract,
            _contract,
            _d_contract,
            in_order=_contract_in_order,
        ),
        Op("scatter_add", "heavy", _infer_scatter, _scatter, _d_scatter, 1),
        Op("all_reduce", "heavy", lambda t, a: t[0], lambda x: x, None),
        Op("cast", "map", lambda t, a: TensorType(a["dtype"], t[0].shape), _cast, _d_cast),
        Op("copy", "map", lambda t, a: t[0], lambda x, *, to: x, lambda b, n, d: (d,)),
        Op("again", "map", lambda t, a: t[0], lambda x, *, number: x, lambda b, n, d: (d,)),
        Op("slope", "map", lambda t, a: t[0], lambda x: x, lambda b, n, d: (d,)),
        Op("stop_gradient", "map", lambda t, a: t[0], lambda x: x, lambda b, n, d: (None,)),
    )
}
