"""Loop IR -> loop IR: axes that walk memory as one become one, one pointer a value, names that fit.

rows (B, T), x[B, T, 64] and y[B, T, 64] -> rows (B*T)
a map of contiguous values               -> one flat axis, no columns
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ....spec.dims import Dim
from ..loops import (
    Affine,
    Axis,
    Draw,
    Fold,
    Gather,
    Guard,
    Kernel,
    KernelBuffer,
    Let,
    Load,
    Pass,
    Statement,
    Store,
    Value,
)

FLAT = "i"
"""The index of a kernel without columns."""


def collapse(kernel: Kernel, *, flat: bool = True) -> Kernel:
    """Join neighbouring axes wherever every access allows it; `flat`: rows with columns too."""
    kernel = _joined(_joined(kernel, "rows"), "columns")
    if flat and kernel.columns and len(kernel.rows) == len(kernel.columns) == 1:
        row, column = kernel.rows[0], kernel.columns[0]
        sinks = any(isinstance(s, (Fold, Gather)) for s in statements(kernel))
        if not sinks and not _quads(kernel) and _join_as_one(kernel, row, column):
            kernel = _merge(kernel, row, column)
            values = {
                n: Value("row" if v.kind == "full" else v.kind, v.dtype)
                for n, v in kernel.values.items()
            }
            body = _once(s for p in kernel.passes for s in p.body)
            kernel = replace(
                kernel, rows=kernel.columns, columns=(), values=values, passes=(Pass(False, body),)
            )
    return _named(kernel)


def statements(kernel: Kernel) -> list[Statement]:
    """All statements of all passes."""
    return [s for p in kernel.passes for s in p.body]


def _once(body: Iterable[Statement]) -> tuple[Statement, ...]:
    """Without second definitions of a value."""
    seen: set[str] = set()
    kept: list[Statement] = []
    for s in body:
        target = getattr(s, "target", None)
        if target not in seen:
            kept.append(s)
        if target is not None:
            seen.add(target)
    return tuple(kept)


# ---- joining -------------------------------------------------------------------------------------


def _affines(kernel: Kernel) -> list[Affine]:
    found = []
    for s in statements(kernel):
        index = getattr(s, "index", None)
        if index is not None:
            found.append(index)
        found += [guard.index for guard in getattr(s, "guards", ())]
    return found


def _stride(index: Affine, axis: Axis) -> Dim:
    return dict(index.terms).get(axis, 0)


def _join_as_one(kernel: Kernel, outer: Axis, inner: Axis) -> bool:
    return all(_stride(i, outer) == _stride(i, inner) * inner.extent for i in _affines(kernel))


def _quads(kernel: Kernel) -> bool:
    """Are there draws of which four neighbours can share a call?"""
    return any(
        isinstance(s, Draw) and quad_stride(kernel, s) is not None for s in statements(kernel)
    )


def quad_stride(kernel: Kernel, s: Draw) -> int | None:
    """The distance between rows of a draw's index when four columns can share one Philox call."""
    if len(kernel.columns) != 1 or s.index.offset != 0:
        return None
    extents = dict(s.index.terms)
    column, rest = kernel.columns[0], 0
    if extents.pop(column, 0) != 1 or column.extent == 1:
        return None
    if len(extents) > 1 or set(extents) - set(kernel.rows) or len(kernel.rows) != len(extents):
        return None
    for stride in extents.values():
        if not isinstance(stride, int) or stride % 4:
            return None
        rest = stride
    return rest


def _joined(kernel: Kernel, group: str) -> Kernel:
    position = 0
    while position < len(getattr(kernel, group)) - 1:
        outer, inner = getattr(kernel, group)[position : position + 2]
        if _join_as_one(kernel, outer, inner):
            kernel = _merge(kernel, outer, inner)
        else:
            position += 1
    return kernel


def _merge(kernel: Kernel, outer: Axis, inner: Axis) -> Kernel:
    whole = Axis(inner.name, outer.extent * inner.extent)

    def moved(index: Affine) -> Affine:
        terms = tuple((whole if t == inner else t, s) for t, s in index.terms if t != outer)
        return Affine(terms, index.offset)

    def axes(group: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(whole if a == inner else a for a in group if a != outer)

    kernel = _with_indices(kernel, moved)
    return replace(kernel, rows=axes(kernel.rows), columns=axes(kernel.columns))


def _with_indices(kernel: Kernel, change: Callable[[Affine], Affine]) -> Kernel:
    def of(s: Statement) -> Statement:
        changes: dict[str, Any] = {}
        if hasattr(s, "index"):
            changes["index"] = change(s.index)
        if isinstance(s, Load) and s.guards:
            changes["guards"] = tuple(Guard(change(g.index), g.low, g.high) for g in s.guards)
        return replace(s, **changes) if changes else s

    passes = tuple(Pass(p.over_columns, tuple(of(s) for s in p.body)) for p in kernel.passes)
    return replace(kernel, passes=passes)


def renamed_axis(kernel: Kernel, old: Axis, new: Axis) -> Kernel:
    """The kernel with another axis in place of one."""

    def moved(index: Affine) -> Affine:
        return Affine(tuple((new if t == old else t, s) for t, s in index.terms), index.offset)

    kernel = _with_indices(kernel, moved)
    rows, columns = (
        tuple(new if a == old else a for a in x) for x in (kernel.rows, kernel.columns)
    )
    return replace(kernel, rows=rows, columns=columns)


def _named(kernel: Kernel) -> Kernel:
    """`row` where there is one row axis, else `row_0`, `row_1`, ...; columns likewise."""
    names: dict[Axis, Axis] = {}
    prefix = "row" if kernel.columns else FLAT
    for group, word in ((kernel.rows, prefix), (kernel.columns, "column")):
        for position, axis in enumerate(group):
            names[axis] = Axis(word if len(group) == 1 else f"{word}_{position}", axis.extent)

    def renamed(index: Affine) -> Affine:
        return Affine(
            tuple((names.get(t, t) if isinstance(t, Axis) else t, s) for t, s in index.terms),
            index.offset,
        )

    kernel = _with_indices(kernel, renamed)
    return replace(
        kernel,
        rows=tuple(names[a] for a in kernel.rows),
        columns=tuple(names[a] for a in kernel.columns),
    )


# ---- names ---------------------------------------------------------------------------------------


def rename(kernel: Kernel, values: Mapping[str, str], buffers: Mapping[str, str]) -> Kernel:
    """The kernel with other names for values and buffers; buffers of one name become one."""

    def value(name: Any) -> Any:
        return values.get(name, name) if isinstance(name, str) else name

    def index(i: Affine) -> Affine:
        return Affine(tuple((value(t), s) for t, s in i.terms), i.offset)

    def of(s: Statement) -> Statement:
        changes: dict[str, Any] = {}
        if hasattr(s, "target"):
            changes["target"] = value(s.target)
        if isinstance(s, Let):
            changes["operands"] = tuple(map(value, s.operands))
        if isinstance(s, (Fold, Gather, Store)):
            changes["operand"] = value(s.operand)
        if isinstance(s, (Load, Gather, Store)):
            changes["buffer"] = buffers.get(s.buffer, s.buffer)
        return replace(s, **changes)

    passes = tuple(Pass(p.over_columns, tuple(of(s) for s in p.body)) for p in kernel.passes)
    pointers: dict[str, KernelBuffer] = {}
    for b in kernel.buffers:
        name = buffers.get(b.name, b.name)
        known = pointers.get(name)
        role = b.role if known is None or known.role == "in" else known.role
        pointers[name] = replace(b, name=name, role=role)
    infos = {value(name): info for name, info in kernel.values.items()}
    renamed = replace(kernel, passes=passes, values=infos, buffers=tuple(pointers.values()))
    return _with_indices(renamed, index)
