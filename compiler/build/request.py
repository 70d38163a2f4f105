"""What an intrinsic is asked for, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import Any, TypeAlias

from ...spec.dims import Dim, equal, multiples, shape_text, substitute, symbol, symbols
from ..ir.builder import Builder
from ..ir.op import ShapeError
from ..ir.types import FLOATS, Shape, TensorType


class Refusal(ShapeError):
    """A ShapeError with a way out; `axis` is the one in which the operands differ."""

    def __init__(
        self,
        code: str,
        message: str,
        operands: tuple[int, ...] = (),
        hint: str | None = None,
        axis: int | None = None,
    ) -> None:
        super().__init__(code, message, operands)
        self.hint = hint
        self.axis = axis


@dataclass(frozen=True, slots=True)
class Known:
    """A result that is known at compile time."""

    value: Any


Result: TypeAlias = int | tuple[int, ...] | Known


@dataclass(frozen=True, slots=True)
class Request:
    """One call of an intrinsic: the builder, the operands' ids, the settings.

    `named` holds the optional inputs; `stream` numbers random values; `bounds` notes that a tensor
    of whole numbers is to lie in `[0, below)`, or to be `ignore`; `update` blends a value into a
    buffer while training.
    """

    b: Builder
    x: tuple[int, ...]
    settings: Mapping[str, Any]
    named: Mapping[str, int]
    stream: Callable[[], int]
    bounds: Callable[[int, Dim, int | None], None]
    update: Callable[[int, int, float], None]

    def __getitem__(self, setting: str) -> Any:
        return self.settings[setting]

    def type(self, operand: int = 0) -> TensorType:
        """The type of an operand."""
        return self.b[self.x[operand]].type

    def shape(self, operand: int = 0) -> Shape:
        """The shape of an operand."""
        return self.type(operand).shape

    def axis(self, value: int, operand: int = 0, new: int = 0) -> int:
        """An axis counted from the front.  `new`: axes about to be added.

        Raises: Refusal E419 when there is no such axis.
        """
        rank = len(self.shape(operand)) + new
        if not -rank <= value < rank:
            raise Refusal(
                "E419", f"there is no axis {value} in {shown(self.shape(operand))}", (operand,)
            )
        return value % rank

    def axes(self, value: Any, operand: int = 0) -> tuple[int, ...]:
        """`all`, one axis or a list of them, as sorted axes counted from the front."""
        if value == "all":
            return tuple(range(len(self.shape(operand))))
        listed = value if isinstance(value, tuple) else (value,)
        found = sorted(self.axis(v, operand) for v in listed)
        if len(set(found)) != len(found):
            raise Refusal("E419", f"the axes {list(listed)} name one axis twice", (operand,))
        return tuple(found)

    def real(self, operand: int = 0) -> int:
        """The operand as floating-point numbers."""
        x = self.x[operand]
        return x if self.b[x].dtype in FLOATS else self.b.cast(x, "f32")

    def of_floats(self) -> Request:
        """The request with listed whole numbers as f32: like a number, they fit what they meet."""
        b = self.b
        return replace(
            self, x=tuple(b.cast(x, "f32") if _is_whole_list(b, x) else x for x in self.x)
        )


def _is_whole_list(b: Builder, x: int) -> bool:
    """Were whole numbers written down, different ones or all the same?"""
    node = b[x]
    same = node.op == "broadcast" and b[node.operands[0]].op == "constant"
    return node.dtype == "i32" and (node.op == "table" or same)


COUNTING = ("add", "sub", "mul", "floordiv", "mod", "neg", "abs", "sign", "maximum", "minimum")


def elementwise(b: Builder, function: str, operands: Sequence[int]) -> int:
    """A scalar function of operands that broadcast; where it counts, truths are 0 and 1."""
    if function in COUNTING and all(b[x].dtype == "bool" for x in operands):
        operands = [b.cast(x, "i32") for x in operands]
    return b.elementwise(function, *operands)


def shown(shape: Shape) -> str:
    """A shape as the spec writes it."""
    return shape_text(shape)


def agree(want: Dim, got: Dim) -> str | None:
    """None where two extents are the same; else E403, or E413 where that cannot be decided."""
    same = equal(want, got)
    return None if same else "E403" if same is False else "E413"


def demanded(one: Dim, other: Dim, step: int = 2) -> str | None:
    """`H%4`, if both extents are the same where a symbol is so many times `step`; empty where they
    are so anyway.
    """
    if equal(one, other):
        return ""
    names = symbols(one) | symbols(other)
    if len(names) != 1:
        return None
    (name,) = names
    known = (multiples(one) | multiples(other))[name]
    for multiple in (lcm(known, step << power) for power in range(6)):
        bound = {name: symbol(name, multiple)}
        if equal(substitute(one, bound), substitute(other, bound)):
            return f"`{name}%{multiple}`"
    return None
