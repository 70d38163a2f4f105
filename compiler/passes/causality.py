"""Does a value at one position of a sequence depend on later ones?  Read off the masks of a graph.

A weight matrix [.., q, .., s, ..] *is causal* if it is zero wherever s > q.  `zero` follows that
backwards through products, softmax and `where` to a condition on positions alone, which is
evaluated.

It is *causal behind a prefix* of p positions if it is zero wherever s > q and s >= p: once the
first p positions are there, together, nothing that comes later changes what they see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...spec.dims import symbols
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..reference import run_all

LOW = -1e29  # exp of it is zero, whatever it is compared with
STEPS, OTHERS = 6, 2  # positions, and other symbolic sizes, for which conditions are evaluated
LONGEST = 4096  # positions of a prefix
VIEWS = ("broadcast", "transpose", "squeeze", "reshape")

Axes = tuple[int, int]  # of the position that looks, of the position that is looked at


@dataclass(slots=True)
class Causality:
    """Answers for one graph, remembered.  `axis_of(node, axis)` finds the axis of a view's operand.

    With `prefixes` a condition may hold behind a prefix only; `prefix` is the longest one met.
    """

    graph: Graph
    axis_of: Callable[[Node, int], int | None]
    prefixes: bool = False
    prefix: int = 0
    known: dict[tuple[str, int, Axes], bool] = field(default_factory=dict)

    def zero(self, i: int, axes: Axes) -> bool:
        """Is the value zero wherever the second position is later than the first?"""
        return self._ask("zero", i, axes, self._zero)

    def low(self, i: int, axes: Axes) -> bool:
        """Is it so low there that exp makes it zero?"""
        return self._ask("low", i, axes, self._low)

    def past(self, i: int, axes: Axes) -> bool:
        """Is this condition false there?"""
        return self._ask("past", i, axes, self._past)

    def _ask(self, what: str, i: int, axes: Axes, rule: Callable[[Node, Axes], bool]) -> bool:
        key = what, i, axes
        if key not in self.known:
            node = self.graph[i]
            if node.op in VIEWS:
                inner = tuple(self.axis_of(node, axis) for axis in axes)
                whole = None not in inner
                ask = {"zero": self.zero, "low": self.low, "past": self.past}[what]
                self.known[key] = (
                    ask(node.operands[0], inner)  # type: ignore[arg-type]
                    if whole
                    else self._uniform(what, node)
                )
            else:
                self.known[key] = rule(node, axes)
        return self.known[key]

    def _uniform(self, what: str, node: Node) -> bool:
        """A constant that is repeated."""
        while node.op in VIEWS:
            node = self.graph[node.operands[0]]
        if node.op != "constant":
            return False
        value = node["value"]
        return bool(value <= LOW if what == "low" else value == 0)

    def _zero(self, node: Node, axes: Axes) -> bool:
        x = node.operands
        match node.op:
            case "constant":
                return self._uniform("zero", node)
            case "mul":
                return any(self.zero(o, axes) for o in x)
            case "div" | "neg" | "cast":
                return self.zero(x[0], axes)
            case "where":
                first = self.past(x[0], axes) or self.zero(x[1], axes)
                return first and self.zero(x[2], axes)
            case "exp":
                return self.low(x[0], axes)
        return False

    def _low(self, node: Node, axes: Axes) -> bool:
        x = node.operands
        match node.op:
            case "constant":
                return self._uniform("low", node)
            case "add":
                return any(self.low(o, axes) for o in x)
            case "sub":
                return self.low(x[0], axes)
            case "where":
                first = self.past(x[0], axes) or self.low(x[1], axes)
                return first and self.low(x[2], axes)
        return False

    def _past(self, node: Node, axes: Axes) -> bool:
        x = node.operands
        if node.op == "constant":
            return not node["value"]
        if node.op == "and" and any(self.past(o, axes) for o in x):
            return True
        if node.op == "or":
            return all(self.past(o, axes) for o in x)
        return self._evaluated(node, axes)

    def _evaluated(self, node: Node, axes: Axes) -> bool:
        """A condition on positions alone, at some sizes."""
        graph = Graph(self.graph.nodes, {"condition": node.id})
        if graph.inputs() or any(OPS[n.op].lowering == "heavy" for n in graph):
            return False
        names = {s for n in graph for dim in n.shape for s in symbols(dim)}
        time = symbols(node.shape[axes[0]])
        steps = STEPS + (self._longest(graph) if self.prefixes else 0)
        sizes = {name: steps if name in time else OTHERS for name in names}
        try:
            found = run_all(graph, {}, sizes)[node.id]
        except ValueError:  # sizes that must be multiples
            return False
        lead = np.moveaxis(found, axes, (0, 1))
        later = np.arange(steps)[:, None] < np.arange(steps)[None, :]
        seen = (lead & later.reshape(steps, steps, *(1,) * (lead.ndim - 2))).any(axis=0)
        prefix = 1 + max(np.flatnonzero(seen.reshape(steps, -1).any(axis=1)).tolist(), default=-1)
        if prefix > steps - STEPS:
            return False
        self.prefix = max(self.prefix, prefix)
        return True

    def _longest(self, graph: Graph) -> int:
        """Where a prefix ends at the latest: behind a number that positions are compared with."""
        values = (n["value"] for n in graph if n.op == "constant")
        return 1 + max((int(value) for value in values if 0 < value <= LONGEST), default=0)
