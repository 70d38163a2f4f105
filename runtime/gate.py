"""The compile gate: kernels that spill or do not fit are written anew with smaller tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..compiler.artifact import Artifact
from ..compiler.compile import compile_gpu
from ..compiler.lowered import Lowered
from ..spec.errors import DeviceError
from .crosscompile import Report, settle

ATTEMPTS = 6


def gated(
    make: Callable[[Mapping[str, int]], Artifact],
    target: str,
    *,
    progress: Callable[[Report], None] | None = None,
) -> tuple[Artifact, tuple[Report, ...]]:
    """The artifact whose kernels all pass on `target`, such as cuda:90, and their reports.

    `make` writes the kernels, given how often each one was refused: see `compile_gpu`.  One that is
    refused gets the next smaller tile.

    Raises: DeviceError with what is wrong when no tile passes.
    """
    made: list[Artifact] = []

    def emit(levels: Mapping[str, int]) -> tuple[str, list[dict[str, Any]]]:
        artifact = make(levels)
        made.append(artifact)
        records = {k.name: dict(k.compile) for k in artifact.kernels if k.compile is not None}
        return artifact.files["kernels.py"], list(records.values())

    reports = settle(emit, target, rounds=ATTEMPTS, progress=progress)
    problems = [f"{r.kernel} {', '.join(r.failures)}" for r in reports if not r.ok]
    if problems:
        raise DeviceError(f"no tile fits {target}: {'; '.join(problems)}", hint="report this spec")
    return made[-1], reports


def cross_compiled(lowered: Lowered, target: str) -> tuple[Artifact, tuple[Report, ...]]:
    """A program with kernels that all pass on an architecture, which need not be in this machine.

    Raises: DeviceError when no tile passes.
    """
    return gated(lambda levels: compile_gpu(lowered, target, levels), target)
