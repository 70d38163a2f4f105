"""Flat float32 memory for native code: aligned to cache lines, between guard zones in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ALIGNMENT = 64
"""Bytes of a cache line, and of the widest vector."""

_MARK = np.uint32(0x7FC0DEAD)  # a NaN: who reads it poisons his result, who writes it is found out


def arena(count: int) -> Floats:
    """`count` zeroed floats that begin on a cache line."""
    whole = np.zeros(4 * count + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + 4 * count].view(np.float32)


@dataclass(frozen=True, slots=True)
class Guarded:
    """`values` between two zones of marked NaNs."""

    whole: Floats
    values: Floats

    def intact(self) -> bool:
        """Whether nobody has written beside the values."""
        words = self.whole.view(np.uint32)
        start = (self.values.ctypes.data - self.whole.ctypes.data) // 4
        stop = start + self.values.size
        return bool((words[:start] == _MARK).all() and (words[stop:] == _MARK).all())


def guarded(count: int, margin: int = 1024, offset: int = 0) -> Guarded:
    """`count` marked floats between `margin` marked ones; `offset` floats off the cache line."""
    whole = arena(count + 2 * margin + offset)
    whole.view(np.uint32)[:] = _MARK
    start = margin // 16 * 16 + offset
    return Guarded(whole, whole[start : start + count])
