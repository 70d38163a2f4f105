"""How many threads an entry runs on: measured while it is used.

The results of an entry never depend on the number of threads, so the faster number can be found by
trying.  On an idle machine that is all of them; beside other work one thread that nobody has to wait
for is often faster.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

TRIAL = 7  # calls of one trial: their median counts
AGAIN = 1.0  # seconds after which the choice is tried again
SLOW = 8.0  # times the usual duration: the machine has changed, try again at once
SLOW_CALLS = 3  # slow calls in a row that count


class Tuner:
    """Chooses between one thread and `most`, for one entry at its present sizes."""

    __slots__ = ("_began", "_choices", "_durations", "_medians", "_position", "_slow", "_usual", "threads")

    def __init__(self, most: int) -> None:
        self._choices = (1,) if most <= 1 else (most, 1)
        self.restart()

    def restart(self) -> None:
        """Forget what was measured: sizes have changed."""
        self._position = 0
        self._medians: list[float] = []
        self._durations: list[float] = []
        self._usual = float("inf")
        self._slow = 0
        self._began = 0.0
        self.threads = self._choices[0]

    def run(self, call: Callable[[], int]) -> int:
        """Carry out one call with the present choice, and learn from its duration."""
        if len(self._choices) == 1:
            return call()
        start = time.perf_counter()
        result = call()
        end = time.perf_counter()
        self._learn(end - start, end)
        return result

    def _learn(self, duration: float, now: float) -> None:
        if self._position < len(self._choices):
            self._durations.append(duration)
            if len(self._durations) == TRIAL:
                self._next(now)
            return
        self._slow = self._slow + 1 if duration > SLOW * self._usual else 0
        if self._slow >= SLOW_CALLS or now - self._began > AGAIN:
            self.restart()

    def _next(self, now: float) -> None:
        """One trial is over: the next choice, or the decision."""
        self._medians.append(statistics.median(self._durations))
        self._durations.clear()
        self._position += 1
        if self._position < len(self._choices):
            self.threads = self._choices[self._position]
            return
        best = min(range(len(self._choices)), key=self._medians.__getitem__)
        self.threads, self._usual = self._choices[best], self._medians[best]
        self._began, self._slow = now, 0
