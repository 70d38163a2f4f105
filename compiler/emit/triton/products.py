"""A planned product as a contraction for the GEMM text: sizes become names or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....spec.dims import Dim, evaluate, symbol
from ...plan.memory import nominal
from ...plan.product import Index, Product
from ..names import size_name
from .contraction import Apart, Contraction, Operand, Stride
from .kernel import Extent, Parameter
from .spelling import all_symbols, dim_text, product

ROLES = ("rows", "columns", "length")


@dataclass
class Names:
    """The integer arguments of one kernel and the sizes they stand for."""

    dims: dict[str, Dim] = field(default_factory=dict)

    def extent(self, dim: Dim, role: str) -> Extent:
        """A number, the name of a symbol, or `role` for an expression of symbols."""
        if isinstance(dim, int):
            return dim
        known = next((name for name, d in self.dims.items() if d == dim), None)
        if known:
            return known
        alone = size_name(all_symbols([dim])[0])
        name = alone if dim_text(dim, {}) == alone else role
        base, count = name, 2
        while name in self.dims:
            name, count = f"{base}_{count}", count + 1
        self.dims[name] = dim
        return name

    def stride(self, dim: Dim) -> Stride:
        """A number, or an expression whose symbols are arguments."""
        if isinstance(dim, int):
            return dim
        for name in all_symbols([dim]):
            self.dims.setdefault(size_name(name), symbol(name))
        return dim_text(dim, {})

    def sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Nominal values of the arguments."""
        return {name: evaluate(dim, sizes) for name, dim in self.dims.items()}

    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments as kernel parameters."""
        return tuple(Parameter(name, "i32") for name in self.dims)


def contraction_of(
    p: Product, left: tuple[str, str], right: tuple[str, str], names: Names
) -> Contraction:
    """The contraction of a product; `left` and `right` are buffer and dtype of the operands."""
    m, n, k = (names.extent(i.extent, role) for i, role in zip((p.m, p.n, p.k), ROLES, strict=True))
    batch = tuple(names.extent(i.extent, f"batch_extent_{x}") for x, i in enumerate(p.batch))
    apart = tuple(
        Apart(names.extent(i.extent, f"parts_{x}"), names.stride(i.a), names.stride(i.b))
        for x, i in enumerate(p.apart)
    )

    def operand(buffer: tuple[str, str], row: Index, column: Index, key: str) -> Operand:
        strides = tuple(names.stride(getattr(i, key)) for i in p.batch)
        return Operand(
            *buffer, names.stride(getattr(row, key)), names.stride(getattr(column, key)), strides
        )

    a, b = operand(left, p.m, p.k, "a"), operand(right, p.k, p.n, "b")
    return Contraction(m, n, k, a, b, batch, apart)


def row_wise(p: Product) -> bool:
    """Is the result [batch and rows, columns], contiguous?"""
    step: Dim = 1
    for i in (p.n, p.m, *reversed(p.batch)):
        if i.extent != 1 and i.c != step:
            return False
        step = step * i.extent
    return True


def result_index(p: Product, names: Names) -> str:
    """Where the kernel's element of the result lies, as text."""
    if row_wise(p):
        columns = p.n.extent
        return " + ".join(
            filter(
                None, (product("row", str(names.stride(columns))), "" if columns == 1 else "column")
            )
        )
    parts = [(f"batch_{x}", i.c) for x, i in enumerate(p.batch) if i.c != 0]
    parts += [("m" if p.batch else "row", p.m.c), ("column", p.n.c)]  # also 0: they span the block
    return " + ".join(product(word, str(names.stride(stride))) for word, stride in parts)


def product_flops(p: Product, sizes: Mapping[str, int]) -> int:
    """Two for every multiply-add."""
    total: Dim = 2
    for i in p.loops:
        total = total * i.extent
    return nominal(total, sizes)
