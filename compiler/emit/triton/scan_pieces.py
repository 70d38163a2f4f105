"""The work of a step in pieces: loop kernels with products in front, products alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ....spec.dims import Dim
from ..loops import (
    Affine,
    Axis,
    Fold,
    Guard,
    Kernel,
    Load,
    Pass,
    Statement,
    Store,
)
from .axes import rename, statements
from .scan_products import RowProduct, Taken
from .scan_stages import once

MANY = 1 << 16
"""More columns than a block has."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A loop kernel with products in front of it, a product alone, or a loop inside of the step.

    `order` is the place that the planner gave it; of an `inner` loop its work's heavy value, what
    it reads and what it writes.
    """

    order: tuple[int, ...]
    kernel: Kernel | None
    around: tuple[Axis, ...] = ()
    alone: RowProduct | None = None
    taken: tuple[Taken, ...] = ()
    inner: tuple[int, frozenset[int], frozenset[int]] | None = None

    @cached_property
    def reads(self) -> frozenset[int]:
        """What it reads from memory."""
        if self.inner is not None:
            return self.inner[1]
        products = [t.product for t in self.taken] + ([self.alone] if self.alone else [])
        loaded = _values(self.kernel, Load) if self.kernel else []
        return frozenset([*loaded, *(base for p in products for base in p.bases)])

    @cached_property
    def writes(self) -> frozenset[int]:
        """What it leaves in memory."""
        if self.inner is not None:
            return self.inner[2]
        if self.kernel is None:
            assert self.alone is not None
            return frozenset([self.alone.made])
        return frozenset(_values(self.kernel, Store))

    @cached_property
    def width(self) -> int:
        """Its columns, if that is a number; else a large one."""
        axes = self.kernel.columns if self.kernel else self.alone.columns if self.alone else ()
        width: Dim = 1
        for axis in axes:
            width = width * axis.extent
        return width if isinstance(width, int) else MANY

    @cached_property
    def flat(self) -> Kernel | None:
        """The kernel, if it is one pass over one axis of columns."""
        k = self.kernel
        if k is None or self.around or len(k.columns) != 1 or len(k.passes) != 1:
            return None
        return k if k.passes[0].over_columns else None

    @cached_property
    def plain(self) -> Kernel | None:
        """The same, if nothing is folded."""
        k = self.flat
        folds = k is not None and any(isinstance(s, Fold) for s in statements(k))
        return None if folds else k


def _values(kernel: Kernel, kind: type[Load] | type[Store]) -> list[int]:
    known = {b.name: b.value for b in kernel.buffers}
    buffers = [s.buffer for s in statements(kernel) if isinstance(s, kind)]
    return [known[name] for name in buffers]


def straightened(piece: Piece, columns: int) -> Piece:
    """All passes as one, where a block holds all columns."""
    k = piece.kernel
    if k is None or len(k.columns) != 1 or piece.around:
        return piece
    width = k.columns[0].extent
    if len(k.passes) < 2 or not isinstance(width, int) or width > columns:
        return piece
    return replace(piece, kernel=replace(k, passes=(Pass(True, once(statements(k))),)))


# ---- statements ----------------------------------------------------------------------------------


def stores_of(kernel: Kernel) -> dict[str, Store]:
    """What a kernel stores, by buffer."""
    return {s.buffer: s for s in statements(kernel) if isinstance(s, Store)}


def called(body: Iterable[Statement], names: Mapping[str, str]) -> list[Statement]:
    """Statements with other names for values."""
    passes = (Pass(True, tuple(body)),)
    return statements(rename(Kernel("", (), (), passes, {}, (), (), 0, 0), names, {}))


def body_of(kernel: Kernel, body: Iterable[Statement], *others: Kernel) -> Kernel:
    """The kernel with another body, and with what other kernels know."""
    values = dict(kernel.values)
    buffers = {b.name: b for b in kernel.buffers}
    for other in others:
        values = {**other.values, **values}
        buffers = {**{b.name: b for b in other.buffers}, **buffers}
    passes = (Pass(True, tuple(body)),)
    return replace(kernel, passes=passes, values=values, buffers=tuple(buffers.values()))


def moved_along(s: Statement, old: Axis, new: Axis, by: Dim) -> Statement:
    """A statement at the places of another axis, `by` further on."""

    def of(index: Affine) -> Affine:
        further: Dim = 0
        for term, stride in index.terms:
            further = further + (stride * by if term == old else 0)
        terms = tuple((new if t == old else t, stride) for t, stride in index.terms)
        return Affine(terms, index.offset + further)

    changes: dict[str, Any] = {}
    if hasattr(s, "index"):
        changes["index"] = of(s.index)
    if isinstance(s, Load):
        changes["guards"] = tuple(Guard(of(g.index), g.low, g.high) for g in s.guards)
    return replace(s, **changes) if changes else s
