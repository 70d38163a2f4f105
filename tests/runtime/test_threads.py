"""The number of threads is found by measuring, on a clock that the tests turn."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from weft.runtime import threads
from weft.runtime.threads import Tuner


class Machine:
    """A clock, and calls that take a known time for each number of threads."""

    def __init__(self, cost: Callable[[int, float], float]) -> None:
        self.now = 100.0
        self.cost = cost
        self.calls: list[int] = []

    def perf_counter(self) -> float:
        return self.now

    def step(self, tuner: Tuner) -> None:
        def call() -> int:
            self.calls.append(tuner.threads)
            self.now += self.cost(tuner.threads, self.now)
            return 7

        assert tuner.run(call) == 7

    def run(self, tuner: Tuner, seconds: float) -> list[int]:
        """The threads of every call of this stretch of time."""
        start, before = self.now, len(self.calls)
        while self.now < start + seconds:
            self.step(tuner)
        return self.calls[before:]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    def make(cost: Callable[[int, float], float]) -> Machine:
        made = Machine(cost)
        monkeypatch.setattr(threads.time, "perf_counter", made.perf_counter)
        return made

    return make


@pytest.mark.parametrize("most", [1, 2, 6, 16])
@pytest.mark.parametrize("size", [1e-5, 1e-3, 0.05])
def test_work_that_scales_gets_all_threads(
    machine: Callable[..., Machine], most: int, size: float
) -> None:
    clock, tuner = machine(lambda t, _: size / t), Tuner(most)
    clock.run(tuner, 30 * size + 1)
    calls = clock.run(tuner, 3.0)
    assert calls.count(most) >= 0.95 * len(calls)


@pytest.mark.parametrize("most", [2, 4, 16])
def test_small_work_gets_one_thread(machine: Callable[..., Machine], most: int) -> None:
    clock, tuner = machine(lambda t, _: 5e-6 + 2e-6 * t), Tuner(most)
    clock.run(tuner, 1.0)
    calls = clock.run(tuner, 5.0)
    assert calls.count(1) >= 0.95 * len(calls)


def test_the_best_may_lie_between(machine: Callable[..., Machine]) -> None:
    clock, tuner = machine(lambda t, _: 1e-4 / t + 6e-6 * t), Tuner(16)
    clock.run(tuner, 1.0)
    calls = clock.run(tuner, 5.0)
    assert calls.count(4) >= 0.9 * len(calls)


def test_finding_out_costs_little(machine: Callable[..., Machine]) -> None:
    """Even when one thread takes sixteen times as long, and a call takes long."""
    clock, tuner = machine(lambda t, _: 0.1 / t), Tuner(16)
    calls = clock.run(tuner, 10.0)
    assert sum(t < 16 for t in calls) <= 8


def test_busy_neighbours_lead_to_one_thread_and_their_end_back(
    machine: Callable[..., Machine],
) -> None:
    """Beside other work a partner is often waited for, for milliseconds."""
    rng = random.Random(0)

    def cost(t: int, now: float) -> float:
        busy = 105.0 < now < 115.0
        stalled = busy and t > 1 and rng.random() < 0.1
        return 60e-6 / t + 2e-6 * t + (3e-3 if stalled else 0.0)

    clock, tuner = machine(cost), Tuner(2)
    clock.run(tuner, 1.0)
    quiet = clock.run(tuner, 3.5)
    clock.run(tuner, 115.0 - 0.5 - clock.now - 7.0)
    busy = clock.run(tuner, 6.0)
    clock.run(tuner, 116.5 - clock.now)
    after = clock.run(tuner, 5.0)
    assert quiet.count(2) > 0.95 * len(quiet)
    assert busy.count(1) > 0.9 * len(busy)
    assert after.count(2) > 0.95 * len(after)


def test_rare_disturbances_do_not_matter(machine: Callable[..., Machine]) -> None:
    rng = random.Random(1)
    clock = machine(lambda t, _: 60e-6 / t + (2e-3 if rng.random() < 0.002 else 0.0))
    tuner = Tuner(2)
    clock.run(tuner, 1.0)
    calls = clock.run(tuner, 5.0)
    assert calls.count(2) > 0.95 * len(calls)


def test_a_sudden_change_is_noticed_at_once(machine: Callable[..., Machine]) -> None:
    clock = machine(lambda t, now: 1e-4 / t if now < 103 or t == 1 else 5e-3)
    tuner = Tuner(2)
    clock.run(tuner, 3.0)
    clock.run(tuner, 0.5)
    assert set(clock.run(tuner, 0.2)) == {1}


def test_a_number_that_was_asked_for_is_kept(machine: Callable[..., Machine]) -> None:
    clock, tuner = machine(lambda t, _: 1e-5 * t), Tuner(4, fixed=True)
    assert set(clock.run(tuner, 0.5)) == {4}
