"""The time of a training step and of the nets, on random inputs; medians with their spread, or
where it goes.
"""

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
    from ..runtime.profile import Profile
    from ..runtime.timing import Timing


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft bench`."""
    add_spec(parser)
    add_target(parser)
    parser.add_argument(
        "--seconds", type=float, default=1.0, metavar="N", help="for each entry (default: 1)"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="the time of every kernel of a training step on all cores (cpu)",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Time every training step and net."""
    from ..runtime.machine import cpu
    from ..runtime.profile import profile
    from ..runtime.program import compile
    from ..runtime.timing import measure

    if not (math.isfinite(arguments.seconds) and arguments.seconds > 0):
        raise UsageError("--seconds: more than 0 are needed")
    program = compile(load(arguments), arguments.target)
    artifact, machine = program.artifact, cpu()
    timings: list[Timing] = []
    profiles: list[Profile] = []
    if arguments.profile:
        profiles = profile(artifact, seconds=arguments.seconds)
    else:
        timings = measure(program.engine, artifact, seconds=arguments.seconds)
    if arguments.json:
        print_json(
            {
                "target": program.target,
                "cpu": {"model": machine.model, "cores": machine.cores},
                "sizes": dict(artifact.sizes),
                "entries": [*map(asdict, timings), *map(asdict, profiles)],
            }
        )
    else:
        print(f"{program.target} on {machine.model}, {machine.cores} cores")
        print("\n\n".join(map(_regions, profiles)) if profiles else _as_text(timings))
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


def _regions(found: Profile) -> str:
    """The regions of an entry, longest first."""
    rows = [
        (
            r.kernel,
            r.layer,
            r.place,
            f"{r.seconds * 1e3:.3f}",
            f"{r.share:.1%}",
            count_text(r.flops / r.seconds) if r.flops else "",
            r.made,
        )
        for r in found.regions
    ]
    total = (found.entry, f"{found.threads} threads", "", f"{found.seconds * 1e3:.3f}", "100.0%")
    head = ("kernel", "layer", "place", "ms", "share", "FLOP/s", "makes")
    return table(head, rows, (*total, "", ""), align="<<<>>><")
