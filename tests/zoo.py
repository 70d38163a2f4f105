"""Every example for every GPU architecture: its kernels emitted, compiled and judged.

    python tests/zoo.py [--targets cuda:80,cuda:90,cuda:100,hip:gfx942] [--only TEXT]

One line for an example and a target: kernels, the most registers, shared memory, dots on tensor
cores, seconds; or what is wrong.  No GPU is needed.  It takes hours for everything on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from weft.compiler.build import elaborate
from weft.compiler.compile import lower
from weft.compiler.lowered import Lowered
from weft.runtime.crosscompile import SHARED, Report
from weft.runtime.gate import cross_compiled
from weft.spec.errors import WeftError
from weft.spec.load import load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def specs(only: str) -> list[Path]:
    """The examples that have nets; files of shared blocks have none."""
    found = (path for path in sorted(EXAMPLES.rglob("*.weft")) if only in str(path))
    return [path for path in found if "\nnet " in path.read_text(encoding="utf-8")]


def judge(lowered: Lowered, target: str) -> tuple[Report, ...]:
    """The kernels as they pass on the target.

    Raises: DeviceError where one does not, with the smallest tiles either.
    """
    return cross_compiled(lowered, target)[1]


def line(path: Path, target: str) -> tuple[bool, str]:
    """Whether everything passed, and what to print."""
    name = str(path.relative_to(EXAMPLES))
    began = time.perf_counter()
    try:
        reports = judge(lower(elaborate(load(path)), native=False), target)
    except WeftError as error:
        return False, f"{name:<44}{target:<12}WRONG  {str(error).splitlines()[0]}"
    took = time.perf_counter() - began
    most = max((report.registers for report in reports), default=0)
    shared = max((report.shared for report in reports), default=0)
    dots = sum(1 for report in reports if any(report.instructions.values()))
    return True, (
        f"{name:<44}{target:<12}{len(reports):>5} kernels, {dots} on tensor cores, "
        f"{most} registers, {shared / 1024:.0f} KiB shared, {took:.0f} s"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--targets", default=",".join(SHARED))
    parser.add_argument("--only", default="", metavar="TEXT", help="paths that contain this")
    given = parser.parse_args(argv)
    wrong = 0
    for path in specs(given.only):
        for target in given.targets.split(","):
            fine, text = line(path, target)
            print(text, flush=True)
            wrong += not fine
    print(f"{wrong} wrong" if wrong else "all passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
