"""How the tile of a loop kernel is cut: by element counts, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....spec.dims import Dim, evaluate
from ..loops import Axis, Fold, Gather, Kernel, Let, Load
from .axes import statements
from .tiles import power_of_two

PERSISTENT = 16_384
"""Columns of the longest row that is kept in registers from the first pass to the last."""

STREAMED = 4_096
"""The same for a kernel that reads more than two tensors of full size."""

ELEMENTS = 2_048
"""Elements of a tile: 16 for each of 128 threads."""

INTERPRETED = 256
"""The same in the interpreter, so that small tests have several tiles."""

COSTLY = ("pow", "sin", "cos")
"""Functions that go through float64 and want many registers: a quarter of the elements."""

PROGRAMS = 256
"""Programs of a kernel that sums over its rows: enough for a GPU, few enough to finish at once."""


@dataclass(frozen=True, slots=True)
class Block:
    """A tile of `rows` x `columns`; `looped`: a row takes several tiles, pass by pass.

    `programs` > 0: a grid of constant size whose programs walk the blocks of rows.
    """

    rows: int
    columns: int
    looped: bool
    programs: int
    warps: int


def extent(axes: tuple[Axis, ...]) -> Dim:
    """How many positions the axes have together."""
    total: Dim = 1
    for axis in axes:
        total = total * axis.extent
    return total


def longest_row(streams: int) -> int:
    """The columns up to which a kernel with so many full-size reads keeps its row."""
    return PERSISTENT if streams <= 2 else STREAMED


def block_of(
    kernel: Kernel, sizes: Mapping[str, int], *, interpret: bool = False, level: int = 0
) -> Block:
    """The tile for a kernel with collapsed axes, at nominal sizes; each `level` halves it.

    A row that is kept as a whole gets more threads first, and then it is read pass by pass.
    """
    body = statements(kernel)
    budget = (INTERPRETED if interpret else ELEMENTS) >> level
    if any(isinstance(s, Let) and s.function in COSTLY for s in body):
        budget //= 4
    rows, columns = extent(kernel.rows), extent(kernel.columns)
    many, n = evaluate(rows, sizes), evaluate(columns, sizes)
    folds = any(isinstance(s, Fold) for s in body)
    streams = sum(isinstance(s, Load) and kernel.values[s.target].kind == "full" for s in body)
    looped = folds and not (
        isinstance(columns, int) and columns <= longest_row(streams) >> max(0, level - 1)
    )
    if not kernel.columns:
        width = 1
    elif folds and not looped:
        width = power_of_two(n)
    else:
        width = _width(n, min(budget, 1024 if looped else 256))
    height = max(1, min(budget // width, power_of_two(many))) if kernel.rows else 1
    elements = height * width
    gathers = [s for s in body if isinstance(s, Gather)]
    programs = 0
    if gathers:
        across = 1 if folds or not kernel.columns else -(-n // width)
        programs = max(1, min(-(-many // height), PROGRAMS // across))
        if any(_single(kernel, s) for s in gathers):
            programs = 1
    warps = 4 if elements <= 2048 else 8 if elements <= 8192 else 16
    if width > budget:
        warps = min(16, warps << level)
    return Block(height, width, looped, programs, warps)


def _single(kernel: Kernel, s: Gather) -> bool:
    """Can the partial sums not be laid out: integers, or a symbolic number of columns?"""
    buffer = next(b for b in kernel.buffers if b.name == s.buffer)
    sizes = [a.extent for a in kernel.columns] if s.index.terms else []
    return buffer.dtype != "f32" or any(not isinstance(e, int) for e in sizes)


def _width(n: int, most: int) -> int:
    """The block of columns that wastes least, the wider of equals."""
    found = [w for w in (256, 128) if w < most] + [min(power_of_two(n), most)]
    return min(found, key=lambda w: (-(-n // w) * w, -w))
