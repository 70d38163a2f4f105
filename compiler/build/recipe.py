"""The settings of `train` and its steps: counts, optimizer, schedule, stopping."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...spec import schedules
from ...spec.errors import suggest
from ...spec.expressions import Call, Expr, Name, Number, Setting
from ...spec.optimizers import OPTIMIZERS, problems
from ...spec.schedules import SCHEDULES
from ...spec.signature import Option, Signature
from ...spec.signature import fault as wrong_value
from ...spec.stopping import STOPPING
from ...spec.tree import Step, Train
from .elaboration import Elaboration
from .elsewhere import setting_of
from .faults import Fault, Faults, fault
from .scope import Scope
from .starts import bind_table, plain, problem

AMOUNT = 'bytes, or a text such as "6GiB" or "512 MB"'
UNITS = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
COUNT = "so many epochs or steps, as the training is counted"
TRAIN: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("epochs", "number", None, "passes over the data", above=0),
        Option("steps", "integer", None, "updates", low=1),
        Option("seed", "integer", 0, "of everything random", low=0, high=2**32 - 1),
        Option("precision", "word", "f32", "of products", ("f32", "bf16", "f16")),
        Option("loss_scale", "number", None, "a fixed one, for precision = f16", low=1),
        Option("ema", "number", None, "kept of the average of the weights", above=0, high=0.999999),
        Option("eval_every", "number", None, COUNT, above=0),
        Option("save_every", "number", None, COUNT, above=0),
        Option("log_every", "number", None, COUNT, above=0),
        Option("early_stop", "word", None, "patience(10)"),
        Option("memory", "integer|text", None, f"what a step may take: {AMOUNT}", low=1),
    )
}
STEP: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("optimizer", "word", None, "adam(lr=1e-3)"),
        Option("every", "integer", 1, "once in so many steps", low=1),
        Option("clip", "number", None, "the greatest norm of the gradient", above=0),
        Option("accumulate", "integer", 1, "batches in one gradient", low=1),
        Option("freeze", "text|texts", None, "paths of parameters that stay as they are"),
    )
}


def train_settings(
    e: Elaboration, train: Train, scope: Scope, faults: list[Fault]
) -> dict[str, Any]:
    """Every setting of `train`, with defaults."""
    result: dict[str, Any] = {name: option.default for name, option in TRAIN.items()}
    given = _known(train.settings, TRAIN, "train", faults)
    for name, setting in given.items():
        try:
            if name == "early_stop":
                result[name] = _named(e, setting.value, STOPPING, "stopping rule", scope)[1]
            else:
                result[name] = _value(e, TRAIN[name], setting, scope)
            if name == "memory":
                result[name] = _bytes(result[name], setting)
        except Faults as found:
            faults += found.faults
    both = [given[name] for name in ("epochs", "steps") if name in given]
    if len(both) == 2:
        faults.append(
            Fault("E215", "both `epochs` and `steps` say how long", both[1].place, "leave one out")
        )
    if "loss_scale" in given and result["precision"] != "f16":
        text = f"`loss_scale` is for `precision = f16`, this is {result['precision']}"
        hint = "leave it out: only f16 loses small gradients"
        faults.append(Fault("E304", text, given["loss_scale"].place, hint))
    meant = [suggest(s.name, ("epochs", "steps")) for s in train.settings if s.name not in TRAIN]
    if not both and not any(meant):
        hint = "for instance `epochs = 20`"
        faults.append(Fault("E307", "`train` needs `epochs` or `steps`", train.place, hint))
    return result


def step_settings(e: Elaboration, step: Step, scope: Scope, faults: list[Fault]) -> dict[str, Any]:
    """The recipe of a step as far as its settings say it."""
    result: dict[str, Any] = {name: option.default for name, option in STEP.items()}
    for name, setting in _known(step.settings, STEP, f"step {step.name}", faults).items():
        try:
            if name == "optimizer":
                found, settings, schedule = _optimizer(e, setting.value, scope)
                result |= {"optimizer": found, "settings": settings, "schedule": schedule}
            else:
                result[name] = _value(e, STEP[name], setting, scope)
        except Faults as wrong:
            faults += wrong.faults
    if result["optimizer"] == "lbfgs" and result["clip"] is not None:
        place = next(setting.place for setting in step.settings if setting.name == "clip")
        hint = "leave it out: the line search finds the length of the step"
        faults.append(Fault("E304", "`lbfgs` takes no `clip`", place, hint))
    return result


def _bytes(amount: int | str, setting: Setting) -> int:
    """An amount of memory in bytes."""
    if isinstance(amount, int):
        return amount
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(\w+)", amount.strip())
    if found is None or found[2] not in UNITS or float(found[1]) == 0:
        units = ", ".join(UNITS)
        place = setting.value.place
        raise fault("E311", f"`memory` is {AMOUNT}, not {amount!r}", place, f"units are {units}")
    return int(float(found[1]) * UNITS[found[2]])


def _known(
    settings: Sequence[Setting], options: Mapping[str, Option], what: str, faults: list[Fault]
) -> dict[str, Setting]:
    for setting in settings:
        if setting.name not in options:
            hint = setting_of(setting.name) or suggest(setting.name, options)
            hint = hint or f"its settings are {', '.join(options)}"
            text = f"`{what}` has no setting `{setting.name}`"
            faults.append(Fault("E304", text, setting.place, hint))
    return {s.name: s for s in settings if s.name in options}


def _value(e: Elaboration, option: Option, setting: Setting, scope: Scope) -> Any:
    value = plain(e, setting.value, scope, option.words)
    wrong = wrong_value(option, value)
    if wrong:
        hint = f"{option.name}: {option.doc}" if option.doc else None
        raise fault("E311", f"`{option.name}` {wrong}", setting.value.place, hint)
    return value


def _named(
    e: Elaboration, expr: Expr, known: Mapping[str, Signature], what: str, scope: Scope
) -> tuple[str, dict[str, Any], Call | Name]:
    """A call of something described by a table: its name and all of its settings."""
    if not isinstance(expr, (Call, Name)):
        hint = f"there are {', '.join(known)}"
        raise fault(
            "E311", f"{'an' if what[0] in 'aeiou' else 'a'} {what} is needed here", expr.place, hint
        )
    name = expr.id if isinstance(expr, Name) else expr.name
    if name not in known:
        hint = suggest(name, known) or f"there are {', '.join(known)}"
        raise fault("E302", f"unknown {what} `{name}`", expr.place.first(len(name)), hint)
    return name, bind_table(e, known[name], expr, scope), expr


def _optimizer(
    e: Elaboration, expr: Expr, scope: Scope
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, settings without the rate, and the schedule of the rate."""
    rate = _rate_of(expr)
    schedule: dict[str, Any] | None = None
    bare = expr
    if rate is not None:
        name, settings, call = _named(e, rate, SCHEDULES, "schedule", scope)
        wrong = schedules.complaint(name, settings)
        if wrong:
            raise fault("E307", wrong[0], rate.place, wrong[1])
        schedule = {"name": name, **settings}
        bare = _without(expr, rate)
    name, settings, call = _named(e, bare, OPTIMIZERS, "optimizer", scope)
    found = problems(name, settings)
    if found:
        raise Faults(f for p in found for f in problem(OPTIMIZERS[name], p, call).faults)
    constant = {"name": "constant", "rate": settings.pop("lr"), "warmup": 0, "per": None}
    return name, settings, schedule or constant


def _rate_of(expr: Expr) -> Call | None:
    """The schedule that stands in place of the rate, if one does."""
    if not isinstance(expr, Call):
        return None
    given = [s.value for s in expr.named if s.name == "lr"] or list(expr.positional[:1])
    for value in given:
        if isinstance(value, Call) and value.name not in (
            "sqrt",
            "exp",
            "log",
            "min",
            "max",
            "abs",
            "round",
        ):
            return value
    return None


def _without(expr: Expr, rate: Call) -> Expr:
    """The call with the schedule's place taken by any number."""
    assert isinstance(expr, Call)
    number = Number("1", rate.place)
    named = tuple(replace(s, value=number) if s.value is rate else s for s in expr.named)
    return replace(
        expr, positional=tuple(number if p is rate else p for p in expr.positional), named=named
    )
