"""Arrays in memory that several processes share, without a name that could be left behind."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PAGE = 4096
"""Bytes to which every array is aligned."""


class Entry(NamedTuple):
    """One array of a block.  Units: `offset` in bytes."""

    shape: tuple[int, ...]
    dtype: str
    offset: int


class Layout(NamedTuple):
    """What lies where in a block.  Units: `size` in bytes."""

    entries: tuple[Entry, ...]
    size: int


def layout(arrays: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> Layout:
    """Arrays of these shapes and dtypes, one after the other."""
    entries, size = [], 0
    for shape, dtype in arrays:
        entries.append(Entry(tuple(shape), dtype.str, size))
        size += -(-int(np.prod(shape, dtype=np.int64)) * dtype.itemsize // PAGE) * PAGE
    return Layout(tuple(entries), max(size, PAGE))


def create(size: int) -> int:
    """A file in memory; it is gone when the last process has closed it.

    Raises: OSError.
    """
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("weft-pictures")
    else:
        file = os.dup(tempfile.TemporaryFile().fileno())  # noqa: SIM115
    os.ftruncate(file, size)
    return file


def attach(file: int, where: Layout) -> list[Array]:
    """The arrays of a block: what one process writes the others read."""
    memory = mmap.mmap(file, where.size)
    found = []
    for shape, dtype, offset in where.entries:
        count = int(np.prod(shape, dtype=np.int64))
        found.append(np.frombuffer(memory, np.dtype(dtype), count, offset).reshape(shape))
    return found
