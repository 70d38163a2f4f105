"""Loop IR -> loop IR: a flat axis for a plain map, one pointer a value, names that fit.

a map of contiguous values               -> one flat axis, no columns
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..axes import indices, join_as_one, joined, merge, named, statements, with_indices
from ..loops import (
    Affine,
    Axis,
    Draw,
    Fold,
    Gather,
    Kernel,
    KernelBuffer,
    Let,
    Load,
    Pass,
    Statement,
    Store,
    Value,
)

__all__ = ["collapse", "quad_stride", "rename", "renamed_axis", "statements"]

FLAT = "i"
"""The index of a kernel without columns."""


def collapse(kernel: Kernel, *, flat: bool = True) -> Kernel:
    """Join neighbouring axes wherever every access allows it; `flat`: rows with columns too."""
    kernel = joined(joined(kernel, "rows"), "columns")
    if flat and kernel.columns and len(kernel.rows) == len(kernel.columns) == 1:
        row, column = kernel.rows[0], kernel.columns[0]
        sinks = any(isinstance(s, (Fold, Gather)) for s in statements(kernel))
        if not sinks and not _quads(kernel) and join_as_one(kernel, row, column):
            kernel = merge(kernel, row, column)
            values = {
                n: Value("row" if v.kind == "full" else v.kind, v.dtype)
                for n, v in kernel.values.items()
            }
            body = _once(s for p in kernel.passes for s in p.body)
            kernel = replace(
                kernel, rows=kernel.columns, columns=(), values=values, passes=(Pass(False, body),)
            )
    return named(kernel, flat=FLAT)


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


def renamed_axis(kernel: Kernel, old: Axis, new: Axis) -> Kernel:
    """The kernel with another axis in place of one."""

    def moved(index: Affine) -> Affine:
        return Affine(tuple((new if t == old else t, s) for t, s in index.terms), index.offset)

    kernel = with_indices(kernel, moved)
    rows, columns = (
        tuple(new if a == old else a for a in x) for x in (kernel.rows, kernel.columns)
    )
    return replace(kernel, rows=rows, columns=columns)


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
        return replace(s, **changes, **indices(s, index))

    passes = tuple(Pass(p.over_columns, tuple(of(s) for s in p.body)) for p in kernel.passes)
    pointers: dict[str, KernelBuffer] = {}
    for b in kernel.buffers:
        name = buffers.get(b.name, b.name)
        known = pointers.get(name)
        role = b.role if known is None or known.role == "in" else known.role
        pointers[name] = replace(b, name=name, role=role)
    infos = {value(name): info for name, info in kernel.values.items()}
    return replace(kernel, passes=passes, values=infos, buffers=tuple(pointers.values()))


def prepared(
    kernel: Kernel,
    feeds: Mapping[int, str],
    *,
    flat: bool = True,
    taken: frozenset[str] = frozenset(),
) -> Kernel:
    """The kernel with collapsed axes, one pointer a value, and names that are free in Triton text.

    `feeds` gives shorter names for the buffers of some values.
    """
    return spelled(collapse(kernel, flat=flat), feeds, taken)


def spelled(kernel: Kernel, feeds: Mapping[int, str], taken: frozenset[str]) -> Kernel:
    """The kernel with one pointer a value, and names that are free in Triton text."""
    buffers: dict[str, str] = {}
    by_value: dict[int, str] = {}
    for b in kernel.buffers:
        if b.value not in by_value:
            base = feeds.get(b.value, b.name)
            by_value[b.value] = fresh(base, set(by_value.values()) | taken)
        buffers[b.name] = by_value[b.value]
    loads = {s.target: s.buffer for s in statements(kernel) if isinstance(s, Load)}
    values: dict[str, str] = {}
    used = taken | {f"{b}_{word}" for b in by_value.values() for word in ("ptr", "partial_ptr")}
    folded = [s.target for s in statements(kernel) if isinstance(s, Fold)]
    used |= {
        f"{name}_{word}" for name in folded for word in ("part", "top", "at", "new", "wins", "mean")
    }
    for name in kernel.values:
        wanted = buffers[loads[name]] if name in loads else name
        values[name] = fresh(wanted, used)
        used |= {values[name]}
    return rename(kernel, values, buffers)


def fresh(name: str, used: set[str] | frozenset[str]) -> str:
    found, count = name, 2
    while found in used:
        found, count = f"{name}_{count}", count + 1
    return found
