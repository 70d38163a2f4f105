"""What came out of several trainings: means, the best of them, a table, a file."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .table import seconds_text, table

if TYPE_CHECKING:
    from ..runtime.record import Record

FILE = "sweep.csv"


@dataclass(frozen=True, slots=True)
class Trial:
    """One training: its settings, the folder of its results, and how it ended.

    `best` is the value of what was `watched`; `metrics` are the last ones of the held-out part, or
    of the training part where nothing is held out.  Of several trainings these are means, and
    `spread` holds standard deviations.
    """

    settings: Mapping[str, str]
    out: Path
    ended: str
    watched: str = ""
    best: float = math.nan
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    count: int = 1
    spread: Mapping[str, float] = field(default_factory=dict)


def judged(chosen: Mapping[str, str], out: Path, record: Record) -> Trial:
    metrics = record.metrics.get("test") or record.metrics.get("train") or {}
    ended = "stopped early" if record.stopped_early else "trained"
    trial = Trial(
        chosen,
        out,
        "interrupted" if record.interrupted else ended,
        metrics=metrics,
        step=record.step,
        seconds=record.seconds,
    )
    if record.best is None:
        return trial
    best = record.best
    return replace(trial, watched=best["monitor"], best=best["value"], step=best["step"])


def averaged(trials: Sequence[Trial], name: str | None) -> list[Trial]:
    """Trainings that differ in this param alone as one; those that failed are left out."""
    if name is None:
        return list(trials)
    groups: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        rest = tuple(item for item in trial.settings.items() if item[0] != name)
        groups.setdefault(rest, []).append(trial)
    return [_mean(dict(rest), group) for rest, group in groups.items()]


def _mean(rest: Mapping[str, str], group: Sequence[Trial]) -> Trial:
    whole = [trial for trial in group if trial.ended not in ("diverged", "interrupted")]
    if not whole:
        return replace(group[0], settings=rest, ended=group[0].ended, count=0)
    columns = {"best": [trial.best for trial in whole]}
    for name in whole[0].metrics:
        columns[name] = [trial.metrics.get(name, math.nan) for trial in whole]
    means = {name: statistics.fmean(values) for name, values in columns.items()}
    return replace(
        whole[0],
        settings=rest,
        out=whole[0].out.parent,
        best=means.pop("best"),
        metrics=means,
        seconds=sum(trial.seconds for trial in whole),
        count=len(whole),
        spread={
            name: statistics.stdev(values) if len(values) > 1 else 0.0
            for name, values in columns.items()
        },
    )


def ordered(trials: Sequence[Trial], falls: bool) -> list[Trial]:
    """The best first, those without a value last."""

    def rank(trial: Trial) -> float:
        return math.inf if math.isnan(trial.best) else trial.best * (1 if falls else -1)

    return sorted(trials, key=rank)


def as_text(trials: Sequence[Trial], base: Path, names: Sequence[str]) -> str:
    shown = [name for name in names if name in trials[0].settings]
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    watched = next((trial.watched for trial in trials if trial.watched), "")
    means = any(trial.spread for trial in trials)
    best = [f"best {watched}"] if watched else []
    head = (*shown, *best, *([] if means else ["at step"]), *metrics, "time", "")
    rows = [
        (
            *(trial.settings[name] for name in shown),
            *([_number(trial.best, trial.spread.get("best"))] if watched else []),
            *([] if means else [f"{trial.step:,}" if trial.step else ""]),
            *(_number(trial.metrics.get(n, math.nan), trial.spread.get(n)) for n in metrics),
            seconds_text(trial.seconds),
            _ending(trial),
        )
        for trial in trials
    ]
    align = "<" * len(shown) + ">" * (len(head) - len(shown) - 1) + "<"
    lines = ["", table(head, rows, align=align), ""]
    if watched and not math.isnan(trials[0].best) and len(trials) > 1:
        lines.append(f"best        {label(trials[0].settings)}")
    return "\n".join([*lines, f"results     {trials[0].out if not means else base}",
                      f"  table     {base / FILE}"])  # fmt: skip


def _ending(trial: Trial) -> str:
    """How it ended, where that is not how trainings should; how many a mean is of."""
    if trial.spread:
        return f"of {trial.count}"
    return "" if trial.ended == "trained" else trial.ended


def _number(value: float, spread: float | None = None) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.4g}" if spread is None else f"{value:.4g} ± {spread:.2g}"


def write(path: Path, trials: Sequence[Trial]) -> None:
    """All trainings so far, in the order in which they were trained."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [dict(_flat(trial)) for trial in trials]
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _flat(trial: Trial) -> Iterator[tuple[str, object]]:
    yield from trial.settings.items()
    yield from (("ended", trial.ended), ("watched", trial.watched), ("best", trial.best))
    yield from (("step", trial.step), ("seconds", round(trial.seconds, 3)))
    yield from trial.metrics.items()
    yield "folder", trial.out


def as_json(trial: Trial) -> dict[str, Any]:
    return {
        "settings": dict(trial.settings),
        "ended": trial.ended,
        "watched": trial.watched or None,
        "best": None if math.isnan(trial.best) else trial.best,
        "step": trial.step,
        "metrics": dict(trial.metrics),
        "deviations": dict(trial.spread),
        "trainings": trial.count,
        "seconds": trial.seconds,
        "out": str(trial.out),
    }


def label(chosen: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in chosen.items()) or "all"
