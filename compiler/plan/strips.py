"""Strips: positions of a sample that walk together through a run of launches.

A panel of even one sample may be too large for a cache, where samples are long sequences.  Norms,
products with weights and the maps between them treat every position by itself; only attention,
windows and scans couple them.  So launches of a stage that follow one another, and hand on
position by position, walk strips of a sample: one goes through all of them before the next one
begins, and what they alone touch takes the memory of a strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...spec.dims import Dim
from .launch import Launch

STRIP = 256
"""Positions of a strip, for which a product rearranges its weights."""


@dataclass(frozen=True, slots=True)
class Even:
    """How a launch walks the `positions` of each sample one by one.

    `steps` says for each value how many elements lie between samples, and between positions;
    `beyond` are the values of which a position needs more than its own elements.  `whole`: it
    counts positions from the first sample on, not from the one at hand.
    """

    positions: int
    steps: Mapping[int, tuple[Dim, Dim]]
    beyond: frozenset[int]
    whole: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Launches that walk the positions of each sample together, `rows` of `positions` at a time.

    `own`: values that nobody else touches, and the elements between their positions.
    """

    walks: Mapping[Launch, Even]
    positions: int
    rows: int
    own: Mapping[int, Dim]

    @property
    def launches(self) -> tuple[Launch, ...]:
        """In their order."""
        return tuple(self.walks)


def strips(launches: Sequence[Launch], even: Callable[[Launch], Even | None]) -> list[Strip]:
    """The strips of a stage."""
    found: list[Strip] = []
    run: dict[Launch, Even] = {}
    for launch in launches:
        walk = even(launch)
        if walk is None or not _fits(run, launch, walk):
            found += _strip(run, launches)
            run = {}
        if walk is not None:
            run[launch] = walk
    return found + _strip(run, launches)


def _fits(run: Mapping[Launch, Even], launch: Launch, walk: Even) -> bool:
    """Does it take every position as the launches before it leave and find it?"""
    for other, before in run.items():
        shared = (launch.writes & other.reads) | (launch.reads & other.writes)
        shared |= launch.writes & other.writes
        same = all(walk.steps[v] == before.steps[v] for v in shared)
        if walk.positions != before.positions or not same or shared & (walk.beyond | before.beyond):
            return False
    return True


def _strip(run: Mapping[Launch, Even], launches: Iterable[Launch]) -> list[Strip]:
    """A run that hands something on, if samples have more than one strip."""
    if not run:
        return []
    positions = next(iter(run.values())).positions
    written = frozenset().union(*(launch.writes - launch.summed for launch in run))
    handed = written & frozenset().union(*(launch.reads for launch in run))
    if not handed or positions < 2 * STRIP:
        return []
    others = [launch.reads | launch.writes for launch in launches if launch not in run]
    steps = {value: each for walk in run.values() for value, (_, each) in walk.steps.items()}
    own = {value: steps[value] for value in sorted(handed.difference(*others))}
    return [Strip(dict(run), positions, STRIP, own)]
