"""Arenas are zeroed, aligned and as long as asked for, in large pages or not."""

from __future__ import annotations

import mmap
import sys

import numpy as np
import pytest

from weft.runtime import arena as module
from weft.runtime.arena import ALIGNMENT, LARGE_PAGE, LEAST, arena

linux = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="asks Linux for large pages")
LENGTHS = (0, 1, 17, LEAST // 4 - 1, LEAST // 4, LEAST // 4 + 1, LARGE_PAGE // 4 + 5)


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("large", [True, False])
def test_an_arena_is_zeroed_and_aligned(
    monkeypatch: pytest.MonkeyPatch, count: int, large: bool
) -> None:
    monkeypatch.setattr(module, "LEAST", LEAST if large else sys.maxsize)
    values = arena(count)
    assert values.shape == (count,) and values.dtype == np.float32
    assert not values.any()
    assert count == 0 or values.ctypes.data % ALIGNMENT == 0
    values[:] = np.arange(count)
    assert (values == np.arange(count, dtype=np.float32)).all()


@linux
def test_large_pages_are_asked_for_and_not_insisted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Refusing(mmap.mmap):
        def madvise(self, option: int, start: int = 0, length: int = 0) -> None:
            asked.append(option)
            raise OSError("no large pages here")

    monkeypatch.setattr(module.mmap, "mmap", Refusing)
    values = arena(LEAST)
    assert asked == [mmap.MADV_HUGEPAGE]
    assert values.ctypes.data % LARGE_PAGE == 0 and not values.any()


@linux
@pytest.mark.parametrize("count", [1 << 60, 1 << 62])
def test_no_room_is_said(count: int) -> None:
    with pytest.raises(MemoryError, match="no room for"):
        arena(count)
