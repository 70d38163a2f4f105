"""What a convolution makes of a block that it has loaded, before it multiplies: lines of Triton.

    patch = tl.load(z, mask)  ->  patch = tl.where(mask, relu(normalise(patch)), 0)

Numbers a channel are loaded where the block's channels are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....spec.dims import symbol
from ..loops import Axis, Draw, Fold, Gather, Kernel, Load, Store
from ..lower import lower
from .axes import rename, renamed_axis, statements
from .body import Body, Setting, symbol_arguments
from .kernel import widened
from .part import Part, free
from .printer import prepared
from .products import Names
from .template import call

SOURCE = "source"
"""The channels of a loaded block: [1, channels] or [channels, 1]."""


@dataclass(frozen=True, slots=True)
class Prologue:
    """The map of a loaded block.

    `block` is what the kernel calls the loaded block, `result` what is made of it, `dtype` that of
    the memory.
    """

    kernel: Kernel
    block: str
    result: str
    dtype: str
    symbols: Mapping[str, str]
    kept: str | None = None

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
        setting = Setting(row, channel, "", "", "", self.symbols, indent=indent)
        body = Body(self.kernel, setting, lambda s, x: [], None)
        found = [s for s in statements(self.kernel) if not isinstance(s, Store)]
        outer = [s for s in found if self.kernel.values[s.target].kind in ("column", "scalar")]  # type: ignore[union-attr]
        inner = [s for s in found if s not in outer and getattr(s, "target", "") != self.block]
        kept = {s.target for s in outer}  # type: ignore[union-attr]
        channels = [f"{SOURCE} = {source}", *body.lines(outer, kept)]
        elements = [
            f"{self.block} = {tile}{widened(self.dtype)}",
            *body.lines(inner, {self.result}),
        ]
        result = self.result
        if mask:
            elements += call(f"{tile} = tl.where", [mask, result, other], indent)
        else:
            elements.append(f"{tile} = {result}")
        return channels, elements

    def stored(self, tile: str, row: str, mask: str | None, indent: int) -> list[str]:
        """Lines that store the block for other readers, where that is asked for."""
        if self.kept is None:
            return []
        channels = self.kernel.columns[-1].extent
        at = f"{self.kept}_ptr + {row} * {channels} + {SOURCE}"
        return call("tl.store", [at, tile, *([f"mask={mask}"] if mask else [])], indent)


def prologue(
    part: Part, reader: int, i: int, feeds: Mapping[int, str], sizes: Names, taken: frozenset[str]
) -> Prologue | None:
    """The prologue of a kernel that loads the operand `i` of `reader`; None where that is loaded
    as it is.

    `feeds` are the names of buffers by value.
    """
    source, roots = part.values.sources.get((reader, i)), frozenset({i})
    if source is None:
        return None
    drawn = lower(part.values, roots, [i], part.layout, "draft", {}, 0, 0)
    kernel = prepared(drawn, feeds, flat=False, taken=taken | {SOURCE})
    buffers = set(feeds.values())
    clashes = {v: f"{v}_read" for v in kernel.values if v in buffers}
    kernel = rename(kernel, {v: free(name, kernel.values) for v, name in clashes.items()}, {})
    column = kernel.columns[-1]
    kernel = renamed_axis(kernel, column, Axis(SOURCE, column.extent))
    symbols = symbol_arguments(kernel)
    for name, argument in symbols.items():
        sizes.dims.setdefault(argument, symbol(name))
    body = statements(kernel)
    assert not any(isinstance(s, (Draw, Fold, Gather)) for s in body)
    block = next(s.target for s in body if isinstance(s, Load) and s.buffer == feeds[source])
    result = next(s.operand for s in body if isinstance(s, Store))
    assert isinstance(result, str)
    kept = feeds[i] if i in part.values.writers else None
    return Prologue(kernel, block, result, part.graph[source].dtype, symbols, kept)


def leaves(part: Part, reader: int) -> list[int]:
    """The values that the prologues of a kernel read, and those that they store, ascending."""
    values, made = part.values, part.values.made_by(reader)
    read = {values.base(leaf) for leaf in values.cone(made)[1]} if made else set[int]()
    return sorted(read | {i for i in made if i in values.writers})
