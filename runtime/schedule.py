"""Learning rates: pure functions of the update's index, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..spec.errors import InternalError, UsageError

Settings = Mapping[str, Any]
Curve = Callable[[Settings, float, float], float]
"""The rate after so many counts of so many."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule with its settings; `unit` is the number of updates in one count."""

    name: str
    settings: Settings
    unit: float = 1.0

    @property
    def patience(self) -> int | None:
        """After how many evaluations without an improvement the rate drops, if it does so."""
        return int(self.settings["patience"]) if self.name == "plateau" else None

    def rate(self, step: int, total: int, drops: int = 0) -> float:
        """The rate of update `step` (from 0) of `total`, after so many drops at plateaus."""
        rate = self._planned(step, total)
        if self.name != "plateau" or not drops:
            return rate
        final = self.settings.get("final") or 0.0
        return float(max(rate * self.settings["decay"] ** drops, min(rate, final)))

    def _planned(self, step: int, total: int) -> float:
        settings = self.settings
        if self.name == "constant" and not settings.get("warmup"):
            return float(settings["rate"])
        if self.name == "inverse_sqrt":
            return _inverse_sqrt(settings, (step + 1) / self.unit)
        warmup = (settings.get("warmup") or 0) * self.unit
        if step < warmup:
            top = CURVES[self.name](settings, 0.0, 1.0) if self.name == "one_cycle" else None
            return float((top or settings["rate"]) * (step + 1) / warmup)
        end = (total - warmup) / self.unit
        if settings.get("length") is not None:
            end = settings["length"]
        return float(CURVES[self.name](settings, (step - warmup) / self.unit, max(end, 1e-300)))


def schedule_of(
    recipe: Mapping[str, Any], *, counted: str, epoch: float, total: int, strict: bool = True
) -> Schedule:
    """The schedule of a training step.

    `counted` is the unit of the training, step or epoch; `epoch` and `total` are the number of
    updates in an epoch and in the whole training.

    Raises: UsageError, if `strict`, for a warm-up of more epochs than the training has: steps were
        meant.
    """
    settings = {key: value for key, value in recipe.items() if key != "name"}
    name = recipe["name"]
    if name not in CURVES and name != "inverse_sqrt":
        raise InternalError(f"unknown schedule `{name}`")
    in_epochs = (settings.get("per") or counted) == "epoch"
    schedule = Schedule(name, settings, epoch if in_epochs else 1.0)
    warmup = settings.get("warmup") or 0
    if strict and in_epochs and not settings.get("per") and warmup * epoch > total:
        raise UsageError(
            f"the warm-up of {warmup:g} epochs is longer than the training of {total / epoch:g}",
            hint="counts of a schedule are in epochs here; write per=step to count steps",
        )
    return schedule


def _constant(settings: Settings, count: float, end: float) -> float:
    return float(settings["rate"])


def _cosine(settings: Settings, count: float, end: float) -> float:
    part = (1 - math.cos(math.pi * min(1.0, count / end))) / 2
    return _blend(settings["rate"], settings.get("final") or 0.0, part)


def _cosine_restarts(settings: Settings, count: float, end: float) -> float:
    """Source: Loshchilov & Hutter 2017, equation 5."""
    first, growth = settings["every"], settings.get("growth") or 1
    falls = count / first  # in lengths of the first one
    if growth == 1:
        part = falls - math.floor(falls + _SLACK)
    else:
        turn = math.floor(math.log(falls * (growth - 1) + 1, growth) + _SLACK)
        part = (falls - (growth**turn - 1) / (growth - 1)) / growth**turn
    return _cosine(settings, max(0.0, part), 1.0)


def _polynomial(settings: Settings, count: float, end: float) -> float:
    left = max(0.0, 1 - count / end) ** (settings.get("power") or 1)
    return _blend(settings.get("final") or 0.0, settings["rate"], left)


def _linear(settings: Settings, count: float, end: float) -> float:
    return _blend(settings["rate"], settings.get("final") or 0.0, min(1.0, count / end))


def _one_cycle(settings: Settings, count: float, end: float) -> float:
    """Source: Smith 2018, two halves of a cosine as in torch.optim.lr_scheduler.OneCycleLR."""
    top = settings["rate"]
    first = top / settings["divide"]
    rise = settings["rise"]
    part = min(1.0, count / end)
    if part < rise:
        return _blend(first, top, (1 - math.cos(math.pi * part / rise)) / 2)
    fall = (part - rise) / (1 - rise) if rise < 1 else 0.0
    return _blend(top, first / settings["final_divide"], (1 - math.cos(math.pi * fall)) / 2)


def _exponential(settings: Settings, count: float, end: float) -> float:
    drops = max(0, math.floor(count + _SLACK) + 1 - max(1, math.ceil(settings.get("after") or 1)))
    return float(settings["rate"] * settings["decay"] ** drops)


def _step_decay(settings: Settings, count: float, end: float) -> float:
    if settings.get("at") is not None:
        drops = sum(1 for border in settings["at"] if count + _SLACK >= border)
    else:
        drops = math.floor((count + _SLACK) / settings["every"])
    return float(settings["rate"] * settings["decay"] ** drops)


def _inverse_sqrt(settings: Settings, count: float) -> float:
    """Source: Vaswani et al. 2017, equation 3."""
    bound = min(count**-0.5, count * settings["warmup"] ** -1.5)
    return float((settings.get("factor") or 1.0) * settings["width"] ** -0.5 * bound)


def _blend(start: float, end: float, part: float) -> float:
    return float(start + (end - start) * part)


_SLACK = 1e-9
"""Counts of epochs are quotients: the first step of epoch 30 must not count as 29.999."""

CURVES: Mapping[str, Curve] = {
    "constant": _constant,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "polynomial": _polynomial,
    "linear": _linear,
    "one_cycle": _one_cycle,
    "exponential": _exponential,
    "step_decay": _step_decay,
    "plateau": _constant,
}
"""Every schedule but inverse_sqrt, which has its own warm-up."""
