"""Ctrl-C: the first asks the training to stop after its step, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from .processes import Processes


class Interrupt:
    """While active, SIGINT and SIGTERM set `wanted`; a second SIGINT raises KeyboardInterrupt.

    Signals reach only the main thread of a program; in others nothing is changed.  Of several
    processes all want to stop after the same step.  When one of them ends their launcher sends
    SIGTERM to the rest, which are about to say that they have lost it: they are deaf to it then.
    """

    def __init__(self, processes: Processes | None = None) -> None:
        self._processes = processes or Processes()
        self._before: dict[signal.Signals, Any] = {}

    @property
    def wanted(self) -> bool:
        """Whether the training should stop."""
        return self._processes.stopping

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self._processes.met and self._before:
            self._before[signal.SIGTERM] = signal.SIG_IGN
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._processes.asked:
            raise KeyboardInterrupt
        self._processes.asked = True
