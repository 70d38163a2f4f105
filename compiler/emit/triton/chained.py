"""A product and the next one, which reads what the first has just made, in one launch.

    s = act(a @ w + shift + x)        for every block of rows, for every block of columns of s:
    y = s @ v                   ->        s = act(a @ w + shift + x);  y += s @ v

A program owns rows.  What the second product makes of them stays in its registers while it walks
the columns between the two: nobody reads `s` for it, and if nobody else does, `s` is nowhere in
memory.  `a` is loaded once where a block holds its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...plan.product import Product
from ..loops import Kernel, Store
from .axes import prepared, rename, statements
from .chaining import Link, key_of, link_of
from .composed import Composed, composed
from .contraction import Frame, block_range, divides, frame, one_block, sum_of, times
from .epilogue import Epilogue, Writer, attachable, whole_index, whole_rows
from .gemm import assembled
from .kernel import ELEMENT_TYPES, Factor, Parameter, drawing, merged
from .library import PLACES
from .moments import left, words_of
from .part import Machine, Part, Work, free
from .products import Names, contraction_of, product_flops, result_index
from .prologue import OTHER, Made, Prologue, leaves, prologue
from .spelling import both
from .template import call
from .tiles import Tile, blocks


def chained(part: Part, work: Work, machine: Machine) -> Composed | None:
    """The launch of both; None where they cannot be one kernel."""
    key = key_of(part, work)
    link = link_of(part, work, machine, machine.levels.get(key, 0))
    if link is None:
        return None
    writing = _Writing(part, work, link, machine.precision)
    first, second = writing.first(), writing.second()
    if first is None or second is None:
        return None
    return replace(writing.composed(first, second), key=key)


@dataclass(frozen=True, slots=True)
class _First:
    """The epilogue of the first product, and what it calls the value that it hands on."""

    epilogue: Epilogue
    handed: str


class _Writing:
    """Writes the kernel of two products."""

    def __init__(self, part: Part, work: Work, link: Link, precision: str) -> None:
        assert work.then is not None
        self.part, self.work, self.then, self.link = part, work, work.then, link
        values, p, q = part.values, link.p, link.q
        a, w = values.memory(work.key, p.a), values.memory(work.key, p.b)
        v = values.memory(self.then.key, q.b)
        self.kernels = [part.lowered(x.roots) if x.roots else None for x in (work, self.then)]
        read = [y.value for kernel in self.kernels if kernel for y in kernel.buffers]
        read += [i for x in (work, self.then) for i in leaves(part, x.key)]
        read += [self.then.moments] if self.then.moments is not None else []
        used = dict.fromkeys((a, w, link.handed, v, *read, work.key, self.then.key))
        self.names, self.sizes = part.short(used), Names()
        self.how = [f'input_precision="{precision}"'] if part.graph[v].dtype == "f32" else []
        buffers = [(self.names[i], part.graph[i].dtype) for i in (a, w, link.handed, v)]
        self.c = contraction_of(p, buffers[0], buffers[1], self.sizes)
        self.d = contraction_of(q, buffers[2], buffers[3], self.sizes)
        self.frame = frame(self.c, link.tile)
        self.out = frame(self.d, Tile(link.tile.rows, link.columns, 1, link.tile.warps, 1))
        self.a_tile, self.w_tile, self.s_tile, self.v_tile = (
            f"{name}{suffix}_tile"
            for (name, _), suffix in zip(buffers, ("", "", "_handed", "_other"), strict=True)
        )
        self.blocks = blocks(link.middle, link.tile.columns)
        self._prepare()

    def _prepare(self) -> None:
        """Names that all pieces of the kernel can have at once."""
        part, then, names = self.part, self.then, self.names
        taken = frozenset({self.a_tile, self.w_tile, self.s_tile, self.v_tile})
        taken |= words_of(names[then.moments]) if then.moments is not None else frozenset()
        self.left = prologue(part, self.work.key, self.link.p.a, names, self.sizes, taken)
        taken |= frozenset(self.left.kernel.values) if self.left else frozenset()
        self.between = prologue(part, then.key, self.link.q.a, names, self.sizes, taken, OTHER)
        taken |= frozenset(self.between.kernel.values) if self.between else frozenset()
        self.prepared: list[Kernel | None] = []
        before: set[str] = set()
        bare = {names[x.key] for x in (self.work, then) if not x.roots}  # what is summed under it
        for lowered in self.kernels:
            known = taken | bare
            kernel = prepared(lowered, names, flat=False, taken=known) if lowered else None
            if kernel is not None:
                used = {*taken, *names.values(), *before, *kernel.values}
                words: dict[str, str] = {}
                for n in sorted(before & kernel.values.keys()):
                    words[n] = free(n, {*used, *words.values()})
                kernel = rename(kernel, words, {})
                before |= kernel.values.keys()
            self.prepared.append(kernel)

    # ---- epilogues -----------------------------------------------------------------------------

    def first(self) -> _First | None:
        """What follows the first product; None where a block of columns cannot do that."""
        kernel, z, p = self.prepared[0], self.work.key, self.link.p
        handed, stored = self.link.handed, self.link.handed in self.work.writes
        if kernel is None:
            lines = self._stored(z, self.frame, p, self.indent) if stored else []
            return _First(Epilogue(self.names[z], tuple(lines), ()), self.names[z])
        if not attachable(kernel, z, p) or (whole_rows(kernel) and not self.frame.whole_rows):
            return None
        value = None
        if handed != z:
            value = _stored_whole(kernel, self.names[handed], self.link.middle)
            if value is None:
                return None
            kernel = kernel if stored else _without(kernel, self.names[handed])
        wide, keep = self.part.wide(self.names), self.names[z] if z in self.work.writes else None
        writer = Writer(kernel, z, self.frame, self.sizes, wide=wide, indent=self.indent)
        made = writer.write(keep, () if value is None else (value,))
        return _First(made, value or made.product)

    def second(self) -> Epilogue | None:
        """What follows the second product."""
        kernel, then, z = self.prepared[1], self.then, self.then.key
        if kernel is None:
            lines = self._stored(z, self.out, self.link.q, 4)
            made = Epilogue(self.names[z], tuple(lines), ())
        elif not attachable(kernel, z, self.link.q):
            return None
        else:
            wide = self.part.wide(self.names)
            writer = Writer(kernel, z, self.out, self.sizes, wide=wide)
            made = writer.write(self.names[z] if z in self.work.writes else None)
        if then.moments is None:
            return made
        return left(made, self.out, self.names[then.moments], self.part.graph[z], self.sizes)

    def _stored(self, z: int, shape: Frame, p: Product, indent: int) -> list[str]:
        name = self.names[z]
        at = f"{name}_ptr + {result_index(p, self.sizes)}"
        return call("tl.store", [at, name, *_masked(shape.inside)[:1]], indent)

    # ---- the kernel ----------------------------------------------------------------------------

    def composed(self, first: _First, second: Epilogue) -> Composed:
        """The kernel, and what its parameters stand for."""
        part, names, link = self.part, self.names, self.link
        partials = (*first.epilogue.partials, *second.partials)
        made = {p.buffer for p in partials}
        pointers = [
            Parameter.pointer(word, part.graph[i].dtype)
            for i, word in names.items()
            if word not in made
        ]
        pointers += [Parameter.pointer(f"{word}_partial", "f32") for word in sorted(made)]
        streams = drawing(first.epilogue.streams)
        title = [
            part.title(names, self.work),
            f"{first.epilogue.product}[{self.c.m}, {self.c.n}] = {self.c}",
            f"{second.product}[{self.d.m}, {self.d.n}] = {self.d}, of each block of columns",
            PLACES,
        ]
        text = assembled(
            part.name(self.work), title, merged(pointers, streams, self.sizes.parameters()),
            link.tile, self.holes(first, second), ((Factor(self.c.m, link.tile.rows),),),
            dots=2, more={"BO": link.columns},
        )  # fmt: skip
        flops = sum(product_flops(p, part.values.sizes) for p in (link.p, link.q))
        flops += sum(kernel.flops for kernel in self.kernels if kernel)
        places = part.sources(self.work)
        return composed((text,), names, self.sizes, partials, places, "product", flops)

    @property
    def indent(self) -> int:
        """Columns of indentation of what is done for a block of columns."""
        return 4 if self.blocks == 1 else 8

    def holes(self, first: _First, second: Epilogue) -> Mapping[str, list[str]]:
        """The lines of the kernel by their place."""
        wide, rows = self.part.wide(self.names), self.c.m
        one = one_block(self.link.tile.rows, rows)
        place = [
            "tile_m = tl.program_id(0)",
            f"row = {block_range('tile_m', '1' if one else 'tiles', 'BM', '[:, None]', wide)}",
            f"in_row = row < {rows}",
        ]
        ready, operand = self.operand()
        handed_ready, handed, tile = self.handed(first.handed)
        before = [*ready, *handed_ready, "across = tl.arange(0, BO)[None, :]"]
        before += [f"in_across = across < {self.d.n}"] if self.out.in_column else []
        before.append(f"{second.product} = tl.zeros([BM, BO], tl.float32)")
        step = [*self.columns(), *self.product(first.epilogue.product, operand)]
        step += [*first.epilogue.lines, *handed, *self.added(second.product, tile)]
        if self.blocks > 1:
            step = [f"for tile_n in range({self.blocks}):", *(f"    {line}" for line in step)]
        end = ["column = across", *(["in_column = in_across"] if self.out.in_column else [])]
        end += second.lines
        return {"place": place, "before": before, "steps": step, "after": [], "end": end}

    def columns(self) -> list[str]:
        """Which columns a block has, across and down."""
        first = "tile_n * BN + " if self.blocks > 1 else ""
        lines = [f"column = {first}tl.arange(0, BN)[None, :]"]
        lines += [f"in_column = column < {self.c.n}"] if self.frame.in_column else []
        lines.append(f"inner = {first}tl.arange(0, BN)[:, None]")
        return lines + ([f"in_inner = inner < {self.c.n}"] if self.frame.in_column else [])

    def operand(self) -> tuple[list[str], list[str]]:
        """The left operand: lines before all blocks of columns, and those of a step of depth."""
        c, tile, held = self.c, self.a_tile, self.link.held
        indent = 4 if held else self.indent + 4
        masked = not divides(self.link.tile.depth, c.k)
        lines = ["depth = tl.arange(0, BK)" if held else "depth = start + tl.arange(0, BK)"]
        lines += [f"in_depth = depth < {c.k}"] if masked else []
        across = "in_depth[None, :]" if masked else None
        at = [times("row", c.a.row_stride), times("depth[None, :]", c.a.column_stride)]
        mask = both(self.frame.in_row, across)
        arguments = [sum_of(f"{c.a.buffer}_ptr", *at), *_masked(mask)]
        lines += call(f"{tile} = tl.load", arguments, indent)
        made = _made(self.left, tile, "depth[None, :]", (self.frame.in_row, across), indent)
        lines += [*made.channels, *made.elements]
        if self.left is not None:
            first = "(tile_n == 0)" if self.blocks > 1 and not held else None
            lines += self.left.stored(tile, "row", both(first, mask), indent)
        ready = [*made.numbers, *made.rows]
        return ([*ready, *lines], []) if held else (ready, lines)

    def product(self, name: str, operand: list[str]) -> list[str]:
        """A block of columns of the first product."""
        c, held = self.c, self.link.held
        indent = self.indent if held else self.indent + 4
        down = None if divides(self.link.tile.depth, c.k) else "in_depth[:, None]"
        at = [times("depth[:, None]", c.b.row_stride), times("column", c.b.column_stride)]
        mask = both(down, self.frame.in_column)
        arguments = [sum_of(f"{c.b.buffer}_ptr", *at), *_masked(mask)]
        lines = [*operand, *call(f"{self.w_tile} = tl.load", arguments, indent)]
        total = [] if held else [name]
        lines += call(f"{name} = tl.dot", [self.a_tile, self.w_tile, *total, *self.how], indent)
        if held:
            return lines
        head = [f"{name} = tl.zeros([BM, BN], tl.float32)", f"for start in range(0, {c.k}, BK):"]
        return [*head, *(f"    {line}" for line in lines)]

    def handed(self, value: str) -> tuple[list[str], list[str], str]:
        """What the second product multiplies: lines before all blocks, those of a block, and what
        it is called.
        """
        tile, dtype, inside = self.s_tile, self.d.a.dtype, self.frame.in_column
        text = value if dtype == "f32" else f"{value}.to({ELEMENT_TYPES[dtype]})"
        if self.between is None:
            if inside:
                text = f"tl.where({inside}, {text}, 0.0)"
            return ([], [], value) if text == value else ([], [f"{tile} = {text}"], tile)
        made = _made(self.between, tile, "column", (self.frame.in_row, inside), self.indent)
        lines = [f"{tile} = {text}", *made.channels, *made.elements]
        lines += self.between.stored(tile, "row", self.frame.inside, self.indent)
        return [*made.numbers, *made.rows], lines, tile

    def added(self, total: str, tile: str) -> list[str]:
        """What a block of columns gives to the second product."""
        d, down = self.d, "in_inner" if self.frame.in_column else None
        at = [times("inner", d.b.row_stride), times("across", d.b.column_stride)]
        mask = both(down, "in_across" if self.out.in_column else None)
        arguments = [sum_of(f"{d.b.buffer}_ptr", *at), *_masked(mask)]
        lines = call(f"{self.v_tile} = tl.load", arguments, self.indent)
        dot = [tile, self.v_tile, total, *self.how]
        return lines + call(f"{total} = tl.dot", dot, self.indent)


def _masked(mask: str | None) -> list[str]:
    return [f"mask={mask}", "other=0.0"] if mask else []


def _made(
    ahead: Prologue | None,
    tile: str,
    channels: str,
    masks: tuple[str | None, str | None],
    indent: int,
) -> Made:
    """The lines that make a block of what was loaded."""
    if ahead is None:
        return Made((), (), (), ())
    return ahead.made(tile, channels, "row", masks, both(*masks), indent)


def _stored_whole(kernel: Kernel, buffer: str, columns: int) -> str | None:
    """The value that a kernel stores in a buffer, at its own place."""
    want = whole_index(kernel, columns)
    for s in statements(kernel):
        if isinstance(s, Store) and s.buffer == buffer and isinstance(s.operand, str):
            whole = dict(s.index.terms) == want and s.index.offset == 0
            full = kernel.values[s.operand].kind == "full"
            return s.operand if whole and full else None
    return None


def _without(kernel: Kernel, buffer: str) -> Kernel:
    """The kernel that leaves nothing in a buffer."""
    passes = (
        replace(
            p, body=tuple(s for s in p.body if not (isinstance(s, Store) and s.buffer == buffer))
        )
        for p in kernel.passes
    )
    return replace(kernel, passes=tuple(passes))
