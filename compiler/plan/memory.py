"""Where every value lives: ports, flat arenas, the workspace, or a panel of rows in cache.

The workspace is packed by lifetimes.  Its symbolic part scales with one polynomial of the sizes
(the batch in whole vectors), so offsets are `base + number * scale` and fit any batch.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ...spec.dims import Dim, Polynomial, evaluate, exact_quotient
from ...spec.polynomial import REMEMBERED, Atom, Quotient
from ..artifact import Expression
from .layout import LANES, Layout

ALIGN = LANES  # elements of 4 bytes: one cache line


@dataclass(frozen=True, slots=True)
class Home:
    """The memory of a value.

    `space`: input, output, parameter, gradient, state, scalar, workspace, local or partial;
    `slot` is the port number; `offset` in elements; `layout` how the value lies there.
    """

    space: str
    slot: int
    offset: Dim
    layout: Layout


@dataclass(frozen=True, slots=True)
class Request:
    """A block of `span` elements needed from moment `first` to moment `last`."""

    key: tuple[str, int]
    span: Dim
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Packing:
    """Offsets by key, and the total; in elements of 4 bytes."""

    offsets: Mapping[tuple[str, int], Dim]
    total: Dim


def split_scale(span: Dim) -> tuple[int, Dim]:
    """A span as number times scale: 160*((B + 15)//16) -> 160, (B + 15)//16."""
    if isinstance(span, int):
        return span, 1
    content = math.gcd(*(coefficient for _, coefficient in span.terms))
    scale = exact_quotient(span, content)
    return (content, scale) if scale is not None else (1, span)


def pack(requests: Iterable[Request], sizes: Mapping[str, int]) -> Packing:
    """First fit by lifetime, largest first, separately for each scale."""
    by_scale: dict[Dim, list[tuple[int, Request]]] = {}
    for request in requests:
        number, scale = split_scale(request.span)
        if isinstance(scale, int):
            number = -(-number // ALIGN) * ALIGN
        by_scale.setdefault(scale, []).append((number, request))
    offsets: dict[tuple[str, int], Dim] = {}
    base: Dim = 0
    for scale in sorted(by_scale, key=lambda s: (not isinstance(s, int), str(s))):
        placed: list[tuple[int, int, Request]] = []
        members = sorted(by_scale[scale], key=lambda r: (-r[0], r[1].key))
        for number, request in members:
            at = 0
            first, last = request.first, request.last
            for start, length, other in placed:
                if at + number <= start:
                    break
                if at < start + length and first <= other.last and other.first <= last:
                    at = start + length
            insort(placed, (at, number, request), key=_from)
            offsets[request.key] = base + at * scale
        base = base + max((at + n for at, n, _ in placed), default=0) * scale
        base = _aligned(base)
    return Packing(offsets, base)


def _from(placed: tuple[int, int, Request]) -> tuple[int, int]:
    """Where a block begins, and its length."""
    return placed[:2]


def _aligned(base: Dim) -> Dim:
    """A base at which the next block may start: whole cache lines."""
    if isinstance(base, int):
        return -(-base // ALIGN) * ALIGN
    if all(coefficient % ALIGN == 0 for _, coefficient in base.terms):
        return base
    return ((base + (ALIGN - 1)) // ALIGN) * ALIGN


def expression(dim: Dim) -> Expression:
    """A dimension as plain data for the artifact."""
    return _expression(dim) if isinstance(dim, Polynomial) else dim


@lru_cache(maxsize=REMEMBERED)
def _expression(dim: Polynomial) -> Expression:
    terms: list[Expression] = []
    for monomial, coefficient in dim.terms:
        factors: list[Expression] = [] if coefficient == 1 and monomial else [coefficient]
        for atom, power in monomial:
            factors += [_atom(atom)] * power
        terms.append(factors[0] if len(factors) == 1 else ("*", *factors))
    return terms[0] if len(terms) == 1 else ("+", *terms)


def _atom(atom: Atom) -> Expression:
    if isinstance(atom, Quotient):
        return ("//", expression(atom.numerator), expression(atom.divisor))
    return atom.name if atom.multiple == 1 else ("//", atom.name, atom.multiple)


def nominal(dim: Dim, sizes: Mapping[str, int]) -> int:
    """A dimension at the nominal sizes."""
    return evaluate(dim, sizes)
