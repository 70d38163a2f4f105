"""Sums of parts of a row, such as those of attention's heads, behind the product that makes it.

s[b, t, h] = sum over c of z[b, t, h, c] * o[b, t, h, c],  z = x @ w  ->  one launch

A block of the product holds all columns of some parts, so nobody reads `z` for its sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ....spec.dims import Dim
from ...plan.product import Product
from ..loops import Affine, Axis, Fold, Kernel, Let, Load, Pass, Statement, Store, operands_of
from .axes import statements
from .body import Body
from .contraction import Frame
from .template import call
from .tiles import power_of_two

PART = "part"
"""The index of a part within a row, [1, parts of a block]."""


@dataclass(frozen=True, slots=True)
class Heads:
    """A kernel whose columns are whole rows of a product, and folds `each` of them at a time.

    What it stores of a fold has the index of the first part of a row.
    """

    kernel: Kernel
    each: int
    count: int

    def fit(self, columns: int) -> bool:
        """Does a block of so many columns hold whole parts?"""
        return columns % self.each == 0

    def lines(self, body: Body, found: Sequence[Statement], frame: Frame) -> list[str]:
        """The statements, and the sums of the parts of a block."""
        folds = [s for s in found if isinstance(s, Fold)]
        stores = [s for s in found if isinstance(s, Store)]
        rest = [s for s in found if s not in folds and s not in stores]
        lines = body.lines(rest, {s.operand for s in folds})
        parts = f"BN // {self.each}"
        first = "" if frame.whole_rows else f"tile_n * ({parts}) + "
        lines.append(f"{PART} = {first}tl.arange(0, {parts})[None, :]")
        for s in folds:
            shaped = call("tl.reshape", [s.operand, f"[BM, {parts}, {self.each}]"], 4)[0]
            lines += call(f"{s.target} = tl.sum", [shaped, "axis=2"], 4)
        inside = None if frame.in_column is None else f"({PART} < {self.count})"
        mask = " & ".join(filter(None, (frame.in_row, inside)))
        for store in stores:
            at = f"{body.pointer(store.buffer, store.index, 'row')} + {PART}"
            value = body.writer.value_of(store)
            lines += call("tl.store", [at, value, *([f"mask={mask}"] if mask else [])], 4)
        return lines


def heads_of(kernel: Kernel, p: Product) -> Heads | None:
    """The kernel as one over rows of the product, if it only sums parts of these."""
    n, body = p.n.extent, statements(kernel)
    if not isinstance(n, int) or len(kernel.columns) != 1 or not body:
        return None
    each, inner = kernel.columns[0].extent, list[Axis]()
    rows = list(kernel.rows)
    while rows and isinstance(each, int) and isinstance(rows[-1].extent, int):
        inner.insert(0, rows.pop())
        if each * _count(inner) >= n:
            break
    if not isinstance(each, int) or not rows or not inner or each * _count(inner) != n:
        return None
    if each < 2 or each != power_of_two(each) or not all(_is_plain(kernel, s) for s in body):
        return None
    column = Axis(kernel.columns[0].name, n)
    try:
        passes = tuple(
            Pass(p.over_columns, tuple(_widened(s, rows, inner, kernel, column) for s in p.body))
            for p in kernel.passes
        )
    except LookupError:
        return None
    whole = replace(kernel, rows=tuple(rows), columns=(column,), passes=passes)
    return Heads(whole, each, _count(inner))


def _count(axes: Sequence[Axis]) -> int:
    return prod(a.extent for a in axes if isinstance(a.extent, int))


def _is_plain(kernel: Kernel, s: Statement) -> bool:
    """Is it arithmetic of full values, a sum of them, or where that is stored?"""
    values, folds = kernel.values, {x.target for x in statements(kernel) if isinstance(x, Fold)}
    if isinstance(s, Load):
        return not s.guards
    if isinstance(s, Let):
        return not folds & set(operands_of(s))
    if isinstance(s, Fold):
        real = values[s.operand].dtype == values[s.target].dtype == "f32"
        return s.function == "sum" and real and values[s.operand].kind == "full"
    return isinstance(s, Store) and s.operand in folds


def _widened(
    s: Statement, rows: Sequence[Axis], inner: Sequence[Axis], kernel: Kernel, column: Axis
) -> Statement:
    """The statement with one index along whole rows.  Raises: LookupError where there is none."""
    if not isinstance(s, (Load, Store)):
        return s
    terms = dict(s.index.terms)
    found = {axis: terms.pop(axis) for axis in rows if axis in terms}
    along = [*inner, *([] if isinstance(s, Store) else kernel.columns)]
    if s.index.offset != 0 or terms.keys() - set(along):
        raise LookupError
    step: Dim = 1
    for axis in reversed(along):
        if terms and axis.extent != 1 and terms.get(axis, 0) != step:
            raise LookupError
        step = step * axis.extent
    if isinstance(s, Store) and (not terms or found != _natural(rows, step)):
        raise LookupError
    more = {column: 1} if terms and isinstance(s, Load) else {}
    return replace(s, index=Affine((*found.items(), *more.items())))


def _natural(rows: Sequence[Axis], step: Dim) -> dict[Axis, Dim]:
    """The index of rows that lie one behind the other, `step` elements each."""
    found: dict[Axis, Dim] = {}
    for axis in reversed(rows):
        found[axis] = step
        step = step * axis.extent
    return found
