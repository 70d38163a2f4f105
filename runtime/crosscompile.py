"""Compiling the kernels of a generated module for GPUs that need not be here, and judging them.

Triton works in processes of its own: its interpreter setting, an aborting assembler and what
compilers print stay away from this one.  What it said of a kernel is kept on disk (`verdicts.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compiler.emit.triton import MACHINES
from ..spec.errors import UsageError
from . import kernel_module
from .compilers import answers
from .verdicts import Verdicts, bodies

SHARED = {name: machine.shared for name, machine in MACHINES.items()}
"""The targets, and how many bytes of shared memory a block may have there."""

TENSOR_MEMORY = 512
"""Columns of tensor memory of an sm_100; more compiles, to a trap."""

TENSOR_CORES = ("wgmma", "mma", "tcgen05", "mfma")


@dataclass(frozen=True, slots=True)
class Report:
    """What one kernel became on one target.

    Units: `registers` a thread, `spills` and `shared` bytes, `tensor_memory` columns.  `failures`
    says in words why the kernel must not be used; empty: it may.
    """

    kernel: str
    target: str
    registers: int
    spills: int
    shared: int
    tensor_memory: int
    instructions: dict[str, int]
    seconds: float
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the kernel passed every gate."""
        return not self.failures


def compile_module(
    text: str,
    kernels: Sequence[dict[str, Any]],
    target: str,
    *,
    progress: Callable[[Report], None] | None = None,
) -> tuple[Report, ...]:
    """A report for each kernel record (`KernelText.spec()`), in order.

    Kernels whose text was compiled before, in whatever module, are not compiled again.

    Raises: UsageError for an unknown target, DeviceError when Triton cannot be started.
    """
    if target not in SHARED:
        raise UsageError(f"cannot compile for `{target}`", hint=f"targets: {', '.join(SHARED)}")
    verdicts, parts = Verdicts(target), bodies(text)
    records = {record["name"]: record for record in kernels}
    keys = {name: verdicts.key(parts.get(name, text), record) for name, record in records.items()}
    reports: dict[str, Report] = {}

    def learn(name: str, answer: dict[str, Any]) -> None:
        reports[name] = _judge(records[name], target, answer)
        if progress:
            progress(reports[name])

    waiting = []
    for name, record in records.items():
        known = verdicts.find(keys[name])
        learn(name, known) if known else waiting.append(record)
    if waiting:
        path, digest = kernel_module.store(text), kernel_module.digest(text)
        order = {"path": str(path), "digest": digest, "target": target}
        for answer in answers(order, waiting):
            verdicts.keep(keys[answer["kernel"]], answer)
            learn(answer["kernel"], answer)
    return tuple(reports[name] for name in records)


def settle(
    emit: Callable[[Mapping[str, int]], tuple[str, Sequence[dict[str, Any]]]],
    target: str,
    *,
    rounds: int = 4,
    progress: Callable[[Report], None] | None = None,
) -> tuple[Report, ...]:
    """Emits and compiles until every kernel passes: refused ones are emitted with smaller tiles.

    `emit` gives the module's text and its kernel records for the number of refusals so far of each
    choice of a tile (the `key` of a record; without one its kernel has no smaller tile).
    The last reports are returned, passed or not, and belong to what `emit` gave last.
    """
    levels: dict[str, int] = {}
    reports: tuple[Report, ...] = ()
    for _ in range(rounds):
        text, records = emit(levels)
        reports = compile_module(text, records, target, progress=progress)
        refused = {report.kernel for report in reports if not report.ok}
        keys = {record["key"] for record in records if record["name"] in refused}
        if not keys or "" in keys:
            break
        levels |= {key: levels.get(key, 0) + 1 for key in keys}
    return reports


def _judge(record: dict[str, Any], target: str, answer: dict[str, Any]) -> Report:
    """The gates: no spill, shared and tensor memory within the limits, dots on tensor cores."""
    failures = [answer["error"]] if "error" in answer else []
    spills, shared = answer.get("spills", 0), answer.get("shared", 0)
    columns, counts = answer.get("tensor_memory", 0), answer.get("instructions", {})
    if spills:
        failures.append(f"spills {spills} bytes of registers")
    if shared > SHARED[target]:
        failures.append(f"needs {shared} bytes of shared memory, {target} has {SHARED[target]}")
    if columns > TENSOR_MEMORY:
        failures.append(f"needs {columns} columns of tensor memory, there are {TENSOR_MEMORY}")
    if not failures and record["dots"] and not any(counts.get(name) for name in TENSOR_CORES):
        failures.append("has a dot that does not use tensor cores")
    return Report(
        record["name"],
        target,
        answer.get("registers", 0),
        spills,
        shared,
        columns,
        counts,
        answer.get("seconds", 0.0),
        tuple(failures),
    )
