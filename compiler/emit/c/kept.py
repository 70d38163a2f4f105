"""Products of a loop that read what is the same in all steps: it is rearranged once (kept.c)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ....spec.dims import Dim, exact_quotient
from ...ir.body import ROW
from ...plan.launch import Launch
from ...plan.product import Product, product_of
from ..names import c_expression
from .part import Part

PIECE = 768  # floats of the planes of 16 by 32 numbers
STRIP = 32  # columns that register tiles walk together


@dataclass(frozen=True, slots=True)
class Kept:
    """One product: `weight` is its right operand, `at` where that lies in the loop's memory.

    `rest`: rows of each sample; `parts`: of the columns, which are made side by side.  Units: `at`
    and `floats` in elements.
    """

    weight: str
    n: int
    k: int
    row: Dim
    column: Dim
    rest: Dim
    at: int
    parts: int = 1

    @property
    def floats(self) -> int:
        """Room for the operand as `weft_keep` leaves it, and for 16 rows of the left one."""
        steps = -(-self.k // 32)
        tiles = self.parts * -(-self.n // self.parts // 16)
        return max(tiles * steps * PIECE, -(-self.n // STRIP) * STRIP * self.k) + steps * PIECE

    @property
    def room(self) -> int:
        """Where the room for these rows begins."""
        return self.at + self.floats - -(-self.k // 32) * PIECE

    @property
    def how(self) -> str:
        """The variable that says how it was rearranged."""
        return f"how_{self.at}"

    @property
    def place(self) -> str:
        return f"memory + {self.at}" if self.at else "memory"

    def text(self) -> str:
        """What rearranges it, unless that is not worth it for so few steps."""
        rows = "samples" if self.rest == 1 else f"samples * ({c_expression(self.rest)})"
        row, column = c_expression(self.row), c_expression(self.column)
        sizes = f"{self.parts}, {self.n // self.parts}, {self.k}"
        made = f"weft_keep({rows}, {sizes}, {self.weight}, {row}, {column}"
        return f"const int {self.how} = steps > 2 ? {made}, {self.place}) : WEFT_AS_IT_IS;"


def kept_products(
    part: Part,
    launches: Iterable[Launch],
    steady: Mapping[int, str],
    parts: Mapping[int, int],
) -> dict[int, Kept]:
    """The products of a step that read what is the same in all of them, by node.

    `steady`: values that are the same for all samples and steps, and what they are called; `parts`:
    of the columns of a product.
    """
    found: dict[int, Kept] = {}
    at = 0
    for launch in launches:
        node = part.graph[launch.heavy] if launch.heavy is not None else None
        if node is None or node.op != "contract":
            continue
        p = product_of(part.graph, node, part.layout, launch.letter)
        weight, rest = steady.get(part.values.base(p.b)), exact_quotient(p.m.extent, ROW)
        if weight is None or rest is None or p.outer:
            continue
        if not isinstance(p.n.extent, int) or not isinstance(p.k.extent, int):
            continue
        own = parts.get(node.id, 1) if rest == 1 else 1
        kept = Kept(weight, p.n.extent, p.k.extent, p.k.b, p.n.b, rest, at, own)
        found[node.id] = kept
        at += kept.floats
    return found


def multiplied(p: Product, kept: Kept, m: str, sides: tuple[str, str, str], accumulate: str) -> str:
    """The call of a product with what was kept."""
    a, b, c = sides
    strides = [c_expression(s) for s in (p.m.a, p.k.a, p.k.b, p.n.b, p.m.c)]
    ar, ac, br, bc, cr = strides
    how = kept.how  # planes of parts are not what a plain product reads
    if kept.parts > 1:
        how = f"{how} == WEFT_AS_PLANES ? WEFT_AS_IT_IS : {how}"
    return (
        f"weft_gemm_again({m}, {kept.n}, {kept.k}, {a}, {ar}, {ac}, {b}, {br}, {bc}, {how}, "
        f"{kept.place}, {c}, {cr}, {accumulate}, scratch);"
    )
