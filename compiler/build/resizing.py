"""New pixels among the old ones along an axis: which each of them reads, and how much of each.

Places are fractions of whole numbers, so that no rounding moves a pixel over a border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from ...spec.dims import Dim, exact_quotient
from ..ir.builder import Builder
from ..ir.types import Shape

KEYS = -0.75  # slope of the cubic at distance 1, as in PyTorch and OpenCV
SMOOTH = -0.5  # of that which smooths, as in Pillow
TERMS = {"nearest": 1, "bilinear": 2, "bicubic": 4}
BY_RATIO = ("nearest", "area")  # modes in which a new pixel is a part of the axis
UNROLLED = 48  # terms that a kernel adds up one after another


@dataclass(frozen=True, slots=True)
class Grid:
    """`size` new pixels along an axis of `extent` old ones; `smooth`: the more of these are read
    the smaller the image becomes.
    """

    b: Builder
    size: Dim
    extent: Dim
    mode: str
    corners: bool = False
    smooth: bool = False

    def ratio(self) -> tuple[int, int] | None:
        """Old pixels to new ones, where that is known."""
        if isinstance(self.extent, int) and isinstance(self.size, int):
            return self.extent, self.size
        more, less = exact_quotient(self.extent, self.size), exact_quotient(self.size, self.extent)
        if isinstance(more, int):
            return more, 1
        return (1, less) if isinstance(less, int) else None

    def _shares(self) -> tuple[Dim, Dim]:
        """Old pixels to new ones, in the smallest numbers that are known."""
        old, new = self.ratio() or (self.extent, self.size)
        if isinstance(old, int) and isinstance(new, int):
            common = math.gcd(old, new)
            return old // common, new // common
        return old, new

    def fits(self) -> bool:
        """Do whole numbers of 32 bits tell all places, where sizes are known?"""
        (old, new), last = self._shares(), self.size
        if not (isinstance(old, int) and isinstance(new, int) and isinstance(last, int)):
            return True
        return (2 * last + 5) * max(old, 1) + 5 * new < 1 << 31

    def band(self) -> tuple[int, int, int] | None:
        """`first` and `weights` of a band, and its `reads`; None where these are not known or many."""
        terms = self._terms()
        if terms is None or terms > UNROLLED:
            return None
        reads = self._reads()
        if reads is None or reads > UNROLLED:
            return None
        first = self._first(terms)
        shape: Shape = (terms, self.size)
        old = self.b.map("add", self.b.broadcast(first, (1,), shape), self.b.iota(shape, 0))
        return first, self._weights(old), reads

    def along(self, x: int, axis: int, name: str) -> int:
        """An axis of x in its new size: the old pixels that each new one reads are added up; all
        of them where they are not known.
        """
        b, band = self.b, self.band()
        if band is None:
            letters = "abcdefgh"[: len(b[x].shape)]
            result = letters.replace(letters[axis], "o")
            return b.contract(f"{letters[axis]}o,{letters}->{result}", self.matrix(), x, name=name)
        first, weights, reads = band
        found = b.insert("band", (x, first, weights), name, axis=axis, reads=reads)
        b.rename(b[found].operands[0] if b[found].op == "transpose" else found, name)
        return found

    def part(self, new: int) -> tuple[int, int]:
        """The part of the axis that new pixels are: where it begins, and where it ends."""
        old, made = self._shares()
        of = self._positive(made, self.b[new].shape)
        behind = self._plus(self._times(self._plus(new, 1), old), made - 1)
        ends = self._times(new, old), behind
        begin, end = (self.b.map("floordiv", each, of) for each in ends)
        return begin, end

    def matrix(self) -> int:
        """The weights of all old pixels, [extent, size]."""
        return self._weights(self.b.iota((self.extent, self.size), 0))

    # ---- how many ----------------------------------------------------------------------------

    def _terms(self) -> int | None:
        """How many old pixels a new one reads."""
        if self.mode == "area":
            return longest(self.extent, self.size)
        terms = TERMS[self.mode]
        if self.smooth:
            ratio = self.ratio()
            if ratio is None:
                return None
            terms = -(-terms * max(ratio) // ratio[1])
        return min(terms, self.extent) if isinstance(self.extent, int) else terms

    def _reads(self) -> int | None:
        """How many new pixels read an old one at most; of open sizes, from what small ones show,
        as only borders differ.
        """
        if isinstance(self.extent, int) and isinstance(self.size, int):
            return self._counted()
        ratio, terms = self.ratio(), self._terms()
        if ratio is None or terms is None or self.corners:
            return None
        more, less = ratio
        aside = Builder(self.b.ops, self.b.rules)
        sizes = range(1, 2 * terms + 4)
        small = (replace(self, b=aside, extent=more * n, size=less * n) for n in sizes)
        return max(grid._counted() for grid in small)

    def _counted(self) -> int:
        terms = self._terms()
        assert terms is not None and isinstance(self.extent, int)
        first = numbers(self.b, self._first(terms))
        old = np.arange(self.extent)
        seen = np.searchsorted(first, old, "right") - np.searchsorted(first + terms, old, "right")
        return int(seen.max())

    # ---- where -------------------------------------------------------------------------------

    def _whole(self, dim: Dim, shape: Shape) -> int:
        b = self.b
        if isinstance(dim, int):
            return b.constant(dim, "i32")
        return b.broadcast(b.cast(b.size(dim), "i32"), (), shape)

    def _times(self, x: int, dim: Dim) -> int:
        return self.b.map("mul", x, self._whole(dim, self.b[x].shape))

    def _plus(self, x: int, dim: Dim) -> int:
        return self.b.map("add", x, self._whole(dim, self.b[x].shape))

    def _least(self, x: int, dim: Dim) -> int:
        return self.b.map("minimum", x, self._whole(dim, self.b[x].shape))

    def _within(self, x: int, last: Dim) -> int:
        """Not before the first old pixel, nor behind one."""
        b = self.b
        if not isinstance(last, int):
            end = b.map("maximum", self._whole(last, b[x].shape), b.constant(0, "i32"))
            return b.map("maximum", b.map("minimum", x, end), b.constant(0, "i32"))
        return b.map("maximum", self._least(x, max(last, 0)), b.constant(0, "i32"))

    def _positive(self, dim: Dim, shape: Shape) -> int:
        """A size to divide by."""
        if isinstance(dim, int):
            return self._whole(max(dim, 1), shape)
        return self.b.map("maximum", self._whole(dim, shape), self.b.constant(1, "i32"))

    def _place(self, new: int) -> tuple[int, int]:
        """Of new pixels, how many old pixels they lie behind the first: a fraction."""
        shape, (old, made) = self.b[new].shape, self._shares()
        if self.mode in BY_RATIO:
            return self._times(new, old), self._positive(made, shape)
        if self.corners:
            return self._times(new, self.extent - 1), self._positive(self.size - 1, shape)
        return self._plus(self._middle(new), -made), self._positive(2 * made, shape)

    def _middle(self, new: int) -> int:
        """Twice as many times what lies in front of the middle of new pixels as there are shares."""
        return self._times(self._plus(self._times(new, 2), 1), self._shares()[0])

    def _first(self, terms: int) -> int:
        """The first old pixel that each new one reads."""
        b = self.b
        new = b.iota((self.size,), 0)
        if self.smooth:
            made, shape = self._shares()[1], b[new].shape
            middle = self._plus(self._middle(new), made)
            middle = b.map("sub", middle, self._larger(TERMS[self.mode], shape))
            base = b.map("floordiv", middle, self._positive(2 * made, shape))
        else:
            base = b.map("floordiv", *self._place(new))
            if self.mode == "bicubic":
                base = self._plus(base, -1)
        return b.rename(self._within(base, self.extent - terms), "pixel")

    def _larger(self, times: int, shape: Shape) -> int:
        """So many times the larger one of both shares."""
        old, new = self._shares()
        if isinstance(old, int) and isinstance(new, int):
            return self._whole(times * max(old, new), shape)
        return self.b.map("maximum", *(self._whole(times * share, shape) for share in (old, new)))

    # ---- how much ----------------------------------------------------------------------------

    def _weights(self, old: int) -> int:
        """Of the old pixels [rows, size], those which each new pixel reads: f32 of that shape."""
        new = self.b.iota(self.b[old].shape, 1)
        if self.smooth:
            found = self._smoothed(old, new)
        elif self.mode == "nearest":
            hit = self.b.map("eq", old, self.b.map("floordiv", *self._place(new)))
            found = self.b.cast(hit, "f32")
        elif self.mode == "area":
            found = self._mean(old, new)
        elif self.mode == "bilinear":
            found = self._linear(old, self._place(new))
        else:
            found = self._cubic(old, self._place(new))
        return self.b.rename(found, "weights")

    def _fraction(self, x: int, of: int) -> int:
        return self.b.map("div", self.b.cast(x, "f32"), self.b.cast(of, "f32"))

    def _mean(self, old: int, new: int) -> int:
        b = self.b
        begin, end = self.part(new)
        inside = b.map("and", b.map("ge", old, begin), b.map("lt", old, end))
        count = b.cast(b.map("sub", end, begin), "f32")
        return b.map("where", inside, b.map("div", b.constant(1.0), count), 0.0)

    def _linear(self, old: int, place: tuple[int, int]) -> int:
        b, (number, of) = self.b, place
        number = b.map("maximum", number, b.constant(0, "i32"))
        number = b.map("minimum", number, self._times(of, self.extent - 1))
        apart = b.map("abs", b.map("sub", number, b.map("mul", old, of)))
        distance = self._fraction(apart, of)
        return b.map("maximum", b.map("sub", b.constant(1.0), distance), 0.0)

    def _cubic(self, old: int, place: tuple[int, int]) -> int:
        """Old pixels at the border have the weights of all that would lie beyond, too."""
        b, (number, of) = self.b, place
        base = b.map("floordiv", number, of)
        past = self._fraction(b.map("sub", number, b.map("mul", base, of)), of)
        parts = []
        for step in range(-1, 3):
            weight = cubic(b, b.map("abs", b.map("sub", past, float(step))), KEYS, far=step in (-1, 2))
            seen = self._within(self._plus(base, step), self.extent - 1)
            parts.append(b.map("where", b.map("eq", seen, old), weight, 0.0))
        return reduce(lambda one, other: b.map("add", one, other), parts)

    def _smoothed(self, old: int, new: int) -> int:
        """The weights of a filter as wide as the new pixels are, where these are wider than old
        ones: together 1.
        """
        b, shape = self.b, self.b[old].shape
        middle = self._times(self._plus(self._times(old, 2), 1), self._shares()[1])
        apart = b.map("abs", b.map("sub", middle, self._middle(new)))
        distance = self._fraction(apart, self._larger(2, shape))
        if self.mode == "bilinear":
            found = b.map("maximum", b.map("sub", b.constant(1.0), distance), 0.0)
        else:
            near, far = (cubic(b, distance, SMOOTH, far=far) for far in (False, True))
            found = b.map("where", b.map("lt", distance, 1.0), near, far)
            found = b.map("where", b.map("lt", distance, 2.0), found, 0.0)
        found = b.map("where", b.map("lt", old, self._whole(self.extent, shape)), found, 0.0)
        return b.map("div", found, b.broadcast(b.sum(found, (0,)), (1,), shape))


def longest(extent: Dim, parts: Dim) -> int | None:
    """The number of elements of the longest part, where that is known."""
    share = exact_quotient(extent, parts)
    if isinstance(share, int):
        return share
    if exact_quotient(parts, extent) is not None:
        return 1
    if not isinstance(extent, int) or not isinstance(parts, int):
        return None
    return max(-(-(i + 1) * extent // parts) - i * extent // parts for i in range(parts))


def cubic(b: Builder, distance: int, slope: float, *, far: bool) -> int:
    """The weights of pixels at distances up to 1, or from 1 to 2 (`far`).

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    d = distance
    if far:
        inner = b.map("add", b.map("mul", b.map("sub", d, 5.0), d), 8.0)
        return b.map("mul", b.map("sub", b.map("mul", inner, d), 4.0), slope)
    inner = b.map("sub", b.map("mul", d, slope + 2), slope + 3)
    return b.map("add", b.map("mul", inner, b.map("mul", d, d)), 1.0)


def numbers(b: Builder, i: int) -> Any:
    """The numbers of a value that is made of numbers and positions alone."""
    node = b[i]
    operands = (numbers(b, o) for o in node.operands)
    return b.ops[node.op].reference(*operands, **dict(node.attributes))
