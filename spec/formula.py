"""The formulas of the `function` source: `z = 100*(y - x**2)**2 + (1 - x)**2`.

Python's parser reads the text, a whitelist turns it into plain nested tuples, and nothing is ever
executed as code: `("+", "x", ("sin", "y"))` is x + sin(y).
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import suggest

Expression = float | str | tuple[Any, ...]

LONGEST = 2000
"""Characters of a formula."""

DEEPEST = 100
"""Levels of a formula."""

FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"), 1),
    **dict.fromkeys(("exp", "log", "log2", "log10", "sqrt", "abs", "sign", "floor", "ceil"), 1),
    "round": 1,
    "sigmoid": 1,
    "atan2": 2,
    "hypot": 2,
    "min": 2,
    "max": 2,
    "where": 3,
}
"""The number of arguments of every function."""

CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}

_BINARY: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_COMPARE: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_TRUTHS = frozenset(("<", "<=", ">", ">=", "==", "!=", "and", "or", "not"))


class FormulaError(ValueError):
    """The text is not a formula; `hint` says what would be."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Formula:
    """One equation: the name on its left and the expression on its right."""

    name: str
    expression: Expression

    @property
    def is_class(self) -> bool:
        """Whether the right side is a comparison, so that its values are the classes 0 and 1."""
        return isinstance(self.expression, tuple) and self.expression[0] in _TRUTHS


def parse(text: str, variables: Collection[str]) -> tuple[Formula, ...]:
    """The equations of `text`, separated by `;`, over these variables.

    Raises: FormulaError.
    """
    if len(text) > LONGEST:
        raise FormulaError(f"the formula has {len(text)} characters, at most {LONGEST} are read")
    parts = [part for part in text.split(";") if part.strip()]
    if not parts:
        raise FormulaError("the formula is empty", 'write "z = x*y"')
    return tuple(_equation(part, variables) for part in parts)


def unused(formulas: tuple[Formula, ...], variables: Collection[str]) -> list[str]:
    """The variables that no formula reads."""
    seen: set[str] = set()
    for formula in formulas:
        _names(formula.expression, seen)
    return [name for name in variables if name not in seen]


def _equation(text: str, variables: Collection[str]) -> Formula:
    left, equals, right = _split(text)
    if equals and not re.fullmatch(r"[A-Za-z_]\w*", left):
        raise FormulaError(f"`{left}` left of `=` is not a name", 'write "z = x*y"')
    if left in variables:
        raise FormulaError(f"`{left}` is a variable and stands left of `=` too")
    return Formula(left if equals else "value", _expression(right, variables))


def _split(text: str) -> tuple[str, str, str]:
    found = re.search(r"(?<![<>=!])=(?!=)", text)
    if found is None:
        return "", "", text.strip()
    return text[: found.start()].strip(), "=", text[found.end() :].strip()


def _expression(text: str, variables: Collection[str]) -> Expression:
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        column = min(error.offset or 1, len(text) + 1)
        raise FormulaError(
            f"`{text}` is not a formula: {error.msg} at its character {column}"
        ) from None
    except (ValueError, MemoryError, RecursionError):
        raise FormulaError("the formula cannot be read") from None
    return _convert(tree, variables, 0)


def _convert(node: ast.expr, variables: Collection[str], depth: int) -> Expression:
    if depth > DEEPEST:
        raise FormulaError(f"the formula is nested deeper than {DEEPEST} levels")

    def inside(part: ast.expr) -> Expression:
        return _convert(part, variables, depth + 1)

    match node:
        case ast.Constant(value=bool()):
            raise FormulaError("a formula has no True or False", "write 1 or 0")
        case ast.Constant(value=int() | float() as value):
            return _number(value)
        case ast.Name(id=name):
            return _variable(name, variables)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return ("-", inside(operand))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return inside(operand)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ("not", inside(operand))
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
            return (_BINARY[type(operator)], inside(left), inside(right))
        case ast.BinOp(op=ast.BitXor()):
            raise FormulaError("`^` is not an operator of formulas", "write a power as `x**2`")
        case ast.BoolOp(op=operator, values=values):
            return ("and" if isinstance(operator, ast.And) else "or", *map(inside, values))
        case ast.Compare(left=left, ops=operators, comparators=others):
            return _compare([left, *others], operators, inside)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, arguments, inside)
    raise FormulaError(f"`{ast.unparse(node)}` has no meaning in a formula")


def _number(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FormulaError("a number of the formula is too large")
    return number


def _variable(name: str, variables: Collection[str]) -> Expression:
    if name in variables:
        return name
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name in FUNCTIONS:
        raise FormulaError(f"`{name}` is a function", f"write {name}(…)")
    hint = suggest(name, [*variables, *CONSTANTS])
    raise FormulaError(
        f"`{name}` is not a variable of the formula",
        hint or f"give its range: function(…, {name}=[-1, 1])",
    )


def _compare(parts: list[ast.expr], operators: list[ast.cmpop], inside: Any) -> Expression:
    pairs: list[Expression] = []
    for left, operator, right in zip(parts, operators, parts[1:], strict=False):
        if type(operator) not in _COMPARE:
            raise FormulaError("only < <= > >= == != compare in a formula")
        pairs.append((_COMPARE[type(operator)], inside(left), inside(right)))
    return pairs[0] if len(pairs) == 1 else ("and", *pairs)


def _call(name: str, arguments: list[ast.expr], inside: Any) -> Expression:
    if name not in FUNCTIONS:
        hint = suggest(name, FUNCTIONS) or f"functions: {' '.join(FUNCTIONS)}"
        raise FormulaError(f"`{name}` is not a function of formulas", hint)
    wanted = FUNCTIONS[name]
    if len(arguments) != wanted:
        raise FormulaError(f"`{name}` takes {wanted} arguments, not {len(arguments)}")
    return (name, *map(inside, arguments))


def _names(expression: Expression, seen: set[str]) -> None:
    if isinstance(expression, str):
        seen.add(expression)
    elif isinstance(expression, tuple):
        for part in expression[1:]:
            _names(part, seen)
