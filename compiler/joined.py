"""Programs for several processes that exchange sums on their way through a training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..spec.dims import symbols
from ..spec.errors import UsageError
from .ir.graph import Graph
from .ir.verify import verify
from .lowered import Lowered
from .ops import OPS
from .passes.join import join

if TYPE_CHECKING:
    from .build import StepProgram


def lower_joined(lowered: Lowered) -> Lowered:
    """The same, with gradients for processes that have a part of the batch each.

    Their outputs are parts that add up, buffers are those of the whole batch.

    Raises: UsageError where that cannot be, or not on this target.
    """
    if not lowered.native:
        raise UsageError(
            "statistics of all processes are exchanged on CPUs only",
            hint="train with --target cpu, or without --sync",
        )
    entries = []
    for entry in lowered.entries:
        if entry.kind == "gradient" and entry.graph is not None:
            parts = {port.name for port in entry.outputs} | set(entry.gradients)
            batch = _batch(lowered.program.steps[entry.subject])
            entry = replace(entry, graph=join(entry.graph, batch, parts))
            assert entry.graph is not None
            verify(entry.graph, OPS)
        entries.append(entry)
    return replace(lowered, entries=tuple(entries))


def _batch(step: StepProgram) -> str:
    """The size that counts samples: the first one of what a step is fed.

    Raises: UsageError where it is a number.
    """
    first = next(iter(step.inputs.values())).shape[0]
    found = sorted(symbols(first))
    if not found:
        raise UsageError(
            f"{step.place}: the types fix the batch of {first}",
            hint=f"write B in place of {first}, here and in the net",
        )
    return found[0]


def of_parts(lowered: Lowered) -> Iterator[str]:
    """What a training step computes of a part of its batch where the processes exchange nothing,
    and would compute otherwise of the whole: layers and losses with their lines, on any target.

    Raises: UsageError where samples depend on each other otherwise than by sums.
    """
    for entry in lower_joined(replace(lowered, native=True)).entries:
        if entry.kind != "gradient" or entry.graph is None:
            continue
        sums = [node for node in entry.graph if node.op == "all_reduce"]
        loss = Graph(entry.graph.nodes, {"loss": entry.graph.outputs["loss"]})
        if not any(node.op == "all_reduce" for node in loss):
            yield f"the loss of `{entry.subject}`, which is a sum"
        counted = [entry.graph[node.operands[0]].op == "size" for node in sums]
        yield from dict.fromkeys(
            f"`{node.scope or node.name}` ({node.place})"
            for node, count in zip(sums, counted, strict=True)
            if not count
        )
