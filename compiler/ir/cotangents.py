"""The walk of reverse mode: from the cotangents of some values to those of what they depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .builder import Builder
from .graph import Node
from .op import ShapeError


def cotangents(b: Builder, seeds: Mapping[int, int], wrt: Iterable[int]) -> dict[int, int]:
    """Insert the cotangents of the values `wrt`, where those of some values are the `seeds`.

    They are named after their values, and placed where these were made.  What the seeds do not
    depend on is left out.

    Raises: ShapeError E418 when an op on the way has no derivative.
    """
    known, last = dict(seeds), max(seeds, default=-1)
    wanted = set(wrt)
    needed = _depending(b, wanted, last)
    for i in range(last, -1, -1):
        node = b[i]
        together = _together(b, node)
        if i not in needed or node.op == "input" or i != together[0]:
            continue
        ours = tuple(known.get(j) for j in together)
        if any(d is not None for d in ours):
            _through(b, node, ours, known, needed)
    return {i: b.expand(known[i], b[i].shape) for i in wanted if i in known}


def _through(
    b: Builder,
    node: Node,
    ours: tuple[int | None, ...],
    known: dict[int, int],
    needed: set[int],
) -> None:
    """Add what reaches the operands of a node to the cotangents that are known."""
    op, first_new = b.ops[node.op], len(b.nodes)
    if op.gradient is None and op.joint is None:
        raise ShapeError("E418", f"`{node.op}` has no derivative", (0,))
    with b.at(node.place, node.scope):
        if op.joint is not None:
            found = op.joint(b, node, ours)
        else:
            assert op.gradient is not None and ours[0] is not None
            found = op.gradient(b, node, ours[0])
        for operand, cotangent in zip(node.operands, found, strict=True):
            if cotangent is None or operand not in needed:
                continue
            cotangent = b.expand(cotangent, b[operand].shape)
            before = known.get(operand)
            total = cotangent if before is None else b.map("add", before, cotangent)
            known[operand] = total
            if total >= first_new:
                b.rename(total, f"d_{b[operand].name}")


def _together(b: Builder, node: Node) -> tuple[int, ...]:
    """The values whose operation is differentiated once for all of them, ascending."""
    siblings = b.ops[node.op].siblings
    return (node.id,) if siblings is None else siblings(b, node)


def _depending(b: Builder, wrt: set[int], last: int) -> set[int]:
    """The values up to `last` that change with one of `wrt`."""
    found = set(wrt)
    for node in b.nodes[: last + 1]:
        if any(o in found for o in node.operands):
            found.add(node.id)
    return found
