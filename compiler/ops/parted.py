"""A product of joined values -> the sum of two products, where one of them needs no state.

    concat(x, h) @ w  ->  x @ w[:D] + h @ w[D:]

The first is computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir.body import Body, moved
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.op import Op
from .products import letters


def parted(ops: Mapping[str, Op], body: Body) -> Body:
    """The body with such products apart."""
    turning = set(body.states)
    for node in body.nodes:
        if any(o in turning for o in node.operands):
            turning.add(node.id)
    found = {n.id: slot for n in body.nodes if (slot := _joined(body, n, turning)) is not None}
    if not found:
        return body
    c, new = Builder(ops, {}), list[int]()
    for node in body.nodes:
        operands = [new[o] for o in node.operands]
        with c.at(node.place, node.scope):
            if node.id in found:
                new.append(_apart(c, body, node, found[node.id], new, turning))
            else:
                new.append(c.repeat(node, operands))
    return moved(body, c.nodes, dict(enumerate(new)))


def _joined(body: Body, node: Node, turning: set[int]) -> int | None:
    """Which operand of a product joins what needs the states with what does not."""
    if node.op != "contract":
        return None
    *texts, result = letters(node["spec"])
    for slot, (text, o) in enumerate(zip(texts, node.operands, strict=True)):
        operand = body.nodes[o]
        if operand.op != "concat" or text[operand["axis"]] in result:
            continue
        if len({part in turning for part in operand.operands}) == 2:
            return slot
    return None


def _apart(
    c: Builder, body: Body, node: Node, slot: int, new: Sequence[int], turning: set[int]
) -> int:
    joined, other = body.nodes[node.operands[slot]], body.nodes[node.operands[1 - slot]]
    *texts, _ = letters(node["spec"])
    axis = joined["axis"]
    across = texts[1 - slot].index(texts[slot][axis])
    sums: dict[bool, int] = {}
    at = 0
    for part in joined.operands:
        extent = body.nodes[part].shape[axis]
        starts = [at if a == across else 0 for a in range(len(other.shape))]
        sizes = [extent if a == across else e for a, e in enumerate(other.shape)]
        piece = c.slice(new[other.id], starts, sizes, (1,) * len(sizes))
        sides = (new[part], piece) if slot == 0 else (piece, new[part])
        made = c.insert("contract", sides, node.name, **dict(node.attributes))
        turns = part in turning
        sums[turns] = c.map("add", sums[turns], made) if turns in sums else made
        at = at + extent
    return c.map("add", sums[False], sums[True], name=node.name)
