"""Write the generated package: kernels, step, model and a trainer that needs no weft."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_json, add_spec, add_target, load, print_json
from .runs import named
from .table import bytes_text, table

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from ..compiler.lowered import Lowered
    from ..runtime.crosscompile import Report

HERE = ("cpu", "cuda", "interpret")
"""Targets whose package runs on this machine."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft compile`."""
    add_spec(parser)
    add_target(parser)
    parser.add_argument("-o", "--out", metavar="DIR", help="the package (default: build/NAME)")
    parser.add_argument("--bundle", action="store_true", help="carry the data along")
    parser.add_argument("--force", action="store_true", help="overwrite what was edited there")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the package; 1 when a cross-compiled kernel must not be used."""
    from ..compiler.compile import compile_for
    from ..runtime.decoding import step_artifacts
    from ..runtime.gate import cross_compiled
    from ..runtime.package import write_package
    from ..runtime.program import compile
    from ..runtime.targets import CROSS

    spec = load(arguments)
    program = compile(spec, arguments.target)
    artifact = program.artifact
    reports: list[Report] = []

    def make(lowered: Lowered) -> Artifact:
        if artifact.target not in CROSS:
            return compile_for(lowered, artifact.target)
        made, found = cross_compiled(lowered, artifact.target)
        reports.extend(found)
        return made

    if artifact.target in CROSS:
        artifact = make(program.lowered)
    out = write_package(
        artifact,
        Path(arguments.out) if arguments.out else Path("build") / named(spec),
        root=Path(spec.path).resolve().parent,
        force=arguments.force,
        bundle=arguments.bundle,
        variant=arguments.variant,
        settings=arguments.settings,
        steps=step_artifacts(program, make) if artifact.train is not None else None,
    )
    if arguments.json:
        print_json(_as_json(artifact, out, reports))
    else:
        print(_as_text(artifact, out, reports))
    return 0 if all(report.ok for report in reports) else 1


def _as_json(artifact: Artifact, out: Path, reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "out": str(out),
        "target": artifact.target,
        "files": sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()),
        "kernels": [
            {
                "kernel": report.kernel,
                "registers": report.registers,
                "spills": report.spills,
                "shared": report.shared,
                "tensor_memory": report.tensor_memory,
                "instructions": report.instructions,
                "failures": list(report.failures),
            }
            for report in reports
        ],
    }


def _as_text(artifact: Artifact, out: Path, reports: Sequence[Report]) -> str:
    lines = [f"{out}: a package for {artifact.target}"]
    for path in sorted(out.iterdir()):
        what = "" if path.is_file() else f"{sum(p.is_file() for p in path.rglob('*'))} files"
        size = bytes_text(path.stat().st_size) if path.is_file() else what
        lines.append(f"  {path.name + ('' if path.is_file() else '/'):<16}{size:>10}")
    if reports:
        lines += ["", _kernels(reports)]
    where = "" if artifact.target in HERE else f"  (where there is {artifact.target})"
    if (out / "train.py").exists():
        lines += ["", f"train it with  python {out / 'train.py'}{where}"]
    else:
        lines += ["", "there is no `train` in the spec: `model.py` computes its nets"]
    return "\n".join(lines)


def _kernels(reports: Sequence[Report]) -> str:
    rows = [
        (
            report.kernel,
            str(report.registers),
            bytes_text(report.spills) if report.spills else "none",
            bytes_text(report.shared),
            ", ".join(f"{count} {name}" for name, count in report.instructions.items() if count),
            "; ".join(report.failures) or "ok",
        )
        for report in reports
    ]
    head = ("kernel", "registers", "spills", "shared", "tensor cores", "")
    return table(head, rows, align="<>>><<")
