"""A group of fused values as the epilogue of the product it reads.

Legal when the group walks the product's rows and columns, reads it at its own place only, and folds
only rows that a block of the product holds whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ....spec.dims import Dim, evaluate, symbol
from ...plan.product import Product
from ..loops import Draw, Fold, Gather, Kernel, Let, Load, Statement, Store
from .axes import statements
from .blocks import extent
from .body import Body, Setting
from .contraction import Frame
from .heads import Heads
from .kernel import Factors
from .printer import Partial, decomposed, drop_unused
from .products import Names, row_wise
from .row_parts import Parted, Parts
from .spelling import product, symbol_arguments
from .template import call

COSTLY = ("exp", "erf", "tanh", "log", "sin", "cos", "pow", "sigmoid", "softplus")


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Lines over the block `product`, and what they need."""

    product: str
    lines: tuple[str, ...]
    partials: tuple[Partial, ...]
    streams: tuple[int, ...] = ()
    parted: tuple[Parted, ...] = ()


def attachable(kernel: Kernel, z: int, p: Product) -> bool:
    """May the prepared kernel follow the product `p` of the value `z` in one launch?"""
    if not row_wise(p) or not kernel.rows or len(kernel.columns) != 1:
        return False
    rows: Dim = p.m.extent
    for i in p.batch:
        rows = rows * i.extent
    if kernel.columns[0].extent != p.n.extent or extent(kernel.rows) != rows:
        return False
    name = next((b.name for b in kernel.buffers if b.value == z), None)
    loads = [s for s in statements(kernel) if isinstance(s, Load) and s.buffer == name]
    want = whole_index(kernel, p.n.extent)
    if not loads or any(
        dict(s.index.terms) != want or s.index.offset != 0 or s.guards for s in loads
    ):
        return False
    sums = [s for s in statements(kernel) if isinstance(s, Gather)]
    real = all(b.dtype == "f32" for b in kernel.buffers if b.name in {s.buffer for s in sums})
    return not sums or (real and isinstance(p.n.extent, int))


def whole_index(kernel: Kernel, columns: Dim) -> dict[object, Dim]:
    """The index of an element of whole rows."""
    want: dict[object, Dim] = {kernel.columns[0]: 1}
    step = columns
    for axis in reversed(kernel.rows):
        want[axis] = step
        step = step * axis.extent
    return want


def whole_rows(kernel: Kernel) -> bool:
    """Does the group need all columns of a row in one block?"""
    for s in statements(kernel):
        if isinstance(s, Fold):
            return True
        if isinstance(s, (Gather, Store)) and not any(
            t in kernel.columns for t, _ in s.index.terms
        ):
            return True
    return False


def pressure(kernel: Kernel | None, *, moments: bool, held: bool = False) -> int:
    """How much the epilogue, moments of the product among it, asks of the registers: see `room`.

    `held`: the product takes registers from what is made of it and of two more such blocks.
    """
    if kernel is None:
        return int(moments)
    body = statements(kernel)
    full = sum(isinstance(s, Load) and kernel.values[s.target].kind == "full" for s in body)
    costly = sum(isinstance(s, Draw) or (isinstance(s, Let) and s.function in COSTLY) for s in body)
    gathers = sum(isinstance(s, Gather) for s in body)
    sums = moments or gathers or any(isinstance(s, Fold) for s in body)
    if full > 3 or costly > 1 or (sums and costly):
        return 2
    return 2 if held and full > 2 and (costly or gathers > 1) else 1


class Writer:
    """Writes the epilogue of one product."""

    def __init__(
        self,
        kernel: Kernel,
        z: int,
        frame: Frame,
        names: Names,
        *,
        wide: bool,
        parted: bool = False,
        heads: Heads | None = None,
        indent: int = 4,
    ) -> None:
        self.heads, self.indent = heads, indent
        self.kernel, self.frame, self.names = kernel, frame, names
        self.parts: Parts | None = None
        if parted:
            rows = extent(kernel.rows)
            self.parts = Parts(kernel, frame, names.extent(rows, "rows"), rows)
        self.buffer = next(b.name for b in kernel.buffers if b.value == z)
        symbols = symbol_arguments(kernel)
        for name, argument in symbols.items():
            names.dims.setdefault(argument, symbol(name))
        self.symbols: Mapping[str, str] = symbols
        quad = "" if frame.whole_rows else "tile_n * (BN // 4)"
        setting = Setting(frame.in_row, frame.in_column, "BM", "BN", quad, symbols, wide, indent)
        self.body = Body(kernel, setting, self.gather, self.buffer)
        self.partials: list[Partial] = []

    def write(self, keep: str | None, named: Collection[str] = ()) -> Epilogue:
        """`keep`: the buffer in which the product itself is stored for other readers; `named`: what
        has a name afterwards.
        """
        seen: set[str] = set()
        body: list[Statement] = []
        for s in statements(self.kernel):
            target = getattr(s, "target", None)
            if target is None or target not in seen:
                body.append(s)
            if target is not None:
                seen.add(target)
        z = next(s.target for s in body if isinstance(s, Load) and s.buffer == self.buffer)
        if self.heads is not None:
            lines = self.heads.lines(self.body, body, self.frame)
        elif self.parts is not None:
            lines = self.parts.lines(self.body, body)
        else:
            lines = self.body.lines(body, named)
        if keep:
            at = " + ".join(
                (product("row", self.body.dim(self.kernel.columns[0].extent)), "column")
            )
            mask = [f"mask={self.frame.inside}"] if self.frame.inside else []
            lines = [*call("tl.store", [f"{keep}_ptr + {at}", z, *mask], self.indent), *lines]
        if self.body.streams:
            lines = ["seed = tl.load(seed_ptr)", "step = tl.load(step_ptr)", *lines]
        lines = drop_unused([*decomposed(self.kernel.rows, "row", self.symbols), *lines])
        parted = tuple(self.parts.found) if self.parts else ()
        return Epilogue(z, tuple(lines), tuple(self.partials), tuple(self.body.streams), parted)

    def gather(self, s: Gather, x: str) -> list[str]:
        """The block's column sums go to its panel of partial sums."""
        wide = bool(s.index.terms)
        value = f"tl.sum({x}, axis=0, keep_dims=True)" if wide else f"tl.sum({x})"
        at = self.body.address(s.index) if wide else ""
        columns = evaluate(self.kernel.columns[0].extent, {}) if wide else 1
        if self.frame.panel == "0":
            place = f"{s.buffer}_ptr" + (f" + {at}" if at else "")
        else:
            panel = product(self.frame.panel, str(columns))
            place = " + ".join(filter(None, (f"{s.buffer}_partial_ptr", panel, at)))
            count = panels(self.frame.panels, self.names.dims)
            self.partials.append(Partial(f"{s.buffer}_partial_ptr", s.buffer, columns, count))
        mask = [f"mask={self.frame.in_column}"] if wide and self.frame.in_column else []
        return call("tl.store", [place, value, *mask], self.indent)


def panels(factors: Factors, dims: Mapping[str, Dim]) -> Dim:
    """A product of factors as a size."""
    total: Dim = 1
    for f in factors:
        whole = dims[f.extent] if isinstance(f.extent, str) else f.extent
        total = total * (whole if f.block == 1 else (whole + (f.block - 1)) // f.block)
    return total
