"""What joins values side by side: a piece for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ....spec.dims import Dim
from ..loops import (
    Axis,
    Kernel,
    Let,
    Load,
    Statement,
    Store,
)
from .axes import statements
from .scan_pieces import Piece, body_of, called, moved_along, stores_of

MOST_PARTS = 8
"""Parts that a piece is split into."""


def split(piece: Piece, pieces: Sequence[Piece]) -> list[Piece]:
    """The parts of a piece, if each is read where it has been made."""
    kernel = piece.plain
    if kernel is None:
        return [piece]
    (column,) = kernel.columns
    ends = _ends(kernel, column)
    if ends is None:
        return [piece]
    made = {name: (s, p) for p in pieces if (k := p.plain) for name, s in stores_of(k).items()}
    parts = []
    for number, (low, high) in enumerate(pairwise(ends)):
        part = _part(kernel, column, low, high)
        for s in statements(part):
            if isinstance(s, Let) and not any(isinstance(o, str) for o in s.operands):
                return [piece]  # a function of numbers alone
            if isinstance(s, Load) and s.buffer in made:
                store, maker = made[s.buffer]
                same = maker.kernel is not None and maker.kernel.columns == part.columns
                if not same or s.guards or s.index != store.index:
                    return [piece]
        parts.append(Piece((*piece.order, number), part))
    return parts


def _ends(kernel: Kernel, column: Axis) -> list[int] | None:
    """Where the parts of the columns begin and end; None where they have no known parts."""
    width = column.extent
    guards = [g for s in statements(kernel) if isinstance(s, Load) for g in s.guards]
    if not guards or not isinstance(width, int):
        return None
    found = {0, width}
    for g in guards:
        for end in (g.low, g.high):
            if dict(g.index.terms) != {column: 1} or not isinstance(end, int):
                return None
            if not isinstance(g.index.offset, int):
                return None
            found.add(min(max(end - g.index.offset, 0), width))
    return sorted(found) if 2 < len(found) <= MOST_PARTS + 1 else None


def _number(dim: Dim) -> int:
    assert isinstance(dim, int)
    return dim


def _part(kernel: Kernel, column: Axis, low: int, high: int) -> Kernel:
    """The kernel of some columns: what lies outside is a number there."""
    own = Axis(column.name, high - low)
    numbers: dict[str, float] = {}
    names: dict[str, str] = {}
    body: list[Statement] = []
    for s in statements(kernel):
        if isinstance(s, Load) and s.guards:
            spans = [(_number(g.low), _number(g.high), _number(g.index.offset)) for g in s.guards]
            if not all(first <= low + offset < last for first, last, offset in spans):
                numbers[s.target] = s.other
                continue
            s = replace(s, guards=())
        if isinstance(s, Let):
            operands = tuple(numbers.get(o, o) if isinstance(o, str) else o for o in s.operands)
            s = replace(s, operands=operands)
            only = [o for o in operands if o != 0.0] if s.function == "add" else [0.0, 0.0]
            if not only:
                numbers[s.target] = 0.0
                continue
            if len(only) == 1 and isinstance(only[0], str):
                names[s.target] = names.get(only[0], only[0])
                continue
        if isinstance(s, Store) and isinstance(s.operand, str):
            s = replace(s, operand=numbers.get(s.operand, s.operand))
        body += called([moved_along(s, column, own, low)], names)
    return replace(body_of(kernel, body), columns=(own,))
