"""The order for one GEMM kernel: everything its text depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .contraction import Contraction, Sums, divides
from .kernel import ELEMENT_TYPES, Parameter
from .tiles import Tile


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """A contraction, its tile, and the text fused to it.

    `epilogue` is lines over the float32 block `product` and the names of
    `frame(contraction, tile)`; `parameters` are the pointers and numbers it needs beyond the
    operands.  `prologue_a` and `prologue_b` rewrite the loaded blocks `contraction.a_tile` and
    `b_tile` (0 outside the matrix, before and after), `before` is what they need of the rows and
    columns of the product, once; `others` are the former for the other products of the
    contraction.  `wide` makes row indices 64-bit, for buffers of 2**31 elements and more.
    `divisible` tells which named extents are multiples of 16.
    """

    name: str
    contraction: Contraction
    tile: Tile
    product: str
    epilogue: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    title: str
    places: tuple[str, ...] = ()
    precision: str = "tf32"
    prologue_a: tuple[str, ...] = ()
    prologue_b: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()
    sums: Sums | None = None
    wide: bool = False
    divisible: Mapping[str, bool] = field(default_factory=dict)

    @property
    def in_row(self) -> str | None:
        """The mask of the rows, None when it could never be false."""
        return None if divides(self.tile.rows, self.contraction.m) else "in_row"

    @property
    def in_column(self) -> str | None:
        """The mask of the columns, None when it could never be false."""
        return None if divides(self.tile.columns, self.contraction.n) else "in_column"

    @property
    def inside(self) -> str | None:
        """The mask of the whole block."""
        return " & ".join(filter(None, (self.in_row, self.in_column))) or None

    @property
    def matrix_row(self) -> str:
        """The name of the row index within one matrix."""
        return "m" if self.contraction.batch else "row"

    @property
    def element(self) -> str:
        """Triton's name for the operands' element type."""
        return ELEMENT_TYPES[self.contraction.a.dtype]

    @property
    def rowwise_sums(self) -> bool:
        """Whether the ride-along sums are those of the rows of a."""
        return self.sums is not None and self.sums.operand == "a"

    @property
    def sums_by_dot(self) -> bool:
        """Whether the sums come from a dot with ones; float32 is added in float32, never tf32."""
        return self.tile.form == "dot" and self.contraction.a.dtype != "f32"
