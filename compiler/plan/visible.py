"""Which keys a query can see, as far as positions alone tell: ranges that a launch need not walk.

    where(i >= j, s, -1e30)              ->  j <= i
    where(i >= j and i - j < 8, s, ...)  ->  i - 7 <= j <= i

Outside of a condition a source is zero: by `where(condition, x, 0)`, or because exp(-1e30 - lse)
is.  The latter needs a visible key in every row: shown for the diagonal, or for the first key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..ir.graph import Graph, Node
from ..ops.factors import factors
from .attention import KEY, Attention, is_weight

LOWEST = -1e9
"""Scores from here on down leave nothing of an exponential."""

Condition = tuple[int, bool]
"""A value, and whether it has to be true or false."""


@dataclass(frozen=True, slots=True)
class Linear:
    """owned * position of the owned + walked * position of the walked + offset, in integers."""

    owned: int
    walked: int
    offset: int

    def scaled(self, by: int) -> Linear:
        return Linear(self.owned * by, self.walked * by, self.offset * by)

    def plus(self, other: Linear) -> Linear:
        sums = (self.owned + other.owned, self.walked + other.walked)
        return Linear(*sums, self.offset + other.offset)


@dataclass(frozen=True, slots=True)
class Extreme:
    """The least (`min`) or the greatest (`max`) of bounds."""

    function: Literal["min", "max"]
    bounds: tuple[Bound, ...]


Bound = Linear | Extreme
"""A place along the walked axis for each place along the owned one."""


@dataclass(frozen=True, slots=True)
class Range:
    """Walked positions `low` to `high`, both included; None: to the end."""

    low: Bound | None = None
    high: Bound | None = None


def visible(graph: Graph, launch: Attention) -> Range:
    """The positions that a launch has to walk for each position that it owns."""
    found = [
        _needed(graph, launch, r, s) for r, s in zip(launch.results, launch.sources, strict=True)
    ]
    common = sorted(frozenset.intersection(*found))
    view = _View(graph, launch.owned, launch.walked)
    return _both([view.range(*condition) for condition in common])


def certain(graph: Graph, launch: Attention) -> tuple[Range, frozenset[Condition]]:
    """Conditions on positions alone, and the walked positions at which all of them are met."""
    view = _View(graph, launch.owned, launch.walked)
    found: dict[Condition, Range] = {}
    for node in (graph[i] for i in launch.streamed):
        if node.op == "where":
            condition = node.operands[0], not _is_low(graph[node.operands[1]])
            if view.exact(*condition):
                found[condition] = view.range(*condition)
    return _both(list(found.values())), frozenset(found)


def _needed(graph: Graph, launch: Attention, result: int, source: int) -> frozenset[Condition]:
    """The conditions without which a result gains nothing from a pair of positions."""
    if graph[result].op == "logsumexp":
        return _proven(graph, launch, source)
    if graph[result].op not in ("contract", "sum"):
        return frozenset()
    product = factors(graph, source, rounded=True)
    known = {(c, True) for c in product.conditions}
    for i in product.factors:
        lse = _logsumexp(graph, i)
        if lse is not None:
            known |= _proven(graph, launch, graph[lse].operands[0])
    return frozenset(known)


def _logsumexp(graph: Graph, i: int) -> int | None:
    """The lse of a factor exp(s - lse)."""
    node = graph[i]
    if node.op != "exp" or graph[node.operands[0]].op != "sub":
        return None
    spread = graph[graph[node.operands[0]].operands[1]]
    lse = spread.operands[0] if spread.op == "broadcast" else -1
    if lse < 0 or graph[lse].op != "logsumexp":
        return None
    return lse if is_weight(graph, i, lse, graph[lse].operands[0]) else None


def _proven(graph: Graph, launch: Attention, scores: int) -> frozenset[Condition]:
    """The conditions around scores, if no row is without a visible key."""
    found: set[Condition] = set()
    node = graph[scores]
    while node.op == "where":
        low = [_is_low(graph[o]) for o in node.operands[1:]]
        if True not in low:
            break
        found.add((node.operands[0], low[1]))
        node = graph[node.operands[1 if low[1] else 2]]
    query, key = launch.owned, launch.walked
    if launch.owner == KEY:
        query, key = key, query
    view = _View(graph, query, key)
    square = node.shape[query] == node.shape[key]
    seen = square and all(view.holds(*c, diagonal=True) for c in found)
    seen = seen or all(view.holds(*c, diagonal=False) for c in found)
    return frozenset(found) if seen else frozenset()


def _is_low(node: Node) -> bool:
    return node.op == "constant" and node["value"] <= LOWEST


class _View:
    """Reads conditions whose dimensions are those of the scores."""

    def __init__(self, graph: Graph, owned: int, walked: int) -> None:
        self.graph, self.owned, self.walked = graph, owned, walked

    def range(self, i: int, truth: bool) -> Range:
        """Where the condition can have this truth."""
        return self._range(i, truth, self._own(i))

    def exact(self, i: int, truth: bool) -> bool:
        """Does the condition have this truth everywhere in its range?"""
        return self._exact(i, truth, self._own(i))

    def holds(self, i: int, truth: bool, *, diagonal: bool) -> bool:
        """Does it have this truth wherever both positions are equal, or for the first walked?"""
        return self._holds(i, truth, self._own(i), diagonal)

    def _own(self, i: int) -> tuple[int, ...]:
        return tuple(range(len(self.graph[i].shape)))

    def _range(self, i: int, truth: bool, dims: tuple[int, ...]) -> Range:
        node, dims = self._through(i, dims)
        if node.op == "not":
            return self._range(node.operands[0], not truth, dims)
        if node.op in ("and", "or"):
            parts = [self._range(o, truth, dims) for o in node.operands]
            return (_both if (node.op == "and") == truth else _either)(parts)
        return _both([_bound(part) for part in self._parts(node, truth, dims)])

    def _exact(self, i: int, truth: bool, dims: tuple[int, ...]) -> bool:
        node, dims = self._through(i, dims)
        if node.op == "not":
            return self._exact(node.operands[0], not truth, dims)
        if node.op in ("and", "or"):
            parts = [self._range(o, truth, dims) for o in node.operands]
            one_sided = len({(p.low is None, p.high is None) for p in parts}) == 1
            one_sided = one_sided and (parts[0].low is None or parts[0].high is None)
            joined = (node.op == "and") == truth or one_sided
            return joined and all(self._exact(o, truth, dims) for o in node.operands)
        parts_of = self._parts(node, truth, dims)
        solved = [_bound(part) for part in parts_of]
        return bool(solved) and Range() not in solved

    def _holds(self, i: int, truth: bool, dims: tuple[int, ...], diagonal: bool) -> bool:
        node, dims = self._through(i, dims)
        if node.op == "not":
            return self._holds(node.operands[0], not truth, dims, diagonal)
        if node.op in ("and", "or"):
            parts = [self._holds(o, truth, dims, diagonal) for o in node.operands]
            return all(parts) if (node.op == "and") == truth else any(parts)
        if node.op == "eq" and truth and diagonal and self._mirrored(node, dims):
            return True
        parts_of = self._parts(node, truth, dims)
        at = [(p.owned + p.walked if diagonal else p.owned, p.offset) for p in parts_of]
        return bool(at) and all(slope >= 0 and offset >= 0 for slope, offset in at)

    def _mirrored(self, node: Node, dims: tuple[int, ...]) -> bool:
        """Does it compare a value at one position with the same value at the other?"""
        (x, left), (y, right) = (self._through(o, dims) for o in node.operands)
        turned = {self.owned: self.walked, self.walked: self.owned}
        return x.id == y.id and tuple(turned.get(d, d) for d in left) == right

    def _through(self, i: int, dims: tuple[int, ...]) -> tuple[Node, tuple[int, ...]]:
        """What is repeated or renamed by views, and which dimensions of the scores it has."""
        node = self.graph[i]
        while node.op in ("broadcast", "cast", "squeeze", "stop_gradient", "transpose"):
            if node.op == "squeeze":
                left, rank = list(dims), len(self.graph[node.operands[0]].shape)
                dims = tuple(-1 if d in node["axes"] else left.pop(0) for d in range(rank))
            elif node.op == "broadcast":
                dims = tuple(dims[d] for d in node["dims"])
            elif node.op == "transpose":
                order = node["order"]
                dims = tuple(dims[order.index(d)] for d in range(len(order)))
            node = self.graph[node.operands[0]]
        return node, dims

    def _parts(self, node: Node, truth: bool, dims: tuple[int, ...]) -> list[Linear]:
        """Linear functions of the positions that are at least 0 where a comparison has its truth;
        none where it is no comparison of positions.
        """
        comparison = {"ge": ("lt", 0), "gt": ("le", 1), "le": ("gt", 0), "lt": ("ge", 1)}
        if node.op not in comparison:
            return []
        op = node.op if truth else comparison[node.op][0]
        left, right = node.operands
        if op in ("le", "lt"):
            left, right = right, left
        strict = comparison[op][1]
        pieces = self._sides(right, dims)
        first = self.linear(left, dims)
        if first is None or pieces is None:
            return []
        return [first.plus(piece.scaled(-1)).plus(Linear(0, 0, -strict)) for piece in pieces]

    def _sides(self, i: int, dims: tuple[int, ...]) -> list[Linear] | None:
        """A linear function, or both signs of one whose absolute value it is."""
        node, dims = self._through(i, dims)
        if node.op != "abs":
            whole = self.linear(i, dims) if node.id == i else self._linear(node, dims)
            return None if whole is None else [whole]
        inner = self.linear(node.operands[0], dims)
        return None if inner is None else [inner, inner.scaled(-1)]

    def linear(self, i: int, dims: tuple[int, ...]) -> Linear | None:
        """A value as a linear function of the positions."""
        return self._linear(*self._through(i, dims))

    def _linear(self, node: Node, dims: tuple[int, ...]) -> Linear | None:
        if node.op == "constant":
            value = float(node["value"])
            return Linear(0, 0, int(value)) if value.is_integer() else None
        if node.op == "iota":
            d = dims[node["axis"]]
            inside = d in (self.owned, self.walked)
            return Linear(int(d == self.owned), int(d == self.walked), 0) if inside else None
        if node.op not in ("add", "sub", "neg"):
            return None
        parts = [self.linear(o, dims) for o in node.operands]
        if any(p is None for p in parts):
            return None
        known = [p for p in parts if p is not None]
        if node.op == "neg":
            return known[0].scaled(-1)
        return known[0].plus(known[1].scaled(-1 if node.op == "sub" else 1))


def _bound(part: Linear) -> Range:
    """part >= 0, solved for the walked position."""
    if part.walked not in (-1, 1) or part.owned not in (-1, 0, 1):
        return Range()
    solved = Linear(part.owned, 0, part.offset).scaled(-part.walked)
    return Range(low=solved) if part.walked == 1 else Range(high=solved)


def _both(parts: list[Range]) -> Range:
    lows = tuple(dict.fromkeys(p.low for p in parts if p.low is not None))
    highs = tuple(dict.fromkeys(p.high for p in parts if p.high is not None))
    return Range(_extreme("max", lows), _extreme("min", highs))


def _either(parts: list[Range]) -> Range:
    lows, highs = [p.low for p in parts], [p.high for p in parts]
    low = None if None in lows else _extreme("min", tuple(x for x in lows if x is not None))
    high = None if None in highs else _extreme("max", tuple(x for x in highs if x is not None))
    return Range(low, high)


def _extreme(function: Literal["min", "max"], bounds: tuple[Bound, ...]) -> Bound | None:
    if not bounds:
        return None
    return bounds[0] if len(bounds) == 1 else Extreme(function, bounds)
