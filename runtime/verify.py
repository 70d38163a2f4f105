"""Every target and every gradient against the float64 reference, and the reference against
differences.

Parameters and inputs are random.  A result passes when its error, relative to the root mean
square of what is expected, is within the precision of the target; derivatives of the reference
are compared with central differences along random directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import reference
from ..compiler.artifact import evaluate
from ..compiler.compile import Lowered, lower
from .engine import Engine, parameter_view
from .initialise import fill_parameters
from .loss_scale import scaled, takes_scale
from .native_engine import DTYPES
from .reference_engine import ReferenceEngine

if TYPE_CHECKING:
    from ..compiler.artifact import Port
    from ..compiler.build import Program

Array = NDArray[Any]

TOLERANCE = {"cpu": 2e-5, "interpret": 2e-5, "cuda": 5e-3}
"""Relative root mean square error: f32 sums in another order; tf32 products on a GPU."""

EPSILON = 1e-6  # of central differences, in float64
SLOPE_TOLERANCE = 1e-4
DIRECTIONS = 3  # tried before a slope counts as wrong: one may cross a kink
LARGEST_BATCH = 37
SEED, STEP = 7, 3

ROUNDED = {"bf16": 2e-2, "f16": 3e-3}
"""Beside a reference that rounds alike: sums that end next to a half are rounded the other way."""

Open = Callable[[str], tuple[Lowered, Engine]]


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison of `subject`: its relative `error`, and the `limit` that is allowed."""

    target: str
    subject: str
    error: float
    limit: float

    @property
    def ok(self) -> bool:
        return bool(self.error <= self.limit)


def verify(program: Program, targets: Sequence[str], open_target: Open) -> Iterator[Check]:
    """Yield all checks; `open_target` compiles and loads the program for a target."""
    truth = ReferenceEngine(lower(program, native=True))
    rng = np.random.default_rng(SEED)
    fill_parameters(truth.artifact, truth.parameters, SEED)
    _unsettle(truth, rng)
    sizes = {name: _odd(size) for name, size in program.sizes.items()}
    inputs = {key: _inputs(program, ports, sizes, rng) for key, ports in _calls(truth).items()}
    for step in program.steps:
        yield from _slopes(truth, step, inputs["gradient", step], sizes, rng)
    for target in targets:
        lowered, engine = open_target(target)
        wanted = _rounding(truth, lowered.precision)
        _copy(wanted, lowered, engine)
        yield from _compare(wanted, engine, target, inputs)


def _rounding(truth: ReferenceEngine, precision: str) -> ReferenceEngine:
    """The reference that rounds where kernels in this precision do."""
    if precision not in ROUNDED:
        return truth
    found = ReferenceEngine(lower(truth.lowered.program, native=True, precision=precision))
    np.copyto(found.parameters, truth.parameters)
    return found


def _odd(size: int) -> int:
    """An uneven number of rows, small enough for the interpreter."""
    return min(size, LARGEST_BATCH) if size > 1 else size


def _calls(truth: ReferenceEngine) -> dict[tuple[str, str], tuple[Port, ...]]:
    return {
        (e.kind, e.subject): e.inputs
        for e in truth.lowered.entries
        if e.kind in ("forward", "gradient")
    }


def _unsettle(truth: ReferenceEngine, rng: np.random.Generator) -> None:
    """Parameters that start at zero or one would hide errors: move them a little."""
    for p in truth.artifact.parameters:
        view = parameter_view(truth.parameters, p)
        view[...] = (view + 0.05 * rng.normal(size=p.shape)).astype(np.float32)


def _inputs(
    program: Program, ports: Sequence[Port], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for port in ports:
        shape = tuple(evaluate(extent, sizes) for extent in port.shape)
        if port.dtype in ("f32", "f64"):
            found[port.name] = rng.normal(size=shape).astype(DTYPES[port.dtype])
        else:
            low, high = _range(program, port.name)
            found[port.name] = rng.integers(low, high, shape).astype(DTYPES[port.dtype])
    return found


def _range(program: Program, name: str) -> tuple[int, int]:
    """The class indices that a field of the data may hold."""
    for line in (program.train or {}).get("data", []):
        if name in line.get("ranges", {}):
            low, high = line["ranges"][name][:2]
            return int(low), int(high)
    return 0, 2


def _copy(truth: ReferenceEngine, lowered: Lowered, engine: Engine) -> None:
    """The reference's parameters, in the layout of another target."""
    theirs = {p.name: p for p in engine.artifact.parameters}
    for p in truth.artifact.parameters:
        value = parameter_view(truth.parameters, p)
        parameter_view(engine.parameters, theirs[p.name])[...] = value


def _compare(
    truth: ReferenceEngine,
    engine: Engine,
    target: str,
    inputs: Mapping[tuple[str, str], dict[str, Array]],
) -> Iterator[Check]:
    limit = max(TOLERANCE[target], ROUNDED.get(engine.artifact.precision, 0.0))
    for (kind, subject), fed in inputs.items():
        if kind == "forward":
            want, got = truth.forward(subject, fed), engine.forward(subject, fed)
            for name, value in want.items():
                yield Check(target, f"{subject}.{name}", _error(got[name], value), limit)
            continue
        fed = dict(scaled(takes_scale(engine, subject), fed))
        expected, gradients = truth.gradient(subject, fed, index=STEP, seed=SEED)
        result, arena = engine.gradient(subject, fed, index=STEP, seed=SEED)
        for name, number in expected.values.items():
            yield Check(
                target,
                f"{subject}.{name}",
                _error(np.asarray(result.values[name]), np.asarray(number)),
                limit,
            )
        trained = set(truth.lowered.entry("gradient", subject).gradients.values())
        theirs = {p.name: p for p in engine.artifact.parameters}
        for p in truth.artifact.parameters:
            if p.name in trained:
                value = parameter_view(gradients, p)
                error = _error(parameter_view(arena, theirs[p.name]), value)
                yield Check(target, f"d_{p.name}", error, limit)


def _error(got: Array, want: Array) -> float:
    """Root mean square of the difference, relative to that of what is wanted."""
    if want.size == 0:
        return 0.0
    if want.dtype.kind in "ib":
        return float(np.mean(got != want))
    scale = float(np.sqrt(np.mean(np.square(want, dtype=np.float64))))
    difference = np.sqrt(np.mean(np.square(np.asarray(got, np.float64) - want)))
    return float(difference / max(scale, 1e-3))


def _slopes(
    truth: ReferenceEngine,
    step: str,
    fed: dict[str, Array],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
) -> Iterator[Check]:
    """Derivatives along random directions of each trained parameter."""
    entry = truth.lowered.entry("gradient", step)
    assert entry.graph is not None
    views = {
        p.name: np.array(parameter_view(truth.parameters, p)) for p in truth.artifact.parameters
    }

    def run(parameters: Mapping[str, Array]) -> dict[str, Array]:
        assert entry.graph is not None
        return reference.run(entry.graph, {**parameters, **fed}, sizes, seed=SEED, step=STEP)

    found = run(views)
    for output, name in entry.gradients.items():
        errors = []
        for _ in range(DIRECTIONS):
            direction = rng.normal(size=views[name].shape)
            ends = [
                run({**views, name: views[name] + sign * EPSILON * direction})["loss"]
                for sign in (1, -1)
            ]
            slope = (float(ends[0]) - float(ends[1])) / (2 * EPSILON)
            exact = float(np.sum(found[output] * direction))
            errors.append(
                abs(slope - exact)
                / max(abs(exact), float(np.abs(found[output]).sum()) * 0.01, 1e-3)
            )
            if errors[-1] <= SLOPE_TOLERANCE:
                break
        yield Check("reference", f"d_{name}", min(errors), SLOPE_TOLERANCE)
