"""Where ops that take other elements than those at hand load them from: one function an op."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from ...spec.dims import Dim, symbol
from ..ir.graph import Node
from ..plan.forms import shifted
from .loops import Affine, Guard, Operand, Position, Size, start_name
from .statements import Coordinate

if TYPE_CHECKING:
    from .lower import Lowering


def _slice(lowering: Lowering, node: Node, at: tuple[Coordinate, ...]) -> Operand:
    starts, axis = list(node["starts"]), shifted(lowering.graph, node)
    if axis is not None:
        number = lowering.starts.setdefault(node.id, len(lowering.starts))
        starts[axis] = symbol(start_name(number))
    moved = tuple(
        (tuple((t, s * step) for t, s in terms), offset * step + start)
        for (terms, offset), start, step in zip(at, starts, node["steps"], strict=True)
    )
    return lowering.load(node.operands[0], moved)


def _pad(lowering: Lowering, node: Node, at: tuple[Coordinate, ...]) -> Operand:
    shape = lowering.graph[node.operands[0]].shape
    moved = tuple(
        (terms, offset - low) for (terms, offset), low in zip(at, node["low"], strict=True)
    )
    guards = tuple(
        Guard(Affine(*c), 0, extent)
        for c, extent, low, high in zip(moved, shape, node["low"], node["high"], strict=True)
        if low != 0 or high != 0
    )
    return lowering.load(node.operands[0], moved, guards, node["value"])


def _spread(lowering: Lowering, node: Node, at: tuple[Coordinate, ...]) -> Operand:
    """The element that lies here, or zero between those."""
    shape, moved = lowering.graph[node.operands[0]].shape, list(at)
    guards, tests = list[Guard](), list[str]()
    for axis, (start, step) in enumerate(zip(node["starts"], node["steps"], strict=True)):
        terms, offset = at[axis]
        moved[axis] = terms, offset - start
        if step != 1:
            place, kind = lowering.text.fresh("place"), lowering.text.kind((), (at[axis],))
            lowering.text.define(place, Position(place, Affine(*moved[axis])), kind, "i32")
            rest = lowering.text.let("rest", "mod", (place, step), "i32")
            tests.append(lowering.text.let("taken", "eq", (rest, 0), "bool"))
            moved[axis] = ((lowering.text.let("nearest", "floordiv", (place, step), "i32"), 1),), 0
        if start != 0 or node["sizes"][axis] + (step - 1) - shape[axis] * step not in range(step):
            guards.append(Guard(Affine(*moved[axis]), 0, shape[axis]))
    found: Operand = lowering.load(node.operands[0], tuple(moved), tuple(guards))
    for test in tests:
        found = lowering.text.let(node.name, "where", (test, found, 0.0), node.dtype)
    return found


def _concat(lowering: Lowering, node: Node, at: tuple[Coordinate, ...]) -> Operand:
    axis, start = node["axis"], 0
    pieces: list[tuple[Operand, Dim]] = []
    for o in node.operands:
        extent = lowering.graph[o].shape[axis]
        terms, offset = at[axis]
        inner = (*at[:axis], (terms, offset - start), *at[axis + 1 :])
        guard = Guard(Affine(terms, offset - start), 0, extent)
        pieces.append((lowering.load(o, inner, (guard,)), start + extent))
        start = start + extent
    position = lowering.text.define(
        where := lowering.text.fresh("position"),
        Position(where, Affine(*at[axis])),
        lowering.text.kind((), (at[axis],)),
        "i32",
    )
    result = pieces[-1][0]
    for piece, end in reversed(pieces[:-1]):
        if not isinstance(end, int):
            bound: Operand = lowering.text.define(
                name := lowering.text.fresh("bound"), Size(name, end), "scalar", "f32"
            )
        else:
            bound = end
        inside = lowering.text.let("inside", "lt", (position, bound), "bool")
        result = lowering.text.let(node.name, "where", (inside, piece, result), node.dtype)
    return result


def _take(lowering: Lowering, node: Node, at: tuple[Coordinate, ...]) -> Operand:
    table, indices = node.operands
    rank = len(lowering.graph[indices].shape)
    index = lowering.read(indices, at[:rank])
    first: Coordinate = (((index, 1),), 0) if isinstance(index, str) else ((), int(index))
    return lowering.load(table, (first, *at[rank:]))


def _band(lowering: Lowering, node: Node, at: tuple[Coordinate, ...]) -> Operand:
    """The terms one after another; those that cannot lie outside of the operand are not
    guarded.
    """
    x, first, weights = node.operands
    axis, count = node["axis"], lowering.graph[weights].shape[0]
    extent = lowering.graph[x].shape[axis]
    assert isinstance(count, int)
    begin = lowering.load(first, (at[axis],))
    terms: list[Operand] = []
    for t in range(count):
        place: Coordinate = ((begin, 1),), t
        within = isinstance(extent, int) and extent >= count
        guards = () if within else (Guard(Affine(*place), 0, extent),)
        element = lowering.load(x, (*at[:axis], place, *at[axis + 1 :]), guards)
        weight = lowering.load(weights, (((), t), at[axis]))
        terms.append(lowering.text.let("term", "mul", (weight, element), node.dtype))
    return reduce(
        lambda one, other: lowering.text.let(node.name, "add", (one, other), node.dtype), terms
    )


REINDEX: dict[str, Callable[[Lowering, Node, tuple[Coordinate, ...]], Operand]] = {
    "slice": _slice,
    "pad": _pad,
    "spread": _spread,
    "concat": _concat,
    "take": _take,
    "band": _band,
}
