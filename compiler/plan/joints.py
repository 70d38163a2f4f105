"""Concatenations that nobody carries out: their parts are written where they are joined (on a GPU).

    y = concat(concat(x, a), b)  ->  x, a and b are made side by side in the memory of y, and who
                                     reads concat(x, a) reads part of the rows of y

Parts of rows lie as far from each other as the rows of the whole; kernels that load and store by
strides do not mind.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..artifact import ITEM_BYTES
from ..ir.graph import Node
from .layout import row_major
from .values import Joint, Values, lowering
from .windows import is_pointwise

ALIGNED = 16
"""Bytes that a pointer promises to be a multiple of."""

STRIDED = {
    "convolve": (0,),
    "convolve_input": (0,),
    "convolve_weight": (0,),
    "pool_max": (0,),
    "pool_sum": (0,),
    "contract": (0, 1),
}
"""Operands of heavy operations that are loaded by strides."""


@dataclass(frozen=True, slots=True)
class Joints:
    """`within`: values that lie in the memory of others; `parts`: of each concatenation that nobody
    carries out.
    """

    within: dict[int, Joint]
    parts: dict[int, tuple[int, ...]]


def joints(values: Values) -> Joints:
    """The concatenations whose parts can be made where they are joined, the largest first."""
    found = Joints({}, {})
    for node in reversed(list(values.graph)):
        if node.op != "concat" or node.id not in values.stored or node.id in values.outputs:
            continue
        places = _places(values, node, found.within.get(node.id, Joint(node.id, 0)))
        free = not any(o in found.within for o in node.operands)
        if places and free and all(_fits(values, o, node) for o in node.operands):
            found.within.update(zip(node.operands, places, strict=True))
            found.parts[node.id] = node.operands
    return found


def _places(values: Values, node: Node, whole: Joint) -> list[Joint]:
    """Where the parts of a concatenation lie; none where pointers to them could promise less."""
    stride = row_major(values.graph[whole.host].shape).strides[node["axis"]]
    places, offset = list[Joint](), whole.offset
    for o in node.operands:
        places.append(Joint(whole.host, offset))
        size = values.graph[o].shape[node["axis"]]
        if not isinstance(size, int) or not isinstance(stride, int):
            return []
        offset += size * stride
    each = ITEM_BYTES[node.dtype]
    return places if all(place.offset * each % ALIGNED == 0 for place in places) else []


def _fits(values: Values, o: int, node: Node) -> bool:
    """Can a part be made there: once, by a kernel that stores by strides, for such readers?"""
    graph, part = values.graph, values.graph[o]
    if part.phase != node.phase or node.operands.count(o) > 1 or o in values.outputs:
        return False
    made = o in values.stored and (lowering(part) != "fold" or len(part.shape) == 1)
    made = made or (part.op == "convolve" and not is_pointwise(graph, part))
    return made and all(_reads(values, graph[u], o) for u in values.users[o])


def _reads(values: Values, reader: Node, o: int) -> bool:
    """Does a kernel load the value by its strides?"""
    if reader.id in values.streamed or reader.id in values.launches:
        return False
    kind = lowering(reader)
    if reader.op == "moments":
        return values.graph[o].op == "convolve"  # which takes them along
    if kind == "alias":
        return False
    slots = [slot for slot, operand in enumerate(reader.operands) if operand == o]
    return kind != "heavy" or {*slots} <= {*STRIDED.get(reader.op, ())}
