"""The compile gate: kernels that spill or do not fit are written anew with smaller tiles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..compiler.artifact import Artifact
from ..compiler.compile import compile_gpu
from ..compiler.lowered import Lowered
from ..spec.errors import DeviceError
from .crosscompile import Report, compile_module

ATTEMPTS = 6


def gated(
    make: Callable[[Mapping[str, int]], Artifact],
    target: str,
    *,
    progress: Callable[[Report], None] | None = None,
) -> tuple[Artifact, tuple[Report, ...]]:
    """The artifact whose kernels all pass on `target`, such as cuda:90, and their reports.

    `make` writes the kernels, given how often each one was refused: see `compile_gpu`.  One that is
    refused gets the next smaller tile; what has passed is not compiled again.

    Raises: DeviceError with what is wrong when no tile passes.
    """
    levels: dict[str, int] = {}
    passed: dict[str, Report] = {}
    for _ in range(ATTEMPTS):
        artifact = make(levels)
        text = artifact.files["kernels.py"]
        records = {k.name: dict(k.compile) for k in artifact.kernels if k.compile is not None}
        parts = bodies(text)
        new = [record for name, record in records.items() if parts[name] not in passed]
        reports = compile_module(text, new, target, progress=progress)
        passed |= {parts[r.kernel]: r for r in reports if r.ok}
        refused = {r.kernel: r for r in reports if not r.ok}
        if not refused:
            return artifact, tuple(passed[parts[name]] for name in records)
        keys = {k.compile["key"] for k in artifact.kernels if k.compile and k.name in refused}
        if "" in keys:
            break
        levels |= {key: levels.get(key, 0) + 1 for key in keys}
    problems = [f"{r.kernel} {', '.join(r.failures)}" for r in refused.values()]
    raise DeviceError(f"no tile fits {target}: {'; '.join(problems)}", hint="report this spec")


def cross_compiled(lowered: Lowered, target: str) -> tuple[Artifact, tuple[Report, ...]]:
    """A program with kernels that all pass on an architecture, which need not be in this machine.

    Raises: DeviceError when no tile passes.
    """
    return gated(lambda levels: compile_gpu(lowered, target, levels), target)


def bodies(text: str) -> dict[str, str]:
    """The text of every function of a module, by name, and of those that it calls."""
    parts = re.split(r"\n\n\n(?=@triton\.jit)", text)
    own = {found[1]: part for part in parts if (found := re.search(r"^def (\w+)\(", part, re.M))}
    whole: dict[str, str] = {}
    for name, part in own.items():  # what is called stands before
        called = dict.fromkeys(
            word for word in re.findall(r"(?<!\.)\b(\w+)\(", part) if word in whole
        )
        whole[name] = "\n\n".join([*(whole[word] for word in called), part])
    return whole
