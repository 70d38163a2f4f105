"""Every target and every gradient against the float64 reference, and the reference against
differences.

Parameters and inputs are random.  A result passes when its error, relative to the root mean
square of what is expected, is within the precision of the target; derivatives of the reference
are compared with central differences along random directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import reference
from ..compiler.accounting import forward_flops, step_flops
from ..compiler.artifact import evaluate
from ..compiler.compile import lower
from ..compiler.entries import forward_entry, needs_of
from ..compiler.lowered import Lowered
from .engine import Engine, parameter_view
from .initialise import fill_parameters
from .loss_scale import scaled, takes_scale
from .native_engine import DTYPES
from .reference_engine import ReferenceEngine

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact, Port
    from ..compiler.build import Program

Array = NDArray[Any]

TOLERANCE = {"cpu": 2e-5, "interpret": 2e-5, "cuda": 5e-3}
"""Relative root mean square error: f32 sums in another order; tf32 products on a GPU."""

EPSILON = 1e-6  # of central differences, in float64
SLOPE_TOLERANCE = 1e-4
DIRECTIONS = 3  # tried before a slope counts as wrong: one may cross a kink
LARGEST = (37, 5, 3)
"""Sizes are at most so large: the first choice that is not too much work, odd to leave tiles cut.
"""

ROUND = (32, 64, 128)
"""Sizes for nets that halve theirs several times."""

MUCH = 1e11  # floating-point operations in float64: some ten seconds of two cores
INTERPRETED = 5  # the interpreter takes a second for what a kernel does in a millisecond
SEED, STEP = 7, 3

ROUNDED = {"bf16": 2e-2, "f16": 3e-3}
"""Beside a reference that rounds alike: sums that end next to a half are rounded the other way."""

Open = Callable[[str], tuple[Lowered, Engine]]
Tell = Callable[[str], None]


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


def verify(
    program: Program,
    targets: Sequence[str],
    open_target: Open,
    tell: Tell = lambda what: None,
) -> Iterator[Check]:
    """Yield all checks; `open_target` compiles and loads the program for a target.

    `tell` is given a few words about each piece of work before it is done.
    """
    tell("the graphs of the reference")
    truth = ReferenceEngine(lower(program, native=True), in_order=False)
    rng = np.random.default_rng(SEED)
    fill_parameters(truth.artifact, truth.parameters, SEED)
    _unsettle(truth, rng)
    sizes, inputs = _fed(truth, _fitting(program), rng)
    for step in program.steps:
        yield from _slopes(truth, step, inputs["gradient", step], sizes, rng, tell)
    for target in targets:
        tell(f"{target}: compiling")
        lowered, engine = open_target(target)
        wanted = _rounding(truth, lowered.precision)
        _copy(wanted, lowered, engine)
        given = _fed(truth, INTERPRETED, rng)[1] if target == "interpret" else inputs
        yield from _compare(wanted, engine, target, given, tell)


def _sizes(program: Program, largest: int) -> dict[str, int]:
    """At most so large where the nets can do with that; round ones, or those of the spec."""
    nominal = dict(program.sizes)
    batch = {name: min(size, largest) for name, size in nominal.items() if name == "B"}
    choices = (
        {name: min(size, most) for name, size in nominal.items()} | batch
        for most in (largest, *ROUND)
    )
    return next((sizes for sizes in choices if _suit(program, sizes)), nominal | batch)


def _suit(program: Program, sizes: Mapping[str, int]) -> bool:
    """Whether all nets and steps can be computed at these sizes."""
    try:
        _work(program, sizes)
    except ValueError:  # no multiple of what the spec demands
        return False
    return all(
        evaluate(need.least, sizes) >= 0
        for net in program.nets.values()
        for need in needs_of(forward_entry(net))
    )


def _fitting(program: Program) -> int:
    """The first of `LARGEST` with which all checks take seconds, or the last."""
    choices = (n for n in LARGEST if _work(program, _sizes(program, n)) <= MUCH)
    return next(choices, LARGEST[-1])


def _work(program: Program, sizes: Mapping[str, int]) -> float:
    """Floating-point operations of nets and gradients, and of the differences: for each parameter
    two times the part of a step that lies behind it, which is half of it.
    """
    nets = program.nets.values()
    forward = sum(forward_flops(n.builder, n.builder.outputs.values(), sizes) for n in nets)
    gradients = sum(step_flops(step, sizes) for step in program.steps.values())
    return forward + gradients * (1 + len(program.parameters) / 3)


def programs(program: Program, artifact: Artifact) -> int:
    """How many programs of kernels a check on the interpreter runs."""
    sizes = _sizes(program, INTERPRETED)
    return sum(
        math.prod(evaluate(extent, sizes) for extent in launch.grid)
        for entry in artifact.entries
        if entry.kind in ("forward", "gradient")
        for launch in entry.launches
    )


def _rounding(truth: ReferenceEngine, precision: str) -> ReferenceEngine:
    """The reference that rounds where kernels in this precision do."""
    if precision not in ROUNDED:
        return truth
    lowered = lower(truth.lowered.program, native=True, precision=precision)
    found = ReferenceEngine(lowered, in_order=False)
    np.copyto(found.parameters, truth.parameters)
    return found


Inputs = dict[tuple[str, str], dict[str, Array]]
"""By kind and subject of an entry."""


def _fed(
    truth: ReferenceEngine, largest: int, rng: np.random.Generator
) -> tuple[dict[str, int], Inputs]:
    """Sizes of at most `largest`, and inputs of these sizes for all nets and steps."""
    program = truth.lowered.program
    sizes = _sizes(program, largest)
    return sizes, {
        (e.kind, e.subject): _inputs(program, e.inputs, sizes, rng)
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
    inputs: Inputs,
    tell: Tell,
) -> Iterator[Check]:
    limit = max(TOLERANCE[target], ROUNDED.get(engine.artifact.precision, 0.0))
    for (kind, subject), fed in inputs.items():
        tell(f"reference: {kind} of {subject}")
        if kind == "forward":
            want = truth.forward(subject, fed)
            tell(f"{target}: {kind} of {subject}")
            got = engine.forward(subject, fed)
            for name, value in want.items():
                yield Check(target, f"{subject}.{name}", _error(got[name], value), limit)
            continue
        fed = dict(scaled(takes_scale(engine, subject), fed))
        expected, gradients = truth.gradient(subject, fed, index=STEP, seed=SEED)
        tell(f"{target}: {kind} of {subject}")
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
    tell: Tell,
) -> Iterator[Check]:
    """Derivatives along random directions of each trained parameter."""
    entry = truth.lowered.entry("gradient", step)
    assert entry.graph is not None
    views = {
        p.name: np.array(parameter_view(truth.parameters, p)) for p in truth.artifact.parameters
    }

    graph = entry.graph
    tell(f"reference: gradient of {step}")
    values = reference.run_all(graph, {**views, **fed}, sizes, seed=SEED, step=STEP)

    def loss(name: str, moved: Array) -> float:
        feeds = {name: moved}
        found = reference.run_again(graph, values, feeds, "loss", sizes, seed=SEED, step=STEP)
        return float(found)

    count = len(entry.gradients)
    for number, (output, name) in enumerate(entry.gradients.items(), 1):
        tell(f"reference: differences along {name} ({number} of {count})")
        gradient = values[graph.outputs[output]]
        errors = []
        for _ in range(DIRECTIONS):
            direction = rng.normal(size=views[name].shape)
            ends = [loss(name, views[name] + sign * EPSILON * direction) for sign in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * EPSILON)
            exact = float(np.sum(gradient * direction))
            errors.append(
                abs(slope - exact) / max(abs(exact), float(np.abs(gradient).sum()) * 0.01, 1e-3)
            )
            if errors[-1] <= SLOPE_TOLERANCE:
                break
        yield Check("reference", f"d_{name}", min(errors), SLOPE_TOLERANCE)
