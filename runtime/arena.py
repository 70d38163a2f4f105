"""Flat float32 memory for native code: aligned to cache lines.

Where the system has large pages, arenas lie in them: a product reads rows that lie a small page
apart, and a processor knows the places of too few of those.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ALIGNMENT = 64
"""Bytes of a cache line, and of the widest vector."""

LARGE_PAGE = 1 << 21
"""Bytes of a large page."""

LEAST = 1 << 18
"""Bytes of an arena that are worth one."""


def arena(count: int) -> Floats:
    """`count` zeroed floats that begin on a cache line."""
    large = 4 * count >= LEAST and hasattr(mmap, "MADV_HUGEPAGE")
    alignment = LARGE_PAGE if large else ALIGNMENT
    whole = _pages(4 * count) if large else np.zeros(4 * count + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % alignment
    return whole[start : start + 4 * count].view(np.float32)


def _pages(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes among which `size` begin with a large page, all of them in large pages if the
    system allows it.
    """
    try:
        whole = (-(-size // LARGE_PAGE) + 1) * LARGE_PAGE
        memory = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no room for {size} bytes") from error
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)
