"""What must hold of the sizes of inputs for a graph to mean anything: `T <= 1024`, `H >= 7`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..spec.dims import Dim, Polynomial, bounds, evaluate, multiples, readable, symbols
from ..spec.place import Place
from ..spec.polynomial import Quotient
from .ir.builder import Builder
from .ir.graph import Graph, Node

LARGEST = 1 << 40  # a size beyond all others


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, as people read it; it holds where `least` is at least 0.

    `bound`: the one size that it bounds, and by which number, from below or from above.
    """

    text: str
    least: Dim
    place: Place | None
    bound: tuple[str, int, bool] | None = None

    def likely(self, sizes: dict[str, int]) -> None:
        """Move a likely size to where the condition holds."""
        if self.bound is not None:
            name, number, below = self.bound
            sizes[name] = (max if below else min)(sizes[name], number)


def conditions(graph: Graph | Builder, live: Iterable[int]) -> tuple[Condition, ...]:
    """What some nodes demand, the sharpest of each kind.

    Every extent is at least 1, and what is cut out of a tensor lies inside it.
    """
    sharpest: dict[tuple[str, bool] | str, Condition] = {}
    seen: set[Dim] = set()
    for i in sorted(live):
        for least in _demands(graph, graph[i]):
            if least in seen:
                continue
            seen.add(least)
            low, _ = bounds(least)
            if isinstance(least, Polynomial) and (low is None or low < 0):
                _keep(sharpest, least, graph[i].place)
    return tuple(sharpest.values())


def places(graph: Graph, live: Iterable[int]) -> tuple[Condition, ...]:
    """What indices demand beside that, of sizes that may be 0: there is no last of no steps."""
    found: dict[str, Condition] = {}
    for node in (graph[i] for i in live if graph[i].op == "slice"):
        for least in _cuts(graph, node):
            none = dict.fromkeys(symbols(least), 0)
            if isinstance(least, Polynomial) and bounds(least)[0] == 0 > evaluate(least, none):
                condition = _condition(least, node.place)
                found.setdefault(condition.text, condition)
    return tuple(found.values())


def _keep(
    sharpest: dict[tuple[str, bool] | str, Condition], least: Polynomial, place: Place | None
) -> None:
    """Keep a condition, unless one is known that says more."""
    condition = _condition(least, place)
    if condition.bound is None:
        sharpest.setdefault(condition.text, condition)
        return
    name, number, below = condition.bound
    known = sharpest.get((name, below))
    if known is None or known.bound is None or (number > known.bound[1]) == below:
        sharpest[name, below] = condition


def _condition(least: Polynomial, place: Place | None) -> Condition:
    """That a number is not below 0, as a bound of one size where it is that."""
    bound = _solved(least)
    if bound is None:
        return Condition(_inequality(least), least, place)
    name, number, below = bound
    return Condition(f"{name} {'>=' if below else '<='} {number}", least, place, bound)


def _demands(graph: Graph | Builder, node: Node) -> Iterator[Dim]:
    """Numbers that must not be below 0."""
    for extent in node.shape:
        if not isinstance(extent, int):
            yield extent - 1
    if node.op == "slice":
        yield from _cuts(graph, node)


def _cuts(graph: Graph | Builder, node: Node) -> Iterator[Dim]:
    """Numbers that are below 0 where a slice begins or ends outside of its operand."""
    whole = graph[node.operands[0]].shape
    for start, size, step, extent in zip(
        node["starts"], node["sizes"], node["steps"], whole, strict=True
    ):
        last = start + step * (size - 1)
        yield start if step > 0 else last
        yield extent - 1 - (last if step > 0 else start)


def _solved(least: Polynomial) -> tuple[str, int, bool] | None:
    """A condition on one size as a bound of it: its name, the number, whether from below."""
    names = symbols(least)
    rising = _direction(least)
    if len(names) != 1 or rising == 0:
        return None
    (name,) = names
    multiple = multiples(least)[name]
    low, high = 1, LARGEST // multiple
    while low < high:  # the first unit at which it holds, or no longer does
        middle = (low + high) // 2
        holds = evaluate(least, {name: middle * multiple}) >= 0
        if holds == (rising > 0):
            high = middle
        else:
            low = middle + 1
    return name, (low if rising > 0 else low - 1) * multiple, rising > 0


def _direction(dim: Polynomial) -> int:
    """1 where a dim grows with its sizes, -1 where it falls, 0 where that is not plain."""
    directions = {1 if c > 0 else -1 for monomial, c in dim.terms if monomial}
    quotients = [
        atom for monomial, _ in dim.terms for atom, _ in monomial if isinstance(atom, Quotient)
    ]
    growing = all(not symbols(q.divisor) and _grows(q.numerator) for q in quotients)
    return directions.pop() if len(directions) == 1 and growing else 0


def _grows(dim: Dim) -> bool:
    return isinstance(dim, int) or _direction(dim) == 1


def _inequality(least: Polynomial) -> str:
    """`a - b + 2 >= 0` as `a + 2 >= b`."""
    positive: Dim = 0
    negative: Dim = 0
    for monomial, c in least.terms:
        term = Polynomial((((monomial), abs(c)),)) if monomial else abs(c)
        if c > 0:
            positive = positive + term
        else:
            negative = negative + term
    return f"{readable(positive)} >= {readable(negative)}"
