"""A scan and the scans inside of its step, with names for all that lies in memory.

A loop inside of a step is a stage of the step.  What lies outside of it lies where it does for the
step around it, and moves on with the steps of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ....spec.dims import numel
from ...ir.graph import Graph
from ...plan.values import Values
from ..loops import Axis
from .attach import plain_works
from .axes import rename
from .part import Part, Work, free, last
from .scan import Loop, loop_of
from .scan_fusion import fused
from .scan_pieces import Piece, straightened
from .scan_products import row_product
from .scan_stages import Moves, by_sample

DEEPEST = 4
"""Loops inside of each other."""

TURNING = ("moment", "before", "after", "at")
"""What the text of a loop calls its step, and the two places of a state."""


def turning(depth: int) -> tuple[str, ...]:
    """These names in a loop so deep inside of others."""
    return tuple(f"{word}_{depth + 1}" if depth else word for word in TURNING)


@dataclass(frozen=True, slots=True)
class Level:
    """A loop: its beginning and its step as parts, and the loops inside of the step.

    `names` are those of the buffers, `moves` how far values move on, of both parts; `inner` loops
    stand under the result that the planner calls their work by.  `outside` says for each value that
    lies outside whose it is there: a value of the step around it.
    """

    loop: Loop
    depth: int
    begin: Part
    step: Part
    names: tuple[Mapping[int, str], Mapping[int, str]]
    moves: tuple[Moves, Moves]
    outside: tuple[Mapping[int, int], Mapping[int, int]]
    inner: Mapping[int, Level]

    def levels(self) -> Iterator[Level]:
        """This loop and those inside of it, from the outside in."""
        yield self
        for level in self.inner.values():
            yield from level.levels()

    def pieces(self, columns: int) -> tuple[list[Piece], list[Piece]]:
        """The work of both parts in as few pieces as may be, for blocks of so many columns."""
        begin, step = (
            _pieces(part, names, columns)
            for part, names in zip((self.begin, self.step), self.names, strict=True)
        )
        return begin, step


def level_of(
    part: Part, i: int, writes: list[int], planned: Callable[[Graph], Values], *,
    depth: int = 0, around: tuple[Mapping[int, str], Moves] | None = None, taken: set[str],
) -> Level:  # fmt: skip
    """The loop of the scan `i` with the results `writes` in `part`.

    `around` gives names and moves of the step around it.

    Raises: LookupError for loops too deep inside of each other.
    """
    if depth == DEEPEST:
        raise LookupError("loops lie too deep inside of each other")
    loop = loop_of(part, i, writes, whole=True)
    begin = Part(loop.begin, loop.begin_homes, planned(loop.begin))
    step = Part(loop.step, loop.homes, planned(loop.step))
    for each in (begin, step):
        each.plan(plain_works(each))
    lent = {k: o for k, (o, _) in loop.lent.items()}
    outer, moved = around or ({}, {})
    known = [{k: outer[o] for k, o in some.items() if o in outer} for some in (loop.starts, lent)]
    steps = _named(step, known[1], taken)
    known[0] |= {begun: steps[after] for _, after, begun in loop.states if after in steps}
    starts = _named(begin, known[0], taken)
    moves = _moves(loop, depth, moved)
    begun = {k: moved[o] for k, o in loop.starts.items() if o in moved}
    inner = {}
    for work in step.works:
        if work.heavy is not None and step.graph[work.heavy].op == "scan":
            inside = [work.heavy, *sorted(work.writes - {work.heavy})]
            inner[work.heavy] = level_of(
                step, work.heavy, inside, planned,
                depth=depth + 1, around=(steps, moves), taken=taken,
            )  # fmt: skip
    both = (starts, steps), (begun, moves), (loop.starts, lent)
    return Level(loop, depth, begin, step, *both, inner)


def _named(part: Part, known: Mapping[int, str], taken: set[str]) -> dict[int, str]:
    """A name for every value in memory, that no other has."""
    found = dict(known)
    for i in sorted(frozenset[int]().union(*(work.reads | work.writes for work in part.works))):
        if i not in found:
            found[i] = free(last(part.graph[i].name), taken)
            taken.add(found[i])
    return found


def _moves(loop: Loop, depth: int, around: Moves) -> Moves:
    """Where in memory the values of a step lie that do not stay in place."""
    moment, before, after = (Axis(word, 0) for word in turning(depth)[:3])
    found = {}
    for i, (o, by) in loop.lent.items():
        found[i] = (*around.get(o, ()), *(((moment, by),) if by != 0 else ()))
    for old, new, _ in loop.states:
        span = numel(loop.step[old].shape)
        found |= {old: ((before, span),), new: ((after, span),)}
    return found


def _pieces(part: Part, names: Mapping[int, str], columns: int) -> list[Piece]:
    pieces = [_piece(part, number, work, names) for number, work in enumerate(part.works)]
    return fused([straightened(p, columns) for p in pieces], frozenset(part.values.outputs))


def _piece(part: Part, number: int, work: Work, names: Mapping[int, str]) -> Piece:
    if work.heavy is not None:
        node = part.graph[work.heavy]
        if node.op == "scan":
            return Piece((number,), None, inner=(work.heavy, work.reads, work.writes))
        if node.op != "contract" or work.roots:
            raise LookupError(f"`{node.op}` has no stage")
        return Piece((number,), None, alone=row_product(part, node))
    lowered = part.lowered(work.roots)
    if lowered.streams or lowered.starts:
        raise LookupError("random numbers have no stage")
    kernel, around = by_sample(lowered)
    kernel = rename(kernel, {}, {b.name: names[b.value] for b in kernel.buffers})
    return Piece((number,), kernel, around)
