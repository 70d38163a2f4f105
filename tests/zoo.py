"""Every example for every GPU architecture: its kernels emitted, compiled and judged.

    python tests/zoo.py [--targets cuda:80,cuda:90,cuda:100,hip:gfx942] [--only TEXT]

One line for an example and a target: kernels, the most registers, shared memory, dots on tensor
cores, refusals, seconds; or what is wrong.  No GPU is needed.  It takes hours for everything on two
cores, and minutes where kernels are known.  Kernels that only show the values of a step which
failed are left out, unless `--probes` asks for them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_gpu, lower
from weft.runtime.crosscompile import SHARED, Report
from weft.runtime.gate import gated
from weft.spec.errors import WeftError
from weft.spec.load import load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def specs(only: str) -> list[Path]:
    """The examples that have nets; files of shared blocks have none."""
    found = (path for path in sorted(EXAMPLES.rglob("*.weft")) if only in str(path))
    return [path for path in found if "\nnet " in path.read_text(encoding="utf-8")]


@dataclass(frozen=True, slots=True)
class Passed:
    """What the kernels of an example became on a target.

    Units: `shared` bytes; `registers` a thread; `seconds` of this run, with those of an earlier one
    for what was compiled then.
    """

    kernels: int
    dots: int
    registers: int
    shared: int
    refused: int
    seconds: float


def used(artifact: Artifact) -> Artifact:
    """The artifact without the kernels that only probes launch."""
    launched = {c.kernel for e in artifact.entries if e.kind != "probe" for c in e.launches}
    return replace(artifact, kernels=tuple(k for k in artifact.kernels if k.name in launched))


def judge(path: Path, target: str, probes: bool, heard: Callable[[Report], None]) -> Passed:
    """The kernels as they pass on the target.

    Raises: WeftError where one does not, with the smallest tiles either.
    """
    refused = 0

    def learn(report: Report) -> None:
        nonlocal refused
        refused += not report.ok
        heard(report)

    lowered = lower(elaborate(load(path)), native=False)

    def make(levels: Mapping[str, int]) -> Artifact:
        artifact = compile_gpu(lowered, target, levels)
        return artifact if probes else used(artifact)

    reports = gated(make, target, progress=learn)[1]
    return Passed(
        kernels=len(reports),
        dots=sum(any(report.instructions.values()) for report in reports),
        registers=max((report.registers for report in reports), default=0),
        shared=max((report.shared for report in reports), default=0),
        refused=refused,
        seconds=round(sum(report.seconds for report in reports), 1),
    )


def line(
    path: Path, target: str, probes: bool, passed: dict[str, dict[str, Any]]
) -> tuple[bool, str]:
    """Whether everything passed, and what to print; what passed is noted."""
    name = str(path.relative_to(EXAMPLES))
    began, told = time.perf_counter(), 0

    def heard(_: Report) -> None:
        nonlocal told
        told += 1
        if sys.stderr.isatty():
            print(f"\r{name:<44}{target:<12}{told:>5}", end="\r", file=sys.stderr, flush=True)

    try:
        found = judge(path, target, probes, heard)
    except WeftError as error:
        passed[target].pop(name, None)
        return False, f"{name:<44}{target:<12}WRONG  {str(error).splitlines()[0]}"
    passed[target][name] = asdict(found)
    return True, (
        f"{name:<44}{target:<12}{found.kernels:>5} kernels, {found.dots} on tensor cores, "
        f"{found.registers} registers, {found.shared / 1024:.0f} KiB shared, "
        f"{found.refused} refused, {time.perf_counter() - began:.0f} s"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--targets", default=",".join(SHARED))
    parser.add_argument("--only", default="", metavar="TEXT", help="paths that contain this")
    parser.add_argument("--probes", action="store_true", help="the kernels of probes too")
    parser.add_argument("--out", type=Path, metavar="FILE", help="note there (JSON) what passed")
    given = parser.parse_args(argv)
    targets, wrong = given.targets.split(","), 0
    passed = json.loads(given.out.read_text("utf-8")) if given.out and given.out.is_file() else {}
    for target in targets:
        passed.setdefault(target, {})
        for path in specs(given.only):
            fine, text = line(path, target, given.probes, passed)
            print(text, flush=True)
            wrong += not fine
            if given.out:
                given.out.write_text(json.dumps(passed, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{wrong} wrong" if wrong else "all passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
