"""The time of a training step and of the nets, on random inputs; medians with their spread."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..spec.errors import UsageError
from .options import add_json, add_spec, add_target, load, print_json
from .table import count_text, seconds_text, table

if TYPE_CHECKING:
    from ..runtime.timing import Timing


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft bench`."""
    add_spec(parser)
    add_target(parser)
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="N", help="for each entry (default: 1)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Time every training step and net."""
    from ..runtime.machine import cpu
    from ..runtime.program import compile
    from ..runtime.timing import measure

    if not (math.isfinite(arguments.seconds) and arguments.seconds > 0):
        raise UsageError("--seconds: more than 0 are needed")
    program = compile(load(arguments), arguments.target)
    timings = measure(program.engine, program.artifact, seconds=arguments.seconds)
    machine = cpu()
    if arguments.json:
        print_json(
            {
                "target": program.target,
                "cpu": {"model": machine.model, "cores": machine.cores},
                "sizes": dict(program.artifact.sizes),
                "entries": [asdict(timing) for timing in timings],
            }
        )
    else:
        print(f"{program.target} on {machine.model}, {machine.cores} cores")
        print(_as_text(timings))
    return 0


def _as_text(timings: Sequence[Timing]) -> str:
    rows = [
        (
            t.entry,
            seconds_text(t.median),
            f"{seconds_text(t.low)} .. {seconds_text(t.high)}",
            f"{t.calls:,}",
            count_text(t.samples / t.median),
            count_text(t.flops / t.median),
        )
        for t in timings
    ]
    head = ("entry", "median", "10 % .. 90 %", "calls", "samples/s", "FLOP/s")
    return table(head, rows, align="<>>>>>")
