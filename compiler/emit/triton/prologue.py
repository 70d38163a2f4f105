"""What a product or a convolution makes of a block that it has loaded, before it multiplies: lines
of Triton.

    patch = tl.load(z, mask)  ->  patch = tl.where(mask, relu(normalise(patch)), 0)

Numbers a channel are loaded where the block's channels are known, numbers a row where its rows are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....spec.dims import symbol
from ..loops import Axis, Draw, Fold, Gather, Kernel, Load, Statement, Store
from ..lower import lower
from .axes import prepared, rename, renamed_axis, statements
from .body import Body, Setting
from .kernel import widened
from .part import Part, free
from .printer import decomposed
from .products import Names
from .spelling import symbol_arguments
from .template import call

SOURCE = "source"
"""The channels of a loaded block: [1, channels] or [channels, 1]."""

OTHER = "opposite"
"""The same for the right operand of a product."""


@dataclass(frozen=True, slots=True)
class Made:
    """Lines for a block: what all of it, its channels and its rows share, and its elements."""

    numbers: tuple[str, ...]
    channels: tuple[str, ...]
    rows: tuple[str, ...]
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prologue:
    """The map of a loaded block.

    `block` is what the kernel calls the loaded block, `result` what is made of it, `dtype` that of
    the memory; `word` calls its channels, and begins what its rows are called.
    """

    kernel: Kernel
    block: str
    result: str
    dtype: str
    symbols: Mapping[str, str]
    kept: str | None = None
    word: str = SOURCE

    def lines(
        self,
        tile: str,
        source: str,
        channel: str | None,
        mask: str | None,
        indent: int,
        row: str | None = None,
        other: str = "0.0",
    ) -> tuple[list[str], list[str]]:
        """Lines of the channels and of the block `tile`.

        `source`: the channels of the block as text; `channel`, `row` and `mask`: which of them, of
        the rows, and of the elements of the block are there; None where all are.  `other`: what the
        others become.
        """
        made = self.made(tile, source, None, (row, channel), mask, indent, other)
        return [*made.numbers, *made.channels], [*made.rows, *made.elements]

    def made(
        self,
        tile: str,
        source: str,
        place: str | None,
        masks: tuple[str | None, str | None],
        mask: str | None,
        indent: int,
        other: str = "0.0",
    ) -> Made:
        """The same, apart from each other; `place`: the rows of the block as text, None where
        no number is one of a row; `masks` of rows and channels.
        """
        setting = Setting(*masks, "", "", "", self.symbols, indent=indent)
        body = Body(self.kernel, setting, lambda s, x: [], None)
        found = [s for s in statements(self.kernel) if not isinstance(s, Store)]
        kinds = ("scalar", "column", "row", "full")
        by_kind: dict[str, list[Statement]] = {kind: [] for kind in kinds}
        for s in found:
            target = s.target  # type: ignore[union-attr]
            kind = self.kernel.values[target].kind
            if target != self.block:
                by_kind[kind].append(s)
        outer = [s for kind in kinds[:3] for s in by_kind[kind]]
        kept = {s.target for s in outer}  # type: ignore[union-attr]
        numbers = body.lines(by_kind["scalar"], kept)
        channels = [f"{self.word} = {source}", *body.lines(by_kind["column"], kept)]
        rows = body.lines(by_kind["row"], kept)
        if place is not None:
            word = f"{self.word}_row"
            rows = [f"{word} = {place}", *decomposed(self.kernel.rows, word, self.symbols), *rows]
        elements = [
            f"{self.block} = {tile}{widened(self.dtype)}",
            *body.lines(by_kind["full"], {self.result}),
        ]
        result = self.result
        if mask:
            elements += call(f"{tile} = tl.where", [mask, result, other], indent)
        else:
            elements.append(f"{tile} = {result}")
        return Made(tuple(numbers), tuple(channels), tuple(rows), tuple(elements))

    def stored(self, tile: str, row: str, mask: str | None, indent: int) -> list[str]:
        """Lines that store the block for other readers, where that is asked for."""
        if self.kept is None:
            return []
        channels = self.kernel.columns[-1].extent
        at = f"{self.kept}_ptr + {row} * {channels} + {self.word}"
        return call("tl.store", [at, tile, *([f"mask={mask}"] if mask else [])], indent)


def prologue(
    part: Part,
    reader: int,
    i: int,
    feeds: Mapping[int, str],
    sizes: Names,
    taken: frozenset[str],
    word: str = SOURCE,
) -> Prologue | None:
    """The prologue of a kernel that loads the operand `i` of `reader`; None where that is loaded
    as it is.

    `feeds` are the names of buffers by value.
    """
    source, roots = part.values.sources.get((reader, i)), frozenset({i})
    if source is None:
        return None
    drawn = lower(part.values, roots, [i], part.layout, "draft", {}, 0, 0)
    words = {SOURCE, OTHER, f"{SOURCE}_row", f"{OTHER}_row"}
    kernel = prepared(drawn, feeds, flat=False, taken=taken | words)
    buffers = set(feeds.values())
    clashes = {v: f"{v}_read" for v in kernel.values if v in buffers}
    known = {*kernel.values, *taken}
    kernel = rename(kernel, {v: free(name, known) for v, name in clashes.items()}, {})
    column = kernel.columns[-1]
    kernel = renamed_axis(kernel, column, Axis(word, column.extent))
    node = part.graph[reader]
    if node.op == "contract" or (node.op == "convolve_weight" and node.operands[1] == i):
        many = len(kernel.rows) > 1
        for k, axis in enumerate(kernel.rows):
            name = f"{word}_row_{k}" if many else f"{word}_row"
            kernel = renamed_axis(kernel, axis, Axis(name, axis.extent))
    symbols = symbol_arguments(kernel)
    for name, argument in symbols.items():
        sizes.dims.setdefault(argument, symbol(name))
    body = statements(kernel)
    assert not any(isinstance(s, (Draw, Fold, Gather)) for s in body)
    block = next(s.target for s in body if isinstance(s, Load) and s.buffer == feeds[source])
    result = next(s.operand for s in body if isinstance(s, Store))
    assert isinstance(result, str)
    kept = feeds[i] if i in part.values.writers else None
    return Prologue(kernel, block, result, part.graph[source].dtype, symbols, kept, word)


def prologues(
    part: Part,
    reader: int,
    operands: tuple[int, int],
    feeds: Mapping[int, str],
    sizes: Names,
    taken: frozenset[str],
) -> tuple[Prologue | None, Prologue | None]:
    """Those of a product; what they call things differs."""
    left = prologue(part, reader, operands[0], feeds, sizes, taken)
    taken |= frozenset(left.kernel.values) if left else frozenset()
    return left, prologue(part, reader, operands[1], feeds, sizes, taken, OTHER)


def leaves(part: Part, reader: int) -> list[int]:
    """The values that the prologues of a kernel read, and those that they store, ascending."""
    values, made = part.values, part.values.made_by(reader)
    read = {values.base(leaf) for leaf in values.cone(made)[1]} if made else set[int]()
    return sorted(read | {i for i in made if i in values.writers})
