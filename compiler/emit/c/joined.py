"""Values of a step that are put together from others: these are written where they belong.

concat(a, b)  ->  joined(a, b), which takes no time: a and b lie in its memory
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from ...ir.body import Body, moved, rows_axis
from ...ir.builder import Builder
from ...ir.graph import Node
from ...ops import OPS
from ...plan.memory import Home

JOINED = "joined"


def with_joined(body: Body) -> Body:
    """The body with such values; a part that has a place already is copied to its other ones."""
    if not any(_joins(node) for node in body.nodes):
        return body
    b, new = Builder(OPS, {}), dict[int, int]()
    taken = {*body.inputs, *body.results}
    read_whole = {
        o
        for node in body.nodes
        if OPS[node.op].lowering in ("alias", "heavy")
        for o in node.operands
    }
    for node in body.nodes:
        operands = [new[o] for o in node.operands]
        if not _joins(node):
            new[node.id] = b.repeat(node, operands)
            continue
        for slot, o in enumerate(node.operands):
            if o in taken | read_whole or OPS[body.nodes[o].op].lowering != "map":
                operands[slot] = _copy(b, operands[slot])
            taken.add(o)
        new[node.id] = b.insert(JOINED, operands, node.name, axis=node["axis"])
    return moved(body, b.nodes, new)


def _joins(node: Node) -> bool:
    if node.op != "concat" or node.dtype != "f32" or rows_axis(node.shape) != 0:
        return False
    return node["axis"] > 0 and all(isinstance(dim, int) for dim in node.shape[1:])


def _copy(b: Builder, i: int) -> int:
    """A copy that no other place shares."""
    return b.copy(i, f"{b[i].name}_{len(b.nodes)}")


@dataclass(frozen=True, slots=True)
class PartOf:
    """Where a part of a joined value lies.  Units: `start` in elements from where that begins."""

    whole: int
    start: int


def parts_of(body: Body, homes: Mapping[int, Home]) -> dict[int, PartOf]:
    """The parts of all joined values."""
    found: dict[int, PartOf] = {}
    for node in body.nodes:
        if node.op == JOINED:
            axis = node["axis"]
            step = homes[node.id].layout.strides[axis]
            extents = [body.nodes[o].shape[axis] for o in node.operands]
            starts = accumulate(extents, initial=0)
            found |= {
                o: PartOf(node.id, at * step) for o, at in zip(node.operands, starts, strict=False)
            }
    return found
