"""Spells dims for people, as Python and as C."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .polynomial import (
    Dim,
    Monomial,
    Polynomial,
    Quotient,
    Symbol,
    atom_dim,
    bounds,
    sign,
    terms_of,
)


def python_expression(dim: Dim, names: Mapping[str, str] | None = None) -> str:
    """A Python expression of the dim, its symbols renamed by `names`."""
    return _show(dim, _Python(names or {}))


def c_expression(dim: Dim, names: Mapping[str, str] | None = None) -> str:
    """A C expression of the dim over signed integer variables, its symbols renamed by `names`."""
    return _show(dim, _C(names or {}))


def readable(dim: Dim) -> str:
    """The dim for people: `H/4` where that is whole, `H//4` where it is rounded down."""
    return _show(dim, _People({}))


@dataclass(frozen=True, slots=True)
class _Python:
    """Spells dims for Python."""

    names: Mapping[str, str]
    divide = "//"

    def power(self, name: str, power: int) -> str:
        return name if power == 1 else f"{name}**{power}"

    def floordiv(self, atom: Quotient) -> str:
        top, bottom = _whole(atom)
        return f"{_factor(top, self)}//{_factor(bottom, self)}"


@dataclass(frozen=True, slots=True)
class _C:
    """Spells dims for C, where `/` rounds towards zero."""

    names: Mapping[str, str]
    divide = "/"

    def power(self, name: str, power: int) -> str:
        return "*".join([name] * power)

    def floordiv(self, atom: Quotient) -> str:
        whole, under = _whole(atom)
        top, bottom = _factor(whole, self), _factor(under, self)
        low, _ = bounds(atom.numerator)
        if low is not None and low >= 0 and sign(atom.divisor) == 1:
            return f"{top}/{bottom}"
        if sign(atom.divisor) == 1:
            return f"({top}/{bottom} - ({top}%{bottom} < 0))"
        return f"({top}/{bottom} - ({top}%{bottom} != 0 && ({top} < 0) != ({bottom} < 0)))"


@dataclass(frozen=True, slots=True)
class _People(_Python):
    """Spells dims for people."""

    divide = "/"


_Spelling: TypeAlias = _Python | _C


def _show(dim: Dim, spell: _Spelling) -> str:
    if isinstance(dim, int):
        return str(dim)
    remainder = _as_remainder(dim, spell) if isinstance(spell, _Python) else None
    if remainder is not None:
        return remainder
    terms = sorted(dim.terms, key=lambda term: term[1] < 0)
    if terms[0][0] == () and dim.terms[0][1] > 0:
        terms = list(dim.terms)
    text = ""
    for monomial, c in terms:
        shown = _show_term(monomial, abs(c), spell)
        if text:
            text += f" {'-' if c < 0 else '+'} {shown}"
        elif c < 0:
            text = f"-({shown})" if _is_bare_quotient(monomial, c) else f"-{shown}"
        else:
            text = shown
    return text


def _is_bare_quotient(monomial: Monomial, coefficient: int) -> bool:
    """Whether the term is spelt `a//b`, which binds no tighter than a sign before it."""
    if abs(coefficient) != 1 or len(monomial) != 1:
        return False
    atom, power = monomial[0]
    return isinstance(atom, Quotient) and power == 1


def _scale(monomial: Monomial) -> int:
    """How many times a term is too large when its symbols stand for sizes, not for units."""
    return math.prod(a.multiple**p for a, p in monomial if isinstance(a, Symbol))


def _whole(atom: Quotient) -> tuple[Dim, Dim]:
    """Both sides of a quotient, scaled until no unit is left: `(H//8)//2` is `H//16`."""
    if not isinstance(atom.divisor, int):
        return atom.numerator, atom.divisor
    parts = [
        scale // math.gcd(c, scale)
        for m, c in terms_of(atom.numerator).items()
        for scale in [_scale(m)]
    ]
    times = math.lcm(*parts)
    return atom.numerator * times, atom.divisor * times


def _show_term(monomial: Monomial, coefficient: int, spell: _Spelling) -> str:
    scale = _scale(monomial)
    common = math.gcd(coefficient, scale)
    count, under = coefficient // common, scale // common
    named = [
        spell.power(spell.names.get(a.name, a.name), p)
        for a, p in monomial
        if isinstance(a, Symbol)
    ]
    quotients = [(spell.floordiv(a), p) for a, p in monomial if isinstance(a, Quotient)]
    factors = ([str(count)] if count != 1 or not monomial else []) + named
    text = "*".join(factors) + (f"{spell.divide}{under}" if under != 1 else "")
    if not text and len(quotients) == 1 and quotients[0][1] == 1:
        return quotients[0][0]
    rest = [spell.power(f"({shown})", p) for shown, p in quotients]
    return "*".join(([text] if text else []) + rest)


def _factor(dim: Dim, spell: _Spelling) -> str:
    shown = _show(dim, spell)
    plain = shown.isidentifier() or (isinstance(dim, int) and dim >= 0)
    return shown if plain else f"({shown})"


def _as_remainder(dim: Polynomial, spell: _Spelling) -> str | None:
    """`c*(n % d) + rest` where the dim has `-c*d*(n//d)` in it and gets shorter by that."""
    for monomial, c in dim.terms:
        if len(monomial) != 1 or not isinstance(monomial[0][0], Quotient) or monomial[0][1] != 1:
            continue
        atom = monomial[0][0]
        if not isinstance(atom.divisor, int) or c % atom.divisor or c > 0:
            continue
        times = -c // atom.divisor
        rest = dim - times * (atom.numerator - atom.divisor * atom_dim(atom))
        if len(terms_of(rest)) >= len(dim.terms) - 1:
            continue
        shown = f"{_factor(atom.numerator, spell)}%{_factor(atom.divisor, spell)}"
        shown = shown if times == 1 else f"{times}*({shown})"
        if isinstance(rest, int) and rest == 0:
            return shown
        low, _ = bounds(rest)
        return f"{shown} + {_show(rest, spell)}" if low is not None and low > 0 else None
    return None
