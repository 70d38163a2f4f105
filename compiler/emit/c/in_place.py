"""Results of a scan that lie where a step has just read: gates as they open, their cotangents.

gates[t] -> sigmoid(gates[t][:, :16]) in the place of its own columns

Outside of the loop only lifetimes count: who else reads what lies there has to be done.  Within a
step a kernel must have read an element before it writes there, which its statements say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ....spec.dims import numel
from ...ir.body import ROW, Body
from ...ir.graph import Graph, Node
from ...ops import OPS
from ...plan.launch import Launch, Level, Stage
from ...plan.layout import row_major
from ..loops import Kernel, Load, Store, operands_of
from .launches import Launches


@dataclass(frozen=True, slots=True)
class Place:
    """Columns of a value [B, T, n] in whose memory another one lies."""

    host: int
    start: int
    width: int

    def meets(self, other: Place) -> bool:
        """Do two of one host share any column?"""
        return self.start < other.start + other.width and other.start < self.start + self.width


@dataclass(slots=True)
class _When:
    """Who reads a value: the levels, and in those stages the last launches that do."""

    readers: list[tuple[int, Stage, int]]

    def done(self, level: int, stage: Stage, position: int) -> bool:
        """Is nothing left to read, but by the thread at hand and up to the launch at hand?"""
        return all(
            at < level or (own is stage and number <= position) for at, own, number in self.readers
        )


class Places:
    """Where results of scans lie, decided one launch after the other, in order."""

    def __init__(self, part: Launches, levels: Sequence[Level]) -> None:
        self.part = part
        self.graph: Graph = part.graph
        self.levels = levels
        self.found: dict[int, Place] = {}
        self.when: dict[int, _When] = {}
        self.scanned: dict[int, bool] = {}  # is a value read by scans alone?
        for level, stage, number, launch in self._launches():
            scan = launch.heavy is not None and self.graph[launch.heavy].op == "scan"
            for value in launch.reads:
                self.when.setdefault(value, _When([])).readers.append((level, stage, number))
                self.scanned[value] = self.scanned.get(value, True) and scan

    def _launches(self) -> Iterator[tuple[int, Stage, int, Launch]]:
        for number, level in enumerate(self.levels):
            for stage in level:
                for position, launch in enumerate(stage.launches):
                    yield number, stage, position, launch

    def all(self, taken: Iterable[int]) -> dict[int, Place]:
        """The places of all results that have one; values `taken` lie elsewhere already."""
        self.taken = frozenset(taken)
        for level, stage, position, launch in self._launches():
            if launch.heavy is not None and self.graph[launch.heavy].op == "scan":
                self._of_scan(self.graph[launch.heavy], launch, (level, stage, position))
        return self.found

    def _of_scan(self, node: Node, launch: Launch, now: tuple[int, Stage, int]) -> None:
        body: Body = node["body"]
        made = {i: body.nodes[body.results[self.graph[i]["index"]]] for i in launch.writes}
        count = len(body.sequences)
        walked = [self.part.values.base(o) for o in node.operands[len(node.operands) - count :]]
        sides = dict(zip(body.sequences, walked, strict=True))
        options = {i: list(self._options(body, inner, sides)) for i, inner in made.items()}
        for i in sorted(options, key=lambda i: (len(options[i]), i)):
            for place in options[i]:
                if self._fits(i, place, now, launch):
                    self.found[i] = place
                    break

    def _options(self, body: Body, made: Node, sides: Mapping[int, int]) -> Iterator[Place]:
        """Columns that some part of a result is a map of, so that it may lie there."""
        width = made.shape[-1]
        if len(made.shape) != 2 or not isinstance(width, int):
            return
        begin, seen = 0, set[Place]()
        joins = made.op == "concat" and made["axis"] == 1
        for part in made.operands if joins else (made.id,):
            extent = body.nodes[part].shape[-1]
            for sequence, start, wide in read_columns(body, part):
                value = sides.get(sequence)
                if value is None or wide != extent:
                    continue
                own = self.found.get(value, Place(value, 0, 0))
                place = Place(own.host, own.start + start - begin, width)
                if place not in seen:
                    seen.add(place)
                    yield place
            begin += extent

    def _fits(self, i: int, place: Place, now: tuple[int, Stage, int], launch: Launch) -> bool:
        graph, host = self.graph, place.host
        shape, own = graph[host].shape, graph[i].shape
        if len(shape) != 3 or len(own) != 3 or own[:2] != shape[:2] or i == host:
            return False
        wide = shape[-1]
        if not isinstance(wide, int) or place.start < 0 or place.start + place.width > wide:
            return False
        if {i, host} & self.taken or graph[host].op == "input" or now[1].summed & {i, host}:
            return False
        if graph[i].dtype != "f32" or graph[host].dtype != "f32":
            return False
        if self.part.layout(host).strides != row_major(shape).strides:
            return False
        whole = own == shape and self.part.layout(i) == self.part.layout(host)
        if not whole and not self.scanned.get(i, False):
            return False
        tenants = {host: Place(host, 0, wide)}
        tenants |= {v: p for v, p in self.found.items() if p.host == host}
        over = [v for v, p in tenants.items() if p.meets(place)]
        if any(v in launch.writes or v in now[1].crossed for v in over):
            return False
        return all(self.when[v].done(*now) for v in over if v in self.when)


def read_columns(body: Body, i: int) -> Iterator[tuple[int, int, int]]:
    """The columns (sequence, start, width) that a value of a step is a map of, one by one."""
    stack, seen = [i], set[int]()
    while stack:
        node = body.nodes[stack.pop()]
        if node.id in seen or node.shape[:1] != (ROW,):
            continue
        seen.add(node.id)
        if node.id in body.sequences and len(node.shape) == 2:
            wide = node.shape[1]
            if isinstance(wide, int):
                yield node.id, 0, wide
        elif node.op == "slice" and node.operands[0] in body.sequences:
            start, wide = node["starts"][-1], node.shape[-1]
            if len(node.shape) == 2 and isinstance(start, int) and isinstance(wide, int):
                yield node.operands[0], start, wide
        elif OPS[node.op].lowering == "map":
            stack.extend(o for o in node.operands if body.nodes[o].shape == node.shape)


# ---- within a step -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shared:
    """A result of a step, or part of it, that is written where a sequence lies.

    Units: `by` elements from where that begins.
    """

    result: int
    made: int
    sequence: int
    by: int


def may_write(shared: Shared, launches: Sequence[Launch], kernels: Mapping[Launch, Kernel]) -> bool:
    """Has every element been read before it is written there?"""
    writers = [k for k, launch in enumerate(launches) if shared.made in launch.writes]
    if not writers:
        return False
    for position, launch in enumerate(launches):
        if shared.sequence not in launch.reads or position < writers[0]:
            continue
        if position > writers[-1] or launch not in kernels:
            return False
        if not _reads_first(kernels[launch], shared):
            return False
    return True


def _reads_first(kernel: Kernel, shared: Shared) -> bool:
    """Do the stores of a kernel depend on all loads of the same elements, and meet no others?"""
    names = {b.name: b.value for b in kernel.buffers}
    columns = numel(axis.extent for axis in kernel.columns)
    body = [s for each in kernel.passes for s in each.body]
    loads = [s for s in body if isinstance(s, Load) and names[s.buffer] == shared.sequence]
    stores = [s for s in body if isinstance(s, Store) and names[s.buffer] == shared.made]
    if len(kernel.passes) != 1 or len(loads) + len(stores) != sum(
        names.get(getattr(s, "buffer", ""), -1) in (shared.sequence, shared.made) for s in body
    ):
        return False
    made = {t: s for s in body if (t := getattr(s, "target", None)) is not None}
    for store in stores:
        behind, stack = set[str](), list(operands_of(store))
        while stack:
            name = stack.pop()
            if name not in behind:
                behind.add(name)
                stack += operands_of(made[name]) if name in made else ()
        for load in loads:
            if load.guards or load.index.terms != store.index.terms:
                return False
            apart = load.index.offset - store.index.offset - shared.by
            if not isinstance(apart, int) or not isinstance(columns, int):
                return False
            if apart != 0 and (abs(apart) < columns or not kernel.columns):
                return False
            if apart == 0 and load.target not in behind:
                return False
    return True
