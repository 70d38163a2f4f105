"""Every target and every gradient against the float64 reference, and the reference against
differences.

Parameters and inputs are random.  A result passes when its error, relative to the root mean
square of what is expected, is within the precision of the target; derivatives of the reference
are compared with central differences along random directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import reference
from ..compiler.artifact import evaluate
from ..compiler.compile import lower
from ..compiler.ir.types import NARROW
from ..compiler.lowered import Lowered
from ..compiler.plan.rewrite import rewritten
from .engine import Engine, parameter_view
from .initialise import fill_parameters
from .loss_scale import scaled, takes_scale
from .native_engine import DTYPES
from .reference_engine import ReferenceEngine
from .verify_extent import Extent, interpreted_sizes

if TYPE_CHECKING:
    from ..compiler.artifact import Port
    from ..compiler.build import Program
    from ..compiler.ir.graph import Graph

Array = NDArray[Any]

TOLERANCE = {"cpu": 2e-5, "interpret": 2e-5, "cuda": 5e-3}
"""Relative root mean square error: f32 sums in another order; tf32 products on a GPU."""

EPSILONS = (1e-6, 1e-8, 1e-9)
"""Of central differences, in float64, each along another direction: the first may cross a kink."""

SLOPE_TOLERANCE = 1e-4
DRAWS = 3  # of inputs, before a gradient counts as wrong
NUDGE, NUDGES = 1e-6, 3
"""Relative, what sums in 32 bits are off by; how often parameters are moved by it."""

UNSTEADY = 4.0
"""So many times the change that such a nudge makes may a target be off."""

FURTHER = 100.0  # at most, where several parameters are moved at once
SEED, STEP = 7, 3
ONE = {"index": STEP, "seed": SEED}

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
    extent: Extent,
    tell: Tell = lambda what: None,
) -> Iterator[Check]:
    """Yield the checks of an `extent`; `open_target` compiles and loads the program for a target.

    `tell` is given a few words about each piece of work before it is done.
    """
    tell("the graphs of the reference")
    truth = ReferenceEngine(lower(program, native=True), in_order=False)
    rng = np.random.default_rng(SEED)
    fill_parameters(truth.artifact, truth.parameters, SEED)
    _unsettle(truth, rng)
    sizes = extent.sizes
    inputs = _fed(truth, sizes, extent, rng)
    for step, alone in extent.alone.items():
        yield from _slopes(truth, step, inputs["gradient", step], sizes, alone, rng, tell)
    for target in targets:
        tell(f"{target}: compiling")
        lowered, engine = open_target(target)
        wanted = _rounding(truth, lowered.precision)
        _copy(wanted, lowered, engine)
        extents = interpreted_sizes(program) if target == "interpret" else sizes
        given = _fed(truth, extents, extent, rng) if target == "interpret" else inputs
        draw = partial(_fed, truth, extents, extent, rng)
        yield from _compare(wanted, engine, target, given, draw, tell)


def _rounding(truth: ReferenceEngine, precision: str) -> ReferenceEngine:
    """The reference that rounds where kernels in this precision do."""
    if precision not in ROUNDED:
        return truth
    lowered = lower(truth.lowered.program, native=True, precision=precision)
    found = ReferenceEngine(lowered, in_order=False)
    np.copyto(found.parameters, truth.parameters)
    return found


def _unrounded(graph: Graph) -> Graph:
    """The graph without the roundings that the spec asks for: they have steps, and no slopes."""
    found = {node.id for node in graph if node.op == "cast" and node.dtype in NARROW}
    if not found:
        return graph
    return rewritten(graph, found, lambda b, node, new: new[node.operands[0]])


Inputs = dict[tuple[str, str], dict[str, Array]]
"""By kind and subject of an entry."""


def _fed(
    truth: ReferenceEngine, sizes: Mapping[str, int], extent: Extent, rng: np.random.Generator
) -> Inputs:
    """Inputs of these sizes for the nets and steps that are checked."""
    return {
        (e.kind, e.subject): _inputs(truth.lowered.program, e.inputs, sizes, rng)
        for e in truth.lowered.entries
        if e.kind in ("forward", "gradient") and (e.kind, e.subject) not in extent.left_out
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
    draw: Callable[[], Inputs],
    tell: Tell,
) -> Iterator[Check]:
    """A target against the reference; gradients that differ more than they are steady are looked
    at with other inputs too.
    """
    limit = max(TOLERANCE[target], ROUNDED.get(engine.artifact.precision, 0.0))
    for (kind, subject), fed in inputs.items():
        if kind == "forward":
            tell(f"reference: {kind} of {subject}")
            want = truth.forward(subject, fed)
            tell(f"{target}: {kind} of {subject}")
            got = engine.forward(subject, fed)
            checks = [
                Check(target, f"{subject}.{name}", _error(got[name], value), limit)
                for name, value in want.items()
            ]
            if not all(check.ok for check in checks):
                tell(f"reference: how steady {subject} is")
                changed = _change(truth, lambda s=subject, f=fed: truth.forward(s, f))  # type: ignore[misc]
                checks = [_beside(check, changed) for check in checks]
            yield from checks
            continue
        checks = _gradients(truth, engine, target, subject, fed, limit, tell)
        for _ in range(DRAWS - 1):
            if all(check.ok for check in checks):
                break
            other = draw()[kind, subject]
            again = _gradients(truth, engine, target, subject, other, limit, tell)
            checks = [
                min(pair, key=lambda check: check.error / check.limit)
                for pair in zip(checks, again, strict=True)
            ]
        yield from checks


def _gradients(
    truth: ReferenceEngine,
    engine: Engine,
    target: str,
    step: str,
    fed: dict[str, Array],
    limit: float,
    tell: Tell,
) -> list[Check]:
    """The values and gradients of a step for some inputs."""
    fed = dict(scaled(takes_scale(engine, step), fed))
    tell(f"reference: gradient of {step}")
    expected, gradients = truth.gradient(step, fed, **ONE)
    tell(f"{target}: gradient of {step}")
    result, arena = engine.gradient(step, fed, **ONE)
    checks = [
        Check(
            target,
            f"{step}.{name}",
            _error(np.asarray(result.values[name]), np.asarray(number)),
            limit,
        )
        for name, number in expected.values.items()
    ]
    trained = set(truth.lowered.entry("gradient", step).gradients.values())
    theirs = {p.name: p for p in engine.artifact.parameters}
    for p in truth.artifact.parameters:
        if p.name in trained:
            value = parameter_view(gradients, p)
            error = _error(parameter_view(arena, theirs[p.name]), value)
            checks.append(Check(target, f"d_{p.name}", error, limit))
    if all(check.ok for check in checks):
        return checks
    tell(f"reference: how steady the gradient of {step} is")
    changed = _change(truth, lambda: _by_name(truth, truth.gradient(step, fed, **ONE)[1]))
    return [
        check if check.subject.startswith(f"{step}.") else _beside(check, changed)
        for check in checks
    ]


def _by_name(truth: ReferenceEngine, arena: Array) -> dict[str, Array]:
    return {p.name: np.array(parameter_view(arena, p)) for p in truth.artifact.parameters}


def _beside(check: Check, changed: float) -> Check:
    """The limit of what differs is what nudges change."""
    return check if check.ok else replace(check, limit=max(check.limit, UNSTEADY * changed))


def _change(truth: ReferenceEngine, run: Callable[[], Mapping[str, Array]]) -> float:
    """How much a result moves, at most, where all parameters are nudged.

    Next to a kink, or to two maxima of a pool that are nearly equal, gradients move much: rounding
    may take the other side, and everything before it has another gradient, as right as the first.
    """
    rng, whole, steady = np.random.default_rng(SEED), truth.parameters.copy(), run()
    found = [0.0]
    try:
        for _ in range(NUDGES):
            truth.parameters[...] = whole * (1 + NUDGE * rng.standard_normal(whole.shape))
            found += [_error(value, steady[name]) for name, value in run().items()]
    finally:
        truth.parameters[...] = whole
    return max(found)


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
    alone: int | None,
    rng: np.random.Generator,
    tell: Tell,
) -> Iterator[Check]:
    """Derivatives along random directions: of so many parameters `alone`, of the rest together."""
    entry = truth.lowered.entry("gradient", step)
    assert entry.graph is not None
    views = {
        p.name: np.array(parameter_view(truth.parameters, p)) for p in truth.artifact.parameters
    }

    graph = _unrounded(entry.graph)
    tell(f"reference: gradient of {step}")
    values = reference.run_all(graph, {**views, **fed}, sizes, seed=SEED, step=STEP)

    def loss(moved: Mapping[str, Array]) -> float:
        found = reference.run_again(graph, values, moved, "loss", sizes, seed=SEED, step=STEP)
        return float(found)

    outputs = {name: output for output, name in entry.gradients.items()}

    def error(names: Sequence[str]) -> float:
        gradients = {name: values[graph.outputs[outputs[name]]] for name in names}
        at = {name: views[name] for name in names}
        found = []
        for epsilon in EPSILONS:
            found.append(_difference(loss, at, gradients, epsilon, rng))
            if found[-1] <= SLOPE_TOLERANCE:
                break
        return min(found)

    waiting = _groups(list(outputs), alone, rng)
    while waiting:
        names = waiting.pop(0)
        subject = f"d_{names[0]}" if len(names) == 1 else f"d_{step}: {len(names)} together"
        tell(f"reference: differences along {subject[2:]} ({len(waiting)} more)")
        found = error(names)
        if found > SLOPE_TOLERANCE and len(names) > 1:  # which of them?
            middle = len(names) // 2
            waiting[:0] = [names[:middle], names[middle:]]
        else:
            yield Check("reference", subject, found, SLOPE_TOLERANCE)


def _groups(names: Sequence[str], alone: int | None, rng: np.random.Generator) -> list[list[str]]:
    """Parameters that are moved at once: so many alone, chosen by lot, and the rest together."""
    if alone is None or alone >= len(names):
        return [[name] for name in names]
    count = max(0, alone - 3)  # moving the rest is a whole forward pass twice
    chosen = {names[k] for k in rng.permutation(len(names))[:count]}
    rest = [name for name in names if name not in chosen]
    return [*([name] for name in names if name in chosen), rest]


def _difference(
    loss: Callable[[Mapping[str, Array]], float],
    at: Mapping[str, Array],
    gradients: Mapping[str, Array],
    epsilon: float,
    rng: np.random.Generator,
) -> float:
    """How far the slope along a random direction is from the gradients' share in it."""
    norms = {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()}
    most = max(norms.values())
    # parameters with small gradients go further, so that a mistake shows beside large ones
    scales = {name: min(FURTHER, most / max(norm, 1e-300)) for name, norm in norms.items()}
    ways = {name: scales[name] * rng.standard_normal(x.shape) for name, x in at.items()}
    ends = [
        loss({name: x + sign * epsilon * ways[name] for name, x in at.items()}) for sign in (1, -1)
    ]
    slope = (ends[0] - ends[1]) / (2 * epsilon)
    exact = sum(float(np.sum(gradients[name] * way)) for name, way in ways.items())
    size = math.hypot(*(scales[name] * norm for name, norm in norms.items()))
    return abs(slope - exact) / max(abs(exact), size, 1e-3)
