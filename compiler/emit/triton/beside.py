"""Two kernels as one launch, whose programs that read the same rows run at the same time.

    d_x = d @ w'                     for every chunk of rows:
    d_w = d' @ x, in shares    ->        blocks of d_x;  blocks of d_w of that share

Each is a function of its own; what one of them has just loaded the other one finds in the cache.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...artifact import Expression
from .kernel import KernelText, Parameter
from .launches import Argument, stores
from .library import PLACES
from .part import free
from .template import call

FIRST, SECOND = "program", "program_2"
"""What the functions call their places in the grids of the kernels that they were."""

_SIGNATURE = re.compile(r"def (\w+)\((.*?)\):\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its first kernel, what stands behind its parameters, and its grid.

    `shares`: the second axis of the grid counts shares of the rows; else the first one walks them.
    """

    text: KernelText
    known: Mapping[str, Argument]
    grid: tuple[Expression, ...]
    shares: bool

    @property
    def across(self) -> Expression:
        """Programs for the same rows that the second axis of the grid counts."""
        return 1 if self.shares or len(self.grid) == 1 else self.grid[1]

    def each(self, chunks: int) -> Expression:
        """Programs of a chunk of rows."""
        if self.shares:
            return self.grid[0]
        return _product(_quotient(self.grid[0], chunks), self.across)


@dataclass(frozen=True, slots=True)
class Beside:
    """The functions, whose names in the module the launch has to be told, and the launch."""

    functions: tuple[KernelText, KernelText]
    sides: tuple[Side, Side]
    chunks: int

    @property
    def grid(self) -> tuple[Expression, ...]:
        """So many programs."""
        first, second = (side.each(self.chunks) for side in self.sides)
        if isinstance(first, int) and isinstance(second, int):
            return (self.chunks * (first + second),)
        return (("*", self.chunks, ("+", first, second)),)

    def launch(
        self, name: str, title: str, names: Sequence[str]
    ) -> tuple[KernelText, dict[str, Argument], frozenset[str]]:
        """The kernel that calls the functions by their `names`, the arguments of its parameters,
        and the pointers that it writes through.
        """
        parameters, known = list[Parameter](), dict[str, Argument]()
        called: dict[tuple[Parameter, Argument], str] = {}  # but for their names
        stored, calls = set[str](), list[list[str]]()
        for side in self.sides:
            written, chosen = stores(side.text.text), list[str]()
            for p in side.text.parameters:
                argument, word = side.known[p.name], p.name
                nameless = replace(p, name="")
                found = called.get((nameless, argument))
                if found is None:
                    stem = p.name.removesuffix("_ptr")
                    ending = "_ptr" if p.name.endswith("_ptr") else ""
                    taken = {q.name.removesuffix("_ptr") for q in parameters}
                    word = free(stem, taken) + ending
                    parameters.append(replace(p, name=word))
                    known[word] = argument
                    called[nameless, argument] = word
                chosen.append(found or word)
                stored |= {found or word} if p.name in written else set()
            calls.append(chosen)
        lines, counted = self._places(names, calls)
        for word, value in counted.items():
            parameters.append(Parameter(word, "i32"))
            known[word] = ("size", value)
        head = call(f"def {name}", [p.name for p in parameters], 0, "):")
        about = [f"{names[0]} and {names[1]}, in {self.chunks} chunks of rows", PLACES]
        text = [
            "@triton.jit",
            *head,
            f'    """{title}',
            "",
            *(f"    {x}" for x in about),
            '    """',
        ]
        text += [f"    {line}" for line in lines]
        first, second = (side.text for side in self.sides)
        joined = replace(
            first, name=name, text="\n".join(text) + "\n", parameters=tuple(parameters), grid=(),
            warps=max(first.warps, second.warps), stages=min(first.stages, second.stages),
            dots=first.dots + second.dots, workspaces=(),
        )  # fmt: skip
        return joined, known, frozenset(stored)

    def _places(
        self, names: Sequence[str], calls: Sequence[Sequence[str]]
    ) -> tuple[list[str], dict[str, Expression]]:
        """The body, and the numbers that it is told."""
        counted: dict[str, Expression] = {}

        def told(word: str, value: Expression) -> str:
            if isinstance(value, int):
                return str(value)
            counted[word] = value
            return word

        words = []
        for side, word in zip(self.sides, ("first", "second"), strict=True):
            blocks = "" if side.shares else told(f"{word}_blocks", side.grid[0])
            words.append((told(f"{word}_each", side.each(self.chunks)), blocks))
        (first, _), (second, _) = words
        whole = (first + second).isdigit()
        each = str(int(first) + int(second)) if whole else f"({first} + {second})"
        lines = [f"chunk = tl.program_id(0) // {each}", f"rank = tl.program_id(0) % {each}"]
        branches = []
        for number, (side, (count, blocks)) in enumerate(zip(self.sides, words, strict=True)):
            place = f"rank - {first}" if number else "rank"
            branches.append(_branch(side, names[number], calls[number], place, count, blocks))
        lines += [f"if rank < {first}:", *(f"    {line}" for line in branches[0])]
        return [*lines, "else:", *(f"    {line}" for line in branches[1])], counted


def _branch(
    side: Side, name: str, arguments: Sequence[str], place: str, count: str, blocks: str
) -> list[str]:
    """The call of one function, at its own place."""
    if side.shares:
        return call(name, [place, "chunk", *arguments], 8)
    across, inner = side.across, f"({place})" if " " in place else place
    if across == 1:
        rows, where, second = count, inner, "0"
    else:
        per = (
            str(int(count) // across)
            if count.isdigit() and isinstance(across, int)
            else f"{count} // {across}"
        )
        rows, where, second = per, f"{inner} // {across}", f"{inner} % {across}"
    rows = f"({rows})" if " " in rows else rows
    return [
        f"block = chunk * {rows} + {where}",
        f"if block < {blocks}:",
        *(f"    {line}" for line in call(name, ["block", second, *arguments], 12)),
    ]


def beside(first: Side, second: Side, chunks: int) -> Beside:
    """Both as functions."""
    functions = _function(first.text), _function(second.text)
    return Beside(functions, (first, second), chunks)


def _function(text: KernelText) -> KernelText:
    """The kernel as a function that is told its place."""
    found = _SIGNATURE.search(text.text)
    assert found is not None
    words = [FIRST, SECOND, *(p.name for p in text.parameters)]
    signature = "\n".join(call(f"def {found[1]}", words, 0, "):")) + "\n"
    told = text.text.replace(found[0], signature, 1)
    told = told.replace("tl.program_id(0)", FIRST).replace("tl.program_id(1)", SECOND)
    return replace(text, text=told)


def _quotient(number: Expression, by: int) -> Expression:
    if isinstance(number, int):
        return -(-number // by)
    return ("//", ("+", number, by - 1), by)


def _product(a: Expression, b: Expression) -> Expression:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return a if b == 1 else ("*", a, b)
