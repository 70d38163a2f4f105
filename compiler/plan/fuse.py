"""Groups of stored values made by one kernel each, merged while that saves bytes.

Best pair first: the gain of a pair is what it no longer reads or writes.  A refused pair stays
refused, since merging others only adds paths between launches.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from .space import Refused, space
from .values import Values, lowering

MAX_STREAMS = 14  # full-size loads and stores one kernel may hold in registers

Roots = frozenset[int]


class Fusion:
    """The groups of a graph, and which launch reads which value."""

    def __init__(self, values: Values, *, fused: bool = True) -> None:
        self.values = values
        self.groups: list[Roots] = [frozenset({i}) for i in sorted(values.stored)]
        self._index()
        if fused:
            self._fuse()

    # ---- reading ---------------------------------------------------------------------------------

    def written(self, roots: Roots) -> list[int]:
        """The roots that somebody outside the kernel reads."""
        outputs = self.values.outputs
        return [r for r in sorted(roots) if r in outputs or self.readers.get(r, set()) - roots]

    def reads(self, roots: Iterable[int]) -> set[int]:
        """What the kernel loads."""
        return set().union(*(self.leaves[r] for r in roots)) - set(roots)

    def cost(self, roots: Roots) -> int:
        """Bytes the kernel moves.  Aliases count as the memory they share."""
        base = self.values.base
        moved = {base(i) for i in self.reads(roots)} | set(self.written(roots))
        return sum(map(self.values.bytes_of, moved))

    # ---- merging ---------------------------------------------------------------------------------

    def _index(self) -> None:
        values = self.values
        self.leaves = {r: set(values.cone({r})[1]) for r in values.stored}
        self.readers: dict[int, set[int]] = {}
        for root, leaves in self.leaves.items():
            for leaf in leaves:
                self.readers.setdefault(values.base(leaf), set()).add(root)
        for node in values.graph:
            if lowering(node) == "heavy":
                for operand in node.operands:
                    source = values.base(operand)
                    self.readers.setdefault(source, set()).add(node.id)

    def legal(self, roots: Roots) -> bool:
        """Can one kernel make all of `roots`?  What is quickly told is asked first."""
        if self._reads_back(roots):
            return False
        members, leaves = self.values.cone(roots)
        full = max(map(self.values.count, members), default=0)
        streams = [i for i in (*leaves, *self.written(roots)) if self.values.count(i) == full]
        if len(streams) > MAX_STREAMS or self._cyclic(roots):
            return False
        try:
            space(self.values, roots)
        except Refused:
            return False
        return True

    def _reads_back(self, roots: Roots) -> bool:
        """Would the kernel read, elsewhere than at the row at hand, memory that it writes?"""
        members, leaves = self.values.cone(roots)
        if any(self.values.base(i) in roots for i in leaves):
            return True
        graph = self.values.graph
        moved = (graph[i] for i in members if lowering(graph[i]) == "reindex")
        sources = {o for n in moved for o in (n.operands[:1] if n.op == "take" else n.operands)}
        return any(self.values.base(o) in roots for o in sources)

    def _cyclic(self, roots: Roots) -> bool:
        """Would the kernel have to run both before and after another launch?

        Readers have larger ids than what they read, and only kernels of several values lead back
        to smaller ones: beyond what those can reach, nothing returns to the roots.
        """
        last = self._horizon(max(roots))
        stack = [u for r in roots for u in self.readers.get(r, ()) if u not in roots]
        seen = set(stack)
        while stack:
            i = stack.pop()
            kernel = self.home.get(i, (i,))
            for together in kernel:
                if together >= last:
                    continue
                for user in self.readers.get(together, ()):
                    if user in roots:
                        return True
                    if user not in seen:
                        seen.add(user)
                        stack.append(user)
        return False

    def _horizon(self, last: int) -> int:
        """The largest id from which a value before `last` may be reached."""
        grown = True
        while grown:
            far = max((high for low, high in self.spans if low < last), default=last)
            grown = far > last
            last = max(last, far)
        return last

    def _fuse(self) -> None:
        self.spans: set[tuple[int, int]] = set()  # first and last value of kernels of several
        alive = {group: self.cost(group) for group in self.groups}
        self.home = {r: group for group in self.groups for r in group}
        touching: dict[int, set[Roots]] = {}
        heap: list[tuple[int, int, int, Roots, Roots]] = []

        def touched(group: Roots) -> set[int]:
            return {self.values.base(i) for i in self.reads(group)} | group

        def offer(group: Roots) -> None:
            mine = touched(group)
            near = set().union(*(touching.setdefault(v, set()) for v in mine))
            for other in near:
                if other in alive and other != group:
                    gain = alive[group] + alive[other] - self.cost(group | other)
                    if gain > 0:
                        low, high = sorted((min(group), min(other)))
                        heapq.heappush(heap, (-gain, low, high, group, other))
            for value in mine:
                touching[value].add(group)

        for group in self.groups:
            offer(group)
        while heap:
            *_, a, b = heapq.heappop(heap)
            if a not in alive or b not in alive or not self.legal(a | b):
                continue
            del alive[a], alive[b]
            alive[a | b] = self.cost(a | b)
            self.spans -= {(min(a), max(a)), (min(b), max(b))}
            self.spans.add((min(a | b), max(a | b)))
            for root in a | b:
                self.home[root] = a | b
            offer(a | b)
        self.groups = sorted(alive, key=min)
