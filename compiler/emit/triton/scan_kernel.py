"""A scan as one kernel: a program takes a block of samples through all steps.

Each piece of work of a step is a stage.  What stages hand to each other, and what a step leaves for
the next, lies in memory that the program alone touches, in the L1 or L2 cache; a barrier stands
between those who write it and those who read it.  Programs share nothing, so their order does not
show.  A state has two places, one that a step reads and one that it writes, by turns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ....spec.dims import Dim, symbol
from ..names import size_name
from .kernel import Factor, KernelText, Parameter, merged
from .library import PLACES
from .scan_levels import DEEPEST, Level, turning
from .scan_pieces import Piece
from .scan_products import dots, product_stage
from .scan_stages import Frame, Moves, Stage, loop_stage, spelled
from .spelling import all_symbols, dim_text
from .template import call, tidy
from .time_blocks import STAGES, TimeBlock

_WORDS = "sample in_sample column in_column first start across depth ROWS COLUMNS DEPTH"

WORDS = frozenset([*_WORDS.split(), *(w for depth in range(DEEPEST) for w in turning(depth))])
"""What the text around the stages is made of."""

Pieces = tuple[Sequence[Piece], Sequence[Piece]]
"""Those of the beginning of a loop, and of its step."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The kernel, and its sizes by name."""

    text: KernelText
    sizes: Mapping[str, Dim]


def walk(
    level: Level, block: TimeBlock, name: str, title: str, precision: str, *, wide: bool
) -> Walk:
    """The kernel of all steps.

    Raises: LookupError where a step has no such kernel.
    """
    pieces = [each.pieces(block.columns) for each in level.levels()]
    width = max(p.width for both in pieces for some in both for p in some)
    block = block.narrowed(width)
    frame = Frame(block.rows, block.columns, block.depth, precision, wide, frozenset())
    return _Writer(level, pieces, frame).walk(name, title, block)


class _Writer:
    """Writes the stages of a step and what stands around them."""

    def __init__(self, level: Level, pieces: Sequence[Pieces], frame: Frame) -> None:
        self.level, self.frame = level, frame
        self.pieces = dict(zip(map(id, level.levels()), pieces, strict=True))
        self.taken = {*WORDS}

    def _stages(self, level: Level, pieces: Sequence[Piece], part: int) -> list[str]:
        """Pieces of the beginning or of the step, with barriers between what touches the same
        memory.
        """
        lines: list[str] = []
        read: set[int] = set()
        written: set[int] = set()
        for piece in pieces:
            if piece.reads & written or piece.writes & (read | written):
                lines.append("tl.debug_barrier()")
                read, written = set(), set()
            read |= piece.reads
            written |= piece.writes
            if piece.inner is not None:
                lines += self._framed(level.inner[piece.inner[0]])
                read, written = set(), set()  # its threads have waited
                continue
            stage = self._stage(piece, level.names[part], level.moves[part])
            self.taken |= stage.names
            lines += stage.lines
        return lines

    def _stage(self, piece: Piece, names: Mapping[int, str], moves: Moves) -> Stage:
        taken = frozenset(self.taken)
        frame = replace(self.frame, taken=taken)
        if piece.kernel is None:
            assert piece.alone is not None
            return product_stage(piece.alone, names, moves, frame)
        kernel, values = spelled(piece.kernel, taken)
        fronts = [replace(t, target=values[t.target]) for t in piece.taken]
        front, blocks = dots(fronts, names, moves, frame, {*taken, *values.values()})
        stage = loop_stage(kernel, piece.around, moves, frame, front)
        return Stage(stage.lines, stage.names | blocks)

    def _framed(self, level: Level) -> list[str]:
        """A loop: its beginning, and all its steps."""
        loop, (moment, before, after, at) = level.loop, turning(level.depth)
        time = dim_text(loop.time, {})
        kind = "tl.int64" if self.frame.wide else "tl.int32"
        begin, step = self.pieces[id(level)]
        first = self._stages(level, begin, 0)
        inside = self._stages(level, step, 1)
        return [
            *first,
            "tl.debug_barrier()",
            f"for {at} in range(0, {time}):",
            f"    {moment} = tl.cast({f'{time} - 1 - {at}' if loop.reverse else at}, {kind})",
            f"    {before} = tl.cast({at} % 2, {kind})",
            f"    {after} = 1 - {before}",
            *(f"    {line}" for line in inside),
            "    tl.debug_barrier()",
        ]

    def _samples(self, body: Sequence[str]) -> list[str]:
        """The lines in front of the loop."""
        f = self.frame
        constants = {"ROWS": f.rows, "COLUMNS": f.columns, "DEPTH": f.depth}
        lines = [
            "sample = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]",
            *(["sample = sample.to(tl.int64)"] if f.wide else ()),
            f"in_sample = sample < {dim_text(self.level.loop.rows, {})}",
        ]
        words = _words([*lines, *body])
        return [*(f"{n}: tl.constexpr = {v}" for n, v in constants.items() if n in words), *lines]

    def walk(self, name: str, title: str, block: TimeBlock) -> Walk:
        """The kernel, with the parameters that its text mentions."""
        body = self._framed(self.level)
        body = [*self._samples(body), *body]
        words = _words(body)
        pointers = {
            n: Parameter.pointer(n, graph[i].dtype)
            for level in self.level.levels()
            for graph, names in zip((level.loop.begin, level.loop.step), level.names, strict=True)
            for i, n in names.items()
            if f"{n}_ptr" in words
        }
        sizes = {n: symbol(s) for s in self._symbols() if (n := size_name(s)) in words}
        parameters = merged([*pointers.values()], [Parameter(n, "i32") for n in sizes])
        text = [
            "@triton.jit",
            *call(f"def {name}", [p.name for p in parameters], 0, "):"),
            f'    """{title}',
            "",
            f"    A program takes {self.frame.rows} samples through all steps.",
            "",
            f"    {PLACES}",
            '    """',
            *(f"    {line}" for line in body),
        ]
        dots = sum("tl.dot(" in line for line in body)
        grid = ((Factor(dim_text(self.level.loop.rows, {}), self.frame.rows),),)
        found = KernelText(
            name, tidy(text), parameters, grid, block.warps, STAGES, dots, alone=block.alone
        )
        return Walk(found, sizes)

    def _symbols(self) -> list[str]:
        dims: list[Dim] = []
        for level in self.level.levels():
            loop = level.loop
            dims += [d for graph in (loop.step, loop.begin) for n in graph for d in n.shape]
            homes = [*loop.homes.values(), *loop.begin_homes.values()]
            dims += [d for home in homes for d in home.layout.strides]
            dims += [by for _, by in loop.lent.values()]
            dims += [n["dim"] for n in loop.step if n.op == "size"]
            dims += [loop.time, loop.rows]
        return all_symbols(dims)


def _words(lines: Collection[str]) -> set[str]:
    return set(re.findall(r"\w+", "\n".join(lines)))
