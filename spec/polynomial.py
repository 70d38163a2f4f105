"""Integer polynomials over symbols, with floor divisions as atoms, in a normal form.

Numerators of floor divisions are kept reduced: `(H + 3)//2` is `(H + 1)//2 + 1`, and
`((H + 1)//2 + 1)//2` is `(H + 3)//4`; `a % b` is `a - b*(a//b)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

MOST_TERMS = 4096  # of a product; larger is a mistake, not a shape
REMEMBERED = 1 << 14  # results of arithmetic: a network has few sizes, and works them out often


@dataclass(frozen=True, slots=True)
class Symbol:
    """One named size, as `multiple` times a whole unit."""

    name: str
    multiple: int = 1

    @property
    def key(self) -> tuple[object, ...]:
        """Orders atoms: symbols by name, then quotients."""
        return (0, self.name, self.multiple)


@dataclass(frozen=True, slots=True)
class Quotient:
    """`numerator // divisor`, where nothing more can be divided out."""

    numerator: Dim
    divisor: Dim

    @property
    def key(self) -> tuple[object, ...]:
        """Orders atoms: symbols by name, then quotients."""
        return (1, str(self.numerator), str(self.divisor))


Atom: TypeAlias = Symbol | Quotient
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]
Terms: TypeAlias = dict[Monomial, int]


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of coefficient times monomial that is not constant; made by `symbol` and arithmetic."""

    terms: tuple[tuple[Monomial, int], ...]
    _hash: int = field(default=0, init=False, compare=False, repr=False)

    def __hash__(self) -> int:
        """Worked out once: sizes are looked up by the ten thousands."""
        if not self._hash:
            object.__setattr__(self, "_hash", hash(self.terms) or 1)
        return self._hash

    def __add__(self, other: Dim) -> Dim:
        return _sum(self, other, 1) if _is_dim(other) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return _sum(self, other, -1) if _is_dim(other) else NotImplemented

    def __rsub__(self, other: Dim) -> Dim:
        return _sum(other, self, -1) if _is_dim(other) else NotImplemented

    def __neg__(self) -> Dim:
        return _normal({monomial: -c for monomial, c in self.terms})

    def __mul__(self, other: Dim) -> Dim:
        return _product(self, other) if _is_dim(other) else NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return _floordiv(self, other) if _is_dim(other) else NotImplemented

    def __rfloordiv__(self, other: Dim) -> Dim:
        return _floordiv(other, self) if _is_dim(other) else NotImplemented

    def __mod__(self, other: Dim) -> Dim:
        return self - other * _floordiv(self, other) if _is_dim(other) else NotImplemented

    def __rmod__(self, other: Dim) -> Dim:
        return other - self * _floordiv(other, self) if _is_dim(other) else NotImplemented

    def __pow__(self, exponent: int) -> Dim:
        if not isinstance(exponent, int) or isinstance(exponent, bool) or exponent < 0:
            return NotImplemented
        result: Dim = 1
        for _ in range(exponent):
            result = result * self
        return result

    def __str__(self) -> str:
        from .dim_text import python_expression  # the spelling is built on this module

        return python_expression(self)

    def __repr__(self) -> str:
        return f"<{self}>"


Dim: TypeAlias = int | Polynomial


# ---------------------------------------------------------------- arithmetic


def _is_dim(value: object) -> bool:
    return isinstance(value, (int, Polynomial)) and not isinstance(value, bool)


def terms_of(dim: Dim) -> Terms:
    if isinstance(dim, Polynomial):
        return dict(dim.terms)
    return {(): dim} if dim else {}


@lru_cache(REMEMBERED)
def _order(monomial: Monomial) -> tuple[object, ...]:
    """Graded lexicographic: higher degree first, then by atom. Fit for long division."""
    degree = sum(power for _, power in monomial)
    return (-degree, *((atom.key, -power) for atom, power in monomial))


def _normal(terms: Terms) -> Dim:
    kept = [(monomial, c) for monomial, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    kept.sort(key=lambda term: _order(term[0]))
    return Polynomial(tuple(kept))


@lru_cache(REMEMBERED)
def _sum(left: Dim, right: Dim, factor: int) -> Dim:
    terms = terms_of(left)
    for monomial, c in terms_of(right).items():
        terms[monomial] = terms.get(monomial, 0) + factor * c
    return _normal(terms)


def _times(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: item[0].key))


@lru_cache(REMEMBERED)
def _product(left: Dim, right: Dim) -> Dim:
    if isinstance(right, int) and isinstance(left, Polynomial):
        return Polynomial(tuple((m, c * right) for m, c in left.terms)) if right else 0
    mine, others = terms_of(left), terms_of(right)
    if len(mine) * len(others) > MOST_TERMS:
        raise OverflowError("a dim of too many terms")
    terms: Terms = {}
    for a, x in mine.items():
        for b, y in others.items():
            monomial = _times(a, b)
            terms[monomial] = terms.get(monomial, 0) + x * y
    return _normal(terms)


@lru_cache(REMEMBERED)
def _floordiv(dividend: Dim, divisor: Dim) -> Dim:
    if isinstance(divisor, int):
        if isinstance(dividend, int):
            return dividend // divisor
        if divisor == 0:
            raise ZeroDivisionError("division of a dim by zero")
        if divisor < 0:
            return _by_integer(-dividend, -divisor)
        return _by_integer(dividend, divisor)
    return _by_polynomial(dividend, divisor)


def _by_integer(dividend: Dim, divisor: int) -> Dim:
    """Coefficients leave by `divmod`, then the common factor, then a quotient inside a quotient."""
    if isinstance(dividend, int):
        return dividend // divisor
    whole = _normal({monomial: c // divisor for monomial, c in dividend.terms})
    rest = _normal({monomial: c % divisor for monomial, c in dividend.terms})
    if isinstance(rest, int):
        return whole
    common = math.gcd(divisor, *(c for monomial, c in rest.terms if monomial))
    if common > 1:
        divisor //= common
        rest = _normal({monomial: c // common for monomial, c in rest.terms})
        if divisor == 1 or isinstance(rest, int):
            return whole + rest // divisor
    inner = _lone_quotient(rest)
    if inner is not None and isinstance(inner.divisor, int):
        others = rest - atom_dim(inner)
        return whole + (inner.numerator + inner.divisor * others) // (inner.divisor * divisor)
    return whole + _quotient(rest, divisor)


def _by_polynomial(dividend: Dim, divisor: Polynomial) -> Dim:
    """Long division by the leading term; what remains is smaller in the monomial order."""
    if divisor.terms[0][1] < 0:
        negative = -divisor
        assert isinstance(negative, Polynomial)
        return _by_polynomial(-dividend, negative)
    lead, lead_coefficient = divisor.terms[0]
    whole: Dim = 0
    rest: Dim = 0
    left = dividend
    while not (isinstance(left, int) and left == 0):
        monomial, c = left.terms[0] if isinstance(left, Polynomial) else ((), left)
        part = _without(monomial, lead)
        count = c // lead_coefficient if part is not None else 0
        if part is not None and count:
            step = _normal({part: count})
            whole, left = whole + step, left - step * divisor
            c -= count * lead_coefficient
        if c:
            term = _normal({monomial: c})
            rest, left = rest + term, left - term
    if isinstance(rest, int) and rest == 0:
        return whole
    rest, reduced = _cancel(rest, divisor)
    if isinstance(reduced, int):
        return whole + rest // reduced
    return whole + _quotient(rest, reduced)


def _quotient(numerator: Dim, divisor: Dim) -> Dim:
    """An atom, or 0 where the numerator is shown to be below the divisor."""
    low, _ = bounds(numerator)
    if low is not None and low >= 0 and sign(divisor - numerator) == 1:
        return 0
    return atom_dim(Quotient(numerator, divisor))


def atom_dim(atom: Atom) -> Polynomial:
    return Polynomial(((((atom, 1),), 1),))


def _lone_quotient(dim: Polynomial) -> Quotient | None:
    """The only quotient in a dim, where it stands alone with coefficient 1."""
    found = [
        (monomial, c)
        for monomial, c in dim.terms
        if any(isinstance(a, Quotient) for a, _ in monomial)
    ]
    if len(found) != 1:
        return None
    (monomial, c), *_ = found
    atom, power = monomial[0]
    alone = len(monomial) == 1 and power == 1 and c == 1
    return atom if alone and isinstance(atom, Quotient) else None


def _without(monomial: Monomial, factor: Monomial) -> Monomial | None:
    """`monomial / factor`, or None where it does not divide."""
    powers = dict(monomial)
    for atom, power in factor:
        left = powers.get(atom, 0) - power
        if left < 0:
            return None
        powers[atom] = left
    return tuple((atom, power) for atom, power in powers.items() if power)


def _cancel(numerator: Dim, divisor: Polynomial) -> tuple[Dim, Dim]:
    """Both sides without the number and the monomial they share."""
    terms = list(terms_of(numerator).items()) + list(divisor.terms)
    number = math.gcd(*(c for _, c in terms))
    shared = dict(terms[0][0])
    for monomial, _ in terms[1:]:
        powers = dict(monomial)
        shared = {a: min(p, powers[a]) for a, p in shared.items() if a in powers}
    common = tuple(shared.items())

    def reduce(dim: Dim) -> Dim:
        return _normal({_without(m, common) or (): c // number for m, c in terms_of(dim).items()})

    return reduce(numerator), reduce(divisor)


# ---------------------------------------------------------------- bounds


def bounds(dim: Dim) -> tuple[int | None, int | None]:
    """The least and the greatest value a dim can be shown to have; None where there is no bound."""
    if isinstance(dim, int):
        return dim, dim
    low: int | None = 0
    high: int | None = 0
    for monomial, coefficient in dim.terms:
        least, most = _monomial_bounds(monomial)
        if coefficient < 0:
            least, most = most, least
        low = None if low is None or least is None else low + coefficient * least
        high = None if high is None or most is None else high + coefficient * most
    if any(isinstance(a, Quotient) for monomial, _ in dim.terms for a, _ in monomial):
        low = _larger(low, _relaxed_low(dim))
        below = _relaxed_low(-dim)
        high = high if below is None else -below if high is None else min(high, -below)
    return low, high


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _relaxed_low(dim: Dim) -> int | None:
    """A bound from `n/d - (d-1)/d <= n//d <= n/d`, which knows that `H - H//2` is not negative."""
    relaxed = _relaxed(dim)
    if relaxed is None or any(c < 0 for monomial, c in relaxed.items() if monomial):
        return None
    return math.ceil(sum(relaxed.values()))  # every symbol is at least 1 unit


def _relaxed(dim: Dim) -> dict[Monomial, Fraction] | None:
    """A polynomial without quotients that is nowhere above the dim."""
    result: dict[Monomial, Fraction] = {}
    for monomial, c in terms_of(dim).items():
        part: dict[Monomial, Fraction] | None = {monomial: Fraction(1)}
        if any(isinstance(atom, Quotient) for atom, _ in monomial):
            part = _relaxed_quotient(monomial, c > 0)
        if part is None:
            return None
        for each, factor in part.items():
            result[each] = result.get(each, Fraction(0)) + c * factor
    return result


def _relaxed_quotient(monomial: Monomial, below: bool) -> dict[Monomial, Fraction] | None:
    """A polynomial below a quotient, or above it."""
    ((atom, power), *others) = monomial
    if others or power != 1 or not isinstance(atom, Quotient) or not isinstance(atom.divisor, int):
        return None
    divisor = atom.divisor
    relaxed = _relaxed(atom.numerator if below else -atom.numerator)
    if relaxed is None:
        return None
    side = 1 if below else -1
    part = {each: side * factor / divisor for each, factor in relaxed.items()}
    if below:
        part[()] = part.get((), Fraction(0)) - Fraction(divisor - 1, divisor)
    return part


def sign(dim: Dim) -> int | None:
    """-1, 0 or 1 where the sign of a dim can be shown, otherwise None."""
    low, high = bounds(dim)
    if low is not None and low > 0:
        return 1
    if high is not None and high < 0:
        return -1
    return 0 if low == high == 0 else None


def _monomial_bounds(monomial: Monomial) -> tuple[int | None, int | None]:
    low, high = 1, None if monomial else 1
    bounded = True
    for atom, power in monomial:
        least, most = _atom_bounds(atom)
        if least is None or least < 0:
            return None, None
        low *= least**power
        if most is None:
            bounded = False
        elif bounded:
            high = (high or 1) * most**power
    return low, high if bounded else None


def _atom_bounds(atom: Atom) -> tuple[int | None, int | None]:
    if isinstance(atom, Symbol):
        return 1, None
    low, high = bounds(atom.numerator)
    least, most = bounds(atom.divisor)
    if least is None or least < 1 or low is None:
        return None, None
    if low < 0:
        return low // least, None if high is None else max(0, high // least)
    return (0 if most is None else low // most), None if high is None else high // least
