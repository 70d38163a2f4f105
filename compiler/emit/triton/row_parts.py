"""Folds of rows that are longer than the blocks of the product that makes them.

each block of a row     the fold of its columns       ->  a part [blocks of columns, rows]
one more launch         all parts of a row, in order  ->  the fold of the row

So logits leave their logsumexp behind, and nobody reads them for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....spec.dims import Dim
from ...plan.device import PARTED
from ..loops import Fold, Gather, Kernel, Statement, Store, operands_of
from .axes import statements
from .body import Body
from .contraction import Frame
from .kernel import Extent, Factor, KernelText, Parameter, scalars
from .library import PLACES
from .template import call, fill, template
from .tiles import blocks, power_of_two

ELEMENTS = 1024
"""Parts that a program of the last launch loads."""


@dataclass(frozen=True, slots=True)
class Parted:
    """The parts [parts, rows] of one fold behind `pointer`, for `buffer`; behind those of squares
    stand means.  A part is of `block` columns, all of them together are `columns`.
    """

    pointer: str
    buffer: str
    function: str
    parts: int
    rows: Dim
    block: int
    columns: int

    @property
    def numbers(self) -> int:
        """How many of each row."""
        return self.parts * (2 if self.function == "squares" else 1)

    @property
    def span(self) -> Dim:
        """Units: elements."""
        return self.rows * self.numbers


def partable(kernel: Kernel) -> bool:
    """Does a kernel store, beside folds of rows, only what needs none of them?"""
    body = list(statements(kernel))
    folds = {s.target: s for s in body if isinstance(s, Fold)}
    known = all(s.function in PARTED for s in folds.values())
    real = all(kernel.values[s.operand].dtype == "f32" for s in folds.values())
    if not folds or not known or not real or any(isinstance(s, Gather) for s in body):
        return False
    rows = _rows(kernel)
    stores = [s for s in body if isinstance(s, Store) and s.operand in folds]
    if any(dict(s.index.terms) != rows or s.index.offset != 0 for s in stores):
        return False
    others = [s for s in body if s not in stores]
    return not any(o in folds for s in others for o in operands_of(s))


def _rows(kernel: Kernel) -> dict[object, Dim]:
    """The index of a row."""
    found: dict[object, Dim] = {}
    step: Dim = 1
    for axis in reversed(kernel.rows):
        found[axis] = step
        step = step * axis.extent
    return found


class Parts:
    """Writes what one block leaves of the folds of a kernel."""

    def __init__(self, kernel: Kernel, frame: Frame, rows: Extent, whole: Dim) -> None:
        self.frame, self.rows, self.whole = frame, rows, whole
        body = list(statements(kernel))
        self.folds = {s.target for s in body if isinstance(s, Fold)}
        self.columns = kernel.columns
        count = kernel.columns[0].extent
        assert isinstance(count, int)
        self.count, self.parts = count, blocks(count, frame.columns)
        self.buffers = {
            s.operand: s.buffer for s in body if isinstance(s, Store) and s.operand in self.folds
        }
        self.found: list[Parted] = []

    def lines(self, body: Body, found: list[Statement]) -> list[str]:
        """The statements, numbers of rows stored once, and what this block leaves of folds."""
        folds = [s for s in found if isinstance(s, Fold)]
        stores = [s for s in found if isinstance(s, Store)]
        rows = [s for s in stores if not any(t in self.columns for t, _ in s.index.terms)]
        once = [s for s in rows if s.operand not in self.folds]
        kept = {s.operand for s in once if isinstance(s.operand, str)}
        kept |= {s.operand for s in folds}
        lines = body.lines([s for s in found if s not in folds and s not in rows], kept)
        if once:
            lines.append("if tile_n == 0:")
            lines += [f"    {line}" for s in once for line in body.store(s)]
        return [*lines, *(line for s in folds for line in self.left(body, s))]

    def left(self, body: Body, s: Fold) -> list[str]:
        """The fold of the block, stored among the parts."""
        buffer = self.buffers[s.target]
        pointer = f"{buffer}_partial_ptr"
        shape = self.parts, self.whole, self.frame.columns, self.count
        self.found.append(Parted(pointer, buffer, s.function, *shape))
        lines, values = body.fold(s), [s.target]
        if s.function == "squares":
            values = [s.target, f"{s.target}_mean"]
            x = body.guarded(s.operand, over="column")
            pair = f"{values[1]}, {values[0]}"
            lines = body.assigned(pair, f"row_moments({x}, {body.inside()})")
        mask = [f"mask={self.frame.in_row}"] if self.frame.in_row else []
        for number, value in enumerate(values):
            part = f"(tile_n + {self.parts})" if number else "tile_n"
            lines += call("tl.store", [f"{pointer} + {part} * {self.rows} + row", value, *mask], 4)
        return lines


def merge_rows(name: str, parted: Sequence[Parted], rows: Extent, title: str) -> KernelText:
    """The launch that merges the parts of all folds of one kernel."""
    parts = parted[0].parts
    columns = power_of_two(parts)
    height = max(1, ELEMENTS // columns)
    pointers = [
        Parameter.pointer(buffer, "f32") for p in parted for buffer in (_partial(p), p.buffer)
    ]
    used = (*pointers, *scalars([rows], {}))
    body = [line for p in parted for line in _merged(p, rows)]
    about = [f"{p.buffer} = the {p.function} of {parts} parts" for p in parted]
    return KernelText(
        name,
        fill(
            template("rows"),
            {"title": title, "rows": str(height), "columns": str(columns), "parts": str(parts),
             "all": str(rows)},
            {
                "signature": call(f"def {name}", [p.name for p in used], 0, "):"),
                "about": [*about, PLACES],
                "body": body,
            },
        ),
        used,
        ((Factor(rows, height),),),
        4,
        2,
    )  # fmt: skip


def _partial(p: Parted) -> str:
    return f"{p.buffer}_partial"


def _merged(p: Parted, rows: Extent) -> list[str]:
    other = 'float("-inf")' if p.function == "logsumexp" else "0.0"
    part, at = f"{p.buffer}_part", f"{p.pointer} + part * {rows} + row"
    lines = call(f"{part} = tl.load", [at, "mask=inside", f"other={other}"], 4)
    value = f"tl.sum({part}, axis=1, keep_dims=True)"
    if p.function == "logsumexp":
        value = f"row_logsumexp({part})"
    if p.function == "squares":
        mean, at = f"{p.buffer}_mean", f"{p.pointer} + (part + {p.parts}) * {rows} + row"
        lines += [
            f"count = tl.maximum(tl.minimum({p.columns} - part * {p.block}, {p.block}), 0) * 1.0",
            *call(f"{mean} = tl.load", [at, "mask=inside", "other=0.0"], 4),
            f"{mean} -= tl.sum(count * {mean}, axis=1, keep_dims=True) / {p.columns}",
            f"{part} += count * {mean} * {mean}",
        ]
    return [*lines, *call("tl.store", [f"{p.buffer}_ptr + row", value, "mask=in_row"], 4)]
