"""Values known at compile time: params, signatures, loop names, literals, and arithmetic on them.

`evaluate` walks the tree; there is no Python `eval`. Whoever evaluates more than static values
(tensors, layers) meets `NotStatic` where an expression needs one of those, and can use `unary`,
`binary`, `index` and `apply` for the static parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn

from .dims import Dim, Polynomial, sign
from .dims import equal as dims_equal
from .errors import Diagnostic, SpecError, suggest
from .expressions import (
    Binary,
    Boolean,
    Call,
    Choice,
    Expr,
    Index,
    ListOf,
    Name,
    Number,
    Slice,
    Text,
    TupleOf,
    Unary,
)
from .functions import FUNCTIONS, Unfit
from .place import Place
from .values import LARGEST, LONGEST, Value, is_dim, is_number, is_value, kind

__all__ = [
    "FUNCTIONS",
    "NotStatic",
    "Value",
    "apply",
    "binary",
    "evaluate",
    "index",
    "is_value",
    "kind",
    "truth",
    "unary",
    "unknown_name",
]

SPELT = {
    "True": "true",
    "yes": "true",
    "on": "true",
    "False": "false",
    "no": "false",
    "off": "false",
}
STEEPEST = 8  # power of a size
ORDERED = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}


class NotStatic(Exception):
    """An expression holds what is no compile-time value: a tensor, a layer, an operation."""

    def __init__(self, expr: Expr) -> None:
        self.expr = expr
        super().__init__("not known at compile time")


def evaluate(expr: Expr, names: Mapping[str, object]) -> Value:
    """The value of an expression where `names` are bound.

    Raises:
        SpecError: an unknown name, types that do not fit, division by zero, a number out of range.
        NotStatic: a name bound to something else than a `Value`, or a call of no static function.
    """
    match expr:
        case Number(place=place):
            return _number(expr.value, place)
        case Text(value) | Boolean(value):
            return value
        case Name(name, place):
            return _lookup(expr, name, names, place)
        case ListOf(items) | TupleOf(items):
            return tuple(evaluate(item, names) for item in items)
        case Unary(operator, operand, place):
            return unary(operator, evaluate(operand, names), place)
        case Binary("and" | "or" as operator, left, right):
            return _connect(operator, left, right, names)
        case Binary(operator, left, right, place):
            return binary(operator, evaluate(left, names), evaluate(right, names), place)
        case Choice(condition, then, otherwise):
            chosen = truth(evaluate(condition, names), condition.place)
            return evaluate(then if chosen else otherwise, names)
        case Index(value, subscripts, place):
            return index(
                evaluate(value, names), [_subscript(each, names) for each in subscripts], place
            )
        case Call(name, _, _, place) if name in names:
            hidden = "rename the param: it hides the function of that name"
            hint = hidden if name in FUNCTIONS else None
            _fail("E302", f"`{name}` is a param, not an operation", place.first(len(name)), hint)
        case Call(name, positional, (), place) if name in FUNCTIONS:
            return apply(name, [evaluate(each, names) for each in positional], place)
    raise NotStatic(expr)


def unary(operator: str, operand: Value, place: Place) -> Value:
    """`not a` or `-a`."""
    if operator == "not":
        return not truth(operand, place)
    if isinstance(operand, (int, float, Polynomial)) and not isinstance(operand, bool):
        return -operand
    _fail("E311", f"`-` does not take {kind(operand)}", place)


def binary(operator: str, left: Value, right: Value, place: Place) -> Value:
    """`a + b` and its like; `and` and `or` too, once both sides have a value."""
    match operator:
        case "and":
            return truth(left, place) and truth(right, place)
        case "or":
            return truth(left, place) or truth(right, place)
        case "==" | "!=":
            return _same(left, right, place) == (operator == "==")
        case "<" | "<=" | ">" | ">=":
            return _ordered(operator, left, right, place)
    if is_number(left) and is_number(right):
        return _arithmetic(operator, left, right, place)
    joined = _join(operator, left, right)
    if joined is None:
        _fail("E311", f"`{operator}` does not take {kind(left)} and {kind(right)}", place)
    if len(joined) > LONGEST:
        _fail("E313", f"a list of more than {LONGEST} entries", place)
    return joined


def index(value: Value, subscripts: Sequence[Value | slice], place: Place) -> Value:
    """`a[i]` or `a[i:j]` of a list; several subscripts go inwards."""
    for each in subscripts:
        if not isinstance(value, tuple):
            _fail("E311", f"{kind(value)} has no entries", place, "only lists are indexed here")
        if isinstance(each, slice):
            value = value[each]
        elif isinstance(each, bool) or not isinstance(each, int):
            _fail("E311", f"a list takes whole numbers as an index, not {kind(each)}", place)
        elif not -len(value) <= each < len(value):
            count = f"{len(value)} {'entry' if len(value) == 1 else 'entries'}"
            _fail(
                "E314", f"index {each} of a list of {count}", place, "the first entry has index 0"
            )
        else:
            value = value[each]
    return value


def apply(name: str, arguments: Sequence[Value], place: Place) -> Value:
    """One of the static `FUNCTIONS`."""
    function, least, most = FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        many = f"{least} to {most}" if most < LONGEST else f"at least {least}"
        count = str(least) if least == most else many
        _fail("E315", f"`{name}` takes {count} argument(s), got {len(arguments)}", place)
    try:
        result = function(*arguments)
    except Unfit as unfit:
        _fail("E311", f"`{name}` {unfit}", place)
    except (OverflowError, ValueError):
        shown = ", ".join(str(each) for each in arguments)
        _fail("E313", f"`{name}({shown})` is not a finite number", place)
    return _number(result, place) if is_number(result) else result


def truth(value: Value, place: Place) -> bool:
    """A condition."""
    if not isinstance(value, bool):
        _fail(
            "E311", f"a condition is true or false, not {kind(value)}", place, "compare it: `n > 0`"
        )
    return value


def unknown_name(name: str, known: Iterable[str], place: Place) -> SpecError:
    """The error for a name nobody defined."""
    hint = f"it is written `{SPELT[name]}`" if name in SPELT else suggest(name, known)
    return SpecError(Diagnostic("E301", f"unknown name `{name}`", place, hint))


# ---------------------------------------------------------------- parts of evaluate


def _lookup(expr: Expr, name: str, names: Mapping[str, object], place: Place) -> Value:
    if name not in names:
        raise unknown_name(name, names, place)
    value = names[name]
    if not is_value(value):
        raise NotStatic(expr)
    return value


def _connect(operator: str, left: Expr, right: Expr, names: Mapping[str, object]) -> bool:
    first = truth(evaluate(left, names), left.place)
    if first == (operator == "or"):
        return first
    return truth(evaluate(right, names), right.place)


def _subscript(expr: Expr, names: Mapping[str, object]) -> Value | slice:
    if not isinstance(expr, Slice):
        return evaluate(expr, names)
    ends = [None if end is None else evaluate(end, names) for end in (expr.start, expr.stop)]
    for end in ends:
        if end is not None and (isinstance(end, bool) or not isinstance(end, int)):
            _fail("E311", f"a slice takes whole numbers, not {kind(end)}", expr.place)
    return slice(*ends)


def _same(left: Value, right: Value, place: Place) -> bool:
    if is_dim(left) and is_dim(right):
        return _decided(dims_equal(left, right), "==", left, right, place)
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return left == right


def _ordered(operator: str, left: Value, right: Value, place: Place) -> bool:
    if is_dim(left) and is_dim(right):
        found = sign(left - right)
        answer = None if found is None else found in ORDERED[operator]
        return _decided(answer, operator, left, right, place)
    plain = not isinstance(left, bool) and not isinstance(right, bool)
    if plain and isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return ((left > right) - (left < right)) in ORDERED[operator]
    _fail("E311", f"`{operator}` does not take {kind(left)} and {kind(right)}", place)


def _decided(answer: bool | None, operator: str, left: Value, right: Value, place: Place) -> bool:
    if answer is None:
        _fail(
            "E310",
            f"whether {left} {operator} {right} is not known at compile time",
            place,
            "give the axis a number in the type of the input",
        )
    return answer


def _arithmetic(operator: str, left: Dim | float, right: Dim | float, place: Place) -> Value:
    symbolic = isinstance(left, Polynomial) or isinstance(right, Polynomial)
    if symbolic and (operator == "/" or isinstance(left, float) or isinstance(right, float)):
        hint = (
            "sizes divide with `//`"
            if operator == "/"
            else "sizes are whole: use `//`, `*`, `+`, `-`"
        )
        _fail("E311", f"`{operator}` does not take {kind(left)} and {kind(right)}", place, hint)
    if operator == "**" and (symbolic or isinstance(left, int)) and isinstance(right, int):
        _check_power(left, right, place)
    try:
        result = ARITHMETIC[operator](left, right)
    except ZeroDivisionError:
        _fail("E312", f"division by zero: {left}{operator}{right}", place)
    except (OverflowError, TypeError):
        _fail("E313", f"{left}{operator}{right} is out of range", place)
    if isinstance(result, complex):
        _fail("E311", f"({left})**{right} is not a real number", place)
    return _number(result, place)


ARITHMETIC: dict[str, Callable[..., Dim | float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
}


def _check_power(base: Dim | float, exponent: int, place: Place) -> None:
    """Refuse what would take long to compute, before computing it."""
    size = 2 if isinstance(base, Polynomial) else int(abs(base)).bit_length()
    most = STEEPEST if isinstance(base, Polynomial) else LARGEST.bit_length()
    if (size > 1 and exponent > most) or (isinstance(base, Polynomial) and exponent < 0):
        _fail("E313", f"{base}**{exponent} is out of range", place)


def _join(operator: str, left: Value, right: Value) -> tuple[Value, ...] | str | None:
    if operator == "+" and isinstance(left, tuple) and isinstance(right, tuple):
        return left + right
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if operator == "*" and isinstance(right, tuple):
        left, right = right, left
    if operator == "*" and isinstance(left, tuple) and isinstance(right, int):
        return left * (right if len(left) * right <= LONGEST else LONGEST + 1)
    return None


def _number(value: Value, place: Place) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        _fail("E313", "a number out of range", place)
    if isinstance(value, Polynomial) and any(abs(c) > LARGEST for _, c in value.terms):
        _fail("E313", "a size out of range", place)
    if isinstance(value, int) and abs(value) > LARGEST:
        _fail("E313", "a whole number out of range", place, "the largest is 2**63 - 1")
    return value


def _fail(code: str, message: str, place: Place, hint: str | None = None) -> NoReturn:
    raise SpecError(Diagnostic(code, message, place, hint))
