"""How many threads an entry runs on: measured while it is used.

The results of an entry never depend on the number of threads, so the fastest number can be found
by trying.  On an idle machine that is all of them; beside other work one thread that nobody has to
wait for is often faster.  What counts is the mean duration of many calls: a thread that is waited
for now and then, for long, does not show in a median of calls.  It does not show in most windows
either while the other work is light, and then more threads are as good.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

ROUNDS = 5  # windows of each choice; their median counts
WINDOW, CALLS = 0.002, 2  # seconds of a window, but at least so many calls
HOPELESS = 1.5  # times the best so far: not tried again, nor are fewer threads
GAIN = 0.9  # a new choice must need that much less time than the present one
AGAIN, PATIENCE = 1.0, 40.0  # seconds that a choice holds, but so many times what finding it took
GLANCE = 16  # one call in so many is timed while a choice holds
SLOW, SLOW_CALLS = 8.0, 3  # times the usual duration, calls in a row: the machine has changed


class Tuner:
    """Chooses between `most`, half, a quarter … and one thread, for one entry at its sizes.

    `fixed`: `most` it is.
    """

    __slots__ = (
        "_calls",
        "_choices",
        "_cost",
        "_left",
        "_means",
        "_present",
        "_slow",
        "_spent",
        "_until",
        "_usual",
        "threads",
    )

    def __init__(self, most: int, *, fixed: bool = False) -> None:
        most = max(most, 1)
        self._choices = (most,) if fixed else tuple(most >> k for k in range(most.bit_length()))
        self._present = most
        self.restart()

    def restart(self) -> None:
        """Try all choices again, for example because sizes have changed."""
        self._means: dict[int, list[float]] = {threads: [] for threads in self._choices}
        self.threads = self._choices[0]
        self._spent, self._calls = 0.0, 0
        self._cost, self._until = 0.0, 0.0
        self._usual, self._slow, self._left = float("inf"), 0, 1

    def run(self, call: Callable[[], int]) -> int:
        """Carry out one call with the present choice, and learn from its duration."""
        self._left -= 1
        if self._left or len(self._choices) == 1:
            return call()
        start = time.perf_counter()
        result = call()
        end = time.perf_counter()
        if self._until:
            self._watch(end - start, end)
        else:
            self._learn(start, end)
        return result

    def _watch(self, duration: float, now: float) -> None:
        """A choice holds until its time is over, or until calls have become slow."""
        slow = duration > SLOW * self._usual
        self._left = 1 if slow else GLANCE
        self._slow = self._slow + 1 if slow else 0
        if self._slow >= SLOW_CALLS or now > self._until:
            self.restart()

    def _learn(self, start: float, now: float) -> None:
        """Windows of calls with every choice in turn."""
        self._left = 1
        self._cost += now - start
        self._spent += now - start
        self._calls += 1
        if self._calls < CALLS or self._spent < WINDOW:
            return
        mean = self._spent / self._calls
        self._spent, self._calls = 0.0, 0
        self._means[self.threads].append(mean)
        self._drop()
        self._next(now)

    def _drop(self) -> None:
        """Forget a hopeless choice, and fewer threads if more of them were better."""
        tried = {threads: min(means) for threads, means in self._means.items() if means}
        best = min(tried, key=tried.__getitem__)
        if tried[self.threads] <= HOPELESS * tried[best]:
            return
        if self.threads > best and len(self._means[self.threads]) <= ROUNDS // 2:
            return  # perhaps it was only disturbed
        fewer = {t for t, m in self._means.items() if not m and t < self.threads < best}
        for threads in (self.threads, *fewer):
            del self._means[threads]

    def _next(self, now: float) -> None:
        """The choice that was tried least, or the decision."""
        self.threads = min(self._means, key=lambda threads: (len(self._means[threads]), -threads))
        if len(self._means[self.threads]) < ROUNDS:
            return
        medians = {threads: statistics.median(means) for threads, means in self._means.items()}
        best = min(medians, key=medians.__getitem__)
        present = medians.get(self._present, float("inf"))
        self._present = self.threads = self._present if present * GAIN <= medians[best] else best
        self._usual = medians[self.threads]
        self._until = now + max(AGAIN, PATIENCE * self._cost)
        self._left, self._slow = GLANCE, 0
