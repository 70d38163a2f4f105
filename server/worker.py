"""One thread for the work that takes longer than an answer may."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Hashable

STACK = 64 << 20  # bytes: blocks inside blocks take a dozen Python calls each


class Worker:
    """Runs jobs one after the other; a newer job of the same key takes the place of one waiting."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, Callable[[], None]] = {}
        self._wake = threading.Condition()

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        before = threading.stack_size(STACK)
        threading.Thread(target=self._run, name="analysis", daemon=True).start()
        threading.stack_size(before)

    def submit(self, key: Hashable, job: Callable[[], None]) -> None:
        """Run a job soon."""
        with self._wake:
            self._jobs.pop(key, None)
            self._jobs[key] = job
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs:
                    self._wake.wait()
                job = self._jobs.pop(next(iter(self._jobs)))
            try:
                job()
            except Exception:  # the border: stderr is the editor's log, and the thread goes on
                traceback.print_exc()
