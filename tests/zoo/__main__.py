"""The command line: one line for an example, or what is wrong with it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.laws.kernels import ARCHITECTURES
from tests.zoo import kernels, notes, verified
from weft.spec.errors import WeftError


class Job(NamedTuple):
    """A measurement under the kind and the name that the notes have."""

    kind: str
    name: str
    measure: Callable[[], dict[str, Any]]
    line: Callable[[Mapping[str, Any]], str]


def jobs(given: argparse.Namespace) -> Iterator[Job]:
    """What the command line asks for."""
    if given.what == "train":
        from tests.examples.test_twins import CASES
        from tests.zoo import trained

        for case in CASES:
            if given.only in f"examples/{case.spec}.weft":
                yield Job("train", case.id, lambda c=case: trained.train(c), trained.line)
        return
    for path in notes.specs(given.only):
        name = notes.name_of(path)
        if given.what == "verify":
            yield Job("verify", name, lambda p=path: verified.verify(p), verified.line)
            continue
        for target in given.targets.split(","):
            measure = lambda p=path, t=target: kernels.judge(p, t, given.probes)  # noqa: E731
            yield Job(target, name, measure, kernels.line)


def carry_out(job: Job, *, noted: bool) -> tuple[bool, str]:
    """Whether it went well, and what to print."""
    began = time.perf_counter()
    head = f"{job.name:<42}{job.kind:<12}"
    try:
        found = job.measure()
    except WeftError as error:
        if noted:
            notes.note(job.kind, job.name, None)
        return False, f"{head}WRONG  {str(error).splitlines()[0]}"
    took = time.perf_counter() - began
    if noted:
        notes.note(job.kind, job.name, {"took": round(took, 1), **found})
    return True, f"{head}{job.line(found)}, {took:.0f} s"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("what", choices=("kernels", "verify", "train"))
    parser.add_argument("--only", default="", metavar="TEXT", help="paths that contain this")
    parser.add_argument("--targets", default=",".join(ARCHITECTURES), help="of kernels")
    parser.add_argument("--probes", action="store_true", help="kernels of steps that failed too")
    parser.add_argument("--note", action="store_true", help=f"write to {notes.FILE.name}")
    given = parser.parse_args(argv)
    wrong = 0
    for job in jobs(given):
        fine, text = carry_out(job, noted=given.note)
        print(text, flush=True)
        wrong += not fine
    print(f"{wrong} wrong" if wrong else "all passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
