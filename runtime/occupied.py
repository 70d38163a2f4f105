"""One training a folder: a second one would move the first one's results away under its feet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..spec.errors import UsageError


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Make the folder and keep others out of it; the system lets go when the process ends.

    The folder itself is locked, so that nothing lies about in it.  Where the file system has no
    locks, nobody is kept out.

    Raises: UsageError when another training writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on this system
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another training is writing to `{folder}`",
            hint="wait until it has ended, or name another folder",
        ) from None
    except OSError:  # a file system without locks
        return
