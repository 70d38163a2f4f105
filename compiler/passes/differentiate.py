"""Reverse mode on the graph: loss -> cotangents of the values asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.op import ShapeError


def differentiate(
    b: Builder, loss: int, wrt: Sequence[int], seed: int | None = None
) -> dict[int, int]:
    """Insert the gradient of the scalar `loss` with respect to every value of `wrt`.

    `x -> y -> loss` gains `d_y = d loss / dy`, named after the value and placed where it was made.
    A value that the loss does not depend on gets a zero of its shape.

    Raises: ShapeError E418 when an op on the way has no derivative.
    """
    cotangents: dict[int, int] = {loss: b.constant(1.0) if seed is None else seed}
    needed = _depending(b, set(wrt), loss)
    for i in range(loss, -1, -1):
        if i not in cotangents or i not in needed or b[i].op == "input":
            continue
        node, first_new = b[i], len(b.nodes)
        rule = b.ops[node.op].gradient
        if rule is None:
            raise ShapeError("E418", f"`{node.op}` has no derivative", (0,))
        with b.at(node.place, node.scope):
            for operand, cotangent in zip(node.operands, rule(b, node, cotangents[i]), strict=True):
                if cotangent is None or operand not in needed:
                    continue
                cotangent = b.expand(cotangent, b[operand].shape)
                known = cotangents.get(operand)
                total = cotangent if known is None else b.map("add", known, cotangent)
                cotangents[operand] = total
                if total >= first_new:
                    b.rename(total, f"d_{b[operand].name}")
    return {i: b.expand(cotangents[i], b[i].shape) if i in cotangents else _zero(b, i) for i in wrt}


def _depending(b: Builder, wrt: set[int], last: int) -> set[int]:
    """The values up to `last` that change with one of `wrt`."""
    found = set(wrt)
    for node in b.nodes[: last + 1]:
        if any(o in found for o in node.operands):
            found.add(node.id)
    return found


def _zero(b: Builder, i: int) -> int:
    return b.broadcast(b.constant(0.0), (), b[i].shape)
