"""The kernels of an example for a GPU architecture: emitted, compiled and judged.

No GPU is needed.  An architecture takes twenty minutes on two cores, and few where kernels are
known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_gpu, lower, lower_backward
from weft.compiler.lowered import Lowered
from weft.runtime.crosscompile import TENSOR_CORES, Report
from weft.runtime.gate import gated
from weft.spec.load import load


def used(artifact: Artifact) -> Artifact:
    """The artifact without the kernels that only show the values of a step which failed."""
    launched = {c.kernel for e in artifact.entries if e.kind != "probe" for c in e.launches}
    return replace(artifact, kernels=tuple(k for k in artifact.kernels if k.name in launched))


def judge(path: Path, target: str, probes: bool = False) -> dict[str, Any]:
    """What the kernels of the example became, forward and backward; `probes`: those of a step that
    failed too.

    Units: `shared` bytes, `registers` a thread, `seconds` of compilation, whenever that was.

    Raises: WeftError where one does not pass, with the smallest tiles either.
    """
    lowered = lower(elaborate(load(path)), native=False)
    whole = [lowered] if lowered.program.steps else [lowered, lower_backward(lowered)]
    refused: list[Report] = []
    reports = [r for part in whole for r in _reports(part, target, probes, refused)]
    cores = Counter(name for r in reports for name in TENSOR_CORES if r.instructions.get(name))
    return {
        "kernels": len(reports),
        "dots": dict(cores),
        "registers": max((report.registers for report in reports), default=0),
        "shared": max((report.shared for report in reports), default=0),
        "refused": len(refused),
        "seconds": round(sum(report.seconds for report in (*reports, *refused)), 1),
    }


def _reports(
    lowered: Lowered, target: str, probes: bool, refused: list[Report]
) -> tuple[Report, ...]:
    """Of the kernels as they pass; adds those that did not at first."""

    def make(levels: Mapping[str, int]) -> Artifact:
        artifact = compile_gpu(lowered, target, levels)
        return artifact if probes else used(artifact)

    def learn(report: Report) -> None:
        if not report.ok:
            refused.append(report)

    return gated(make, target, progress=learn)[1]


def line(found: Mapping[str, Any]) -> str:
    """What to print."""
    return (
        f"{found['kernels']:>5} kernels, {sum(found['dots'].values())} on tensor cores, "
        f"{found['registers']} registers, {found['shared'] / 1024:.0f} KiB shared, "
        f"{found['refused']} refused"
    )
