"""Scalar functions, one line each: meaning, derivative, cost, and how C and Triton spell them.

A derivative sees the builder `b`, the node `n` and its cotangent `d`; it may use the node's own
value (`n.id`), which is why tanh and exp keep only their result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..ir.graph import Node
from ..ir.op import Attributes, Gradient, Op, Reference, ShapeError
from ..ir.types import FLOATS, Shape, TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a scalar function is written: format strings over the operands, `{0}`, `{1}`, …"""

    c: str
    triton: str


def _same_shape(types: tuple[TensorType, ...]) -> Shape:
    shapes = [t.shape for t in types if t.shape]
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ShapeError("E401", f"shapes {shapes[0]} and {shape} differ", (0, index))
    return shapes[0] if shapes else ()


def _arithmetic(types: tuple[TensorType, ...], _: Attributes) -> TensorType:
    return TensorType(types[-1].dtype if types[-1].dtype != "bool" else "i32", _same_shape(types))


def _real(types: tuple[TensorType, ...], _: Attributes) -> TensorType:
    if types[0].dtype not in FLOATS:
        raise ShapeError("E414", f"needs floating-point numbers, got {types[0]}", (0,))
    return TensorType(types[0].dtype, _same_shape(types))


def _truth(types: tuple[TensorType, ...], _: Attributes) -> TensorType:
    return TensorType("bool", _same_shape(types))


def _select(types: tuple[TensorType, ...], _: Attributes) -> TensorType:
    if types[0].dtype != "bool":
        raise ShapeError("E414", f"where needs a condition of booleans, got {types[0]}", (0,))
    return TensorType(types[1].dtype, _same_shape(types))


# ---- derivatives that need more than a line -----------------------------------------------------


def _d_div(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    quotient = b.map("div", d, n.operands[1])
    return quotient, b.map("neg", b.map("mul", quotient, n.id))


def _d_pow(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x, y = n.operands
    slope = b.map("mul", y, b.map("pow", x, b.map("sub", y, 1.0)))
    if b.value(y) is not None:
        return b.map("mul", d, slope), None
    positive = b.map("gt", x, 0.0)
    log = b.map("where", positive, b.map("log", b.map("where", positive, x, 1.0)), 0.0)
    return b.map("mul", d, slope), b.map("mul", d, b.map("mul", n.id, log))


def _d_extremum(compare: str) -> Gradient:
    """relu differentiates from its result; between tensors a tie shares the gradient, as in
    PyTorch.
    """

    def rule(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
        x, y = n.operands
        if b.value(y) is not None:
            return b.map("where", b.map(compare, n.id, y), d, 0.0), None
        half = b.map("where", b.map("eq", x, y), b.map("mul", d, 0.5), 0.0)
        return (
            b.map("where", b.map(compare, x, y), d, half),
            b.map("where", b.map(compare, y, x), d, half),
        )

    return rule


def _d_erf(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x = n.operands[0]
    bell = b.map("exp", b.map("neg", b.map("mul", x, x)))
    return (b.map("mul", b.map("mul", d, 2.0 / math.sqrt(math.pi)), bell),)


def _d_mod(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    x, y = n.operands
    return d, b.map("neg", b.map("mul", d, b.map("floor", b.map("div", x, y))))


def _d_where(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    condition = n.operands[0]
    return None, b.map("where", condition, d, 0.0), b.map("where", condition, 0.0, d)


def _d_rsqrt(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    cube = b.map("mul", n.id, b.map("mul", n.id, n.id))
    return (b.map("mul", b.map("mul", d, -0.5), cube),)


def _flat(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    """A step function: its derivative is zero wherever it exists."""
    return (None,) * len(n.operands)


def _unary(rule: Callable[[Builder, int, int, int], int]) -> Gradient:
    return lambda b, n, d: (rule(b, n.operands[0], n.id, d),)


_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(x: np.ndarray) -> np.ndarray:
    """The error function in float64 (C's, through `math`)."""
    x = np.asarray(x, np.float64)
    return _erf(x).reshape(x.shape) if x.size else np.zeros(x.shape)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    tail = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + tail), tail / (1.0 + tail))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _rounded(x: np.ndarray) -> np.ndarray:
    return np.rint(x)


# name, shape rule, NumPy, derivative, FLOPs, C, Triton
_TABLE: tuple[tuple[str, object, Reference, Gradient | None, int, str, str], ...] = (
    ("add", _arithmetic, np.add, lambda b, n, d: (d, d), 1, "{0} + {1}", "{0} + {1}"),
    (
        "sub",
        _arithmetic,
        np.subtract,
        lambda b, n, d: (d, b.map("neg", d)),
        1,
        "{0} - {1}",
        "{0} - {1}",
    ),
    (
        "mul",
        _arithmetic,
        np.multiply,
        lambda b, n, d: (b.map("mul", d, n.operands[1]), b.map("mul", d, n.operands[0])),
        1,
        "{0} * {1}",
        "{0} * {1}",
    ),
    ("div", _real, np.divide, _d_div, 4, "{0} / {1}", "{0} / {1}"),
    ("neg", _arithmetic, np.negative, lambda b, n, d: (b.map("neg", d),), 1, "-{0}", "-{0}"),
    ("pow", _real, np.power, _d_pow, 20, "weft_pow({0}, {1})", "power({0}, {1})"),
    (
        "floordiv",
        _arithmetic,
        np.floor_divide,
        None,
        4,
        "weft_floordiv({0}, {1})",
        "floordiv({0}, {1})",
    ),
    ("mod", _arithmetic, np.mod, _d_mod, 4, "weft_mod({0}, {1})", "mod({0}, {1})"),
    (
        "exp",
        _real,
        np.exp,
        _unary(lambda b, x, y, d: b.map("mul", d, y)),
        10,
        "weft_exp({0})",
        "tl.exp({0})",
    ),
    (
        "log",
        _real,
        np.log,
        _unary(lambda b, x, y, d: b.map("div", d, x)),
        10,
        "weft_log({0})",
        "tl.log({0})",
    ),
    (
        "sqrt",
        _real,
        np.sqrt,
        _unary(lambda b, x, y, d: b.map("div", b.map("mul", d, 0.5), y)),
        4,
        "weft_sqrt({0})",
        "tl.sqrt({0})",
    ),
    ("rsqrt", _real, lambda x: 1.0 / np.sqrt(x), _d_rsqrt, 4, "weft_rsqrt({0})", "tl.rsqrt({0})"),
    (
        "tanh",
        _real,
        np.tanh,
        _unary(lambda b, x, y, d: b.map("mul", d, b.map("sub", 1.0, b.map("mul", y, y)))),
        15,
        "weft_tanh({0})",
        "tanh({0})",
    ),
    (
        "sigmoid",
        _real,
        _sigmoid,
        _unary(lambda b, x, y, d: b.map("mul", d, b.map("mul", y, b.map("sub", 1.0, y)))),
        12,
        "weft_sigmoid({0})",
        "tl.sigmoid({0})",
    ),
    (
        "softplus",
        _real,
        _softplus,
        _unary(lambda b, x, y, d: b.map("mul", d, b.map("sigmoid", x))),
        22,
        "weft_softplus({0})",
        "softplus({0})",
    ),
    ("erf", _real, erf, _d_erf, 15, "weft_erf({0})", "tl.erf({0})"),
    (
        "sin",
        _real,
        np.sin,
        _unary(lambda b, x, y, d: b.map("mul", d, b.map("cos", x))),
        12,
        "weft_sin({0})",
        "tl.sin({0})",
    ),
    (
        "cos",
        _real,
        np.cos,
        _unary(lambda b, x, y, d: b.map("neg", b.map("mul", d, b.map("sin", x)))),
        12,
        "weft_cos({0})",
        "tl.cos({0})",
    ),
    (
        "abs",
        _arithmetic,
        np.abs,
        _unary(lambda b, x, y, d: b.map("mul", d, b.map("sign", x))),
        1,
        "weft_abs({0})",
        "tl.abs({0})",
    ),
    ("sign", _arithmetic, np.sign, _flat, 2, "weft_sign({0})", "sign({0})"),
    ("floor", _real, np.floor, _flat, 1, "weft_floor({0})", "tl.floor({0})"),
    ("round", _real, _rounded, _flat, 1, "weft_round({0})", "round_even({0})"),
    (
        "maximum",
        _arithmetic,
        np.maximum,
        _d_extremum("gt"),
        1,
        "weft_max({0}, {1})",
        "maximum({0}, {1})",
    ),
    (
        "minimum",
        _arithmetic,
        np.minimum,
        _d_extremum("lt"),
        1,
        "weft_min({0}, {1})",
        "minimum({0}, {1})",
    ),
    ("gt", _truth, np.greater, _flat, 1, "{0} > {1}", "{0} > {1}"),
    ("ge", _truth, np.greater_equal, _flat, 1, "{0} >= {1}", "{0} >= {1}"),
    ("lt", _truth, np.less, _flat, 1, "{0} < {1}", "{0} < {1}"),
    ("le", _truth, np.less_equal, _flat, 1, "{0} <= {1}", "{0} <= {1}"),
    ("eq", _truth, np.equal, _flat, 1, "{0} == {1}", "{0} == {1}"),
    ("ne", _truth, np.not_equal, _flat, 1, "{0} != {1}", "{0} != {1}"),
    ("and", _truth, np.logical_and, _flat, 1, "{0} && {1}", "{0} & {1}"),
    ("or", _truth, np.logical_or, _flat, 1, "{0} || {1}", "{0} | {1}"),
    ("not", _truth, np.logical_not, _flat, 1, "!{0}", "{0} == 0"),
    (
        "where",
        _select,
        np.where,
        _d_where,
        1,
        "weft_where({0}, {1}, {2})",
        "tl.where({0}, {1}, {2})",
    ),
)

INFIX = frozenset(
    ("add", "sub", "mul", "div", "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "neg", "not")
)
"""Functions written with an operator: they need parentheses inside another one."""


MAPS: dict[str, Op] = {
    name: Op(name, "map", infer, reference, gradient, flops, infer is _real)  # type: ignore[arg-type]
    for name, infer, reference, gradient, flops, _, _ in _TABLE
}

SPELLINGS: dict[str, Spelling] = {row[0]: Spelling(row[5], row[6]) for row in _TABLE}
