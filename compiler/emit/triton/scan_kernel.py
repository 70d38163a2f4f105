"""A scan as one kernel: a program takes a block of samples through all steps.

Each piece of work of a step is a stage.  What stages hand to each other, and what a step leaves for
the next, lies in memory that the program alone touches, in the L1 or L2 cache; a barrier stands
between those who write it and those who read it.  Programs share nothing, so their order does not
show.  A state has two places, one that a step reads and one that it writes, by turns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ....spec.dims import Dim, numel, symbol
from ..loops import Axis
from ..names import size_name
from .kernel import Factor, KernelText, Parameter, merged
from .library import PLACES
from .part import Part, Work, free, last
from .scan import Loop
from .scan_products import product_stage
from .scan_stages import Frame, Moves, Stage, loop_stage
from .spelling import all_symbols, dim_text
from .template import call, tidy

SAMPLES = 16
"""Samples of a program: the fewest that tensor cores take, so that most processors have work."""

COLUMNS, DEPTH = 64, 32
"""Columns of a block, and how many indices of a sum a dot takes, at most."""

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
    writer = _Writer(
        loop, Frame(SAMPLES, columns, min(DEPTH, columns), precision, wide, frozenset())
    )
    before = writer.stages(begin, rest, {})
    inside = writer.stages(step, names, moves_of(loop))
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


class _Writer:
    """Writes the stages of a step and what stands around them."""

    def __init__(self, loop: Loop, frame: Frame) -> None:
        self.loop, self.frame = loop, frame
        self.taken = {*WORDS}

    def stages(self, part: Part, names: Mapping[int, str], moves: Moves) -> list[str]:
        """All work of a part, with barriers between what touches the same memory."""
        lines: list[str] = []
        read: set[int] = set()
        written: set[int] = set()
        for work in part.works:
            if work.reads & written or work.writes & (read | written):
                lines.append("tl.debug_barrier()")
                read, written = set(), set()
            read |= work.reads
            written |= work.writes
            stage = self._stage(part, work, names, moves)
            self.taken |= stage.names
            lines += stage.lines
        return lines

    def _stage(self, part: Part, work: Work, names: Mapping[int, str], moves: Moves) -> Stage:
        frame = replace(self.frame, taken=frozenset(self.taken))
        if work.heavy is not None:
            node = part.graph[work.heavy]
            if node.op != "contract" or work.roots:
                raise LookupError(f"`{node.op}` has no stage")
            return product_stage(part, node, names, moves, frame)
        lowered = part.lowered(work.roots)
        if lowered.streams or lowered.starts:
            raise LookupError("random numbers have no stage")
        return loop_stage(lowered, names, moves, frame)

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
        kernel = KernelText(name, tidy(text), parameters, grid, WARPS, STAGES, dots)
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
