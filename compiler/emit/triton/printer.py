"""Loop IR -> Triton: a program works on a tile of rows, persistent where the row fits.

A row that fits one tile stays in registers from the first pass to the last; a longer one is read
once for every pass.  Sums over rows: a grid of constant size, each program walks blocks of rows and
leaves one partial sum, which a `finish` kernel adds in order.  The same bits on every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ....spec.dims import Dim, evaluate, symbol
from ...artifact import Expression
from ...plan.memory import expression
from ..loops import Axis, Fold, Gather, Kernel, Pass, Statement, operands_of
from .axes import fresh, statements
from .blocks import Block, block_of, extent
from .body import Body, Setting
from .folds import closed, opened, stepped
from .gemm import needed
from .kernel import ELEMENT_TYPES, KernelText, Parameter, drawing
from .spelling import dim_text, divisor, symbol_arguments
from .template import call, tidy


@dataclass(frozen=True, slots=True)
class Partial:
    """Partial sums [count, numbers, columns] behind the parameter `pointer`, for `buffer`.

    `count` is symbolic where the blocks of rows are counted at run time.  One number is added up;
    three are moments, which are merged.
    """

    pointer: str
    buffer: str
    columns: int
    count: Dim
    numbers: int = 1

    @property
    def span(self) -> Dim:
        """Units: elements."""
        return self.count * (self.numbers * self.columns)


@dataclass(frozen=True, slots=True)
class Printed:
    """A loop kernel's text and grid, the size behind every integer argument, its partial sums."""

    text: KernelText
    grid: tuple[Expression, ...]
    numbers: Mapping[str, Dim]
    partials: tuple[Partial, ...]


def decomposed(axes: tuple[Axis, ...], word: str, symbols: Mapping[str, str]) -> list[str]:
    """The index along each of several axes from the flat index `word`."""
    if len(axes) < 2:
        return []
    lines = []
    below: Dim = 1
    for position in reversed(range(len(axes))):
        axis = axes[position]
        text = word if below == 1 else f"{word} // {divisor(below, symbols)}"
        lines.append(
            f"{axis.name} = {text}" + (f" % {divisor(axis.extent, symbols)}" if position else "")
        )
        below = below * axis.extent
    return lines[::-1]


class Printer:
    """Prints one kernel that is not an epilogue."""

    def __init__(self, kernel: Kernel, name: str, block: Block, title: str, *, wide: bool) -> None:
        self.kernel, self.name, self.block, self.title, self.wide = kernel, name, block, title, wide
        self.rows, self.columns = extent(kernel.rows), extent(kernel.columns)
        self.flat = not kernel.columns
        self.symbols = symbol_arguments(kernel)
        self.over_rows = bool(kernel.rows)
        self.walks = block.programs > 0 and not self.one_block
        self.gridded = bool(kernel.columns) and not block.looped and not self.fits
        self.partials: list[Partial] = []
        self.body = Body(kernel, self.setting(4), self.gather)
        self.standing = {s.target for s in statements(kernel) if isinstance(s, Fold)}

    # ---- the frame -----------------------------------------------------------------------------

    @property
    def one_block(self) -> bool:
        return isinstance(self.rows, int) and self.rows <= self.block.rows

    @property
    def fits(self) -> bool:
        """A single tile holds every column."""
        return isinstance(self.columns, int) and self.columns <= self.block.columns

    def setting(self, indent: int) -> Setting:
        block = self.block
        masked_rows = self.over_rows and not (
            isinstance(self.rows, int) and self.rows % block.rows == 0
        )
        masked = not self.flat and not (
            isinstance(self.columns, int) and self.columns % block.columns == 0
        )
        quad = "tl.program_id(1) * (COLUMNS // 4)" if self.gridded else ""
        in_row = ("inside" if self.flat else "in_row") if masked_rows else None
        columns = "COLUMNS" if not self.flat and block.columns >= 4 and not block.looped else ""
        return Setting(
            in_row,
            "in_column" if masked else None,
            "ROWS",
            columns,
            quad,
            self.symbols,
            self.wide,
            indent,
        )

    def dim(self, dim: Dim) -> str:
        return dim_text(dim, self.symbols)

    def row_lines(self) -> list[str]:
        """Which rows this block has."""
        if not self.over_rows:
            return []
        word = "i" if self.flat else "row"
        inside = "inside" if self.flat else "in_row"
        lanes = "tl.arange(0, ROWS)" + ("" if self.flat else "[:, None]")
        number = "block" if self.walks else "tl.program_id(0)"
        text = lanes if self.one_block else f"{number} * ROWS + {lanes}"
        if self.wide:
            text = (
                lanes + ".to(tl.int64)"
                if self.one_block
                else f"tl.cast({number}, tl.int64) * ROWS + {lanes}"
            )
        return [
            f"{word} = {text}",
            f"{inside} = {word} < {self.dim(self.rows)}",
            *decomposed(self.kernel.rows, word, self.symbols),
        ]

    def column_lines(self, start: str) -> list[str]:
        """Which columns this tile has; `start` says where it begins."""
        lanes = "tl.arange(0, COLUMNS)[None, :]"
        text = f"{start} + {lanes}" if start else lanes
        if self.wide and start:
            text = f"({text}).to(tl.int64)"
        return [
            f"column = {text}",
            f"in_column = column < {self.dim(self.columns)}",
            *decomposed(self.kernel.columns, "column", self.symbols),
        ]

    # ---- the text --------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        hoisted, rest = self.hoist()
        before = self.body.lines(hoisted, self.reads(rest))
        if not self.flat and not self.block.looped:
            start = "tl.program_id(1) * COLUMNS" if self.gridded else ""
            before = [*self.column_lines(start), *before]
        self.indent(8 if self.walks else 4)
        main = self.looped(rest) if self.block.looped else self.straight(rest)
        after = self.finished()
        if self.walks:
            last = f"tl.cdiv({self.dim(self.rows)}, ROWS)"
            loop = f"for block in range(tl.program_id(0), {last}, {self.block.programs}):"
            main = [loop, *(f"    {line}" for line in [*self.row_lines(), *main])]
            main = [*self.accumulators(), *main]
        else:
            before = [*self.row_lines(), *before]
        if self.body.streams:
            before = ["seed = tl.load(seed_ptr)", "step = tl.load(step_ptr)", *before]
        return drop_unused([*before, *main, *after])

    def indent(self, indent: int) -> None:
        self.body.setting = replace(self.body.setting, indent=indent)

    def hoist(self) -> tuple[list[Statement], list[Pass]]:
        """What depends on no row, once before the rows; and the passes without it."""
        kinds = {"scalar"} if self.block.looped else {"scalar", "column"}
        late = set(self.standing)
        hoisted: list[Statement] = []
        done: set[str] = set()
        passes: list[Pass] = []
        for p in self.kernel.passes:
            body: list[Statement] = []
            for s in p.body:
                target = getattr(s, "target", None)
                if target is None or isinstance(s, Fold):
                    body.append(s)
                elif target in late or any(o in late for o in operands_of(s)):
                    late.add(target)
                    body.append(s)
                elif self.kernel.values[target].kind not in kinds:
                    body.append(s)
                elif target not in done:
                    done.add(target)
                    hoisted.append(s)
            passes.append(Pass(p.over_columns, tuple(body)))
        if not self.walks:  # no loop to leave: keep the order in which things are read
            return [], list(self.kernel.passes) if not self.block.looped else passes_with(
                hoisted, passes
            )
        return hoisted, passes

    def reads(self, passes: list[Pass]) -> set[str]:
        return {name for p in passes for s in p.body for name in operands_of(s)}

    def straight(self, passes: list[Pass]) -> list[str]:
        """All passes on one tile: what an earlier pass defined is still in registers."""
        seen: set[str] = set()
        body: list[Statement] = []
        for p in passes:
            for s in p.body:
                target = getattr(s, "target", None)
                if target is None or target not in seen:
                    body.append(s)
                if target is not None:
                    seen.add(target)
        return self.body.lines(body)

    def shape(self) -> str:
        """The shape of a tile."""
        return "[ROWS, COLUMNS]" if self.over_rows else "[1, COLUMNS]"

    def looped(self, passes: list[Pass]) -> list[str]:
        """A loop over the columns for every pass."""
        lines: list[str] = []
        for position, p in enumerate(passes):
            later = self.reads(passes[:position] + passes[position + 1 :])
            if not p.over_columns:
                lines += self.body.lines(p.body, later)
                continue
            folds = [s for s in p.body if isinstance(s, Fold)]
            rest = [s for s in p.body if not isinstance(s, Fold)]
            lines += [line for f in folds for line in opened(self.body, f, self.shape())]
            outer = self.body.setting.indent
            self.indent(outer + 4)
            inner = [*self.column_lines("start")]
            inner += self.body.lines(rest, later | {f.operand for f in folds})
            inner += [line for f in folds for line in stepped(self.body, f)]
            self.indent(outer)
            lines.append(f"for start in range(0, {self.dim(self.columns)}, COLUMNS):")
            lines += [f"    {line}" for line in inner]
            lines += [line for f in folds for line in closed(self.body, f)]
        return lines

    # ---- sums over rows ------------------------------------------------------------------------

    def gathers(self) -> list[Gather]:
        return [s for s in statements(self.kernel) if isinstance(s, Gather)]

    def accumulator(self, s: Gather) -> str:
        return fresh(f"{s.buffer}_sum", set(self.kernel.values))

    def tile_shape(self, s: Gather) -> str:
        if self.flat:
            return "[ROWS]"
        return "[ROWS, COLUMNS]" if s.index.terms else "[ROWS, 1]"

    def element(self, s: Gather) -> str:
        return ELEMENT_TYPES[self.body.buffer_dtype(s.buffer)]

    def accumulators(self) -> list[str]:
        return [
            f"{self.accumulator(s)} = tl.zeros({self.tile_shape(s)}, {self.element(s)})"
            for s in self.gathers()
        ]

    def gather(self, s: Gather, x: str) -> list[str]:
        if self.walks:
            return [f"{self.accumulator(s)} += {x}"]
        return self.leave(s, x)

    def finished(self) -> list[str]:
        return (
            [line for s in self.gathers() for line in self.leave(s, self.accumulator(s))]
            if self.walks
            else []
        )

    def leave(self, s: Gather, x: str) -> list[str]:
        """Store the block's sum: the result itself, or this program's share of it."""
        indent = 4
        wide = bool(s.index.terms)
        value = f"tl.sum({x}, axis=0, keep_dims=True)" if wide else f"tl.sum({x})"
        at = self.body.address(s.index) if wide else ""
        if self.block.programs > 1 and self.walks:
            columns = evaluate(self.columns, {}) if wide else 1
            pointer = f"{s.buffer}_partial_ptr"
            self.partials.append(Partial(pointer, s.buffer, columns, self.block.programs))
            offset = "tl.program_id(0)" + (f" * {columns}" if columns != 1 else "")
            place = " + ".join(filter(None, (pointer, offset, at)))
        else:
            place = " + ".join(filter(None, (f"{s.buffer}_ptr", at if at != "0" else "")))
        mask = self.body.setting.in_column if wide else None
        return call("tl.store", [place, value, *([f"mask={mask}"] if mask else [])], indent)

    # ---- the kernel ------------------------------------------------------------------------------

    def printed(self) -> Printed:
        lines = self.lines()
        words = set(re.findall(r"\w+", "\n".join(lines)))
        parameters = [p for p in self.parameters() if p.name in words]
        constants = [("ROWS", self.block.rows), ("COLUMNS", self.block.columns)]
        about = needed([f"{k}: tl.constexpr = {v}" for k, v in constants], lines)
        head = call(f"def {self.name}", [p.name for p in parameters], 0, "):")
        text = ["@triton.jit", *head, f'    """{self.title}', "", "    @places@", '    """']
        text += [f"    {line}" for line in [*about, *lines]]
        numbers = {a: symbol(s) for s, a in self.symbols.items() if a in words}
        kernel = KernelText(self.name, tidy(text), tuple(parameters), (), self.block.warps, 2)
        return Printed(kernel, self.grid(), numbers, tuple(self.partials))

    def parameters(self) -> list[Parameter]:
        partial = {p.buffer for p in self.partials}
        found = drawing(self.body.streams)
        for b in self.kernel.buffers:
            if b.name in partial:
                found.append(Parameter.pointer(f"{b.name}_partial", "f32"))
            else:
                found.append(Parameter.pointer(b.name, b.dtype))
        return found + [Parameter(a, "i32") for a in self.symbols.values()]

    def grid(self) -> tuple[Expression, ...]:
        down: Expression = self.block.programs
        if not self.walks:
            down = blocks(self.rows, self.block.rows) if self.over_rows else 1
        return (down, blocks(self.columns, self.block.columns)) if self.gridded else (down,)


def blocks(dim: Dim, block: int) -> Expression:
    """ceil(dim / block)."""
    if isinstance(dim, int):
        return -(-dim // block)
    return expression(dim) if block == 1 else ("//", ("+", expression(dim), block - 1), block)


def passes_with(hoisted: list[Statement], passes: list[Pass]) -> list[Pass]:
    """The passes with what depends on no row in front."""
    return [Pass(False, tuple(hoisted)), *passes] if hoisted else passes


def drop_unused(lines: list[str]) -> list[str]:
    """The lines without index and mask definitions that nobody reads."""
    kept: list[str] = []
    words: set[str] = set()
    for line in reversed(lines):
        name = re.match(r"\s*(in_row|in_column|inside|row|column|i|row_\d+|column_\d+) = ", line)
        if name and name[1] not in words:
            continue
        words |= set(re.findall(r"\w+", line.split("=", 1)[1] if name else line))
        kept.append(line)
    return kept[::-1]


def print_kernel(
    kernel: Kernel,
    name: str,
    title: str,
    sizes: Mapping[str, int],
    *,
    wide: bool,
    interpret: bool = False,
    level: int = 0,
) -> Printed:
    """The text of a prepared kernel; `wide`: offsets take 64 bits; `level`: refusals so far."""
    block = block_of(kernel, sizes, interpret=interpret, level=level)
    return Printer(kernel, name, block, title, wide=wide).printed()
