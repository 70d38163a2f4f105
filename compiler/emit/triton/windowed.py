"""What the kernels of windowed nodes share: operands by their strides, riders, parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....spec.dims import Dim
from ...ir.graph import Node
from ...plan.layout import Layout
from ...plan.product import Index, Product
from ...plan.windows import CONVOLUTIONS, geometry, turned_from
from ..loops import Draw, Kernel
from .axes import prepared, statements
from .choice import outer
from .composed import Composed, composed
from .contraction import Frame, Stride, block_range, divides, one_block, tiles_of
from .epilogue import Epilogue, Writer, attachable, whole_rows
from .gemm import assembled
from .gemm_loop import Loop
from .kernel import Extent, Factor, Factors, KernelText, Parameter, Workspace, drawing, merged
from .library import PLACES
from .moments import left, words_of
from .part import Machine, Part, Work
from .products import Names
from .prologue import OTHER, Prologue, leaves, prologue
from .template import call
from .tiles import Tile, blocks
from .windows import NAMES, Axes, Image, Weight, WindowAxis

SMALL = 3
"""Refusals that the interpreter's blocks start with, so that small tests have several."""


class Windowed:
    """Writes the kernels of one windowed node."""

    def __init__(self, part: Part, work: Work, machine: Machine) -> None:
        self.part, self.work, self.machine = part, work, machine
        self.node: Node = part.graph[work.key]
        self.g = geometry(part.graph, self.node)
        self.sizes = Names()
        operands = [part.values.memory(self.node.id, o) for o in self.node.operands]
        ahead = leaves(part, self.node.id)
        self.lowered = part.lowered(work.roots) if work.roots else None
        read = [*ahead, *((x.value for x in self.lowered.buffers) if self.lowered else ())]
        read += [work.moments] if work.moments is not None else []
        self.names = part.short(dict.fromkeys((*operands, *read, self.node.id)))
        self.operands = operands
        first, taken = self.node.operands[0], self._tiles()
        self.ahead = prologue(part, self.node.id, first, self.names, self.sizes, taken)
        self.beside: Prologue | None = None
        if self.node.op == "convolve_weight":
            taken |= frozenset(self.ahead.kernel.values) if self.ahead else frozenset()
            second = self.node.operands[1]
            self.beside = prologue(part, self.node.id, second, self.names, self.sizes, taken, OTHER)
        rank = len(self.node["stride"])
        self.rank = rank
        turned = self.node.op == "convolve_input"
        self.adjoint = turned and any(step != 1 for step in self.g.stride)
        self.axes = self._axes(backwards=turned and not self.adjoint)
        self.wide = part.wide(self.names)

    def _axes(self, *, backwards: bool) -> Axes:
        """The axes that windows walk; `backwards`: the adjoint at stride 1 is a convolution."""
        g, found = self.g, []
        for i, name in enumerate(NAMES):
            inner, outer = (g.outer, g.inner) if self.adjoint else (g.inner, g.outer)
            low = (g.kernel[i] - 1) * g.dilation[i] - g.low[i] if backwards else g.low[i]
            axis = WindowAxis(
                name, g.kernel[i], g.stride[i], g.dilation[i], low,
                self.sizes.extent(inner[i], f"{name}_in"),
                self.sizes.extent(outer[i], f"{name}_out"),
            )  # fmt: skip
            found.append(axis)
        return tuple(a for a in found if not a.trivial)

    # ---- operands --------------------------------------------------------------------------------

    def spatial(self, strides: Sequence[Dim]) -> tuple[Stride, ...]:
        """The strides of those axes that windows walk."""
        by_name = dict(zip(NAMES[3 - self.rank :], strides, strict=True))
        return tuple(self.sizes.stride(by_name[a.name]) for a in self.axes)

    def image(self, i: int) -> Image:
        """An operand of the node as an image."""
        source = self.part.values.sources.get((self.node.id, i), i)
        batch, *space, channel = self.part.layout(source).strides
        name = self.names[self.part.values.base(source)]
        return Image(
            name, self.sizes.stride(batch), self.spatial(space), self.sizes.stride(channel)
        )

    def weight(self, i: int, layout: Layout) -> Weight:
        """The weight of the node: [out, in, *kernel], or turned [*kernel, out, in]."""
        name, strides, groups = self.names[self.part.values.base(i)], layout.strides, self.g.groups
        backwards = False
        if self.node.op == "convolve":
            made, read, *taps = strides
            group = made * (self.g.outputs // groups)
        else:
            *taps, read, made = strides
            group = read * (self.g.channels // groups)
            backwards = self._backwards(i)
            taps = [-step if backwards else step for step in taps]
        return Weight(
            name, self.spatial(taps), self.sizes.stride(read), self.sizes.stride(made),
            self.sizes.stride(group), backwards,
        )  # fmt: skip

    def _backwards(self, i: int) -> bool:
        """Is a turned weight read from the memory of the other?"""
        values, source = self.part.values, turned_from(self.part.graph, i)
        there = source is not None and values.base(source) == values.base(i)
        return there and values.is_view(i)

    # ---- what rides ------------------------------------------------------------------------------

    def _tiles(self) -> frozenset[str]:
        """What a kernel calls the blocks that it loads."""
        words = ("tile", "patch", "at")
        found = frozenset(f"{n}_{w}" for n in self.names.values() for w in words)
        moments = self.work.moments
        return found if moments is None else found | words_of(self.names[moments])

    def rider(self, rows: Dim, columns: int, *, split_columns: bool) -> Kernel | None:
        """The group that follows, prepared; None where it cannot be in the kernel.

        Raises: LookupError when there is one that does not fit.
        """
        if self.lowered is None:
            return None
        kernel = prepared(self.lowered, self.names, flat=False, taken=self._tiles())
        z = self.node.id
        seen = Product(
            z, z, z, Index("", rows, 0, 0, columns), Index("", columns, 0, 0, 1),
            Index("", 1, 0, 0, 0), (), False,
        )  # fmt: skip
        draws = any(isinstance(s, Draw) for s in statements(kernel))
        if not attachable(kernel, z, seen) or (split_columns and draws):
            raise LookupError("the group does not fit the windows")
        return kernel

    def epilogue(self, kernel: Kernel | None, shape: Frame) -> Epilogue:
        """The lines after the sum."""
        made, moments = self._epilogue(kernel, shape), self.work.moments
        if moments is None:
            return made
        return left(made, shape, self.names[moments], self.node, self.sizes)

    def _epilogue(self, kernel: Kernel | None, shape: Frame) -> Epilogue:
        z = self.node.id
        if kernel is not None:
            if whole_rows(kernel) and not shape.whole_rows:
                raise LookupError("the group needs whole rows")
            kept = self.names[z] if z in self.work.writes else None
            return Writer(kernel, z, shape, self.sizes, wide=self.wide).write(kept)
        distance = self.sizes.stride(self.part.layout(z).strides[-2])
        return self.stored(f"row * {distance} + column", shape.inside)

    def value(self) -> str:
        """What the result is called in the kernel."""
        return self.names[self.node.id]

    def stored(self, at: str, mask: str | None, before: Sequence[str] = ()) -> Epilogue:
        """The result and nothing else."""
        value, masks = self.value(), [f"mask={mask}"] if mask else []
        store = call("tl.store", [f"{self.names[self.node.id]}_ptr + {at}", value, *masks], 4)
        return Epilogue(value, (*before, *store), ())

    # ---- kernels ---------------------------------------------------------------------------------

    def parameters(
        self, epilogue: Epilogue, more: Sequence[Parameter] = ()
    ) -> tuple[Parameter, ...]:
        """Every pointer and size that the kernel may need."""
        partial = {p.buffer for p in epilogue.partials}
        graph = self.part.graph
        found = [
            Parameter.pointer(n, graph[i].dtype) for i, n in self.names.items() if n not in partial
        ]
        found += [Parameter.pointer(f"{n}_partial", "f32") for n in sorted(partial)]
        found += drawing(epilogue.streams)
        return merged(found, more, self.sizes.parameters())

    def title(self, tail: str = "") -> list[str]:
        """The docstring of a kernel."""
        lines = [self.part.title(self.names, self.work), self.about()]
        return [*lines, *([tail] if tail else []), PLACES]

    def kernel(
        self,
        tile: Tile,
        place: Sequence[str],
        found: Loop,
        epilogue: Epilogue,
        grid: Sequence[Factors],
        *,
        name: str = "",
        tail: str = "",
        partials: tuple[Workspace, ...] = (),
        more: Sequence[Parameter] = (),
    ) -> KernelText:
        """One kernel from its pieces."""
        holes = {
            "place": place, "before": found.before, "steps": found.steps, "after": found.after,
            "end": epilogue.lines,
        }  # fmt: skip
        pointers = [Parameter(w.parameter, "*fp32", divisible=True) for w in partials]
        return assembled(
            name or self.part.name(self.work),
            self.title(tail),
            self.parameters(epilogue, [*pointers, *more]),
            tile,
            holes,
            tuple(grid),
            dots=found.dots,
            partials=partials,
        )

    def composed(self, texts: Sequence[KernelText], epilogue: Epilogue, flops: int) -> Composed:
        """The kernels with all that launches need."""
        kind = "convolution" if self.node.op in CONVOLUTIONS else "pool"
        places = self.part.places([self.node.id])
        if self.lowered is not None:
            places = tuple(dict.fromkeys((*places, *self.lowered.places)))
            flops += self.lowered.flops
        found = composed(
            tuple(texts), self.names, self.sizes, epilogue.partials, places, kind, flops
        )
        return replace(found, key=self.key())

    def about(self) -> str:
        """The windows in words, for docstrings."""
        g, rank = self.g, self.rank

        def each(values: Sequence[int]) -> str:
            return "x".join(map(str, values[-rank:]))

        words = [f"windows of {each(g.kernel)}"]
        words += [f"every {each(g.stride)}"] if set(g.stride) != {1} else []
        words += [f"dilated by {each(g.dilation)}"] if set(g.dilation) != {1} else []
        words += [f"padded by {each(g.low)}"] if set(g.low) != {0} else []
        words += [f"in {g.groups} groups"] if g.groups > 1 else []
        operands = ", ".join(self.names[i] for i in self.operands)
        return f"{self.node.op}({operands}): {', '.join(words)}"

    def key(self) -> str:
        """What tells the kernel from others when its tile is refused."""
        graph = self.part.graph
        shapes = [", ".join(map(str, graph[i].shape)) for i in self.node.operands]
        return f"{self.part.name(self.work)}: {self.about()} [{'] ['.join(shapes)}]"

    def level(self) -> int:
        """How often its tile was refused."""
        return self.machine.levels.get(self.key(), 0)


def plain(k: Windowed, rows: int, columns: int, whole: bool, level: int) -> Tile:
    """The block of a kernel without a dot."""
    small = SMALL if k.machine.interpreted else 0
    return outer(rows, columns, whole, level + small)


def blocks_of(
    m: Extent, n: int, tile: Tile, row: str, *, wide: bool, groups: int = 1
) -> tuple[list[str], Frame]:
    """Which rows and columns a program makes, and what an epilogue may use."""
    lines = []
    tiles_m = str(blocks(m, tile.rows)) if isinstance(m, int) else "tiles_m"
    tiles_n = str(blocks(n, tile.columns))
    if not isinstance(m, int):
        lines.append(f"tiles_m = tl.cdiv({m}, BM)")
    lines += tiles_of("tl.program_id(0)", tiles_m, tiles_n, tile.group)
    lines.append(f"{row} = {block_range('tile_m', tiles_m, 'BM', '[:, None]', wide)}")
    in_row = None if divides(tile.rows, m) else "in_row"
    if in_row:
        lines.append(f"in_row = {row} < {m}")
    in_column = None if divides(tile.columns, n) else "in_column"
    local = "channel" if groups > 1 else "column"
    lines.append(f"{local} = {block_range('tile_n', tiles_n, 'BN', '[None, :]', False)}")
    if in_column:
        lines.append(f"in_column = {local} < {n}")
    if groups > 1:
        lines += ["group = tl.program_id(1)", f"column = group * {n} + channel"]
    panel = "0" if one_block(tile.rows, m) else "tile_m"
    whole = one_block(tile.columns, n) and groups == 1
    panels = (Factor(m, tile.rows),)
    return lines, Frame(tile.rows, tile.columns, in_row, in_column, whole, panel, panels)
