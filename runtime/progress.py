"""What a training shows: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

Row = Mapping[str, Any]

INTERVAL = 0.1
"""Seconds between two redraws of the bar."""

QUIET_FOR = 5.0
"""Seconds between two plain lines."""


class Pace:
    """How fast a training runs that begins now, at a step; each reads so many tokens of a text."""

    def __init__(self, first: int = 0, tokens: int = 0) -> None:
        self._first, self._tokens, self._began = first, tokens, time.monotonic()

    def __call__(self, step: int) -> float:
        """Steps in a second."""
        return (step - self._first) / max(time.monotonic() - self._began, 1e-9)

    def of_texts(self, step: int) -> list[str]:
        """`51,200 tokens/s`, where texts are read."""
        return [f"{self._tokens * self(step):,.0f} tokens/s"] if self._tokens else []


class Progress(Protocol):
    """Where the trainer reports to; all calls are cheap, and may be many."""

    def start(self, title: str, step: int, total: int, tokens: int = 0) -> None:
        """The training begins at `step` of `total`; each reads so many `tokens` of a text."""

    def step(self, step: int) -> None:
        """So many steps are done."""

    def report(self, rows: Sequence[Row]) -> None:
        """The rows of the metrics that belong to one step."""

    def note(self, text: str) -> None:
        """A sentence for the user."""

    def finish(self) -> None:
        """The training is over, for whatever reason."""


class Quiet:
    """Shows nothing."""

    def start(self, title: str, step: int, total: int, tokens: int = 0) -> None:
        pass

    def step(self, step: int) -> None:
        pass

    def report(self, rows: Sequence[Row]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


class Lines(Quiet):
    """Plain lines, at most one report every few seconds; the last report is always shown."""

    def __init__(self, stream: TextIO | None = None, interval: float = QUIET_FOR) -> None:
        self._stream = stream or sys.stderr
        self._interval = interval
        self._shown = -math.inf
        self._waiting: Sequence[Row] = ()
        self._total = 0
        self._pace = Pace()

    def start(self, title: str, step: int, total: int, tokens: int = 0) -> None:
        self._total, self._pace = total, Pace(step, tokens)
        self.note(f"{title}: {total - step:,} steps" + (f" from step {step:,}" if step else ""))

    def report(self, rows: Sequence[Row]) -> None:
        self._waiting = rows
        if time.monotonic() - self._shown >= self._interval:
            self._flush()

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def finish(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._waiting:
            step = self._waiting[0]["step"]
            shown = [*map(describe, self._waiting), *self._pace.of_texts(step)]
            self.note(f"step {step:,}/{self._total:,}  {'  '.join(shown)}")
            self._shown = time.monotonic()
            self._waiting = ()


class Bar(Quiet):
    """A progress bar drawn by rich."""

    def __init__(self, rich_progress: Any) -> None:
        self._module = rich_progress
        self._bar: Any = None
        self._task: Any = None
        self._drawn, self._last, self._pace = 0.0, 0, Pace()

    def start(self, title: str, step: int, total: int, tokens: int = 0) -> None:
        m = self._module
        self._bar = m.Progress(
            m.TextColumn("{task.description}"),
            m.BarColumn(),
            m.MofNCompleteColumn(),
            m.TextColumn("{task.fields[speed]}"),
            m.TimeRemainingColumn(),
            m.TextColumn("{task.fields[metrics]}"),
            refresh_per_second=1 / INTERVAL,
            console=importlib.import_module("rich.console").Console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=total, completed=step, metrics="", speed="")
        self._last, self._pace = step, Pace(step, tokens)
        self._bar.start()

    def step(self, step: int) -> None:
        self._last = step
        now = time.monotonic()
        if now - self._drawn >= INTERVAL:
            self._drawn = now
            speed = "  ".join([f"{self._pace(step):,.0f} steps/s", *self._pace.of_texts(step)])
            self._bar.update(self._task, completed=step, speed=speed)

    def report(self, rows: Sequence[Row]) -> None:
        shown = "  ".join(describe(row) for row in rows)
        self._bar.update(self._task, completed=rows[0]["step"], metrics=shown)

    def note(self, text: str) -> None:
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._last)
            self._bar.stop()


def choose(mode: str, stream: TextIO | None = None) -> Progress:
    """The display for a mode: quiet, plain, or auto (a bar where there is a terminal and rich)."""
    if mode == "quiet":
        return Quiet()
    if mode == "auto" and (stream or sys.stderr).isatty():
        try:
            return Bar(importlib.import_module("rich.progress"))
        except ImportError:
            pass
    return Lines(stream)


def describe(row: Row) -> str:
    """The metrics of a row in a few words: `test loss 0.123 accuracy 0.97`."""
    shown = [
        f"{name} {value:.4g}"
        for name, value in row.items()
        if isinstance(value, float) and name.rpartition(".")[2] not in ("seconds", "epoch", "rate")
    ]
    return f"{row['part']} {' '.join(shown)}"
