"""Forget what the forward pass makes, and make it again when the backward pass gets there.

The forward pass is divided into stretches.  What one leaves to the next is kept, as few bytes as
separate the two (a minimum cut); of all stretches but the last, the rest is computed again, in a
phase of its own together with the backward pass of that stretch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from ...spec.dims import evaluate
from ..artifact import ITEM_BYTES
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS

FREE = ("input", "constant", "table", "size", "iota", "random")
"""What is there, or drawn again wherever it is needed; so is what follows of these alone."""


def recompute(
    graph: Graph, results: Collection[str], sizes: Mapping[str, int], stretches: int
) -> Graph:
    """The graph with its forward pass, all that the outputs `results` need, in stretches."""
    return _Recomputing(graph, results, sizes, stretches).run() if stretches > 1 else graph


@dataclass
class _Recomputing:
    """One division.  `kept` are the values that stay, `ends` the last values of the stretches."""

    graph: Graph
    results: Collection[str]
    sizes: Mapping[str, int]
    stretches: int
    kept: set[int] = field(default_factory=set)
    ends: list[int] = field(default_factory=list)

    def run(self) -> Graph:
        self.free = self._free()
        self.forward = self._forward()
        self.ends = self._ends()
        before: set[int] = set()
        for number, end in enumerate(self.ends):
            begin = self.ends[number - 1] if number else -1
            before = self._cut(begin, end, before)
            self.kept |= before
        self.graph = Graph(map(self._phased, self.graph.nodes), self.graph.outputs)
        self.base = max(node.phase for node in self.graph)
        return self._rebuilt()

    # ---- stretches -----------------------------------------------------------------------------

    def _forward(self) -> set[int]:
        """What the results need, as far as it is made before any piece of rows."""
        graph = self.graph
        stack = [i for name, i in graph.outputs.items() if name in self.results]
        found: set[int] = set()
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack.extend(graph[i].operands)
        return {i for i in found - self.free if graph[i].phase == 0}

    def _free(self) -> set[int]:
        """Values that every kernel makes for itself, such as the mask of all layers."""
        free: set[int] = set()
        for node in self.graph:
            light = _light(node) and all(o in free for o in node.operands)
            if node.phase == 0 and (node.op in FREE or light):
                free.add(node.id)
        return free - set(self.graph.outputs.values())

    def _bytes(self, i: int) -> int:
        node = self.graph[i]
        total = ITEM_BYTES[node.dtype]
        for extent in node.shape:
            total *= evaluate(extent, self.sizes)
        return total

    def _ends(self) -> list[int]:
        """Where the stretches end: they hold about the same bytes for the backward pass, and little
        crosses from one to the next.
        """
        order = sorted(self.forward)
        saved, crossing, live = [], [], 0
        last: dict[int, list[int]] = {}
        total = 0
        for i in order:
            users = self.graph.users(i)
            later = [u for u in users if u in self.forward]
            if len(later) < len(users):
                total += self._bytes(i)
            saved.append(total)
            if later:
                live += self._bytes(i)
                last.setdefault(max(later), []).append(i)
            live -= sum(map(self._bytes, last.pop(i, ())))
            crossing.append(live)
        ends: list[int] = []
        share = total / self.stretches
        for number in range(1, self.stretches):
            low = bisect_left(saved, (number - 0.5) * share)
            high = max(bisect_left(saved, (number + 0.5) * share), low + 1)
            near = range(low, min(high, len(order) - 1))
            if near:
                middle = bisect_left(saved, number * share)
                best = min(near, key=lambda at: (crossing[at], abs(at - middle)))
                ends.append(order[best])
        return sorted(set(ends))

    # ---- what is kept --------------------------------------------------------------------------

    def _cut(self, begin: int, end: int, before: set[int]) -> set[int]:
        """The fewest bytes from which all that follows a stretch can be made without repeating its
        products and folds; `before` is what the stretch before left.
        """
        import networkx as nx  # a fifth of a second, for those who have a budget

        graph, network = self.graph, nx.DiGraph()
        stretch = [i for i in sorted(self.forward) if begin < i <= end]
        inside = {*stretch, *before}
        for i in sorted(inside):
            network.add_edge((i, "made"), (i, "left"), capacity=self._bytes(i))
            if i in before or not _light(graph[i]):
                network.add_edge("first", (i, "made"))  # of unlimited capacity
            for user in graph.users(i):
                if user in inside and user not in before and _light(graph[user]):
                    network.add_edge((i, "left"), (user, "made"))
                elif user in self.forward and user > end:
                    network.add_edge((i, "left"), "last")
        if "first" not in network or "last" not in network:
            return set()
        _, (near, _) = nx.minimum_cut(network, "first", "last")
        return {i for i in inside if (i, "made") in near and (i, "left") not in near}

    # ---- the new graph ---------------------------------------------------------------------------

    def _phased(self, node: Node) -> Node:
        """Every stretch of the forward pass is a phase: what leaves it is stored."""
        if node.id in self.free or node.op in FREE:
            return node
        if node.id in self.forward:
            return replace(node, phase=self._stretch(node.id) + 1)
        return replace(node, phase=node.phase + len(self.ends) + 1)

    def _stretch(self, i: int) -> int:
        return bisect_left(self.ends, i)

    def _phase(self, stretch: int) -> int:
        """When the backward pass gets to a stretch; that of the last goes with what is there."""
        return self.base + len(self.ends) - stretch

    def _again(self, i: int) -> bool:
        """Is a value gone when the backward pass wants it?"""
        gone = i in self.forward and i not in self.kept and self._stretch(i) < len(self.ends)
        return gone and i not in self.graph.outputs.values()

    def _rebuilt(self) -> Graph:
        """Everything after the forward pass, phase by phase."""
        graph = self.graph
        self.b = Builder(OPS, {})
        self.b.nodes = list(graph.nodes)
        self.made: dict[tuple[int, int], int] = {}
        new: dict[int, int] = {}
        phases: dict[int, int] = {}
        results = self._needed_by_results()
        for node in graph:
            if node.id in results or node.id in self.free or node.phase < self.base:
                continue
            wanted = [self._phase(self._stretch(o)) for o in node.operands if self._again(o)]
            wanted += [phases[o] for o in node.operands if o in phases]
            phase = phases[node.id] = max([self.base, *wanted])
            operands = [
                self._copy(o, phase) if self._again(o) else new.get(o, o) for o in node.operands
            ]
            if phase == node.phase and tuple(operands) == node.operands:
                continue
            with self.b.like(replace(node, phase=phase)):
                new[node.id] = self.b.repeat(node, operands)
        self.b.outputs = {name: new.get(i, i) for name, i in graph.outputs.items()}
        return self.b.graph()

    def _needed_by_results(self) -> set[int]:
        stack = [i for name, i in self.graph.outputs.items() if name in self.results]
        found: set[int] = set()
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack.extend(self.graph[i].operands)
        return found

    def _copy(self, i: int, phase: int) -> int:
        """A value of the forward pass, made again in a phase."""
        stack = [i]
        while stack:
            at = stack[-1]
            missing = [
                o for o in self.graph[at].operands if self._again(o) and (o, phase) not in self.made
            ]
            if missing:
                stack += missing
                continue
            stack.pop()
            if (at, phase) not in self.made:
                node = self.graph[at]
                operands = [self.made[o, phase] if self._again(o) else o for o in node.operands]
                with self.b.like(replace(node, phase=phase)):
                    made = self.b.repeat(node, operands)
                self.made[at, phase] = made
        return self.made[i, phase]


def _light(node: Node) -> bool:
    """Is a value quickly made again?"""
    return OPS[node.op].lowering in ("map", "view", "alias", "reindex")
