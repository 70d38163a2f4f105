"""What a stage calls: launches with what carries them out, and how their domains are walked."""

from __future__ import annotations

from dataclasses import dataclass

from ....spec.dims import Dim
from ...plan.launch import Launch
from ...plan.layout import padded_symbol
from ...plan.memory import Home
from ...plan.product import Index, Product
from ...plan.schedule import PARTS
from ..loops import Kernel
from ..names import c_expression
from .printer import Signature

WAITING, ADDING = 0, 1
"""Laps of the clock: at barriers, and for adding up parts; those of kernels follow."""


@dataclass(frozen=True, slots=True)
class Call:
    """A launch with the kernel, the product or the record of windows that carries it out.

    `added`: the product is added to what lies in its place; `row`: it begins with that value;
    `loop` the function of a scan, and what it is called with before its pointers; `lap` the number
    of its region for the clock (clock.h).
    """

    launch: Launch
    kernel: tuple[Kernel, Signature] | None
    product: Product | None
    places: tuple[str, ...]
    windows: str = ""
    added: bool = False
    row: int | None = None
    loop: tuple[str, tuple[str, ...]] | None = None
    lap: int | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A domain in panels, and the parts of a sum over it: each spans `span` elements."""

    domain: Dim
    panel: int
    span: Dim = 0

    @property
    def chunks(self) -> str:
        """The number of chunks, in C."""
        if isinstance(self.domain, int):
            return str(-(-self.domain // self.panel))
        return f"({c_expression(self.domain)} + {self.panel - 1}) / {self.panel}"

    @property
    def most(self) -> int:
        """Parts at most."""
        return -(-self.domain // self.panel) if isinstance(self.domain, int) else PARTS

    @property
    def parts(self) -> str:
        """The number of parts, in C."""
        if isinstance(self.domain, int):
            return self.chunks
        return f"weft_parts({c_expression(self.domain)}, {self.panel}, {PARTS})"

    @property
    def stride(self) -> Dim:
        """Elements from one part to the next: whole cache lines."""
        return padded_symbol(self.span)


@dataclass(frozen=True, slots=True)
class Share:
    """The work of a stage among that of all domains which threads share between two barriers."""

    before: int
    own: int
    total: int


def walked(p: Product, letter: str) -> Index | None:
    """The loop of a product that runs along the domain of its launch."""
    return next((i for i in p.loops if letter and i.letter.startswith(letter)), None)


def place_in(area: str, home: Home, kind: str) -> str:
    """The address of a value in an area of floats."""
    text = area if home.offset == 0 else f"{area} + {c_expression(home.offset)}"
    return text if kind == "float" else f"({kind} *)({text})"
