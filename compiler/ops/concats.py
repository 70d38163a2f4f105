"""Sums of a concatenation along other axes are those of its parts, so that nobody waits until it is
whole, and what is joined again and again is summed once.  Cotangents of parts are joined.

    sum(concat(a, b))            ->  concat(sum a, sum b)
    sum((concat(a, b) - m)²)     ->  concat(sum (a - m_a)², sum (b - m_b)²), m_a the part of m for a
    f(concat(s, t), number)      ->  concat(f(s, number), f(t, number)), for numbers a channel
    pad(a) + pad(b)              ->  pad(concat(a, b)), where they lie beside each other among zeros
    slice(broadcast x)           ->  broadcast slice(x)
    concat(broadcast a, broadcast b)  ->  broadcast concat(a, b), unless they are repeated along it
    squeeze(concat(a, b))        ->  concat(squeeze a, squeeze b)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...spec.dims import Dim
from ..ir.builder import Builder
from ..ir.graph import Node


@dataclass(frozen=True, slots=True)
class Cut:
    """The elements of a value from `start` on along `axis`, `size` of them."""

    axis: int
    start: Dim
    size: Dim


def sum_of_parts(b: Builder, _: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """sum(f(concat(a, b))) -> concat(sum f(a), sum f(b)), where f has known parts and does not run
    along the joint
    """
    joint = _joint(b, x[0])
    if joint is None or joint["axis"] in a["axes"]:
        return None
    axis, start = joint["axis"], 0
    cuts = list[Cut]()
    for o in joint.operands:
        size = b[o].shape[axis]
        cuts.append(Cut(axis, start, size))
        start = start + size
    if any(not _has_part(b, x[0], cut) for cut in cuts):
        return None
    sums = [b.sum(_part(b, x[0], cut), a["axes"]) for cut in cuts]
    return b.concat(sums, sum(kept not in a["axes"] for kept in range(axis)))


def map_of_parts(b: Builder, op: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """f(concat(s, t), number) -> concat(f(s, number), f(t, number)), for numbers a channel"""
    joint = next((b[i] for i in x if b[i].op == "concat"), None)
    if joint is None or len(joint.shape) != 1 or not isinstance(joint.shape[0], int):
        return None
    if any(i != joint.id and not _is_number(b, i) for i in x):
        return None
    made = [
        b.insert(op, [_as_long(b, i, o) if i != joint.id else o for i in x], **a)
        for o in joint.operands
    ]
    return b.concat(made, 0)


def pads_together(b: Builder, _: str, x: tuple[int, ...], __: dict[str, Any]) -> int | None:
    """pad(a) + pad(b) -> pad(concat(a, b)), where they lie beside each other among zeros"""
    pads = [b[i] for i in x]
    if any(node.op != "pad" or node["value"] != 0 for node in pads):
        return None
    first, second = pads
    axes = [axis for axis, low in enumerate(first["low"]) if low != second["low"][axis]]
    if len(axes) != 1:
        return None
    (axis,) = axes
    for left, right in ((first, second), (second, first)):
        size = b[left.operands[0]].shape[axis]
        others = all(
            left[side][a] == right[side][a]
            for side in ("low", "high")
            for a in range(len(left.shape))
            if a != axis
        )
        if others and left["low"][axis] + size == right["low"][axis]:
            high = (*left["high"][:axis], right["high"][axis], *left["high"][axis + 1 :])
            both = b.concat((left.operands[0], right.operands[0]), axis)
            return b.pad(both, left["low"], high)
    return None


def slice_of_repeated(b: Builder, _: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """slice(broadcast x) -> broadcast slice(x)"""
    node = b[x[0]]
    if node.op != "broadcast":
        return None
    starts, sizes, steps = (
        [a[word][d] for d in node["dims"]] for word in ("starts", "sizes", "steps")
    )
    return b.broadcast(b.slice(node.operands[0], starts, sizes, steps), node["dims"], a["sizes"])


def concat_of_repeated(b: Builder, _: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """concat(broadcast a, broadcast b) -> broadcast concat(a, b), unless they are repeated along
    it
    """
    nodes, axis = [b[i] for i in x], a["axis"]
    if any(node.op != "broadcast" for node in nodes):
        return None
    dims = nodes[0]["dims"]
    if axis not in dims or any(node["dims"] != dims for node in nodes):
        return None
    total: Dim = sum(node.shape[axis] for node in nodes)
    shape = (*nodes[0].shape[:axis], total, *nodes[0].shape[axis + 1 :])
    inner = b.concat([node.operands[0] for node in nodes], dims.index(axis))
    return b.broadcast(inner, dims, shape)


def squeeze_of_joined(b: Builder, _: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """squeeze(concat(a, b)) -> concat(squeeze a, squeeze b)"""
    node = b[x[0]]
    if node.op != "concat" or node["axis"] in a["axes"]:
        return None
    axis = node["axis"] - sum(dropped < node["axis"] for dropped in a["axes"])
    return b.concat([b.squeeze(o, a["axes"]) for o in node.operands], axis)


def _is_number(b: Builder, i: int) -> bool:
    """Is a value the same in every place?"""
    return b[i].op == "constant" or (b[i].op == "broadcast" and not b[i]["dims"])


def _as_long(b: Builder, i: int, part: int) -> int:
    """A number, repeated as often as a part has entries."""
    return i if b[i].op == "constant" else b.broadcast(b[i].operands[0], (), b[part].shape)


def _joint(b: Builder, i: int) -> Node | None:
    """The concatenation that a value is made of by additions and multiplications."""
    node = b[i]
    if node.op == "concat":
        return node
    if node.op == "mul" and node.operands[0] == node.operands[1]:
        return _joint(b, node.operands[0])
    if node.op == "sub" and b[node.operands[1]].op == "broadcast":
        return _joint(b, node.operands[0])
    return None


def _has_part(b: Builder, i: int, cut: Cut) -> bool:
    """Is a part of the value known without taking elements out of it?"""
    node = b[i]
    if node.op == "concat" and node["axis"] == cut.axis:
        return _operand(b, node, cut) is not None
    if node.op == "broadcast":
        return cut.axis not in node["dims"] or _has_part(b, node.operands[0], _inner(node, cut))
    if node.op == "constant":
        return True
    return node.op in ("sub", "mul") and all(_has_part(b, o, cut) for o in node.operands)


def _part(b: Builder, i: int, cut: Cut) -> int:
    """The part of a value of which it is known."""
    node = b[i]
    if node.op == "concat":
        found = _operand(b, node, cut)
        assert found is not None
        return found
    if node.op == "broadcast":
        shape = (*node.shape[: cut.axis], cut.size, *node.shape[cut.axis + 1 :])
        inner = node.operands[0]
        inner = _part(b, inner, _inner(node, cut)) if cut.axis in node["dims"] else inner
        return b.broadcast(inner, node["dims"], shape)
    if node.op == "constant":
        return i
    with b.at(node.place, node.scope):
        return b.map(node.op, *(_part(b, o, cut) for o in node.operands), name=node.name)


def _inner(node: Node, cut: Cut) -> Cut:
    """The same elements of what a broadcast repeats."""
    return Cut(node["dims"].index(cut.axis), cut.start, cut.size)


def _operand(b: Builder, node: Node, cut: Cut) -> int | None:
    """The operand of a concatenation that lies there."""
    start: Dim = 0
    for o in node.operands:
        size = b[o].shape[cut.axis]
        if (start, size) == (cut.start, cut.size):
            return o
        start = start + size
    return None
