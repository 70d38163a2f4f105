"""What both printers share: which values get a name, and how nested expressions are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..ops.maps import INFIX
from .loops import Let, Load, Operand, Statement, Store, operands_of

WIDE = 4  # operators after which an expression gets a name of its own


@dataclass(frozen=True, slots=True)
class Nested:
    """A statement written inside its only reader; `weight` counts operators."""

    statement: Let | Load
    weight: int


def fold_single_uses(
    body: Iterable[Statement], kept: Iterable[str] = ()
) -> tuple[list[Statement], dict[str, Nested]]:
    """The statements that stay, and those that are written inside their only reader.

    A value without a name of its own (`mul_2`) folds into its reader; so does a load read once.
    `kept` are read elsewhere and stay.
    """
    body = list(body)
    uses: dict[str, int] = {}
    for statement in body:
        for name in operands_of(statement):
            uses[name] = uses.get(name, 0) + 1
    indices = {
        name
        for s in body
        if not isinstance(s, Let)
        for name in operands_of(s)
        if name != getattr(s, "operand", None)
    }
    stay: list[Statement] = []
    nested: dict[str, Nested] = {}
    for statement in body:
        target = getattr(statement, "target", None)
        single = (
            target is not None
            and uses.get(target) == 1
            and target not in kept
            and target not in indices
        )
        if single and isinstance(statement, Load):
            nested[statement.target] = Nested(statement, 0)
            continue
        if single and isinstance(statement, Let):
            weight = 1 + sum(
                nested[o].weight for o in statement.operands if isinstance(o, str) and o in nested
            )
            unnamed = re.sub(r"_\d+$", "", statement.target.rstrip("_")) == statement.function
            if unnamed and weight <= WIDE:
                nested[statement.target] = Nested(statement, weight)
                continue
        stay.append(statement)
    return stay, nested


class Writer:
    """Writes operands: numbers, names, and nested expressions with the parentheses they need."""

    def __init__(
        self,
        spell: Callable[[Let, list[str]], str],
        load: Callable[[Load], str],
        literal: Callable[[float | int | bool], str],
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.spell = spell
        self.load = load
        self.literal = literal
        self.names = dict(names or {})
        self.nested: dict[str, Nested] = {}

    def operand(self, operand: Operand, *, tight: bool = True) -> str:
        """The text of an operand; `tight` puts parentheses round an operator."""
        if not isinstance(operand, str):
            text = self.literal(operand)
            return f"({text})" if tight and text.startswith("-") else text
        if operand not in self.nested:
            return self.names.get(operand, operand)
        statement = self.nested[operand].statement
        if isinstance(statement, Load):
            return self.load(statement)
        text = self.expression(statement)
        return f"({text})" if tight and statement.function in INFIX | {"cast"} else text

    def expression(self, statement: Let) -> str:
        """The right-hand side of a Let."""
        tight = statement.function in INFIX | {"cast"}
        return self.spell(statement, [self.operand(o, tight=tight) for o in statement.operands])

    def value_of(self, statement: Store | Statement) -> str:
        """What a store, fold or gather takes."""
        return self.operand(statement.operand, tight=False)  # type: ignore[union-attr]
