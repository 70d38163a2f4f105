"""The training recipe of an artifact, with every count turned into steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..spec.errors import UsageError
from .schedule import Schedule, schedule_of

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact

MOST_REPORTS = 1000
"""Evaluations of one training, unless the spec asks for more."""

SMALLER_IS_BETTER = ("loss", "error", "mse", "mae", "rmse", "perplexity", "nll", "kl")
"""A monitored name that holds one of these should fall, any other rise."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One `step` of the spec: its own updates happen on every `every`-th step of the training.

    `accumulate` batches are averaged into one gradient.  `bits` names the metrics that are bits for
    each token of a field, `perplexity` those of which the logarithms are averaged.  `frozen` are
    parameters of the nets that stay as they are.
    """

    name: str
    updates: tuple[str, ...]
    optimizer: str
    settings: Mapping[str, Any]
    metrics: tuple[str, ...]
    schedule: Schedule
    every: int
    accumulate: int
    total: int
    place: str
    bits: Mapping[str, str]
    frozen: frozenset[str]
    perplexity: frozenset[str] = frozenset()

    def trains(self, parameter: str) -> bool:
        """Whether the step changes the parameter of this full name, if it is one at all."""
        return parameter.partition(".")[0] in self.updates and parameter not in self.frozen


@dataclass(frozen=True, slots=True)
class Stopping:
    """What is watched for the best checkpoint, and after how many idle evaluations to stop."""

    monitor: str
    delta: float
    smaller: bool
    patience: int | None

    def improves(self, value: float, best: float | None) -> bool:
        """Whether the value beats the best one so far; NaN never does."""
        if best is None:
            return math.isfinite(value)
        return value < best - self.delta if self.smaller else value > best + self.delta


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training, counted in steps.

    `group` batches make one step, `per_epoch` steps an epoch.  Without `save_every` time decides.
    """

    seed: int
    total: int
    batches: int
    group: int
    per_epoch: int
    report_every: int
    eval_every: int
    save_every: int | None
    steps: tuple[TrainingStep, ...]
    stopping: Stopping | None

    def qualified(self, step: str, name: str) -> str:
        """A metric's name in the reports: with its step in front where there are several."""
        return name if len(self.steps) == 1 else f"{step}.{name}"

    def geometric(self) -> frozenset[str]:
        """The reported names of which the logarithms are averaged."""
        return frozenset(
            self.qualified(step.name, name) for step in self.steps for name in step.perplexity
        )

    def columns(self) -> list[str]:
        """The names of all rates, losses and metrics, in order."""
        return [
            self.qualified(step.name, name)
            for step in self.steps
            for name in ("rate", "loss", *step.metrics)
        ]

    def boundary(self, step: int) -> int:
        """The next step after which something is to be reported or saved."""
        intervals = [self.report_every, self.eval_every]
        intervals += [self.save_every] if self.save_every else []
        return min(self.total, *(step - step % interval + interval for interval in intervals))


def recipe_of(
    artifact: Artifact,
    batches: int,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
) -> Recipe:
    """The recipe of an artifact for data that has so many batches in an epoch.

    Raises: UsageError for a recipe that makes no sense with this data.
    """
    train = artifact.train
    if train is None:
        raise UsageError(
            f"`{artifact.name}` has no `train` section",
            hint="add one: train { epochs = 20 … }",
        )
    strict = epochs is None and steps is None
    if strict:
        epochs, steps = train.get("epochs"), train.get("steps")
    group = max(int(step.get("accumulate") or 1) for step in train["step"])
    per_epoch = -(-batches // group)
    total = int(steps) if steps is not None else math.ceil((epochs or 0) * per_epoch - 1e-9)
    counted = "step" if steps is not None else "epoch"
    if total < 1:
        raise UsageError("the training has no steps", hint="give epochs=20 or steps=1000")

    def in_steps(name: str) -> int | None:
        count = train.get(name)
        if count is None:
            return None
        return max(1, round(count * (per_epoch if counted == "epoch" else 1)))

    eval_every = in_steps("eval_every") or per_epoch * max(
        1, math.ceil(total / per_epoch / MOST_REPORTS)
    )
    return Recipe(
        seed=(train.get("seed") or 0) if seed is None else seed,
        total=total,
        batches=batches,
        group=group,
        per_epoch=per_epoch,
        report_every=in_steps("log_every") or eval_every,
        eval_every=eval_every,
        save_every=in_steps("save_every"),
        steps=tuple(_step(step, counted, per_epoch, total, strict) for step in train["step"]),
        stopping=stopping_of(train),
    )


def _step(
    recipe: Mapping[str, Any], counted: str, per_epoch: int, total: int, strict: bool
) -> TrainingStep:
    every = int(recipe.get("every") or 1)
    own_total = -(-total // every)
    try:
        schedule = schedule_of(
            recipe["schedule"],
            counted=counted,
            epoch=per_epoch / every,
            total=own_total,
            strict=strict,
        )
    except UsageError as error:
        raise UsageError(f"{recipe['place']}: {error.message}", hint=error.hint) from None
    return TrainingStep(
        name=recipe["name"],
        updates=tuple(recipe["updates"]),
        optimizer=recipe["optimizer"],
        settings=recipe.get("settings") or {},
        metrics=tuple(recipe.get("metrics") or ()),
        schedule=schedule,
        every=every,
        accumulate=int(recipe.get("accumulate") or 1),
        total=own_total,
        place=recipe["place"],
        bits=recipe.get("bits") or {},
        frozen=frozenset(recipe.get("frozen") or ()),
        perplexity=frozenset(recipe.get("perplexity") or ()),
    )


def stopping_of(train: Mapping[str, Any]) -> Stopping | None:
    """The rule of the spec, or else the loss where there is only one."""
    several = len(train["step"]) > 1
    known = [
        f"{step['name']}.{name}" if several else name
        for step in train["step"]
        for name in ("loss", *(step.get("metrics") or ()))
    ]
    rule = train.get("early_stop")
    if rule is None:
        waits = next((s for s in train["step"] if s["schedule"]["name"] == "plateau"), None)
        if several and waits is not None:
            raise UsageError(
                f"{waits['place']}: the rate of `{waits['name']}` waits for an improvement, and "
                "nothing says of what",
                hint=f'early_stop = patience(1000, monitor="{known[0]}") says what is watched',
            )
        return None if several else Stopping("loss", 0.0, True, None)
    monitor = rule.get("monitor") or "loss"
    if monitor not in known:
        raise UsageError(
            f"early_stop watches `{monitor}`, which nothing reports",
            hint=f"it can watch {', '.join(known)}",
        )
    mode = rule.get("mode")
    falls = any(word in monitor.lower() for word in SMALLER_IS_BETTER)
    smaller = mode == "min" if mode else falls
    return Stopping(monitor, float(rule.get("delta") or 0.0), smaller, int(rule["patience"]))
