"""How far a long count has come: a bar on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from typing import Any, TextIO, TypeVar

from .progress import QUIET_FOR

T = TypeVar("T")


def tallied(
    pieces: Iterable[T],
    total: int,
    *,
    title: str,
    unit: str,
    length: Callable[[T], int],
    stream: TextIO | None = None,
    interval: float = QUIET_FOR,
) -> Generator[T, None, None]:
    """The pieces, while the error stream (or `stream`) tells how many of the `total` are done:
    `predict: 1,200 of 50,000 rows, 310 rows/s`.  Units: `interval` in seconds.

    What takes no longer than the interval says nothing where there is no terminal.
    """
    out = stream or sys.stderr
    done, began = 0, time.monotonic()
    shown = began
    with ExitStack() as stack:
        bar = _bar(stack, title, total, unit) if stream is None and out.isatty() else None
        for piece in pieces:
            yield piece
            done += length(piece)
            now = time.monotonic()
            if bar is not None:
                bar(done)
            elif now - shown >= interval:
                shown = now
                pace = done / max(now - began, 1e-9)
                text = f"{title}: {done:,} of {total:,} {unit}, {pace:,.3g} {unit}/s"
                print(text, file=out, flush=True)


def _bar(stack: ExitStack, title: str, total: int, unit: str) -> Callable[[int], None] | None:
    """What moves a bar of rich, where that is installed."""
    try:
        rich: Any = importlib.import_module("rich.progress")
        console = importlib.import_module("rich.console").Console(stderr=True)
    except ImportError:
        return None
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn(unit),
        rich.TimeRemainingColumn(),
    )
    bar = stack.enter_context(rich.Progress(*columns, console=console, transient=True))
    task = bar.add_task(title, total=total)
    return lambda done: bar.update(task, completed=done)
