"""Every target and every gradient against the float64 reference, and that against differences."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..compiler.build import elaborate
from ..spec.errors import UsageError
from .options import add_json, add_spec, load, print_json, settings
from .table import table

if TYPE_CHECKING:
    from ..compiler.build import Program
    from ..compiler.lowered import Lowered
    from ..runtime.engine import Engine
    from ..runtime.program import CompiledProgram
    from ..runtime.verify import Check
    from ..runtime.verify_extent import Extent, Key
    from ..spec.load import Spec
    from ..spec.static import Value

RUNNABLE = ("cpu", "interpret", "cuda")

FEW = 200
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
        help="cpu, interpret, cuda, comma-separated; auto (default): all that run here, the "
        "interpreter for small nets",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="everything at the largest sizes, for minutes or hours (default: what takes less "
        "than half a minute)",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare; 1 when one result is further off than it may be."""
    from ..runtime.program import compile
    from ..runtime.targets import precision_of, rounds_to_bf16
    from ..runtime.undertaking import Undertaking
    from ..runtime.verify import verify
    from ..runtime.verify_extent import programs

    spec, program, extent, chosen = _what_to_check(arguments)
    bf16 = precision_of(program) == "bf16" or rounds_to_bf16(program)
    targets = _targets(arguments.target, bf16=bf16)
    opened: dict[str, CompiledProgram] = {}

    def compiled(target: str) -> CompiledProgram:
        if target not in opened:
            opened[target] = compile(spec, target)
        return opened[target]

    def open_target(target: str) -> tuple[Lowered, Engine]:
        return compiled(target).lowered, compiled(target).engine

    left_out = [_what(key, flops) for key, flops in extent.left_out.items()]
    with Undertaking() as undertaking:
        if arguments.target == "auto" and not arguments.all and "interpret" in targets:
            undertaking.at("interpret: compiling")
            count = programs(program, compiled("interpret").artifact, extent)
            if count > FEW:
                left_out.append(f"Triton's interpreter ({count:,} programs)")
                targets.remove("interpret")
        checks = list(verify(program, targets, open_target, extent, undertaking.at))
    if arguments.json:
        print_json(
            {
                "ok": all(c.ok for c in checks),
                "left_out": left_out,
                "settings": dict(chosen),
                "sizes": dict(extent.sizes),
                "checks": [
                    {"target": c.target, "subject": c.subject, "error": c.error, "limit": c.limit}
                    for c in checks
                ],
            }
        )
    else:
        print(_as_text(checks))
        if chosen:
            smaller = ", ".join(f"{name}={_spelt(value)}" for name, value in chosen.items())
            print(f"checked with smaller settings: {smaller}; --all takes those of the spec")
        if left_out:
            print(f"left out: {', '.join(left_out)}; --all checks everything")
    return 0 if all(check.ok for check in checks) else 1


def _what_to_check(
    arguments: argparse.Namespace,
) -> tuple[Spec, Program, Extent, Mapping[str, Value]]:
    """What the command line asks for, with smaller settings where that takes too long.

    Raises: UsageError where nothing is little enough to be checked.
    """
    from ..runtime.verify_extent import affordable, everything, meagre
    from ..runtime.verify_smaller import smaller

    spec = load(arguments)
    program = elaborate(spec)
    if arguments.all:
        return spec, program, everything(program), {}
    extent = affordable(program)
    if meagre(program, extent):
        less, made, chosen = smaller(spec, program, settings(arguments.settings))
        found = affordable(made)
        if len(found.left_out) <= len(extent.left_out):
            _something(made, found)
            return less, made, found, chosen
    _something(program, extent)
    return spec, program, extent, {}


def _what(key: Key, flops: float) -> str:
    kind, subject = key
    return f"the {'net' if kind == 'forward' else 'step'} `{subject}` ({flops:.0e} operations)"


def _something(program: Program, extent: Extent) -> None:
    """Raises: UsageError where nothing is little enough to be checked."""
    if extent.left_out and len(extent.left_out) == len(program.nets) + len(program.steps):
        names = ", ".join(f"--set {param.name}=…" for param in program.spec.file.params)
        raise UsageError(
            f"checking `{program.name}` in float64 takes longer than half a minute: "
            f"{sum(extent.left_out.values()):.0e} operations at the smallest sizes",
            hint=f"--all does it{f'; smaller settings: {names}' if names else ''}",
        )


def _targets(text: str, *, bf16: bool) -> list[str]:
    """The targets to compare; the interpreter is no judge of bf16.

    Raises: UsageError for one that cannot run.
    """
    if text == "auto":
        gpu = ["cuda"] if shutil.which("nvidia-smi") else []
        return ["cpu", *([] if bf16 else ["interpret"]), *gpu]
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for target in chosen:
        if target not in RUNNABLE:
            raise UsageError(
                f"`{target}` cannot be run here", hint=f"targets that run: {', '.join(RUNNABLE)}"
            )
    return chosen


def _spelt(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_spelt, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_text(checks: Sequence[Check]) -> str:
    rows = [
        (c.target, c.subject, f"{c.error:.1e}", f"{c.limit:.0e}", "ok" if c.ok else "WRONG")
        for c in checks
    ]
    wrong = sum(not check.ok for check in checks)
    verdict = f"{wrong} of {len(checks)} are WRONG" if wrong else f"all {len(checks)} agree"
    head = ("target", "what", "error", "allowed", "")
    return f"{table(head, rows, align='<<>>')}\n\n{verdict}"
