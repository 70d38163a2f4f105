"""Expressions of the tree: what stands in calls, settings, types and indices.

Equality ignores places. The place of an expression is all of it; of a setting its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from .place import Place


@dataclass(frozen=True, slots=True)
class Number:
    """A number, kept as it was spelt."""

    text: str
    place: Place = field(compare=False)

    @property
    def value(self) -> int | float:
        """What the spelling says: an int unless it has a point or an exponent."""
        return int(self.text) if self.text.isdecimal() else float(self.text)


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A name: a value, a param, a dim, or an operation without arguments."""

    id: str
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple[Expr, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class TupleOf:
    """`(a, b)`: two or more values."""

    items: tuple[Expr, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Setting:
    """`name=value`, in a call, a param, a variant or the settings of a training."""

    name: str
    value: Expr
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`name(a, b, key=c)`."""

    name: str
    positional: tuple[Expr, ...]
    named: tuple[Setting, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Pipe:
    """`(x -> f -> g)` inside an expression: two or more stages."""

    stages: tuple[Expr, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Slice:
    """`a:b` between the brackets of an index; either end may be missing."""

    start: Expr | None
    stop: Expr | None
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Dots:
    """`...`: any number of axes, in an index or a type."""

    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """`value[a, b:c, ...]`."""

    value: Expr
    subscripts: tuple[Expr, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    """`value.name`."""

    value: Expr
    name: str
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`not a` or `-a`."""

    operator: str
    operand: Expr
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """`a + b`; the operator is spelt as in the text, `and` and `or` too."""

    operator: str
    left: Expr
    right: Expr
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """`then if condition else otherwise`, chosen at compile time."""

    condition: Expr
    then: Expr
    otherwise: Expr
    place: Place = field(compare=False)


Expr: TypeAlias = (
    Number
    | Text
    | Boolean
    | Name
    | ListOf
    | TupleOf
    | Call
    | Pipe
    | Index
    | Slice
    | Dots
    | Attribute
    | Unary
    | Binary
    | Choice
)
