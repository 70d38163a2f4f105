"""Compiling the kernels of a generated module for GPUs that need not be here, and judging them.

Each target has a worker process: Triton's interpreter setting, an aborting assembler and what
compilers print stay away from this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..spec.errors import DeviceError, UsageError
from . import kernel_module

SHARED = {
    "cuda:80": 166_912,
    "cuda:90": 232_448,
    "cuda:100": 232_448,
    "hip:gfx942": 65_536,
}
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

    An assembler that dies takes the rest of its worker along; a new worker goes on after it.

    Raises: UsageError for an unknown target, DeviceError when Triton cannot be started.
    """
    if target not in SHARED:
        raise UsageError(f"cannot compile for `{target}`", hint=f"targets: {', '.join(SHARED)}")
    path = kernel_module.store(text)
    order = {"path": str(path), "digest": kernel_module.digest(text), "target": target}
    records = {record["name"]: record for record in kernels}
    waiting, reports = list(records), []
    while waiting:
        batch = {**order, "kernels": [records[name] for name in waiting]}
        done = 0
        for answer in _work(batch):
            report = _judge(records[answer["kernel"]], target, answer)
            reports.append(report)
            done += 1
            if progress:
                progress(report)
        waiting = waiting[done:]
    return tuple(reports)


def settle(
    emit: Callable[[Mapping[str, int]], tuple[str, Sequence[dict[str, Any]]]],
    target: str,
    *,
    rounds: int = 4,
    progress: Callable[[Report], None] | None = None,
) -> tuple[Report, ...]:
    """Emits and compiles until every kernel passes: refused ones are emitted with smaller tiles.

    `emit` gives the module's text and its kernel records for the number of refusals of each kernel
    so far (`level` of the tile choice).  Kernels whose text and record stay are not compiled again.
    The last reports are returned, passed or not, and belong to what `emit` gave last.
    """
    refusals: dict[str, int] = {}
    known: dict[str, Report] = {}
    reports: tuple[Report, ...] = ()
    for _ in range(rounds):
        text, records = emit(refusals)
        keys = {record["name"]: _key(text, record) for record in records}
        fresh = [record for record in records if keys[record["name"]] not in known]
        for report in compile_module(text, fresh, target, progress=progress) if fresh else ():
            known[keys[report.kernel]] = report
        reports = tuple(known[key] for key in keys.values())
        bad = [report.kernel for report in reports if not report.ok]
        if not bad:
            break
        for name in bad:
            refusals[name] = refusals.get(name, 0) + 1
    return reports


def _key(text: str, record: dict[str, Any]) -> str:
    """The kernel's own text and its record."""
    start = text.find(f"\ndef {record['name']}(")
    end = text.find("\n\n\n", start)
    return text[start : end if end > 0 else None] + json.dumps(record, sort_keys=True)


def _work(order: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of one worker; the kernel that killed it has an `error`."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_DEFAULT_FP_FUSION"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory() as cache:
        environment["TRITON_CACHE_DIR"] = cache  # an empty one: Triton believes any file it finds
        done = subprocess.run(
            [sys.executable, "-P", "-m", f"{__package__}.crosscompile_worker"],
            input=json.dumps(order).encode(),
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            check=False,
        )
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip().splitlines()
    answers, open_kernel = [], None
    for line in done.stdout.decode().splitlines():
        answer = json.loads(line)
        if "begin" in answer:
            open_kernel = answer["begin"]
        else:
            open_kernel = None
            answers.append(answer)
    last = words[-1] if words else f"exit code {done.returncode}"
    if open_kernel:
        answers.append({"kernel": open_kernel, "error": f"the compiler died: {last}"})
    elif done.returncode:
        raise DeviceError(f"Triton cannot be started: {last}", hint="is triton installed?")
    return answers


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
