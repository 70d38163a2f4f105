"""A scan before its text is written: its body as a part, and what lies in the place of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...ir.graph import Node
from ...plan.forms import Plans
from ...plan.launch import Launch
from .beside import Beside, maps_beside
from .in_place import Shared, may_write
from .part import Part
from .scan import Loop, loop_of


@dataclass(frozen=True, slots=True)
class Walk:
    """A scan, its body, and the launches of a step: those that are the same in all (`still`), and
    those that are not; `maps` go on beside a product, by that.
    """

    loop: Loop
    body: Part
    still: list[Launch]
    moving: list[Launch]
    maps: dict[int, Beside]


def walk_of(part: Part, node: Node, writes: Sequence[int], plans: Plans) -> Walk:
    """The plan of a scan; `writes` are its results in order."""
    loop = loop_of(part, node, writes)
    body, still, moving = _body(loop, plans)
    late = frozenset(s.result for s in loop.shared if not _may_write(body, s, moving))
    if late:
        loop = loop_of(part, node, writes, late)
        body, still, moving = _body(loop, plans)
    ends = [Shared(after, after, state, 0) for after, state in loop.ends().items()]
    ends = [s for s in ends if _may_write(body, s, moving)]
    loop = replace(loop, renewed={s.made: s.sequence for s in ends})
    body.overlapping = {v for s in (*loop.shared, *ends) for v in (s.made, s.sequence)}
    return Walk(loop, body, still, moving, maps_beside(body, moving, loop.body.sequences))


def _body(loop: Loop, plans: Plans) -> tuple[Part, list[Launch], list[Launch]]:
    body = Part(loop.graph, loop.homes, loop.sizes, keep=False, plans=plans, alone=True)
    launches = [x for level in body.levels for stage in level for x in stage.launches]
    still, moving = loop.divided(launches)
    return body, loop.carried_out(still), loop.carried_out(moving)


def _may_write(part: Part, shared: Shared, launches: Sequence[Launch]) -> bool:
    """Does a step read before it writes in the same place?"""
    touched = [x for x in launches if {shared.made, shared.sequence} & (x.reads | x.writes)]
    plain = [x for x in touched if x.heavy is None and x.attention is None]
    return may_write(shared, launches, {x: part.lowered(x.roots, "draft") for x in plain})
