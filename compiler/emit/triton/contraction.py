"""What a GEMM kernel computes, how it is cut into blocks, and what its epilogue may use."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from .kernel import Extent, Factor, Factors
from .tiles import Tile, blocks, power_of_two

Stride = int | str
"""Units: elements; text is an expression over integer arguments of the kernel."""


@dataclass(frozen=True, slots=True)
class Operand:
    """One matrix of a contraction, as it lies in memory.

    The matrix is [m, k] for the left and [k, n] for the right operand; a transposed one simply has
    the strides the other way round.  `batch_strides` has one entry for each batch dimension, 0
    where the matrix is shared.
    """

    buffer: str
    dtype: str
    row_stride: Stride
    column_stride: Stride
    batch_strides: tuple[Stride, ...] = ()


@dataclass(frozen=True, slots=True)
class Apart:
    """A summed index that lies apart from k: its extent, and its strides in a and b."""

    extent: Extent
    a: Stride
    b: Stride


@dataclass(frozen=True, slots=True)
class Contraction:
    """product[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n], summed in float32.

    The sum also runs over the indices in `apart`, and over `others`: products of as many rows and
    columns.
    """

    m: Extent
    n: Extent
    k: Extent
    a: Operand
    b: Operand
    batch: tuple[Extent, ...] = ()
    apart: tuple[Apart, ...] = ()
    others: tuple[Contraction, ...] = ()

    @property
    def terms(self) -> tuple[Contraction, ...]:
        """The products that are added, this one first."""
        return (self, *self.others)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Every extent, rows first."""
        depths = (c.k for c in self.terms)
        return (*self.batch, self.m, self.n, *depths, *(i.extent for i in self.apart))

    @property
    def rows(self) -> Factors:
        """How many rows the product has in all."""
        return (*map(Factor, self.batch), Factor(self.m))

    @property
    def a_tile(self) -> str:
        """What the kernel calls the loaded block of `a`."""
        return self.a.buffer + ("_left" if self.a.buffer == self.b.buffer else "") + "_tile"

    @property
    def b_tile(self) -> str:
        """What the kernel calls the loaded block of `b`."""
        return self.b.buffer + ("_right" if self.a.buffer == self.b.buffer else "") + "_tile"

    def __str__(self) -> str:
        """The contraction as shapes: `x[rows, 784] @ w[784, 120]`."""
        left = _shown(self.a, self.batch, self.m, self.k)
        parts = "".join(f", summed over {i.extent} parts" for i in self.apart)
        others = "".join(f" + {c}" for c in self.others)
        return f"{left} @ {_shown(self.b, self.batch, self.k, self.n)}{parts}{others}"


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of one operand that ride along in the loop over k.

    `operand` "a": row sums of a, [m]; "b": column sums of b, [n]; stored as float32 in `buffer`.
    """

    operand: str
    buffer: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The names an epilogue may use, and the block it works on.

    Shapes: `row` [rows, 1] (the flattened batch and row index), `column` [1, columns]; `in_row` and
    `in_column` are the masks of the same shapes, None where they could never be false; `panel`
    counts the blocks of rows, of which there are `panels`.  `whole_rows`: a block has all columns.
    """

    rows: int
    columns: int
    in_row: str | None
    in_column: str | None
    whole_rows: bool
    panel: str
    panels: Factors
    row: str = "row"
    column: str = "column"

    @property
    def inside(self) -> str | None:
        """The mask of the whole block."""
        return " & ".join(filter(None, (self.in_row, self.in_column))) or None


def frame(contraction: Contraction, tile: Tile) -> Frame:
    """The frame of the kernel in which the epilogue runs: phase two when the tile splits k."""
    if tile.split > 1:
        tile = sum_tile(contraction, tile)
    m, n = contraction.m, contraction.n
    if contraction.batch:
        panel = "batch" if one_block(tile.rows, m) else "panel"
    else:
        panel = "0" if one_block(tile.rows, m) else "tile_m"
    return Frame(
        rows=tile.rows,
        columns=tile.columns,
        in_row=None if divides(tile.rows, m) else "in_row",
        in_column=None if divides(tile.columns, n) else "in_column",
        whole_rows=one_block(tile.columns, n),
        panel=panel,
        panels=(*map(Factor, contraction.batch), Factor(m, tile.rows)),
    )


def sum_tile(contraction: Contraction, tile: Tile) -> Tile:
    """The block of phase two of a split contraction: about 1024 elements, whole rows if it can."""
    width = 128
    if isinstance(contraction.n, int):
        width = power_of_two(contraction.n)
        width = width if width <= max(tile.columns, 256) else 128
    rows = max(1, 1024 // width >> tile.halved)
    if isinstance(contraction.m, int):
        rows = min(rows, power_of_two(contraction.m))
    return Tile(rows, width, 1, 4, 1)


def placement(contraction: Contraction, tile: Tile, *, wide: bool) -> list[str]:
    """The lines that say which block this program computes; unread ones are dropped later.

    Names: tile_m, tile_n, batch, panel, row, column, in_row, in_column, m (row within the matrix).
    """
    m, n = contraction.m, contraction.n
    lines, counts = [], []
    for name, extent, block, size in (("m", m, tile.rows, "BM"), ("n", n, tile.columns, "BN")):
        if isinstance(extent, int):
            counts.append(str(blocks(extent, block)))
        else:
            counts.append(f"tiles_{name}")
            lines.append(f"tiles_{name} = tl.cdiv({extent}, {size})")
    tiles_m, tiles_n = counts
    place = "tl.program_id(0)"
    if contraction.batch:
        tiles = f"{tiles_m} * {tiles_n}" if "1" not in (tiles_m, tiles_n) else ""
        tiles = tiles or (tiles_m if tiles_n == "1" else tiles_n)
        lines += _batch(contraction, place, tiles, wide)
        place = "tile"
    lines += tiles_of(place, tiles_m, tiles_n, tile.group)
    if contraction.batch:
        lines.append(f"panel = batch * {tiles_m} + tile_m")
    index = "m" if contraction.batch else "row"
    lines.append(f"{index} = {block_range('tile_m', tiles_m, 'BM', '[:, None]', wide)}")
    if contraction.batch:
        lines.append(f"row = batch * {m} + m")
    lines.append(f"column = {block_range('tile_n', tiles_n, 'BN', '[None, :]', False)}")
    if not divides(tile.rows, m):
        lines.append(f"in_row = {index} < {m}")
    if not divides(tile.columns, n):
        lines.append(f"in_column = column < {n}")
    return lines


def batch_offset(contraction: Contraction, operand: Operand) -> str:
    """Where the matrix of this batch entry begins, as text; empty for a shared matrix."""
    extents, strides = contraction.batch, operand.batch_strides
    if not any(strides):
        return ""
    if _collapse(extents, strides):
        return times("batch", strides[-1])
    return sum_of(*(times(f"batch_{i}", stride) for i, stride in enumerate(strides)))


def one_block(block: int, extent: Extent) -> bool:
    """Whether a single block covers the extent."""
    return isinstance(extent, int) and extent <= block


def divides(block: int, extent: Extent) -> bool:
    """Whether blocks cover the extent exactly, so that no mask is needed."""
    return isinstance(extent, int) and extent % block == 0


def times(name: str, stride: Stride) -> str:
    """`name * stride` as one would write it; empty for stride 0."""
    if stride == 0:
        return ""
    if stride == 1:
        return name
    if isinstance(stride, str) and not stride.isidentifier():
        return f"{name} * ({stride})"
    return f"{name} * {stride}"


def sum_of(*terms: str) -> str:
    """The terms that are not empty, added."""
    return " + ".join(term for term in terms if term)


def block_range(tile: str, tiles: str, block: str, axis: str, wide: bool) -> str:
    inside = f"tl.arange(0, {block}){axis}"
    text = inside if tiles == "1" else f"{tile} * {block} + {inside}"
    if not wide:
        return text
    return f"({text}).to(tl.int64)" if "+" in text else f"{text}.to(tl.int64)"


def tiles_of(place: str, tiles_m: str, tiles_n: str, group: int) -> list[str]:
    if tiles_m == "1" or tiles_n == "1":
        return [f"tile_{'n' if tiles_m == '1' else 'm'} = {place}"]
    if group == 1:
        return [f"tile_m = {place} // {tiles_n}", f"tile_n = {place} % {tiles_n}"]
    wide = str(group * int(tiles_n)) if tiles_n.isdigit() else f"{group} * {tiles_n}"
    wide = wide if wide.isdigit() else f"({wide})"
    return [
        f"band = {place} // {wide} * {group}  # {group} rows of blocks share columns of b in L2",
        f"height = min({tiles_m} - band, {group})",
        f"tile_m = band + {place} % {wide} % height",
        f"tile_n = {place} % {wide} // height",
    ]


def _batch(contraction: Contraction, place: str, tiles: str, wide: bool) -> list[str]:
    divisor = f"({tiles})" if "*" in tiles else tiles
    one = tiles == "1"
    batch = place if one else f"{place} // {divisor}"
    if wide:
        batch = f"({batch}).to(tl.int64)" if not one else f"{batch}.to(tl.int64)"
    lines = [f"batch = {batch}"] + ([] if one else [f"tile = {place} % {divisor}"])
    extents = contraction.batch
    for i, extent in enumerate(extents):
        inner = extents[i + 1 :]
        count = prod(e for e in inner if isinstance(e, int))
        names = [e for e in inner if isinstance(e, str)]
        below = " * ".join([*([str(count)] if count != 1 else []), *names])
        index = f"batch // ({below})" if " " in below else f"batch // {below}" if below else "batch"
        lines.append(f"batch_{i} = {index}" + (f" % {extent}" if i else ""))
    return lines


def _collapse(extents: tuple[Extent, ...], strides: tuple[Stride, ...]) -> bool:
    """Whether one flat batch index times the last stride gives the address."""
    for i in range(len(strides) - 1):
        outer, inner, extent = strides[i], strides[i + 1], extents[i + 1]
        if not (isinstance(outer, int) and isinstance(inner, int) and isinstance(extent, int)):
            return False
        if outer != inner * extent:
            return False
    return True


def _shown(operand: Operand, batch: tuple[Extent, ...], rows: Extent, columns: Extent) -> str:
    leading = [e for e, s in zip(batch, operand.batch_strides, strict=False) if s != 0]
    transposed = operand.row_stride == 1 and operand.column_stride != 1
    dims = (columns, rows) if transposed else (rows, columns)
    shape = ", ".join(map(str, (*leading, *dims)))
    return f"{operand.buffer}[{shape}]" + (".T" if transposed else "")
