"""How long the entries of a compiled program take, on random inputs of the nominal sizes."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import evaluate
from .native_engine import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Entry, Port
    from .engine import Engine

WARM_UP = 5
"""Calls before the measured ones: the first ones choose the number of threads."""

RATE, SEED = 1e-4, 0


@dataclass(frozen=True, slots=True)
class Timing:
    """One entry, timed.  Units: seconds; `calls` were measured, each with `samples` samples."""

    entry: str
    median: float
    low: float
    high: float
    calls: int
    samples: int
    flops: int
    bytes: int


def measure(
    engine: Engine,
    artifact: Artifact,
    *,
    seconds: float = 1.0,
    kinds: tuple[str, ...] = ("train", "forward"),
) -> list[Timing]:
    """Time every entry of these kinds, `seconds` each.  The parameters are put back afterwards."""
    with parameters_kept(engine):
        entries = [entry for kind in kinds for entry in artifact.entries if entry.kind == kind]
        return [_time(engine, artifact, entry, seconds) for entry in entries]


@contextlib.contextmanager
def parameters_kept(engine: Engine) -> Iterator[None]:
    """Whatever trains meanwhile, parameters and states are put back."""
    before = np.array(engine.parameters), {key: np.array(a) for key, a in engine.states.items()}
    try:
        yield
    finally:
        engine.parameters[...] = before[0]
        for key, array in before[1].items():
            engine.states[key][...] = array


def entry_call(engine: Engine, artifact: Artifact, entry: Entry) -> Callable[[], object]:
    """A call of an entry with random inputs."""
    inputs = random_inputs(artifact, entry)
    if entry.kind == "train":
        return lambda: engine.train(entry.subject, inputs, rate=RATE, index=0, seed=SEED)
    return lambda: engine.forward(entry.subject, inputs)


def random_inputs(artifact: Artifact, entry: Entry, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """Inputs that an entry accepts: normal numbers, and classes in the range that the recipe gives,
    or that a table has rows for.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for port in entry.inputs:
        shape = tuple(int(evaluate(extent, artifact.sizes)) for extent in port.shape)
        if port.dtype in ("f32", "f64"):
            found[port.name] = rng.normal(size=shape).astype(DTYPES[port.dtype])
        else:
            found[port.name] = rng.integers(*_range(artifact, port), shape, DTYPES[port.dtype])
    return found


def _range(artifact: Artifact, port: Port) -> tuple[int, int]:
    lines: list[Mapping[str, Any]] = (artifact.train or {}).get("data", [])
    for line in lines:
        if port.name in line.get("ranges", {}):
            low, high = line["ranges"][port.name][:2]
            return int(low), int(high)
    return 0, port.below or 2


def _time(engine: Engine, artifact: Artifact, entry: Entry, seconds: float) -> Timing:
    call = entry_call(engine, artifact, entry)
    for _ in range(WARM_UP):
        call()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    times.sort()
    kernels = [k for k in artifact.kernels if k.entry == entry.name]
    first = entry.inputs[0].shape[0] if entry.inputs else 1
    samples = int(evaluate(first, artifact.sizes))
    return Timing(
        entry.name,
        statistics.median(times),
        times[len(times) // 10],
        times[(len(times) * 9) // 10],
        len(times),
        samples,
        sum(k.flops for k in kernels),
        sum(k.bytes for k in kernels),
    )
