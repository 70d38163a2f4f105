"""Memory for native code between guard zones: who reads or writes beside it is found out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weft.runtime.arena import arena

Floats = NDArray[np.float32]

_MARK = np.uint32(0x7FC0DEAD)  # a NaN: who reads it poisons his result, who writes it is found out


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
