"""The flat parameter arena: every parameter a strided slice of it, nets one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .artifact import Parameter
from .ir.graph import Graph
from .plan.layout import LANES, Layout, parameter_layouts, row_major
from .update import Slice

if TYPE_CHECKING:
    from .build import ParameterDeclaration


@dataclass(frozen=True, slots=True)
class Arena:
    """Where each parameter lies.  Units: elements."""

    layouts: Mapping[str, Layout]
    offsets: Mapping[str, int]
    length: int

    def slices(self, parameters: Sequence[str]) -> tuple[Slice, ...]:
        """The stretches that hold the given parameters, neighbours joined."""
        found: list[Slice] = []
        for name in sorted(parameters, key=self.offsets.__getitem__):
            start, span = self.offsets[name], _padded(self.layouts[name])
            if found and found[-1].offset + found[-1].length == start:
                found[-1] = Slice(found[-1].offset, found[-1].length + span)
            else:
                found.append(Slice(start, span))
        return tuple(found)


def _padded(layout: Layout) -> int:
    span = layout.span
    assert isinstance(span, int)
    return -(-span // LANES) * LANES


def arrange(
    declarations: Sequence[ParameterDeclaration], graphs: Iterable[Graph], *, native: bool
) -> Arena:
    """Lay out all parameters, each as the first product that reads it in `graphs` likes it."""
    layouts: dict[str, Layout] = {}
    wanted = {d.name for d in declarations}
    for graph in graphs:
        inputs = {
            n["feed"]: n.id
            for n in graph.inputs()
            if n["feed"] in wanted and n["feed"] not in layouts
        }
        layouts |= parameter_layouts(graph, inputs, native=native)
    offsets: dict[str, int] = {}
    at = 0
    nets = dict.fromkeys(d.name.split(".")[0] for d in declarations)
    places = {net: place for place, net in enumerate(nets)}

    def rank(d: ParameterDeclaration) -> tuple[int, bool]:
        """Net by net, buffers last, so that what an optimizer updates is one stretch."""
        return places[d.name.split(".")[0]], not d.trainable

    for d in sorted(declarations, key=rank):
        layouts.setdefault(d.name, row_major(d.shape))
        offsets[d.name] = at
        at += _padded(layouts[d.name])
    return Arena(layouts, offsets, at)


def parameter_records(
    declarations: Sequence[ParameterDeclaration], arena: Arena
) -> tuple[Parameter, ...]:
    """The artifact's view of the parameters."""
    return tuple(
        Parameter(
            d.name,
            tuple(d.shape),
            arena.offsets[d.name],
            tuple(int(s) for s in arena.layouts[d.name].strides),  # type: ignore[arg-type]
            d.initialiser,
            str(d.place),
            d.trainable,
        )
        for d in declarations
    )
