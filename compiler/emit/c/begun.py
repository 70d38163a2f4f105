"""Products that begin with a row, such as a bias, in place of zeros: nobody adds it afterwards.

    z = x @ w;  y = z + b   ->   y = b + x @ w, one launch

Only a sum that would be a kernel of its own is made so; elsewhere the bias rides in what reads `z`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.graph import Node
from ...plan.launch import heavy_launch
from ...plan.product import product_of

if TYPE_CHECKING:
    from .launches import Launches


def begun(part: Launches) -> dict[int, tuple[int, int]]:
    """By product: the sum that is made in its place, and the row that it begins with."""
    found: dict[int, tuple[int, int]] = {}
    for roots in part.fusion.groups:
        total = part.graph[min(roots)]
        if len(roots) > 1 or total.op != "add" or total.dtype != "f32":
            continue
        for product, spread in (total.operands, total.operands[::-1]):
            row = _row(part, part.graph[spread], total)
            if row is not None and _becomes(part, part.graph[product], total):
                part.lay_like(product, total.id)
                if _walks_rows(part, part.graph[product]):
                    found[product] = total.id, row
                break
    return found


def _row(part: Launches, spread: Node, total: Node) -> int | None:
    """The row in memory that a value repeats along the last axis of a sum."""
    if spread.op != "broadcast" or spread["dims"] != (len(total.shape) - 1,):
        return None
    row = part.graph[spread.operands[0]]
    stored = row.op == "input" or row.id in part.values.stored
    plain = (
        row.dtype == "f32" and row.shape == total.shape[-1:] and part.values.base(row.id) == row.id
    )
    return row.id if stored and plain and part.layout(row.id).strides == (1,) else None


def _becomes(part: Launches, product: Node, total: Node) -> bool:
    """Is a product read by nobody else, and nowhere yet?"""
    alone = part.graph.users(product.id) == [total.id] and product.phase == total.phase
    made = (product.op, product.dtype) == ("contract", "f32") and part.values.is_heavy(product)
    return made and alone and product.id not in part.homes and product.id not in part.added


def _walks_rows(part: Launches, product: Node) -> bool:
    """Is it one matrix product of the rows at hand, whose columns lie side by side?"""
    launch = heavy_launch(part.values, product)
    p = product_of(part.graph, product, part.layout, launch.letter)
    rows = launch.dimension(product.id) == 0 and not isinstance(launch.domain, int)
    return rows and not p.outer and not p.swapped and p.n.c == 1
