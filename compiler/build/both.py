"""A cell walked from both ends, with weights for each direction, its results side by side.

Source: Schuster & Paliwal 1997, "Bidirectional recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .binding import Site
from .elaboration import Elaboration
from .faults import fault
from .values import Origin, Tensor, Value


def ways(settings: Mapping[str, Value], begun: bool, site: Site) -> tuple[tuple[str, bool], ...]:
    """What each walk adds to the path of the scan, and whether it is one backwards.

    Raises: Faults E311 where the text says more of one direction than of both.
    """
    if not settings["both_ways"]:
        return (("", bool(settings["reverse"])),)
    if settings["reverse"] or settings["carry"] or begun:
        text = "`both_ways` goes with none of `reverse`, `carry` and where a state begins"
        raise fault("E311", text, site.place, "write two scans, and concat of what they give", "scan")
    return ((".forward", False), (".backward", True))


def beside(
    e: Elaboration, found: Sequence[tuple[Tensor, ...]], last: int, origin: Origin
) -> tuple[Tensor, ...]:
    """Each result of all walks side by side on its last axis; what has none gets one.

    `last`: how many of the results, at the end, are of one step.
    """
    if len(found) == 1:
        return found[0]
    b, results = e.b, []
    for position, pair in enumerate(zip(*found, strict=True)):
        ids = [each.id for each in pair]
        shape = b[ids[0]].shape
        if len(shape) == (1 if position >= len(found[0]) - last else 2):
            ids = [b.broadcast(i, range(len(shape)), (*shape, 1)) for i in ids]
        results.append(e.tensor(b.concat(ids, len(b[ids[0]].shape) - 1), origin, pair))
    return tuple(results)
