"""The record that says everything about one primitive operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.dims import Dim
from .graph import Node
from .types import TensorType

if TYPE_CHECKING:
    from .builder import Builder

Attributes = dict[str, Any]
ShapeRule = Callable[[tuple[TensorType, ...], Attributes], TensorType]
Work = Callable[[tuple[TensorType, ...], TensorType, Attributes], Dim]
Reference = Callable[..., np.ndarray]
Gradient = Callable[["Builder", Node, int], tuple[int | None, ...]]
Joint = Callable[["Builder", Node, tuple[int | None, ...]], tuple[int | None, ...]]


@dataclass(frozen=True, slots=True)
class Op:
    """One primitive operation.

    `lowering` is its class: `map`, `view`, `reindex`, `fold`, `heavy`, `leaf`.  `infer` is the
    shape rule, `reference` the NumPy meaning (operand arrays, then attributes by name),
    `gradient` gives the cotangent of each operand from the node and its cotangent (None: not
    differentiable).  `flops` counts floating-point operations per element of the result (`fold`:
    per element folded); `work` counts those of the whole node where that is not a multiple of
    elements; `real`: defined for floating-point numbers only, integers are promoted.  `in_order` is
    the reference of an op that sums with the terms added one after another.  Where several nodes
    are results of one thing, `siblings` finds their ids, ascending, and `joint` is the gradient for
    the cotangents of all of them.
    """

    name: str
    lowering: str
    infer: ShapeRule
    reference: Reference
    gradient: Gradient | None
    flops: int = 0
    real: bool = False
    work: Work | None = None
    in_order: Reference | None = None
    siblings: Callable[[Builder, Node], tuple[int, ...]] | None = None
    joint: Joint | None = None


class ShapeError(Exception):
    """Operands do not fit; the elaborator turns it into a spec error with places.

    `code` is an E4xx code, `operands` the indices of the operands to blame.
    """

    def __init__(self, code: str, message: str, operands: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.operands = operands
