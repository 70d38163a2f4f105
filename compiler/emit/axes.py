"""Loop IR -> loop IR: axes that walk memory as one become one.

rows (B, T), x[B, T, 64] and y[B, T, 64] -> rows (B*T)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...spec.dims import Dim
from .loops import Affine, Axis, Guard, Kernel, Load, Pass, Statement


def statements(kernel: Kernel) -> list[Statement]:
    """All statements of all passes."""
    return [s for p in kernel.passes for s in p.body]


def affines(kernel: Kernel) -> list[Affine]:
    """All indices, those of guards too."""
    found = []
    for s in statements(kernel):
        index = getattr(s, "index", None)
        if index is not None:
            found.append(index)
        found += [guard.index for guard in getattr(s, "guards", ())]
    return found


def stride(index: Affine, axis: Axis) -> Dim:
    """Elements from one place of an axis to the next."""
    return dict(index.terms).get(axis, 0)


def join_as_one(kernel: Kernel, outer: Axis, inner: Axis) -> bool:
    """Does every access walk memory along both axes as along one?"""
    return all(stride(i, outer) == stride(i, inner) * inner.extent for i in affines(kernel))


def joined(kernel: Kernel, group: str) -> Kernel:
    """The kernel with neighbours among its `rows` or `columns` joined wherever that is so."""
    position = 0
    while position < len(getattr(kernel, group)) - 1:
        outer, inner = getattr(kernel, group)[position : position + 2]
        if join_as_one(kernel, outer, inner):
            kernel = merge(kernel, outer, inner)
        else:
            position += 1
    return kernel


def merge(kernel: Kernel, outer: Axis, inner: Axis) -> Kernel:
    """The kernel with one axis in place of two that walk memory as one."""
    whole = Axis(inner.name, outer.extent * inner.extent)

    def moved(index: Affine) -> Affine:
        terms = tuple((whole if t == inner else t, s) for t, s in index.terms if t != outer)
        return Affine(terms, index.offset)

    def axes(group: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(whole if a == inner else a for a in group if a != outer)

    kernel = with_indices(kernel, moved)
    return replace(kernel, rows=axes(kernel.rows), columns=axes(kernel.columns))


def with_indices(kernel: Kernel, change: Callable[[Affine], Affine]) -> Kernel:
    """The kernel with every index changed."""

    def of(s: Statement) -> Statement:
        changes = indices(s, change)
        return replace(s, **changes) if changes else s

    passes = tuple(Pass(p.over_columns, tuple(of(s) for s in p.body)) for p in kernel.passes)
    return replace(kernel, passes=passes)


def indices(s: Statement, change: Callable[[Affine], Affine]) -> dict[str, Any]:
    """What is changed in a statement where all its indices are."""
    found: dict[str, Any] = {"index": change(s.index)} if hasattr(s, "index") else {}
    if isinstance(s, Load) and s.guards:
        found["guards"] = tuple(Guard(change(g.index), g.low, g.high) for g in s.guards)
    return found


def named(kernel: Kernel, *, flat: str = "row") -> Kernel:
    """`row` where there is one row axis, else `row_0`, `row_1`, ...; columns likewise; `flat`
    instead of `row` without columns.
    """
    names: dict[Axis, Axis] = {}
    prefix = "row" if kernel.columns else flat
    for group, word in ((kernel.rows, prefix), (kernel.columns, "column")):
        for position, axis in enumerate(group):
            names[axis] = Axis(word if len(group) == 1 else f"{word}_{position}", axis.extent)

    def renamed(index: Affine) -> Affine:
        return Affine(
            tuple((names.get(t, t) if isinstance(t, Axis) else t, s) for t, s in index.terms),
            index.offset,
        )

    kernel = with_indices(kernel, renamed)
    return replace(
        kernel,
        rows=tuple(names[a] for a in kernel.rows),
        columns=tuple(names[a] for a in kernel.columns),
    )
