"""One step of a scan as a graph of its own, which the scan has among its attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...spec.dims import Dim, Polynomial, substitute, symbol, symbols
from .builder import Builder
from .graph import Node
from .types import Shape, TensorType

ROWS = ".rows"
"""The size that stands for the samples in a body, however many there are outside."""

ROW = symbol(ROWS)


@dataclass(frozen=True, slots=True)
class Body:
    """Values of one step of some samples.

    `nodes` are numbered from 0, operands before users.  Of the inputs, `fixed` are the same in all
    steps, `states` come from the step before and `sequences` are the step's own; `next` are the
    states after it, `emits` whatever else the step gives.  States, sequences and emitted values
    have the samples as their first axis.  `flops`: what all of it costs.
    """

    nodes: tuple[Node, ...]
    fixed: tuple[int, ...]
    states: tuple[int, ...]
    sequences: tuple[int, ...]
    next: tuple[int, ...]
    emits: tuple[int, ...]
    flops: Dim = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"a step of {len(self.nodes)} values"

    @property
    def inputs(self) -> tuple[int, ...]:
        """The inputs in the order of a scan's operands."""
        return *self.fixed, *self.states, *self.sequences

    @property
    def results(self) -> tuple[int, ...]:
        """What a scan gives for all steps: the states, then what is emitted."""
        return *self.next, *self.emits

    def reached(self, wanted: Iterable[int]) -> Iterator[Node]:
        """The nodes that some values depend on, operands before users."""
        found: set[int] = set()
        stack = list(wanted)
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack.extend(self.nodes[i].operands)
        return (self.nodes[i] for i in sorted(found))


def moved(body: Body, nodes: Sequence[Node], new: Mapping[int, int]) -> Body:
    """The same step of other nodes, whose ids are `new`."""

    def of(ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(new[i] for i in ids)

    return replace(
        body,
        nodes=tuple(nodes),
        fixed=of(body.fixed),
        states=of(body.states),
        sequences=of(body.sequences),
        next=of(body.next),
        emits=of(body.emits),
    )


def rows_axis(shape: Shape) -> int | None:
    """The axis of the samples, which none but these share; None where there is none."""
    found = [axis for axis, dim in enumerate(shape) if ROWS in symbols(dim)]
    return found[0] if len(found) == 1 and shape[found[0]] == ROW else None


def of_samples(shape: Shape) -> bool:
    """Does the shape depend on the number of samples?"""
    return any(ROWS in symbols(dim) for dim in shape)


def replaced(value: Any, sizes: Mapping[str, Dim]) -> Any:
    """An attribute, or a type, with other sizes; the bodies of scans inside stay as they are."""
    if isinstance(value, tuple):
        return tuple(replaced(each, sizes) for each in value)
    if isinstance(value, TensorType):
        return TensorType(value.dtype, replaced(value.shape, sizes))
    return substitute(value, sizes) if isinstance(value, Polynomial) else value


def repeated(b: Builder, node: Node, operands: Iterable[int], sizes: Mapping[str, Dim]) -> int:
    """The operation of a node on other operands, with other sizes."""
    attributes = {name: replaced(value, sizes) for name, value in node.attributes}
    with b.at(node.place, node.scope):
        return b.insert(node.op, tuple(operands), node.name, **attributes)
