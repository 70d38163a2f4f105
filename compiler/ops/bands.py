"""Sums along an axis of terms beside each other: a product with a matrix whose rows are short.

    band(x, first, weights)   y[…, o, …] = sum_t weights[t, o] x[…, first[o] + t, …]

`first` never falls.  So the rows that read one element are beside each other too, `reads` of them
at most, and the adjoint is a band: nothing is scattered.  What lies outside of the operand is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]


def _infer(types: Types, a: Attributes) -> TensorType:
    x, first, weights = types
    if first.rank != 1 or weights.rank != 2 or weights.shape[1] != first.shape[0]:
        raise ShapeError("E403", f"{first} and {weights} are no rows of one matrix", (1, 2))
    if not isinstance(weights.shape[0], int):
        raise ShapeError("E310", f"{weights} has no known number of terms", (2,))
    axis = a["axis"]
    return TensorType(x.dtype, (*x.shape[:axis], first.shape[0], *x.shape[axis + 1 :]))


def _band(
    x: np.ndarray, first: np.ndarray, weights: np.ndarray, *, axis: int, reads: int
) -> np.ndarray:
    x = np.moveaxis(x, axis, -1)
    total = np.zeros((*x.shape[:-1], len(first)), np.result_type(x, weights))
    for t, weight in enumerate(weights):
        place = first + t
        inside = (place >= 0) & (place < x.shape[-1])
        total[..., inside] += weight[inside] * x[..., place[inside]]
    return np.moveaxis(total, -1, axis)


def _d_band(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    """The same product with the matrix turned; a reader of an element has it as its term `t`."""
    x, first, weights = n.operands
    terms, count = b[weights].shape
    extent, reads = b[x].shape[n["axis"]], n["reads"]
    rows = b.size(count)

    every = (count, extent)
    end = b.map("add", b.broadcast(first, (0,), every), b.constant(terms, "i32"))
    before = b.cast(b.map("le", end, b.iota(every, 1)), "f32")
    begin = b.sum(before, (0,), name="begin")
    last = b.map("maximum", b.map("sub", rows, float(reads)), 0.0)
    begin = b.cast(b.map("minimum", begin, b.broadcast(last, (), (extent,))), "i32")

    shape: tuple[Dim, ...] = (reads, extent)
    reader = b.map("add", b.broadcast(begin, (1,), shape), b.iota(shape, 0))
    end = b.broadcast(b.map("sub", b.cast(rows, "i32"), b.constant(1, "i32")), (), shape)
    row = b.map("minimum", reader, end)
    term = b.map("sub", b.iota(shape, 1), b.take(first, row))
    known = b.map("and", b.map("ge", term, b.constant(0, "i32")), b.map("eq", row, reader))
    known = b.map("and", known, b.map("lt", term, b.constant(terms, "i32")))
    stride = b.broadcast(b.cast(rows, "i32"), (), shape)
    place = b.map(
        "add", b.map("mul", b.map("where", known, term, b.constant(0, "i32")), stride), row
    )
    flat = b.reshape(weights, [numel((terms, count))])
    turned = b.map("where", known, b.take(flat, place), 0.0, name="turned_weights")
    return b.insert("band", (d, begin, turned), axis=n["axis"], reads=terms), None, None


def _work(types: Types, result: TensorType, _: Attributes) -> Dim:
    """A multiplication and an addition for each term."""
    return 2 * types[2].shape[0] * numel(result.shape)


BANDS: dict[str, Op] = {
    op.name: op for op in (Op("band", "reindex", _infer, _band, _d_band, work=_work),)
}
