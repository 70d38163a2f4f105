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

from ....spec.dims import Dim, numel, symbol
from ..loops import Axis
from ..names import size_name
from .axes import rename
from .kernel import Factor, KernelText, Parameter, merged
from .library import PLACES
from .part import Part, Work, free, last
from .scan import Loop
from .scan_fusion import fused
from .scan_pieces import Piece, straightened
from .scan_products import dots, product_stage, row_product
from .scan_stages import Frame, Moves, Stage, by_sample, loop_stage, spelled
from .spelling import all_symbols, dim_text
from .template import call, tidy
from .tiles import power_of_two

SAMPLES = 16
"""Samples of a program: the fewest that tensor cores take, so that most processors have work."""

COLUMNS, DEPTH = 64, 32
"""Columns of a block, and how many indices of a sum a dot takes, at most."""

WIDE = 8
"""Warps of a block of so many columns: with fewer the products in front of a piece crowd the
registers."""

LEAST = 16
"""The smallest side of a dot."""

WARPS, STAGES = 4, 2

_WORDS = """
sample in_sample column in_column moment before after at first start across depth ROWS COLUMNS DEPTH
"""

WORDS = frozenset(_WORDS.split())
"""What the text around the stages is made of."""

MOMENT, BEFORE, AFTER = (Axis(word, 0) for word in ("moment", "before", "after"))


@dataclass(frozen=True, slots=True)
class Walk:
    """The kernel, and the values of the step and of its beginning behind its pointers, by name."""

    text: KernelText
    step: Mapping[int, str]
    begin: Mapping[int, str]
    sizes: Mapping[str, Dim]


def walk(
    loop: Loop, begin: Part, step: Part, name: str, title: str, precision: str, *,
    wide: bool, level: int, small: bool,
) -> Walk:  # fmt: skip
    """The kernel of all steps; each `level` halves its block; the interpreter takes small ones.

    Raises: LookupError where a step has no such kernel, or no smaller block is left.
    """
    columns = LEAST if small else COLUMNS >> level
    if columns < LEAST:
        raise LookupError("no smaller block is left")
    names = _named(step, {})
    known = {begun: names[after] for _, after, begun in loop.states if after in names}
    rest = _named(begin, known, names.values())
    first, each = (pieces_of(*some, columns) for some in ((begin, rest), (step, names)))
    columns = min(columns, max(LEAST, *(power_of_two(p.width) for p in (*first, *each))))
    frame = Frame(SAMPLES, columns, min(DEPTH, columns), precision, wide, frozenset())
    writer = _Writer(loop, frame)
    before = writer.stages(first, rest, {})
    inside = writer.stages(each, names, moves_of(loop))
    lines = writer.framed(before, inside)
    return writer.walk(lines, name, title, names, rest)


def _named(part: Part, known: Mapping[int, str], taken: Collection[str] = ()) -> dict[int, str]:
    """A name for every value in memory."""
    found = dict(known)
    for i in sorted(frozenset[int]().union(*(work.reads | work.writes for work in part.works))):
        if i not in found:
            found[i] = free(last(part.graph[i].name), {*found.values(), *taken})
    return found


def moves_of(loop: Loop) -> Moves:
    """Where in memory the values of a step lie that do not stay in place."""
    found = {i: ((MOMENT, by),) for i, (_, by) in loop.lent.items() if by != 0}
    for before, after, _ in loop.states:
        span = numel(loop.step[before].shape)
        found |= {before: ((BEFORE, span),), after: ((AFTER, span),)}
    return found


def pieces_of(part: Part, names: Mapping[int, str], columns: int) -> list[Piece]:
    """The work of the planner in as few pieces as may be, for blocks of so many columns."""
    pieces = [_piece(part, number, work, names) for number, work in enumerate(part.works)]
    return fused([straightened(p, columns) for p in pieces], frozenset(part.values.outputs))


def _piece(part: Part, number: int, work: Work, names: Mapping[int, str]) -> Piece:
    if work.heavy is not None:
        node = part.graph[work.heavy]
        if node.op != "contract" or work.roots:
            raise LookupError(f"`{node.op}` has no stage")
        return Piece((number,), None, alone=row_product(part, node))
    lowered = part.lowered(work.roots)
    if lowered.streams or lowered.starts:
        raise LookupError("random numbers have no stage")
    kernel, around = by_sample(lowered)
    kernel = rename(kernel, {}, {b.name: names[b.value] for b in kernel.buffers})
    return Piece((number,), kernel, around)


class _Writer:
    """Writes the stages of a step and what stands around them."""

    def __init__(self, loop: Loop, frame: Frame) -> None:
        self.loop, self.frame = loop, frame
        self.taken = {*WORDS}

    def stages(self, pieces: Sequence[Piece], names: Mapping[int, str], moves: Moves) -> list[str]:
        """All pieces, with barriers between what touches the same memory."""
        lines: list[str] = []
        read: set[int] = set()
        written: set[int] = set()
        for piece in pieces:
            if piece.reads & written or piece.writes & (read | written):
                lines.append("tl.debug_barrier()")
                read, written = set(), set()
            read |= piece.reads
            written |= piece.writes
            stage = self._stage(piece, names, moves)
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

    def framed(self, begin: list[str], inside: list[str]) -> list[str]:
        """The body of the kernel."""
        loop, frame, time = self.loop, self.frame, dim_text(self.loop.time, {})
        moment = f"{time} - 1 - at" if loop.reverse else "at"
        kind = "tl.int64" if frame.wide else "tl.int32"
        sample = "sample = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]"
        return [
            *(f"{n}: tl.constexpr = {v}" for n, v in self._constants().items()),
            sample,
            *(["sample = sample.to(tl.int64)"] if frame.wide else ()),
            f"in_sample = sample < {self._samples}",
            *begin,
            "tl.debug_barrier()",
            f"for at in range(0, {time}):",
            f"    moment = tl.cast({moment}, {kind})",
            f"    before = tl.cast(at % 2, {kind})",
            "    after = 1 - before",
            *(f"    {line}" for line in inside),
            "    tl.debug_barrier()",
        ]

    @property
    def _samples(self) -> str:
        return dim_text(self.loop.rows, {})

    def _constants(self) -> dict[str, int]:
        frame = self.frame
        return {"ROWS": frame.rows, "COLUMNS": frame.columns, "DEPTH": frame.depth}

    def walk(
        self, lines: list[str], name: str, title: str, step: Mapping[int, str],
        begin: Mapping[int, str],
    ) -> Walk:  # fmt: skip
        """The text around the body, with the parameters that it mentions."""
        words = _words(lines)
        head, body = lines[:3], lines[3:]
        head = [line for line in head if line.partition(":")[0] in _words(body)]
        pointers = [
            Parameter.pointer(n, part[i].dtype)
            for part, names in ((self.loop.step, step), (self.loop.begin, begin))
            for i, n in names.items()
            if f"{n}_ptr" in words
        ]
        sizes = {n: symbol(s) for s in self._symbols() if (n := size_name(s)) in words}
        numbers = [Parameter(n, "i32") for n in sizes]
        parameters = merged(pointers, numbers)
        text = [
            "@triton.jit",
            *call(f"def {name}", [p.name for p in parameters], 0, "):"),
            f'    """{title}',
            "",
            f"    A program takes {SAMPLES} samples through all steps.",
            "",
            f"    {PLACES}",
            '    """',
            *(f"    {line}" for line in [*head, *body]),
        ]
        dots = sum("tl.dot(" in line for line in body)
        grid = ((Factor(self._samples, SAMPLES),),)
        warps = WIDE if self.frame.columns == COLUMNS else WARPS
        kernel = KernelText(name, tidy(text), parameters, grid, warps, STAGES, dots)
        return Walk(kernel, step, begin, sizes)

    def _symbols(self) -> list[str]:
        loop = self.loop
        dims = [d for graph in (loop.step, loop.begin) for n in graph for d in n.shape]
        homes = [*loop.homes.values(), *loop.begin_homes.values()]
        dims += [d for home in homes for d in home.layout.strides]
        dims += [by for _, by in loop.lent.values()]
        dims += [n["dim"] for n in loop.step if n.op == "size"]
        return all_symbols([*dims, loop.time, loop.rows])


def _words(lines: Collection[str]) -> set[str]:
    return set(re.findall(r"\w+", "\n".join(lines)))
