"""Python's search for garbage, put off while a program is compiled."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for cycles of garbage: nearly all objects of a compilation live until it ends, and
    looking through them again and again takes a seventh of its time, and once, at its end, as much.
    Also a decorator.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            _grown_old()
            gc.enable()


def _grown_old() -> None:
    """What was made is old: the next search that looks at everything is the first that sees it."""
    if (
        not gc.get_freeze_count()
    ):  # else somebody has put objects aside who wants them to stay there
        gc.freeze()
        gc.unfreeze()
