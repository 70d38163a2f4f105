"""How much of a program `weft verify` checks: sizes, differences and entries that take seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..compiler.accounting import forward_flops, step_flops
from ..compiler.artifact import Artifact, evaluate
from ..compiler.entries import forward_entry, needs_of

if TYPE_CHECKING:
    from ..compiler.build import Program

LARGEST = (37, 5, 3, 1)
"""Sizes are at most so large: the first choice that is not too much work, odd to leave tiles cut.
"""

FEW = 3
"""At sizes of one a step in time or a sample cannot be taken for another."""

ROUND = (32, 64, 128)
"""Sizes for nets that halve theirs several times."""

SMALL = (16, 8, 4)
"""The same for nets that are too much work at those."""

MUCH = 6e10
"""Floating-point operations in float64: about twenty seconds, as NumPy convolves.  No more than a
quarter of that for larger sizes than the smallest, and a sixth for differences.
"""

PARAMETER = 100  # operations that a parameter stands for: drawn, moved, copied and compared
RUNS = 2  # of an entry in the reference: for its differences and for the targets
BACKWARD = 2.5  # times as long for an operation as forward
INTERPRETED = 5  # the interpreter takes a second for what a kernel does in a millisecond

Key = tuple[str, str]
"""Kind and subject of an entry: ("forward", net) or ("gradient", step)."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is checked.

    `sizes` of the symbols; how many parameters of each step are moved `alone` (None: all), the
    others together; entries that are `left_out`, with their floating-point operations.
    """

    sizes: Mapping[str, int]
    alone: Mapping[str, int | None]
    left_out: Mapping[Key, float]


def everything(program: Program) -> Extent:
    """All checks at the largest sizes, however long they take."""
    return Extent(sizes_within(program, LARGEST[0]), dict.fromkeys(program.steps), {})


def affordable(program: Program, much: float = MUCH) -> Extent:
    """Checks of some `much` operations: first smaller sizes, then fewer parameters that are moved
    alone, then fewer entries.
    """
    choices = [(sizes, operations(program, sizes)) for sizes in _choices(program)]
    left_out = _beyond(choices[-1][1], much)
    costs = [sum(w for key, w in work.items() if key not in left_out) for _, work in choices]
    first = next((k for k, cost in enumerate(costs) if cost <= much / 4), len(choices) - 1)
    sizes, spare = choices[first][0], max(0.0, (much - costs[first]) / 6)
    steps = {
        name: step_flops(step, sizes)
        for name, step in program.steps.items()
        if ("gradient", name) not in left_out
    }
    # moved twice, each time the part of the forward pass behind it: half of a third of the step
    alone = {name: int(spare / len(steps) / (flops / 3 + 1)) for name, flops in steps.items()}
    counts = {
        name: sum(map(program.steps[name].trains, program.steps[name].parameters)) for name in alone
    }
    return Extent(sizes, {n: k if k < counts[n] else None for n, k in alone.items()}, left_out)


def told_apart(program: Program) -> float:
    """The `much` at which everything is checked at sizes of a `FEW`, and nothing left out."""
    return 4 * sum(operations(program, sizes_within(program, FEW)).values())


def meagre(program: Program, extent: Extent) -> bool:
    """Whether something is left out, or a size besides the batch is down to one."""
    return bool(extent.left_out) or any(
        size == 1 < program.sizes[name] for name, size in extent.sizes.items() if name != "B"
    )


def _beyond(least: Mapping[Key, float], much: float) -> dict[Key, float]:
    """The entries that are too much, even at the smallest sizes; the least work comes first."""
    found: dict[Key, float] = {}
    taken = 0.0
    for key, cost in sorted(least.items(), key=lambda item: item[1]):
        taken += cost
        if taken > much:
            found[key] = cost
    return found


def interpreted_sizes(program: Program) -> dict[str, int]:
    """What the interpreter is given."""
    return sizes_within(program, INTERPRETED)


def programs(program: Program, artifact: Artifact, extent: Extent) -> int:
    """How many programs of kernels a check on the interpreter runs."""
    sizes = interpreted_sizes(program)
    return sum(
        math.prod(evaluate(extent, sizes) for extent in launch.grid)
        for entry in artifact.entries
        if entry.kind in ("forward", "gradient")
        and (entry.kind, entry.subject) not in extent.left_out
        for launch in entry.launches
    )


def sizes_within(program: Program, largest: int, rounds: tuple[int, ...] = ROUND) -> dict[str, int]:
    """At most so large where the nets can do with that; round ones, or those of the spec."""
    nominal = dict(program.sizes)
    batch = {name: min(size, largest) for name, size in nominal.items() if name == "B"}
    choices = (
        {name: min(size, most) for name, size in nominal.items()} | batch
        for most in (largest, *rounds)
    )
    return next((sizes for sizes in choices if _suit(program, sizes)), nominal | batch)


def _choices(program: Program) -> list[dict[str, int]]:
    """Sizes from much to little work."""
    smaller = ((n, (most, *ROUND)) for n in LARGEST[-2:] for most in SMALL)
    choices = [*((n, ROUND) for n in LARGEST), *smaller]
    return [sizes_within(program, *choice) for choice in choices]


def _suit(program: Program, sizes: Mapping[str, int]) -> bool:
    """Whether all nets and steps can be computed at these sizes."""
    try:
        operations(program, sizes)
    except ValueError:  # no multiple of what the spec demands
        return False
    return all(
        evaluate(need.least, sizes) >= 0
        for net in program.nets.values()
        for need in needs_of(forward_entry(net))
    )


def operations(program: Program, sizes: Mapping[str, int]) -> dict[Key, float]:
    """Floating-point operations of each entry, and what stands for its parameters."""
    found: dict[Key, float] = {}
    counts = {p.name: math.prod(p.shape) for p in program.parameters}
    for name, net in program.nets.items():
        own = sum(n for p, n in counts.items() if p.partition(".")[0] == name)
        flops = forward_flops(net.builder, net.builder.outputs.values(), sizes)
        found["forward", name] = float(flops + PARAMETER * own)
    for name, step in program.steps.items():
        own = sum(counts[p] for p in step.parameters)
        found["gradient", name] = float(RUNS * BACKWARD * step_flops(step, sizes) + PARAMETER * own)
    return found
