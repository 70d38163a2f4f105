"""Sequences of several lengths: steps behind an end give zeros and leave states as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...spec.dims import Dim
from .binding import Given, Site
from .elaboration import Elaboration
from .faults import fault
from .request import agree, shown
from .values import Origin, Tensor, show


@dataclass(frozen=True, slots=True)
class Ends:
    """How many steps of each sequence count: `lengths` [B], whole numbers.

    A body masks its own states, so whatever carries it out needs to know nothing of this.  The walk
    backwards passes what lies behind an end first, and does not begin before it.
    """

    e: Elaboration
    lengths: Tensor
    origin: Origin

    def counting(self, batch: Dim, time: Dim) -> int:
        """Does a step count?  [B, T]"""
        b = self.e.b
        return b.map("lt", b.iota((batch, time), 1), b.broadcast(self.whole, (0,), (batch, time)))

    @property
    def whole(self) -> int:
        return self.e.b.cast(self.lengths.id, "i32")

    def held(
        self, counts: Tensor, before: Sequence[Tensor], after: Sequence[Tensor]
    ) -> list[Tensor]:
        """The results of a step, in which states stay what they were `before` if it does not
        count.
        """
        b, found = self.e.b, list(after)
        for k, (old, new) in enumerate(zip(before, after, strict=False)):
            choice = b.broadcast(counts.id, (0,), b[new.id].shape)
            id = b.map("where", choice, new.id, old.id, name=b[new.id].name)
            found[k] = self.e.tensor(id, self.origin, (new,), new.name)
        return found

    def cut(self, made: int) -> int:
        """A result of all steps, with zeros behind the ends."""
        b = self.e.b
        shape = b[made].shape
        counting = self.counting(shape[0], shape[1])
        zeros = b.broadcast(b.constant(0.0, b[made].dtype), (), shape)
        choice = b.broadcast(counting, (0, 1), shape)
        return b.map("where", choice, made, zeros, name=b[made].name)


def ends_of(e: Elaboration, given: Given | None, batch: Dim, site: Site) -> Ends | None:
    """Where sequences end, if a scan is told.

    Raises: Faults E317, E414, E403, E413 for what is no whole number for each sample.
    """
    if given is None or given.value is False:
        return None
    lengths, place = given.value, given.place
    hint = "`lengths` is one whole number for each sequence: `in lengths: i32[B]`"
    if not isinstance(lengths, Tensor):
        raise fault("E317", f"`lengths` must be a tensor, not {show(lengths)}", place, hint, "scan")
    if lengths.type.dtype not in ("i32", "i64"):
        text = f"`lengths` must be whole numbers, got {lengths.type}"
        raise fault("E414", text, place, hint, "scan")
    shape = lengths.type.shape
    code = agree(batch, shape[0]) if len(shape) == 1 else "E403"
    if code:
        text = f"`lengths` must be {shown((batch,))}, got {shown(shape)}"
        raise fault(code, text, place, hint, "scan")
    return Ends(e, lengths, Origin("scan", site.place))
