"""Simplifications tried while a value is inserted: `RULES[op]` are rewrites `op(...) -> value`.

They keep the derivative small while it is built (docs/compiler.md lists why each one is needed).
Products inside sums are never expanded, so a centred sum of squares stays centred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.builder import Builder, Rule
from ..ir.graph import Node
from ..ir.types import FLOATS
from . import orders
from .concats import (
    concat_of_repeated,
    map_of_parts,
    pads_together,
    slice_of_repeated,
    squeeze_of_joined,
    sum_of_parts,
)
from .factors import sum_behind_product
from .maps import MAPS
from .pooled import pool_first
from .products import letters
from .sums import sum_rule
from .tables import fold_tables

Ids = tuple[int, ...]
Attributes = dict[str, Any]


def _is(b: Builder, i: int, op: str) -> bool:
    return b[i].op == op


# ---- scalar functions ----------------------------------------------------------------------


def fold_constants(b: Builder, op: str, x: Ids, _: Attributes) -> int | None:
    """f(1, 2) -> 3"""
    values = [b.value(i) for i in x]
    if any(v is None for v in values):
        return None
    with np.errstate(all="ignore"):
        result = MAPS[op].reference(
            *(np.float64(v) if not isinstance(v, bool) else v for v in values)
        )
    dtype = MAPS[op].infer(tuple(b[i].type for i in x), {}).dtype
    if dtype in ("i32", "i64") and not np.isfinite(result):
        return None
    return b.constant(result.item(), dtype)


def bare_constants(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """f(x, broadcast 2) -> f(x, 2)"""
    bare = tuple(b[i].operands[0] if _is_filled(b, i) else i for i in x)
    if bare == x or all(b.value(i) is not None for i in bare):
        return None
    return b.insert(op, bare, **a)


def _is_filled(b: Builder, i: int) -> bool:
    """Is the value one number in every place?"""
    return _is(b, i, "broadcast") and _is(b, b[i].operands[0], "constant")


def broadcast_outwards(b: Builder, op: str, x: Ids, a: Attributes) -> int | None:
    """f(broadcast a, broadcast b) -> broadcast f(a, b): row scalars stay row scalars."""
    nodes = [b[i] for i in x if not _is(b, i, "constant")]
    if not nodes or any(n.op != "broadcast" for n in nodes):
        return None
    first = nodes[0]
    if any((n["dims"], n["shape"]) != (first["dims"], first["shape"]) for n in nodes):
        return None
    inner = b.insert(op, tuple(i if _is(b, i, "constant") else b[i].operands[0] for i in x), **a)
    return b.broadcast(inner, first["dims"], first["shape"])


def constants_right(b: Builder, op: str, x: Ids, _: Attributes) -> int | None:
    """2 + x -> x + 2"""
    if b.value(x[0]) is not None and b.value(x[1]) is None:
        return b.insert(op, (x[1], x[0]))
    return None


def add(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """x + 0 -> x; x + x -> 2x; (x + y) + y -> x + 2y; x + -y -> x - y; ga + gb -> g(a + b)"""
    left, right = x
    if b.value(right) == 0:
        return left
    if left == right:
        return _twice(b, left)
    if _is(b, left, "add") and right in b[left].operands:
        pair = b[left].operands
        return b.map("add", pair[1 - pair.index(right)], _twice(b, right))
    if _is(b, right, "neg"):
        return b.map("sub", left, b[right].operands[0])
    if _is(b, left, "neg"):
        return b.map("sub", right, b[left].operands[0])
    if _is(b, left, "mul") and _is(b, right, "mul"):
        p, q = b[left].operands, b[right].operands
        for g in p:
            if g in q and b.value(g) is None and p != q:
                rest = b.map("add", p[1 - p.index(g)], q[1 - q.index(g)])
                return b.map("mul", g, rest)
    return None


def _twice(b: Builder, i: int) -> int:
    """Whole numbers stay whole, constants too."""
    dtype = b[i].dtype
    return b.map("mul", i, b.constant(2.0 if dtype in FLOATS else 2, dtype))


def sub(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """x - 0 -> x; x - x -> 0; 0 - x -> -x; x - -y -> x + y"""
    left, right = x
    if b.value(right) == 0:
        return left
    if left == right:
        return _nothing(b, left)
    if b.value(left) == 0:
        return b.map("neg", right)
    if _is(b, right, "neg"):
        return b.map("add", left, b[right].operands[0])
    return None


def _nothing(b: Builder, like: int) -> int:
    """Zeros in the shape of a value."""
    return b.broadcast(b.constant(0.0, b[like].dtype), (), b[like].shape)


def mul(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """x * 1 -> x; x * 0 -> 0; constants and negations move outwards; c1(c2 x) -> (c1 c2)x"""
    value = b.value(x[1])
    if value == 1:
        return x[0]
    if value == 0:
        return _nothing(b, x[0])
    if value == -1:
        return b.map("neg", x[0])
    for i, j in ((0, 1), (1, 0)):
        if _is(b, x[i], "mul") and b.value(b[x[i]].operands[1]) is not None:
            inner, factor = b[x[i]].operands
            if value is None:
                return b.map("mul", b.map("mul", inner, x[j]), factor)
            return b.map("mul", inner, b.map("mul", factor, x[j]))
        if _is(b, x[i], "neg"):
            return b.map("neg", b.map("mul", b[x[i]].operands[0], x[j]))
    return None


def row_scalars_together(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """(x * broadcast a) * broadcast b -> x * broadcast (a * b)"""
    for i, j in ((0, 1), (1, 0)):
        scale = b[x[j]]
        if scale.op != "broadcast" or not _is(b, x[i], "mul"):
            continue
        u, v = b[x[i]].operands
        for p, q in ((u, v), (v, u)):
            same = _is(b, p, "broadcast") and b[p].attributes == scale.attributes
            if same and not _is(b, q, "broadcast"):
                return b.map("mul", q, b.map("mul", p, x[j]))
    return None


def div(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """x / c -> x * (1 / c)"""
    value = b.value(x[1])
    if value is None or value == 0:
        return None
    return b.map("mul", x[0], 1.0 / value)


def neg(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """--x -> x; -(a - b) -> b - a"""
    if _is(b, x[0], "neg"):
        return b[x[0]].operands[0]
    if _is(b, x[0], "sub"):
        return b.map("sub", b[x[0]].operands[1], b[x[0]].operands[0])
    return None


def where(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """where(c, a, a) -> a, in the shape of c"""
    if x[1] != x[2]:
        return None
    shape = b[x[0]].shape
    return b.broadcast(x[1], (), shape) if shape and _is(b, x[1], "constant") else x[1]


def power(b: Builder, _: str, x: Ids, __: Attributes) -> int | None:
    """x ** 2 -> x * x and the other exponents that cost less written out"""
    base, exponent = x[0], b.value(x[1])
    forms: dict[float, Callable[[], int | None]] = {
        0.0: lambda: None,
        1.0: lambda: base,
        2.0: lambda: b.map("mul", base, base),
        3.0: lambda: b.map("mul", b.map("mul", base, base), base),
        4.0: lambda: b.map("mul", b.map("mul", base, base), b.map("mul", base, base)),
        0.5: lambda: b.map("sqrt", base),
        -0.5: lambda: b.map("rsqrt", base),
        -1.0: lambda: b.map("div", b.constant(1.0, b[base].dtype), base),
    }
    return forms[exponent]() if exponent in forms else None


# ---- views ---------------------------------------------------------------------------------


def broadcast(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """broadcast to the same shape -> x; in another order -> transpose; of broadcast -> one"""
    node = b[x[0]]
    if a["dims"] == tuple(range(len(a["shape"]))) and node.shape == a["shape"]:
        return x[0]
    if len(a["dims"]) == len(a["shape"]):
        return b.transpose(x[0], [a["dims"].index(d) for d in range(len(a["shape"]))])
    if node.op == "broadcast":
        return b.broadcast(node.operands[0], [a["dims"][d] for d in node["dims"]], a["shape"])
    return None


def transpose(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """transpose of transpose -> one; the identity -> x; of a broadcast -> a broadcast"""
    order, node = a["order"], b[x[0]]
    if order == tuple(range(len(order))):
        return x[0]
    if node.op == "transpose":
        return b.transpose(node.operands[0], [node["order"][i] for i in order])
    if node.op == "broadcast":
        shape = tuple(node.shape[i] for i in order)
        return b.broadcast(node.operands[0], [order.index(d) for d in node["dims"]], shape)
    if node.op == "contract":
        first, second, result = letters(node["spec"])
        turned = "".join(result[i] for i in order)
        left, right = node.operands
        with b.at(node.place, node.scope):
            more = {**dict(node.attributes), "spec": f"{first},{second}->{turned}"}
            return b.insert("contract", (left, right), node.name, **more)
    return None


def contract(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """a product of transposed operands -> a product that reads them as they lie; also of operands
    with new axes of 1, which the other operand and the result have too
    """
    indices = list(letters(a["spec"]))
    operands = list(x)
    for slot in (0, 1):
        node = b[x[slot]]
        if node.op == "transpose":
            order = node["order"]
            indices[slot] = "".join(indices[slot][order.index(d)] for d in range(len(order)))
            operands[slot] = node.operands[0]
        elif node.op == "broadcast" and _only_ones(
            node, indices[slot], {*indices[1 - slot]} & {*indices[2]}
        ):
            indices[slot] = "".join(indices[slot][d] for d in node["dims"])
            operands[slot] = node.operands[0]
    if tuple(operands) == x:
        return None
    spec = f"{indices[0]},{indices[1]}->{indices[2]}"
    return b.insert("contract", operands, **{**a, "spec": spec})


def _only_ones(node: Node, mine: str, others: set[str]) -> bool:
    """Are the new axes of a broadcast all of 1, and letters of the other operand and the result?"""
    new = [d for d in range(len(node.shape)) if d not in node["dims"]]
    return all(node.shape[d] == 1 and mine[d] in others for d in new) and bool(node["dims"])


def reshape(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """the identity -> x; reshape of reshape -> one; axes of 1 come and go without a copy"""
    node = b[x[0]]
    if node.shape == a["shape"]:
        return x[0]
    if _is_filled(b, x[0]):
        return b.broadcast(node.operands[0], (), a["shape"])
    if node.op == "reshape":
        return b.reshape(node.operands[0], a["shape"])
    wide = tuple(e for e in node.shape if e != 1)
    if wide == tuple(e for e in a["shape"] if e != 1):
        bare = b.squeeze(x[0], [i for i, e in enumerate(node.shape) if e == 1])
        return b.broadcast(bare, [i for i, e in enumerate(a["shape"]) if e != 1], a["shape"])
    return None


def squeeze(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """squeeze(broadcast x) -> broadcast x without those axes, where they are new there"""
    node = b[x[0]]
    if node.op != "broadcast" or set(a["axes"]) & set(node["dims"]):
        return None
    kept = [i for i in range(len(node.shape)) if i not in a["axes"]]
    return b.broadcast(
        node.operands[0], [kept.index(d) for d in node["dims"]], tuple(node.shape[i] for i in kept)
    )


def whole_slice(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """x[:] -> x; of a broadcast number -> a broadcast number"""
    if _is_filled(b, x[0]):
        return b.broadcast(b[x[0]].operands[0], (), a["sizes"])
    whole = all(s == 0 for s in a["starts"]) and all(s == 1 for s in a["steps"])
    return x[0] if whole and a["sizes"] == b[x[0]].shape else None


def no_pad(b: Builder, _: str, x: Ids, a: Attributes) -> int | None:
    """pad by nothing -> x"""
    return x[0] if all(p == 0 for p in (*a["low"], *a["high"])) else None


_MAP_RULES: dict[str, tuple[Rule, ...]] = {
    "add": (constants_right, add, pads_together),
    "sub": (sub,),
    "mul": (constants_right, mul, row_scalars_together),
    "div": (div,),
    "neg": (neg,),
    "where": (where,),
    "pow": (power,),
}

RULES: dict[str, tuple[Rule, ...]] = {
    name: (
        fold_constants,
        fold_tables,
        bare_constants,
        *_MAP_RULES.get(name, ()),
        broadcast_outwards,
        map_of_parts,
        orders.map_outwards,
    )
    for name in MAPS
} | {
    "broadcast": (broadcast, orders.broadcast_of_transpose),
    "transpose": (fold_tables, transpose),
    "reshape": (fold_tables, reshape, orders.reshape_outwards),
    "squeeze": (fold_tables, squeeze, squeeze_of_joined, orders.squeeze_outwards),
    "slice": (fold_tables, whole_slice, slice_of_repeated, orders.window_outwards),
    "pad": (fold_tables, no_pad, orders.window_outwards),
    "band": (orders.band_outwards,),
    "concat": (
        fold_tables,
        concat_of_repeated,
        orders.concat_outwards,
    ),
    "contract": (contract,),
    "sum": (sum_rule, sum_behind_product, orders.fold_outwards, sum_of_parts),
    "max": (orders.fold_outwards,),
    "min": (orders.fold_outwards,),
    "logsumexp": (orders.fold_outwards,),
    "argmax": (orders.fold_outwards,),
    "argmin": (orders.fold_outwards,),
    "cast": (fold_tables, broadcast_outwards, orders.map_outwards),
    "stop_gradient": (orders.map_outwards,),
    "pool_max": (pool_first,),
}
