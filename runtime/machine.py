"""The processor that native code is compiled for: name, features, the threads worth using."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor: `cores` are the physical ones that this process may use."""

    model: str
    architecture: str
    features: frozenset[str]
    cores: int


@cache
def cpu() -> Cpu:
    """What is known about this machine's processor."""
    fields = _first_processor(_read("/proc/cpuinfo"))
    named = fields.get("model name") or fields.get("Model") or _arm_name(fields)
    words = fields.get("flags") or fields.get("Features") or ""
    architecture = platform.machine()
    model = named or platform.processor() or architecture or "unknown processor"
    return Cpu(" ".join(model.split()), architecture, frozenset(words.split()), _cores())


def threads() -> int:
    """Threads for native code: OMP_NUM_THREADS if it is set, else one for each usable core.

    Of several processes that torchrun has started each has its share of the cores.  It sets
    OMP_NUM_THREADS=1 where nobody else has set it, so that 1 says nothing there.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    beside = processes_here()
    if asked.isdigit() and int(asked) > (beside > 1):
        return int(asked)
    return max(1, cpu().cores // beside)


def processes_here() -> int:
    """How many processes a launcher has started on this machine, this one included."""
    count = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(count) if count.isdigit() and int(count) > 0 else 1


def _cores() -> int:
    """Physical cores within this process's affinity and the control group's quota."""
    try:
        usable = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
    cores = {_siblings(number) for number in usable}
    return max(1, min(len(cores), _quota()))


def _siblings(number: int) -> str:
    """The hardware threads that share a core with processor `number`."""
    folder = f"/sys/devices/system/cpu/cpu{number}/topology"
    return _read(f"{folder}/thread_siblings_list").strip() or str(number)


def _quota() -> int:
    """Whole processors that the control group allows."""
    allowed, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if not (allowed.isdigit() and period.isdigit() and int(period)):
        return 1 << 30
    return max(1, round(int(allowed) / int(period)))


def _first_processor(text: str) -> dict[str, str]:
    """The first paragraph of /proc/cpuinfo, and what later ones add (ARM names the board last)."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _arm_name(fields: dict[str, str]) -> str:
    if "CPU part" not in fields:
        return ""
    return f"ARM implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
