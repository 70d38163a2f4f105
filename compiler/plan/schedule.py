"""The stages that launches share, and the levels between which everybody waits.

Launches over one domain that hand rows to each other one for one share a stage: a single loop over
panels of rows, in which a panel stays in cache from the first kernel to the last.  What takes less
time than waiting for somebody else to do it is done by every thread for itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...spec.dims import Dim, evaluate
from ..ops.products import letters
from .launch import EVERY, ONCE, PANELS, SHARED, Launch, Level, Stage, is_literal
from .layout import LANES
from .order import in_turn
from .values import Values

LIGHT = 1024  # elements that every thread may just as well work through for itself
WIDE = 4096  # elements that are worth sharing between threads
PARTS = 8  # shares of a sum over the batch; results never depend on the number of threads


# ---- modes ---------------------------------------------------------------------------------------


def arrange(values: Values, launches: Iterable[Launch], fixed: frozenset[int]) -> list[Launch]:
    """The launches with their modes, and the finish of every partial sum.

    `fixed` values are updated in place, so that they must be written exactly once.
    """
    found: list[Launch] = []
    known = {node.id for node in values.graph.inputs()}
    graph = values.graph
    phases = [(launch, graph[launch.made].phase) for launch in launches]
    launches = [x if x.phase == phase else replace(x, phase=phase) for x, phase in phases]
    read = frozenset().union(*(launch.reads for launch in launches))
    for launch in order(launches):
        mode = _mode(values, launch, known, fixed)
        if mode == EVERY:
            known |= launch.writes
        found.append(launch if launch.mode == mode else replace(launch, mode=mode))
        if mode == PANELS:
            sums = [_finish(values, launch, i, i in read) for i in sorted(launch.summed)]
            found += [replace(finish, phase=launch.phase) for finish in sums]
    return found


def in_order(launches: Iterable[Launch]) -> list[Launch]:
    """The launches one after the other, each as a whole: one thread does all of it."""
    return [replace(launch, mode=ONCE) for launch in order(launches)]


def work(values: Values, launch: Launch) -> int:
    """About how many elements a launch works through, at the nominal sizes."""
    if launch.heavy is not None and values.graph[launch.heavy].op == "contract":
        return -(-multiplications(values, launch.heavy) // LANES)
    if launch.attention is not None:
        products = len(launch.attention.products) + len(launch.attention.results)
        return products * values.count(launch.attention.streamed[0])
    return sum(map(values.count, launch.reads | launch.writes))


def multiplications(values: Values, i: int) -> int:
    """The scalar products in a contraction, at the nominal sizes."""
    node = values.graph[i]
    extents: dict[str, Dim] = {}
    for text, operand in zip(letters(node["spec"])[:2], node.operands, strict=True):
        extents |= zip(text, values.graph[operand].shape, strict=True)
    return math.prod(evaluate(extent, values.sizes) for extent in extents.values())


def _mode(values: Values, launch: Launch, known: set[int], fixed: frozenset[int]) -> str:
    if launch.heavy is not None and values.graph[launch.heavy].op == "all_reduce":
        return ONCE
    size = work(values, launch)
    literal = all(is_literal(values.graph[i]) for i in launch.writes)
    light = size <= LIGHT and literal and not launch.writes & fixed
    if not isinstance(launch.domain, int):
        ready = launch.reads <= known and launch.writes == launch.summed
        return EVERY if light and ready else PANELS
    if light:
        return EVERY
    if launch.heavy is not None and values.graph[launch.heavy].op == "scatter_add":
        return SHARED if size >= WIDE else ONCE
    return PANELS if size >= WIDE and launch.domain > 1 else ONCE


def _finish(values: Values, launch: Launch, value: int, read: bool) -> Launch:
    """The launch that adds up the parts of a sum: row by row, or at once where others wait."""
    node, made = values.graph[value], frozenset({value})
    if node.op == "contract" and not is_literal(node):
        rows, along = node.shape[0], ((value, 0),)
        none: frozenset[int] = frozenset()
        return Launch(None, none, none, made, rows, along, none, "", value, PANELS)
    few = PARTS * values.count(value) <= LIGHT and is_literal(node)
    mode = EVERY if few and read else SHARED
    return Launch(None, frozenset(), frozenset(), made, 1, (), frozenset(), "", value, mode)


# ---- order ---------------------------------------------------------------------------------------


def order(launches: Iterable[Launch]) -> list[Launch]:
    """Launches such that each comes after those it reads; ties by node id."""
    return in_turn(_readers(list(launches)), lambda x: x.key)


def _readers(launches: Sequence[Launch]) -> dict[Launch, list[Launch]]:
    """Who waits for each launch."""
    makers = [launch for launch in launches if launch.finishes is None]
    maker = {value: launch for launch in makers for value in launch.writes}
    adder = {launch.finishes: launch for launch in launches if launch.finishes is not None}
    after: dict[Launch, list[Launch]] = {launch: [] for launch in launches}
    for launch in launches:
        for value in launch.reads:
            if value in maker and maker[value] is not launch:
                after[adder.get(value, maker[value])].append(launch)
        after[launch] += [adder[value] for value in launch.summed & adder.keys()]
    return after


def together(maker: Launch, reader: Launch) -> bool:
    """May the reader take every row right after the maker made it?"""
    if maker.domain != reader.domain or isinstance(maker.domain, int):
        return False
    for value in maker.writes & reader.reads:
        mine, theirs = maker.dimension(value), reader.dimension(value)
        if value in maker.summed or mine is None or mine != theirs:
            return False
    return True


def joined(maker: Launch, reader: Launch) -> bool:
    """Does the reader find what it needs without waiting for other threads?"""
    if maker.mode == EVERY or maker.mode == reader.mode == ONCE:
        return True
    both = maker.mode == reader.mode == PANELS
    return both and reader.finishes is None and together(maker, reader)


def levels(launches: Sequence[Launch]) -> list[Level]:
    """Stages between barriers, phase by phase."""
    phases = sorted({launch.phase for launch in launches})
    return [
        level for phase in phases for level in _levels([x for x in launches if x.phase == phase])
    ]


def _levels(launches: Sequence[Launch]) -> list[Level]:
    """The levels of one phase: as late as possible, but sums right after what they add up."""
    after = _readers(launches)
    before: dict[Launch, list[Launch]] = {launch: [] for launch in launches}
    for launch, readers in after.items():
        for reader in readers:
            before[reader].append(launch)
    sequence = in_turn(after, lambda x: x.key)
    level: dict[Launch, int] = {}
    for launch in sequence:
        makers = before[launch]
        level[launch] = max((level[m] + (not joined(m, launch)) for m in makers), default=0)
    for launch in reversed(sequence):
        readers = after[launch]
        if readers and not launch.summed and launch.finishes is None:
            level[launch] = min(level[r] - (not joined(launch, r)) for r in readers)
    found = []
    for number in range(max(level.values(), default=-1) + 1):
        found.append(tuple(_stages([launch for launch in sequence if level[launch] == number])))
    return [stages for stages in found if stages]


def _stages(launches: Sequence[Launch]) -> list[Stage]:
    """What every thread does comes first; launches over one symbolic domain share a stage."""
    stages: list[Stage] = []
    for mode in (EVERY, SHARED, ONCE):
        members = tuple(launch for launch in launches if launch.mode == mode)
        if members:
            stages.append(Stage(mode, 1, members))
    shared: dict[Dim, list[Launch]] = {}
    walked = [launch for launch in launches if launch.mode == PANELS]
    for launch in walked:
        if not isinstance(launch.domain, int):
            shared.setdefault(launch.domain, []).append(launch)
    stages += [Stage(PANELS, domain, tuple(members)) for domain, members in shared.items()]
    stages += [Stage(PANELS, x.domain, (x,)) for x in walked if isinstance(x.domain, int)]
    return stages
