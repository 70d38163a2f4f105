"""Fewer pieces of a step: what they hand on stays in registers.

    a map, and what reads it at the same places          -> one piece
    a map, and what reads it elsewhere, as gates do      -> made again where it is read
    what joins parts side by side                        -> a piece for each part
    a product, and what reads its columns                -> a piece with products in front

What pieces hand on in memory takes a barrier; so fewer pieces are fewer barriers in every step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ....spec.dims import Dim
from ...plan.order import Order, in_turn
from ..loops import (
    Axis,
    Kernel,
    Let,
    Load,
    Statement,
    Store,
    Value,
    operands_of,
)
from .axes import statements
from .epilogue import COSTLY
from .part import free
from .scan_parts import split
from .scan_pieces import Piece, body_of, called, moved_along, stores_of
from .scan_products import Taken
from .scan_stages import SAMPLE

MOST_DOTS = 8
"""Products in front of a piece; each is a block in registers."""

AGAIN = 4
"""Loads of a map that is made again."""


def fused(pieces: Sequence[Piece], kept: Collection[int]) -> list[Piece]:
    """As few pieces as the rules above give, in order; `kept` values are read afterwards."""
    found = [part for piece in pieces for part in split(piece, pieces)]
    apart: set[tuple[Piece, Piece]] = set()
    while (better := _fewer(found, kept, apart)) is not None:
        found = better
    return in_turn(_readers(found), lambda p: p.order)


def _readers(pieces: Sequence[Piece]) -> dict[Piece, list[Piece]]:
    """The pieces that read what each of them makes."""
    readers: dict[int, list[Piece]] = {}
    for q in pieces:
        for value in q.reads:
            readers.setdefault(value, []).append(q)
    return {
        p: [q for value in p.writes for q in readers.get(value, ()) if p is not q] for p in pieces
    }


def _fewer(
    pieces: Sequence[Piece], kept: Collection[int], apart: set[tuple[Piece, Piece]]
) -> list[Piece] | None:
    """The pieces with one joined to another, products last; None where nothing can be.

    `apart` are pairs that no rule joins, whatever else there is.
    """
    after = _readers(pieces)
    order, row = Order(after), in_turn(after, lambda p: p.order)
    pairs = [(p, q) for q in row for p in pieces if q in after[p]]
    for p, q in sorted(pairs, key=lambda pair: pair[0].kernel is None):
        if (p, q) in apart:
            continue
        others = [r for r in pieces if r is not p and r is not q]
        wanted = frozenset(kept).union(*(r.reads for r in others))
        made = _joined(p, q) or _with_product(p, q, wanted)
        if made is not None and order.apart((p, q)):
            return [*others, _without(made, wanted)]
        again = _again(p, q)
        if again is not None and not any(r.writes & p.writes for r in others):
            left = _without(p, wanted | again.reads)
            return [*others, again, *([left] if left.writes else [])]
        if made is None and again is None and p.alone is None:
            apart.add((p, q))
    return None


def _whole(kernel: Kernel, s: Store) -> bool:
    """Is what is stored what a reader would load?"""
    if not isinstance(s.operand, str):
        return False
    dtype = next(b.dtype for b in kernel.buffers if b.name == s.buffer)
    return kernel.values[s.operand] == Value("full", dtype) and dtype in ("f32", "i32")


def _joined(p: Piece, q: Piece) -> Piece | None:
    """Both as one, where `q` reads what `p` makes at the same places."""
    first, second = p.plain, q.flat
    if first is None or second is None or first.columns != second.columns:
        return None
    if p.writes.intersection(base for t in q.taken for base in t.product.bases):
        return None  # a product reads all columns
    stores, known = stores_of(first), dict[str, str]()
    for s in statements(second):
        if isinstance(s, Load) and s.buffer in stores:
            made = stores[s.buffer]
            if s.guards or s.index != made.index or not _whole(first, made):
                return None
            known[s.target] = str(made.operand)
    loads = {_place(s): s.target for s in statements(first) if isinstance(s, Load)}
    for s in statements(second):
        if isinstance(s, Load) and s.target not in known and _place(s) in loads:
            known[s.target] = loads[_place(s)]
    rest = [s for s in statements(second) if getattr(s, "target", None) not in known]
    values = dict(first.values)
    for name in second.values:
        if name not in known:
            known[name] = free(name, values)
            values[known[name]] = second.values[name]
    body = (*statements(first), *called(rest, known))
    kernel = replace(body_of(second, body, first), values=values)
    taken = [replace(t, target=known.get(t.target, t.target)) for t in q.taken]
    return Piece((*p.order, *q.order), kernel, taken=(*p.taken, *taken))


def _place(s: Load) -> tuple[object, ...]:
    return s.buffer, s.index, s.guards, s.other


def _again(p: Piece, q: Piece) -> Piece | None:
    """`q` with what it reads of `p` made where it is read, if that is cheap."""
    first, second = p.plain, q.flat
    if first is None or second is None or p.taken:
        return None
    stores = stores_of(first)
    body: list[Statement] = []
    values = dict(first.values) | dict(second.values)
    known: dict[str, str] = {}
    for s in statements(second):
        if not isinstance(s, Load) or s.buffer not in stores:
            body.append(s)
            continue
        made = stores[s.buffer]
        shift = _shift(s, made, second.columns[0], first.columns[0])
        if shift is None or not _whole(first, made):
            return None
        cone = _cone(first, str(made.operand))
        if cone is None:
            return None
        new: dict[str, str] = {}
        for each in cone:
            name = getattr(each, "target", "")
            new[name] = free(name, values)
            values[new[name]] = values[name]
        moved = (moved_along(c, first.columns[0], second.columns[0], shift) for c in cone)
        body += called(moved, new)
        known[s.target] = new[str(made.operand)]
    if not known:
        return None
    kernel = body_of(second, called(body, known), first)
    return replace(q, kernel=replace(kernel, values=values))


def _shift(s: Load, made: Store, column: Axis, own: Axis) -> Dim | None:
    """How much further than where it is made lies what is loaded; None where it is no shift."""
    theirs, mine = dict(s.index.terms), dict(made.index.terms)
    if s.guards or theirs.pop(column, 0) != 1 or mine.pop(own, 0) != 1 or theirs != mine:
        return None
    return s.index.offset - made.index.offset


def _cone(kernel: Kernel, name: str) -> list[Statement] | None:
    """What makes a value, if it is worth making again."""
    found: list[Statement] = []
    wanted = {name}
    for s in reversed(statements(kernel)):
        if getattr(s, "target", None) in wanted:
            found.append(s)
            wanted.update(operands_of(s))
    loads = sum(isinstance(s, Load) for s in found)
    costly = any(isinstance(s, Let) and s.function in COSTLY for s in found)
    return None if costly or loads > AGAIN else found[::-1]


def _with_product(p: Piece, q: Piece, wanted: Collection[int]) -> Piece | None:
    """`q` with the columns of a product that it reads in registers."""
    kernel, product = q.flat, p.alone
    if kernel is None or product is None or product.around or len(product.columns) != 1:
        return None
    (column,), (whole,) = kernel.columns, product.columns
    buffer = next(b for b in kernel.buffers if b.value == product.made)
    loads = [s for s in statements(kernel) if isinstance(s, Load) and s.buffer == buffer.name]
    at = {SAMPLE: product.sample.c, column: 1}
    if whole.c != 1 or buffer.dtype != "f32" or len(loads) + len(q.taken) > MOST_DOTS:
        return None
    if any(s.guards or dict(s.index.terms) != at for s in loads):
        return None
    found = {s.index.offset: s for s in loads if isinstance(s.index.offset, int)}
    offsets = sorted(found)
    stored: list[Statement] = []
    if len(offsets) != len(loads):
        return None
    if product.made in wanted:
        width = column.extent
        if not isinstance(width, int) or not isinstance(whole.extent, int):
            return None
        if offsets != list(range(0, whole.extent, width)) or whole.extent % width:
            return None
        stored = [Store(buffer.name, s.target, s.index) for s in loads]
    body = [*stored, *(s for s in statements(kernel) if s not in loads)]
    taken = tuple(Taken(product, found[at].target, at) for at in offsets)
    return replace(
        q, order=(*p.order, *q.order), kernel=body_of(kernel, body), taken=(*q.taken, *taken)
    )


def _without(piece: Piece, wanted: Collection[int]) -> Piece:
    """The piece without what nobody reads."""
    kernel = piece.plain
    if kernel is None:
        return piece
    known = {b.name: b.value for b in kernel.buffers}
    body: list[Statement] = []
    read: set[str] = set()
    for s in reversed(statements(kernel)):
        named = getattr(s, "target", None)
        live = known[s.buffer] in wanted if isinstance(s, Store) else named in read
        if live:
            read.update(operands_of(s))
            body.append(s)
    taken = tuple(t for t in piece.taken if t.target in read)
    return replace(piece, kernel=body_of(kernel, body[::-1]), taken=taken)
