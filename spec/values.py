"""What a compile-time value is."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard, Union

from .dims import Dim, Polynomial

Value: TypeAlias = Union[int, float, bool, str, Polynomial, "tuple[Value, ...]"]

LARGEST = 2**63 - 1
"""The greatest whole number."""

LONGEST = 100_000
"""Entries of a list."""


def is_value(value: object) -> TypeGuard[Value]:
    """Whether something is a compile-time value."""
    if isinstance(value, tuple):
        return all(is_value(item) for item in value)
    return isinstance(value, (int, float, str, Polynomial))


def is_number(value: object) -> TypeGuard[Dim | float]:
    """Whether one can calculate with a value."""
    return isinstance(value, (int, float, Polynomial)) and not isinstance(value, bool)


def is_dim(value: object) -> TypeGuard[Dim]:
    """Whether a value can be the size of an axis."""
    return isinstance(value, (int, Polynomial)) and not isinstance(value, bool)


def kind(value: object) -> str:
    """What a value is, for messages."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Polynomial):
        return f"the size {value}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value}"'
    return "a list" if isinstance(value, tuple) else "this"
