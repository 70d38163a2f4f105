"""Where the time of a step function goes: the same C with a clock at the end of every region.

The text of an artifact asks for laps at the end of every kernel call (`compiler/emit/c/clock.h`);
without a definition in front of it they are nothing.  Each thread counts by itself, so a region's
time is the mean over the threads, and the regions add up to the step.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..spec.errors import UsageError
from .initialise import fill_parameters
from .machine import threads
from .native import build, load
from .native_engine import MAX_THREADS, NativeEngine
from .timing import SEED, WARM_UP, entry_call, parameters_kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Entry, KernelRecord

WAITING, ADDING = "waiting", "adding up parts"
LAPS = 4096
"""Regions of a thread that the clock has room for, as in `clock.h`."""


@dataclass(frozen=True, slots=True)
class Region:
    """A kernel call of an entry, all panels together.

    `kernel`: what is called; `made`: the value it makes; `place` and `layer`: where that comes
    from.  Units: seconds of a step; `share` of the step; `flops` and `bytes` of a step.
    """

    kernel: str
    made: str
    layer: str
    place: str
    seconds: float
    share: float
    flops: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """The regions of an entry, longest first.  Units: seconds of a step, medians of `calls`."""

    entry: str
    seconds: float
    threads: int
    calls: int
    regions: tuple[Region, ...]


def profile(artifact: Artifact, *, seconds: float = 1.0, kind: str = "train") -> list[Profile]:
    """Measure all entries of a kind, each for so many seconds, on all threads.

    Raises: UsageError where the artifact is not one for CPUs.
    """
    if artifact.target != "cpu":
        hint = "ask for --target cpu"
        raise UsageError(
            f"--profile: there is no clock in kernels for {artifact.target}", hint=hint
        )
    front = f"#define WEFT_PROFILE {MAX_THREADS}\n"
    sources = {n: t for n, t in artifact.files.items() if "(const weft_call *call)" in t}
    files = {**artifact.files, **{name: front + text for name, text in sources.items()}}
    clocked = replace(artifact, files=files)
    engine = NativeEngine(clocked, threads=threads())
    fill_parameters(clocked, engine.parameters, SEED)  # of zeros much would be zero or subnormal
    with parameters_kept(engine):
        entries = [entry for entry in artifact.entries if entry.kind == kind]
        return [_profiled(engine, clocked, entry, seconds) for entry in entries]


def _profiled(engine: NativeEngine, artifact: Artifact, entry: Entry, seconds: float) -> Profile:
    call = entry_call(engine, artifact, entry)
    for _ in range(WARM_UP):
        call()
    laps = _laps(artifact, entry)[: engine.threads]
    taken: list[NDArray[np.float64]] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(taken) < 3:
        laps[:] = 0
        call()
        taken.append(laps.sum(axis=0) / (1e9 * engine.threads))
    each = np.median(taken, axis=0)
    records = [k for k in artifact.kernels if k.entry == entry.name]
    total = statistics.median(float(t.sum()) for t in taken)
    found = [_region(WAITING, each[0], total), _region(ADDING, each[1], total)]
    found += [_of(record, s, total) for record, s in zip(records, each[2:], strict=False)]
    regions = sorted((r for r in found if r.seconds), key=lambda r: -r.seconds)
    return Profile(entry.name, total, engine.threads, len(taken), tuple(regions))


def _laps(artifact: Artifact, entry: Entry) -> NDArray[np.int64]:
    """The sums of every thread, in the memory of the library that holds the entry."""
    name = next(n for n, t in artifact.files.items() if f"\nint {entry.symbol}(const" in t)
    library = load(build(artifact.files[name], files=artifact.files))
    sums = (ctypes.c_int64 * (MAX_THREADS * LAPS)).in_dll(library, "weft_laps")
    return np.ctypeslib.as_array(sums).reshape(MAX_THREADS, LAPS)


def _region(kernel: str, seconds: float, total: float) -> Region:
    return Region(kernel, "", "", "", float(seconds), float(seconds) / total)


def _of(record: KernelRecord, seconds: float, total: float) -> Region:
    """The region of a kernel: of several places the last, which is what the others lead to."""
    place, _, layer = record.places[-1].partition("  ") if record.places else ("", "", "")
    made, flops, moved = ", ".join(record.writes), record.flops, record.bytes
    found = _region(record.name, seconds, total)
    return replace(found, made=made, place=place, layer=layer, flops=flops, bytes=moved)
