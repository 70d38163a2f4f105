"""What a maximum over windows commutes with is done afterwards, for fewer elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..ir.builder import Builder

Ids = tuple[int, ...]
Attributes = dict[str, Any]


def pool_first(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """pool_max(x + row) -> pool_max(x) + row, where the row is the same in all places;
    pool_max(maximum(x, 0)) -> maximum(pool_max(x), 0), where no window can be empty

    Rounding keeps the order of numbers, so that the result is the same to the last bit.
    """
    node = b[x[0]]
    if node.op not in ("add", "maximum") or (node.op == "maximum" and any(a["low"])):
        return None
    space = set(range(1, len(node.shape) - 1))
    for inner, outer in (node.operands, node.operands[::-1]):
        row = b[outer]
        filled = row.op == "broadcast" and not space & set(row["dims"])
        if row.op != "constant" and not filled:
            continue
        made = b.insert(op, (inner,), **a)
        if filled:
            outer = b.broadcast(row.operands[0], row["dims"], b[made].shape)
        return b.map(node.op, made, outer)
    return None
