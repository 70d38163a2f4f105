"""Learning rates against PyTorch's schedulers and the papers' formulas."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from weft.runtime.schedule import CURVES, Schedule, schedule_of
from weft.spec.errors import UsageError
from weft.spec.schedules import SCHEDULES
from weft.spec.signature import bind


def make(name: str, *positional: Any, unit: float = 1.0, **named: Any) -> Schedule:
    settings, problems = bind(SCHEDULES[name], positional, named)
    assert not problems
    return Schedule(name, settings, unit)


def test_every_schedule_of_the_language_is_computed() -> None:
    assert set(SCHEDULES) == {*CURVES, "inverse_sqrt"}


def torch_rates(kind: str, steps: int, **settings: Any) -> list[float]:
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **settings)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "twin"),
    [
        (
            make("cosine", 0.1, final=0.01),
            ("CosineAnnealingLR", {"T_max": 40, "eta_min": 0.01}),
        ),
        (
            make("cosine_restarts", 0.1, 7, final=0.01),
            ("CosineAnnealingWarmRestarts", {"T_0": 7, "eta_min": 0.01}),
        ),
        (
            make("cosine_restarts", 0.1, every=5, growth=2),
            ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2}),
        ),
        (
            make("cosine_restarts", 0.1, every=1, growth=3, unit=2),
            ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 3}),
        ),
        (make("polynomial", 0.1, power=0.9), ("PolynomialLR", {"total_iters": 40, "power": 0.9})),
        (
            make("linear", 0.1, final=0.02),
            ("LinearLR", {"start_factor": 1.0, "end_factor": 0.2, "total_iters": 40}),
        ),
        (make("exponential", 0.1, decay=0.9), ("ExponentialLR", {"gamma": 0.9})),
        (make("step_decay", 0.1, every=7), ("StepLR", {"step_size": 7})),
        (
            make("step_decay", 0.1, at=[5, 20], decay=0.5),
            ("MultiStepLR", {"milestones": [5, 20], "gamma": 0.5}),
        ),
    ],
    ids=lambda case: case.name if isinstance(case, Schedule) else "",
)
def test_as_pytorch(schedule: Schedule, twin: tuple[str, dict[str, Any]]) -> None:
    kind, settings = twin
    ours = [schedule.rate(step, 40) for step in range(40)]
    assert ours == pytest.approx(torch_rates(kind, 40, **settings), rel=1e-9)


def test_one_cycle_rises_to_the_rate_and_falls() -> None:
    cycle = make("one_cycle", 0.1)
    rates = [cycle.rate(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1 / 25)
    assert rates.index(max(rates)) == 300
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] < 1e-5
    assert all(a < b for a, b in pairwise(rates[:300]))
    assert all(a > b for a, b in pairwise(rates[300:]))


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "exponential", "step_decay"])
def test_a_warm_up_stands_in_front(name: str) -> None:
    more: dict[str, Any] = {"exponential": {"decay": 0.9}, "step_decay": {"every": 9}}.get(name, {})
    plain, warmed = make(name, 0.2, **more), make(name, 0.2, warmup=10, **more)
    assert [warmed.rate(s, 50) for s in range(10)] == pytest.approx(
        [0.02 * (s + 1) for s in range(10)]
    )
    assert [warmed.rate(s + 10, 50) for s in range(40)] == [plain.rate(s, 40) for s in range(40)]


def test_counts_in_epochs_change_at_the_border_of_an_epoch() -> None:
    per_epoch = 23
    decay = make("exponential", 1.0, decay=0.5, unit=per_epoch)
    for epoch in range(200):
        assert decay.rate(epoch * per_epoch, 99999) == 0.5**epoch
        assert decay.rate(epoch * per_epoch + 22, 99999) == 0.5**epoch


def test_zarembas_decay_begins_after_six_epochs() -> None:
    decay = make("exponential", 1.0, decay=0.5, after=6)
    assert [decay.rate(epoch, 39) for epoch in range(9)] == [1, 1, 1, 1, 1, 1, 0.5, 0.25, 0.125]


def test_inverse_sqrt_is_vaswanis() -> None:
    schedule = make("inverse_sqrt", 512, warmup=4000)
    for step in (1, 100, 4000, 100_000):
        wanted = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert schedule.rate(step - 1, 10**6) == pytest.approx(wanted, rel=1e-12)


def test_the_unit_is_that_of_the_training_unless_per_says_otherwise() -> None:
    recipe: dict[str, Any] = {"name": "cosine", "rate": 0.1, "warmup": 2}
    in_epochs = schedule_of(recipe, counted="epoch", epoch=10, total=100)
    in_steps = schedule_of({**recipe, "per": "step"}, counted="epoch", epoch=10, total=100)
    assert in_epochs.rate(0, 100) == pytest.approx(0.1 / 20)
    assert in_steps.rate(0, 100) == pytest.approx(0.1 / 2)


def test_a_warm_up_longer_than_the_training_is_refused() -> None:
    recipe = {"name": "cosine", "rate": 0.1, "warmup": 100}
    with pytest.raises(UsageError, match="100 epochs is longer than the training of 20") as caught:
        schedule_of(recipe, counted="epoch", epoch=10, total=200)
    assert "per=step" in str(caught.value)
    for fine in (
        schedule_of({**recipe, "per": "step"}, counted="epoch", epoch=10, total=200),
        schedule_of(recipe, counted="step", epoch=10, total=50),
        schedule_of(recipe, counted="epoch", epoch=10, total=200, strict=False),
    ):
        assert fine.rate(0, 200) < 0.1


def test_rates_are_pure() -> None:
    schedule = make("cosine", 0.1, warmup=3)
    assert [schedule.rate(s, 30) for s in (7, 2, 7, 29)] == [
        schedule.rate(7, 30),
        schedule.rate(2, 30),
        schedule.rate(7, 30),
        schedule.rate(29, 30),
    ]
    assert all(math.isfinite(schedule.rate(s, 30)) for s in range(30))
