"""Which learning rate to begin with: a short training whose rate grows until the loss does."""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec.errors import UsageError
from .options import add_json, add_spec, add_target, load, print_json
from .table import table

if TYPE_CHECKING:
    from ..runtime.rate_range import RateRange

ROWS, WIDTH = 17, 40  # of the chart
LEAST, MOST = 10, 100_000  # steps


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft find-rate`."""
    add_spec(parser)
    add_target(parser)
    parser.add_argument("--low", type=float, default=1e-7, metavar="RATE", help="default: 1e-7")
    parser.add_argument("--high", type=float, default=10.0, metavar="RATE", help="default: 10")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--step", metavar="NAME", help="of several steps of the spec, this one")
    parser.add_argument("--seed", type=int, metavar="N", help="this seed, whatever the spec says")
    parser.add_argument("-o", "--output", metavar="FILE", help="a csv file of rates and losses")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Try the rates; nothing of the training is kept."""
    from ..runtime.program import compile
    from ..runtime.rate_range import try_rates
    from ..runtime.undertaking import Undertaking

    _plausible(arguments)
    program = compile(load(arguments), arguments.target, seed=arguments.seed)
    with Undertaking() as undertaking:
        found = try_rates(
            program.engine,
            program.artifact,
            root=Path(program.spec.path).resolve().parent,
            low=arguments.low,
            high=arguments.high,
            count=arguments.steps,
            seed=arguments.seed,
            step=arguments.step,
            progress=lambda done: undertaking.at(f"step {done} of {arguments.steps}"),
        )
    if arguments.output:
        _write(Path(arguments.output), found)
    if arguments.json:
        print_json(
            {
                "step": found.step,
                "suggested": found.suggested,
                "steepest": None if found.steepest is None else found.rates[found.steepest],
                "least": found.rates[found.least],
                "diverged": found.diverged,
                "rates": found.rates,
                "losses": found.losses,
            }
        )
    else:
        print(_as_text(found))
    return 0


def _plausible(arguments: argparse.Namespace) -> None:
    """Raises: UsageError for a range that is none."""
    low, high = arguments.low, arguments.high
    if not (0 < low < high < math.inf):
        raise UsageError(f"--low {low:g} --high {high:g}: two rates, the smaller one first")
    if not LEAST <= arguments.steps <= MOST:
        raise UsageError(f"--steps {arguments.steps}: from {LEAST} to {MOST:,}")


def _write(path: Path, found: RateRange) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("rate", "loss"))
        writer.writerows(zip(found.rates, found.losses, strict=True))


def _as_text(found: RateRange) -> str:
    """A chart of the loss over the rate, and what follows from it."""
    count = len(found.losses)
    marks = {found.least: "least"}
    if found.steepest is not None:
        marks[found.steepest] = "steepest"
    shown = sorted({*(round(k * (count - 1) / (ROWS - 1)) for k in range(ROWS)), *marks})
    low, top = min(found.losses), max(found.losses[0], min(found.losses))
    scale = (top - low) or 1.0
    rows = [
        (
            f"{found.rates[k]:.1e}",
            f"{found.losses[k]:.4g}",
            "#" * min(WIDTH, round(WIDTH * (found.losses[k] - low) / scale)),
            marks.get(k, ""),
        )
        for k in shown
    ]
    lines = [table(("rate", "loss", "", ""), rows, align=">><<"), ""]
    if found.diverged:
        lines.append(f"diverges    above {found.rates[-1]:.1e}")
    if found.suggested is None:
        lines.append("no rate lowered the loss: try more --steps, or look at the data and the loss")
    else:
        lines.append(f"suggested   lr={found.suggested:.1e}")
    return "\n".join(lines)
