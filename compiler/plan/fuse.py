"""Groups of stored values made by one kernel each, merged while that saves bytes.

Best pair first: the gain of a pair is what it no longer reads or writes.  A refused pair stays
refused, since merging others only adds paths between launches.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from .again import waits
from .order import Order
from .space import Refused, space
from .values import Values, lowering

MAX_STREAMS = 14  # full-size loads and stores one kernel may hold in registers

Roots = frozenset[int]
Launch = Roots | int
"""A group, or the id of a heavy node."""


class Fusion:
    """The groups of a graph, and which launch reads which value.

    `home` is the group of a stored value, `order` one in which the launches can run.
    """

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

    def touched(self, values: Iterable[int]) -> set[int]:
        """What lies where some values do."""
        return {source for i in values for source in self.values.lying(i)}

    def cost(self, roots: Roots) -> int:
        """Bytes the kernel moves.  Aliases count as the memory they share."""
        moved = set().union(*(self.sources[r] for r in roots)) - roots
        moved.update(self.written(roots))
        return sum(map(self.values.bytes_of, moved))

    # ---- merging ---------------------------------------------------------------------------------

    def _index(self) -> None:
        values = self.values
        self.moved = {node.id for node in values.graph if lowering(node) == "reindex"}
        self.leaves = {r: set(values.cone({r})[1]) for r in values.stored}
        self.sources = {r: self.touched(leaves) for r, leaves in self.leaves.items()}
        self.behind = {r: self.sources[r] - leaves for r, leaves in self.leaves.items()}
        self.readers: dict[int, set[int]] = {}
        for root, sources in self.sources.items():
            for source in sources:
                self.readers.setdefault(source, set()).add(root)
        for node in values.graph:
            if values.is_heavy(node):
                for source in values.operands(node):
                    self.readers.setdefault(source, set()).add(node.id)
        for launch in values.attention:
            for leaf in values.cone_of(launch)[1]:
                for source in values.lying(leaf):
                    self.readers.setdefault(source, set()).add(launch.key)

    def legal(self, roots: Roots) -> bool:
        """Can one kernel make all of `roots`?  What is quickly told is asked first."""
        if self._reads_back(roots):
            return False
        if any(self.leaves[r] & roots & self.values.slopes for r in roots):
            return False
        members, leaves = self.values.cone(roots)
        full = max(map(self.values.count, members), default=0)
        streams = [i for i in (*leaves, *self.written(roots)) if self.values.count(i) == full]
        parts = {self.home[r] for r in roots}
        if len(streams) > MAX_STREAMS or not self.order.apart(parts):
            return False
        try:
            space(self.values, roots)
        except Refused:
            return False
        return True

    def _reads_back(self, roots: Roots) -> bool:
        """Would the kernel read, elsewhere than at the row at hand, memory that it writes?"""
        members, _ = self.values.cone(roots)
        if any(self.behind[r] & roots for r in roots):
            return True
        graph = self.values.graph
        moved = (graph[i] for i in members if i in self.moved)
        sources = {o for n in moved for o in (n.operands[:1] if n.op == "take" else n.operands)}
        return bool(self.touched(sources) & roots)

    def _order(self) -> Order[Launch]:
        """Groups and heavy nodes, by who reads whom."""
        after: dict[Launch, list[Launch]] = {
            self._maker(node.id): []
            for node in self.values.graph
            if node.id in self.home or node.id in self.values.launches or self.values.is_heavy(node)
        }
        for value, readers in self.readers.items():
            maker = self._maker(value)
            if maker in after:
                after[maker] += [self._maker(r) for r in readers]
        for value, before in waits(self.values.graph).items():
            for other in before:
                maker = self._maker(self.values.base(other))
                if maker in after and value in self.home:
                    after[maker].append(self.home[value])
        return Order(after)

    def _maker(self, i: int) -> Launch:
        """The launch that makes a value."""
        launch = self.values.launches.get(i)
        if launch is not None:
            return launch.key
        return self.home.get(i, self.values.writers.get(i, i))

    def _fuse(self) -> None:
        alive = {group: self.cost(group) for group in self.groups}
        self.home = {r: group for group in self.groups for r in group}
        self.order = self._order()
        touching: dict[int, set[Roots]] = {}
        heap: list[tuple[int, int, int, Roots, Roots]] = []

        phase = {group: self.values.graph[min(group)].phase for group in self.groups}

        def touched(group: Roots) -> set[int]:
            return set(group).union(*(self.sources[r] for r in group))

        def offer(group: Roots) -> None:
            mine = touched(group)
            near = set().union(*(touching.setdefault(v, set()) for v in mine))
            for other in near:
                if other in alive and other != group and phase[other] == phase[group]:
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
            phase[a | b] = phase[a]
            alive[a | b] = self.cost(a | b)
            self.order.merge((a, b), a | b)
            for root in a | b:
                self.home[root] = a | b
            offer(a | b)
        self.groups = sorted(alive, key=min)
