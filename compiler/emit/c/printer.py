"""Loop IR -> C: one function a kernel, vectorised along the axis that is contiguous in memory.

A kernel sees `rows` consecutive rows; every pointer is already at the first of them, so that the
caller can hand out panels of rows.  `first` is the number of the first row, where it matters.
"""

from __future__ import annotations

from ..loops import Kernel
from .flow import contiguous_rows
from .lane_loops import LaneLoops
from .row_loops import RowLoops
from .turned_loops import TurnedLoops, turned
from .words import STORED, Signature

__all__ = ["STORED", "Signature", "print_kernel"]


def print_kernel(kernel: Kernel, aliased: frozenset[str] = frozenset()) -> tuple[str, Signature]:
    """The C text of a kernel and how to call it.

    `aliased` buffers share memory with another one (an update in place) and are not `restrict`.
    """
    order = turned(kernel) if not aliased else None
    if order is not None:
        return TurnedLoops(order).text()
    lanes = bool(kernel.columns) and contiguous_rows(kernel)
    return (LaneLoops if lanes else RowLoops)(kernel, aliased).text()
