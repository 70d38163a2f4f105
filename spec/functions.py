"""The functions of compile-time values: `len min max sum abs round` and their like."""

from __future__ import annotations

import math
from collections.abc import Callable

from .dims import Dim, Polynomial, sign
from .values import LONGEST, Value, is_dim, is_number, kind


class Unfit(Exception):
    """A function was given something it does not take."""


def _numeric(value: Value) -> int | float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise Unfit(f"does not take {kind(value)}")


def _whole(value: Value) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Unfit(f"takes whole numbers, not {kind(value)}")


def _length(value: Value) -> int:
    if isinstance(value, (tuple, str)):
        return len(value)
    raise Unfit(f"takes a list, not {kind(value)}")


def _order(left: Dim | float, right: Dim | float) -> int:
    """-1, 0 or 1."""
    if isinstance(left, float) or isinstance(right, float):
        a, b = _numeric(left), _numeric(right)
        return (a > b) - (a < b)
    known = sign(left - right)
    if known is None:
        raise Unfit(f"cannot compare {left} and {right} at compile time")
    return known


def _extreme(wanted: int) -> Callable[..., Value]:
    """`min` or `max`, of several numbers or of one list of them."""

    def choose(*given: Value) -> Value:
        values = given[0] if len(given) == 1 and isinstance(given[0], tuple) else given
        if not values:
            raise Unfit("takes at least one number")
        best = values[0]
        for each in values:
            if not is_number(each) or not is_number(best):
                raise Unfit(f"does not take {kind(each)}")
            best = each if _order(each, best) == wanted else best
        return best

    return choose


def _sum(*given: Value) -> Value:
    """The sum of several numbers or of one list of them; of none it is 0."""
    values = given[0] if len(given) == 1 and isinstance(given[0], tuple) else given
    if any(isinstance(each, float) for each in values):
        return sum(_numeric(each) for each in values)
    total: Dim = 0
    for each in values:
        if not is_dim(each):
            raise Unfit(f"does not take {kind(each)}")
        total = total + each
    return total


def _absolute(value: Value) -> Value:
    if not isinstance(value, Polynomial):
        return abs(_numeric(value))
    known = sign(value)
    if known is None:
        raise Unfit(f"cannot tell the sign of {value}")
    return value * known


def _rounder(function: Callable[[float], int]) -> Callable[[Value], Value]:
    return lambda value: value if isinstance(value, Polynomial) else function(_numeric(value))


def _round(value: Value, digits: Value = 0) -> Value:
    if isinstance(value, Polynomial):
        return value
    return round(_numeric(value), _whole(digits)) if digits else round(_numeric(value))


def _range(*ends: Value) -> Value:
    numbers = range(*(_whole(end) for end in ends))
    if len(numbers) > LONGEST:
        raise Unfit(f"makes at most {LONGEST} numbers")
    return tuple(numbers)


FUNCTIONS: dict[str, tuple[Callable[..., Value], int, int]] = {
    "len": (_length, 1, 1),
    "min": (_extreme(-1), 1, LONGEST),
    "max": (_extreme(1), 1, LONGEST),
    "sum": (_sum, 1, LONGEST),
    "abs": (_absolute, 1, 1),
    "round": (_round, 1, 2),
    "floor": (_rounder(math.floor), 1, 1),
    "ceil": (_rounder(math.ceil), 1, 1),
    "range": (_range, 1, 3),
    "sqrt": (lambda value: math.sqrt(_numeric(value)), 1, 1),
    "exp": (lambda value: math.exp(_numeric(value)), 1, 1),
    "log": (lambda value: math.log(_numeric(value)), 1, 1),
}
"""Name to function, least and greatest number of arguments."""
