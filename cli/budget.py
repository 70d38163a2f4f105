"""What a training on so many tokens costs: `--tokens`, `--rate`, `--length` of `weft check`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..compiler.accounting import EACH, Budget
from ..compiler.expectations import Expectation
from ..compiler.report import Report
from ..spec.errors import UsageError
from .table import count_text, duration_text, power_text, rate_text


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of a training; None: nothing."""

    tokens: float | None
    rate: float | None

    def of(self, entry: Expectation | None) -> Budget | None:
        """The budget of a spec: that of the command line, else the published one of an entry."""
        if self.tokens is not None:
            return Budget(self.tokens, self.rate)
        if entry is not None and entry.training is not None:
            return Budget(entry.training.tokens, self.rate)
        return None


def add_budget(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "--tokens", metavar="N", help="what a training on so many tokens costs, such as 8.0e9"
    )
    parser.add_argument(
        "--rate", metavar="FLOPS", help="and how long, at so many operations a second: 400e12"
    )
    parser.add_argument(
        "--length", type=int, metavar="T", help="tokens in a text, where the spec does not say"
    )


def budget(arguments: argparse.Namespace) -> Asked:
    """What was asked for.

    Raises: UsageError for what is no number above 0.
    """
    if arguments.length is not None and arguments.length < 1:
        raise UsageError(f"--length {arguments.length}: a text has at least 1 token")
    return Asked(_number(arguments, "tokens", "8.0e9"), _number(arguments, "rate", "400e12"))


def token_lines(report: Report) -> Iterator[str]:
    """What a token costs each net that reads texts."""
    for name, net in report.nets.items():
        cost = net.token
        if cost is not None:
            sizes = ", ".join(f"{axis}={size}" for axis, size in cost.sizes.items())
            whose = f" of `{name}`" if len(report.nets) > 1 else ""
            yield (
                f"token       {count_text(cost.training)} FLOPs in training{whose}, "
                f"{count_text(cost.forward)} forward{f' at {sizes}' if sizes else ''}; "
                f"{count_text(cost.estimate)} at {EACH} for each parameter"
            )


def budget_lines(report: Report, wanted: Budget | None) -> Iterator[str]:
    """What the whole text costs.

    Raises: UsageError where no net reads texts.
    """
    if wanted is None:
        return
    costs = {name: net.token for name, net in report.nets.items() if net.token is not None}
    _some(costs, report)
    for name, cost in costs.items():
        assert cost is not None
        whose = f" of `{name}`" if len(costs) > 1 else ""
        estimate, counted = (
            f"{power_text(wanted.flops(each))} FLOPs{_time(wanted, each)}"
            for each in (cost.estimate, cost.training)
        )
        at = f" at {rate_text(wanted.rate)}" if wanted.rate is not None else ""
        yield (
            f"budget      {count_text(wanted.tokens)} tokens{whose}{at}: "
            f"{estimate} at {EACH} for each parameter, {counted} counted"
        )


def budgets_json(report: Report, wanted: Budget | None) -> dict[str, Any]:
    """The same by net, as plain data.

    Raises: UsageError where no net reads texts.
    """
    if wanted is None:
        return {}
    costs = {name: net.token for name, net in report.nets.items() if net.token is not None}
    _some(costs, report)
    return {"budget": {name: wanted.to_json(c) for name, c in costs.items() if c is not None}}


def estimate(report: Report, wanted: Budget | None) -> tuple[str, str]:
    """Tokens and FLOPs of a whole training, with its time; empty where there is none."""
    costs = [net.token for net in report.nets.values() if net.token is not None]
    if wanted is None or not costs:
        return "", ""
    each = sum(cost.estimate for cost in costs)
    return count_text(wanted.tokens), power_text(wanted.flops(each)) + _time(wanted, each)


def _some(costs: dict[str, Any], report: Report) -> None:
    if not costs:
        raise UsageError(
            f"`{report.name}` reads no tokens, so nothing is known of what they cost",
            hint="a net reads texts as whole numbers: `in tokens: i32[B, T]`",
        )


def _time(wanted: Budget, each: float) -> str:
    seconds = wanted.seconds(each)
    return "" if seconds is None else f" ({duration_text(seconds)})"


def _number(arguments: argparse.Namespace, name: str, example: str) -> float | None:
    given = getattr(arguments, name)
    if given is None:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"--{name} {given}: a number above 0, such as {example}")
    return value
