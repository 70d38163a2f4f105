"""What a long undertaking is at and for how long already: a line on stderr that keeps moving."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

SILENT = 2.0
"""Seconds in which most are over: they show nothing."""

TERMINAL, FILE = 0.5, 10.0
"""Seconds between two lines; on a terminal each takes the place of the one before."""


class Undertaking:
    """A context in which `at` says what comes next; a thread shows it, so that a step which takes
    minutes is seen to go on.
    """

    def __init__(self, stream: TextIO | None = None, *, silent: float = SILENT) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._silent = silent
        self._now = ""
        self._shown = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def at(self, what: str) -> None:
        """This is done now."""
        self._now = what

    def __enter__(self) -> Undertaking:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._shown and self._terminal:
            self._write("\r\033[K")

    def _show(self) -> None:
        wait = self._silent
        while not self._over.wait(wait):
            seconds = time.monotonic() - self._began
            line = f"{seconds:4.0f} s  {self._now}"
            self._write(f"\r{line[:79]}\033[K" if self._terminal else f"{line}\n")
            self._shown = True
            wait = TERMINAL if self._terminal else FILE

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # whoever read it went away
            self._over.set()
