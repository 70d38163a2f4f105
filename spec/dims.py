"""Symbolic dimensions: a `Dim` is an int or a `Polynomial` over symbols.

Every operation normalises, so two dims that are provably the same are `==`, and one that is
constant is an int. Symbols stand for sizes of at least 1. A symbol known to be a multiple of 8
(`H%8`) is kept as 8 times a whole unit, so `H//2` is exact and `2*(H//2) == H`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .dim_text import c_expression, python_expression, readable
from .polynomial import Dim, Polynomial, Symbol, bounds, sign

__all__ = [
    "Dim",
    "Polynomial",
    "bounds",
    "c_expression",
    "equal",
    "evaluate",
    "exact_quotient",
    "multiples",
    "numel",
    "python_expression",
    "readable",
    "shape_text",
    "sign",
    "substitute",
    "symbol",
    "symbols",
]


def symbol(name: str, multiple: int = 1) -> Polynomial:
    """The size called `name`; with `multiple`, one that is known to be divisible by it."""
    if multiple < 1:
        raise ValueError(f"{name}: a multiple of {multiple} is not a size")
    return Polynomial(((((Symbol(name, multiple), 1),), multiple),))


def numel(shape: Iterable[Dim]) -> Dim:
    """The number of elements of a shape."""
    result: Dim = 1
    for size in shape:
        result = result * size
    return result


def shape_text(shape: Iterable[Dim]) -> str:
    """A shape for people: `[B, 64, H/4, W/4]`."""
    return f"[{', '.join(map(readable, shape))}]"


def symbols(dim: Dim) -> frozenset[str]:
    """The names of the symbols in a dim."""
    return frozenset(found.name for found in _symbols(dim))


def multiples(dim: Dim) -> dict[str, int]:
    """What each symbol of a dim is known to be a multiple of."""
    return {found.name: found.multiple for found in _symbols(dim)}


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The number a dim stands for.

    Raises:
        KeyError: a symbol without a size.
        ValueError: a size that is not the multiple its symbol demands.
    """
    if isinstance(dim, int):
        return dim

    def unit(found: Symbol) -> int:
        size = sizes[found.name]
        if size % found.multiple:
            raise ValueError(f"{found.name} must be a multiple of {found.multiple}, got {size}")
        return size // found.multiple

    result = _fold(dim, unit)
    assert isinstance(result, int)
    return result


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """The dim with some of its symbols replaced.

    Raises:
        ValueError: a replacement that is not provably the multiple its symbol demands.
    """
    if isinstance(dim, int):
        return dim

    def unit(found: Symbol) -> Dim:
        if found.name not in bindings:
            return Polynomial(((((found, 1),), 1),))
        value = exact_quotient(bindings[found.name], found.multiple)
        if value is None:
            size = bindings[found.name]
            raise ValueError(f"{found.name} must be a multiple of {found.multiple}, got {size}")
        return value

    return _fold(dim, unit)


def exact_quotient(dim: Dim, divisor: Dim) -> Dim | None:
    """`dim / divisor` where that is provably whole, otherwise None."""
    if divisor == 0:
        return None
    quotient = dim // divisor
    return quotient if quotient * divisor == dim else None


def equal(left: Dim, right: Dim) -> bool | None:
    """Whether two dims are the same; None where that depends on sizes not known yet."""
    if left == right:
        return True
    return False if sign(left - right) in (1, -1) else None


def _symbols(dim: Dim) -> set[Symbol]:
    found: set[Symbol] = set()
    for monomial, _ in dim.terms if isinstance(dim, Polynomial) else ():
        for atom, _ in monomial:
            if isinstance(atom, Symbol):
                found.add(atom)
            else:
                found |= _symbols(atom.numerator) | _symbols(atom.divisor)
    return found


def _fold(dim: Dim, unit: Callable[[Symbol], Dim]) -> Dim:
    """The dim with each symbol's unit replaced."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, c in dim.terms:
        term: Dim = c
        for atom, power in monomial:
            if isinstance(atom, Symbol):
                value = unit(atom)
            else:
                value = _fold(atom.numerator, unit) // _fold(atom.divisor, unit)
            term = term * value**power
        total = total + term
    return total
