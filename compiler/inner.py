"""What a net computes on its way: the values of its layers and blocks, by their paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .build.outline import Part
from .entries import EntryGraph, own_memory, port, ports_of
from .ir.builder import Builder
from .ir.types import TensorType
from .ops import OPS
from .ops.rules import RULES

if TYPE_CHECKING:
    from .build import NetProgram, StepProgram

KIND = "inner"
"""The kind of the entries that return such values."""


@dataclass(frozen=True, slots=True)
class Inner:
    """One value: its path, the number of the node, its type.

    `layer`: a layer of the library, not a block or loop round several; `passed`: handed on as it
    came, by a layer that does nothing when it is in use.
    """

    path: str
    id: int
    type: TensorType
    layer: bool
    passed: bool


def inner_values(net: NetProgram, outline: Iterable[Part]) -> dict[str, Inner]:
    """The values of a net by path, in the order in which they are computed, from its outline.

    A layer with several results has one entry for each: `lstm:0`, `lstm:1`.
    """
    found: dict[str, Inner] = {}
    for part in _parts(outline):
        path = part.path.removeprefix(f"{net.name}.")
        for number, i in enumerate(part.results):
            name = path if len(part.results) == 1 else f"{path}:{number}"
            if name not in found:
                passed = i in part.inputs
                found[name] = Inner(name, i, net.builder[i].type, part.kind == "layer", passed)
    return found


def _parts(parts: Iterable[Part]) -> Iterable[Part]:
    """What stands inside comes before what stands around it; operators have no path."""
    for part in parts:
        yield from _parts(part.parts)
        if part.kind != "operator":
            yield part


def answer_entry(step: StepProgram, field: str) -> EntryGraph:
    """What a step compares with a field of the data, as it is evaluated: `answer`."""
    b = Builder(OPS, RULES)
    b.nodes = list(step.evaluated.nodes)
    b.outputs = own_memory(b, {"answer": step.answers[field].id})
    inputs = tuple(port(name, type) for name, type in step.inputs.items())
    outputs = (port("answer", b[step.answers[field].id].type),)
    return EntryGraph(KIND, step.name, b.graph(), inputs, outputs, {})


def inner_entry(net: NetProgram, ids: Sequence[int]) -> EntryGraph:
    """The net as it is used, with these nodes as its outputs: `value_<id>`."""
    b = Builder(OPS, RULES)
    b.nodes = list(net.builder.nodes)
    wanted = {f"value_{i}": i for i in dict.fromkeys(ids)}
    types = {name: b[i].type for name, i in wanted.items()}
    b.outputs = own_memory(b, wanted)
    outputs = tuple(port(name, type) for name, type in types.items())
    return EntryGraph(KIND, net.name, b.graph(), ports_of(net), outputs, {})
