"""Numbers that stand in the text: what is made of them alone is known at compile time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.builder import Builder
from .leaves import LISTED


def fold_tables(b: Builder, op: str, x: tuple[int, ...], a: dict[str, Any]) -> int | None:
    """f(table, 2) -> table; a table that is turned, cut, joined or given another shape -> table"""
    if not any(b[i].op == "table" for i in x) or not all(_is_known(b, i) for i in x):
        return None
    type = b.ops[op].infer(tuple(b[i].type for i in x), a)
    shape = _few(type.shape)
    if type.dtype not in ("f32", "i32") or not shape or 0 in shape:
        return None
    with np.errstate(all="ignore"):
        found = b.ops[op].reference(*(_numbers(b, i) for i in x), **a)
    flat = np.broadcast_to(found, shape).reshape(-1)
    if not np.isfinite(flat).all() or (type.dtype == "i32" and np.abs(flat).max() >= 1 << 31):
        return None
    return b.table(flat.tolist(), shape, type.dtype)


def _few(shape: tuple[Dim, ...]) -> tuple[int, ...] | None:
    """The shape, if it is known and small."""
    known = tuple(extent for extent in shape if isinstance(extent, int))
    size = numel(known)
    return known if len(known) == len(shape) and isinstance(size, int) and size <= LISTED else None


def _is_known(b: Builder, i: int) -> bool:
    """Is the value a table, or one number everywhere?"""
    node = b[i]
    if node.op == "broadcast" and b[node.operands[0]].op == "constant":
        return _few(node.shape) is not None
    return node.op in ("table", "constant")


def _numbers(b: Builder, i: int) -> np.ndarray:
    node = b[i]
    if node.op == "table":
        return b.ops["table"].reference(**dict(node.attributes))
    value = node if node.op == "constant" else b[node.operands[0]]
    return np.full(node.shape, value["value"])
