"""Every target and every gradient against the float64 reference, and that against differences."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..compiler.build import elaborate
from ..spec.errors import UsageError
from .options import add_json, add_spec, load, print_json
from .table import table

if TYPE_CHECKING:
    from ..compiler.lowered import Lowered
    from ..runtime.engine import Engine
    from ..runtime.program import CompiledProgram
    from ..runtime.verify import Check

RUNNABLE = ("cpu", "interpret", "cuda", "hip")

FEW = 400
"""Programs of kernels that the interpreter runs unless it is asked to; it takes about 50 ms for
one."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft verify`."""
    add_spec(parser)
    parser.add_argument(
        "--target",
        "--device",
        metavar="TARGETS",
        default="auto",
        help="cpu, interpret, cuda, hip, comma-separated; auto (default): all that run here, the "
        "interpreter for small nets",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare; 1 when one result is further off than it may be."""
    from ..runtime.program import compile, precision_of
    from ..runtime.undertaking import Undertaking
    from ..runtime.verify import programs, verify

    spec = load(arguments)
    program = elaborate(spec)
    targets = _targets(arguments.target, precision_of(program))
    opened: dict[str, CompiledProgram] = {}

    def open_target(target: str) -> tuple[Lowered, Engine]:
        if target not in opened:
            opened[target] = compile(spec, target)
        return opened[target].lowered, opened[target].engine

    left_out = 0
    with Undertaking() as undertaking:
        if arguments.target == "auto" and "interpret" in targets:
            undertaking.at("interpret: compiling")
            count = programs(program, open_target("interpret")[1].artifact)
            if count > FEW:
                left_out = count
                targets.remove("interpret")
        checks = list(verify(program, targets, open_target, undertaking.at))
    if arguments.json:
        print_json(
            {
                "ok": all(c.ok for c in checks),
                "left_out": ["interpret"] if left_out else [],
                "checks": [
                    {"target": c.target, "subject": c.subject, "error": c.error, "limit": c.limit}
                    for c in checks
                ],
            }
        )
    else:
        print(_as_text(checks))
        if left_out:
            print(
                f"left out: Triton's interpreter, with {left_out:,} programs to run; "
                "--target interpret runs them"
            )
    return 0 if all(check.ok for check in checks) else 1


def _targets(text: str, precision: str) -> list[str]:
    """The targets to compare; the interpreter is no judge of bf16.

    Raises: UsageError for one that cannot run.
    """
    if text == "auto":
        gpu = ["cuda"] if shutil.which("nvidia-smi") else []
        return ["cpu", *(["interpret"] if precision != "bf16" else []), *gpu]
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for target in chosen:
        if target not in RUNNABLE:
            raise UsageError(
                f"`{target}` cannot be run here", hint=f"targets that run: {', '.join(RUNNABLE)}"
            )
    return chosen


def _as_text(checks: Sequence[Check]) -> str:
    rows = [
        (c.target, c.subject, f"{c.error:.1e}", f"{c.limit:.0e}", "ok" if c.ok else "WRONG")
        for c in checks
    ]
    wrong = sum(not check.ok for check in checks)
    verdict = f"{wrong} of {len(checks)} are WRONG" if wrong else f"all {len(checks)} agree"
    head = ("target", "what", "error", "allowed", "")
    return f"{table(head, rows, align='<<>>')}\n\n{verdict}"
