"""Both adjoints of a product of pixels with a small weight in one launch, which reads their
cotangent once.

    d_x = d @ w                for every so many blocks of rows:
    d_w = d' @ x         ->        d_x = d @ w;  d_w += d' @ x

A program keeps its part of `d_w` in registers while it walks the rows; parts are added in order.
`d` is made of what is loaded, as in front of one product, and nobody stores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...plan.product import Product
from ...plan.prologue import COLUMNS, columns_kept
from ...plan.windows import CONVOLUTIONS, is_pointwise
from .axes import prepared
from .composed import Composed, composed
from .contraction import Frame, block_range, times
from .epilogue import Epilogue, Writer, attachable, pressure, whole_rows
from .gemm import assembled
from .kernel import Factor, Parameter, drawing, merged
from .library import PLACES
from .part import Machine as Target
from .part import Part, Work
from .printer import Partial
from .products import Names, contraction_of, result_index
from .prologue import OTHER, Prologue, leaves, prologue
from .template import call
from .tiles import MACHINES, Machine, Tile

MOST = {"cuda:86": 8_192, "cuda:89": 8_192, "hip:gfx942": 4_096}
"""Elements of the gradient that a program keeps, where it is not LARGE: what GPUs for games have of
shared memory is not enough for more.
"""

LARGE = 16_384
"""64 for each lane of eight warps."""

DEPTH, WARPS = 64, 8
SCRATCH = 80
"""Columns beside twice the depth in which operands that were made are rearranged (measured)."""

INTERPRETED = 2
"""Programs in Triton's interpreter."""

INDENT = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """`p`: the product that makes the adjoint in the operand, `q`: that in the weight."""

    p: Product
    q: Product
    tile: Tile
    programs: int

    @property
    def depth(self) -> int:
        assert isinstance(self.p.k.extent, int)
        return self.p.k.extent

    @property
    def columns(self) -> int:
        assert isinstance(self.p.n.extent, int)
        return self.p.n.extent

    @property
    def several(self) -> int:
        """Programs that share the columns of a block of rows."""
        return self.columns // self.tile.columns


def kept(arch: str) -> int:
    """Elements of a gradient that a program may keep in its registers."""
    return MOST.get(arch, LARGE)


def pair_of(part: Part, work: Work, weight: int, machine: Target, level: int) -> Pair | None:
    """How one launch makes both adjoints; None where it cannot.

    The first refusal halves its rows, the second one the columns of the gradient.
    """
    graph = part.graph
    operand = graph[work.key]
    if operand.op not in CONVOLUTIONS[:2] or not is_pointwise(graph, operand):
        return None
    p, q = part.product(work.key), part.product(weight)
    if p.outer or q.outer or p.swapped or p.a != q.a or part.graph[weight].dtype != "f32":
        return None
    k, n = p.k.extent, p.n.extent
    if not isinstance(k, int) or not isinstance(n, int) or graph[p.a].dtype != "f32":
        return None
    if (q.m.extent, q.n.extent, q.k.extent) != (k, n, p.m.extent) or (q.m.c, q.n.c) != (n, 1):
        return None
    most = kept(machine.arch) >> max(0, level - 1)
    columns = columns_kept(k, n, most)
    if k % 16 or not columns or level > 2:
        return None
    rows = (64 if k * columns * 4 <= most else 32) >> min(level, 1)
    found = MACHINES.get(machine.arch)
    tile = _tile(found, k, rows, columns)
    if tile is None:
        return None
    if tile.warps > WARPS and work.roots:
        held = pressure(part.lowered(work.roots), moments=False, held=True)
        tile = replace(tile, rows=16) if held == 2 else tile
    programs = max(1, found.processors * columns // n) if found else INTERPRETED
    return Pair(p, q, tile, programs)


def _tile(machine: Machine | None, k: int, rows: int, columns: int) -> Tile | None:
    """Rows that a program loads at a time, and the depth of each of its products; None where they
    need more memory than there is.

    An A100 multiplies what lies in registers: of few columns it takes fewer rows, of 64 less depth,
    and of 128 more threads, as measured.
    """
    depths = [d for d in (DEPTH, 32, 16) if k % d == 0]
    if machine is None or machine.warp > 32:
        return Tile(rows, columns, depths[0], WARPS, 1)
    if machine.wide_rows > 16:
        return Tile(rows, columns, depths[0], WARPS, 2)
    warps = 2 * WARPS if columns == COLUMNS and k * columns > LARGE // 2 else WARPS
    rows = max(16, rows // 2 if columns < 64 else rows)
    depths = [d for d in depths if d < columns or columns != 64] or depths[-1:]
    tiles = [Tile(rows, columns, depth, warps, 2) for depth in depths]
    return next((tile for tile in tiles if _shared(tile, k) <= machine.shared), None)


def _shared(tile: Tile, k: int) -> int:
    """Shared memory of blocks that are made of two values each (measured: never less).

    Units: bytes.
    """
    loaded = 2 * tile.rows * (k + tile.columns) + k * tile.columns
    return 4 * (loaded + tile.rows * (2 * tile.depth + SCRATCH))


def key_of(part: Part, work: Work) -> str:
    """What tells the kernel from others when it is refused."""
    p = part.product(work.key)
    sides = f"{p.k.extent} x {p.n.extent}"
    return f"{part.name(work)}: both adjoints of {sides} at {part.graph[work.key].place}"


def adjoints(part: Part, work: Work, machine: Target) -> Composed | None:
    """The launch of both; None where they cannot be one kernel."""
    assert work.weight is not None
    key = key_of(part, work)
    pair = pair_of(part, work, work.weight, machine, machine.levels.get(key, 0))
    if pair is None:
        return None
    writing = _Writing(part, work, pair, machine.precision)
    epilogue = writing.epilogue()
    if epilogue is None:
        return None
    return writing.composed(epilogue, key)


class _Writing:
    """Writes the kernel of a pair."""

    def __init__(self, part: Part, work: Work, pair: Pair, precision: str) -> None:
        assert work.weight is not None
        self.part, self.work, self.pair, self.precision = part, work, pair, precision
        self.weight, self.lowered = work.weight, part.lowered(work.roots) if work.roots else None
        values, p, q = part.values, pair.p, pair.q
        a, b = values.memory(work.key, p.a), values.memory(work.key, p.b)
        self.x = values.memory(work.weight, q.b)
        read = [y.value for y in self.lowered.buffers] if self.lowered else []
        read += [*leaves(part, work.key), *leaves(part, work.weight)]
        used = dict.fromkeys((a, b, self.x, *read, work.key, work.weight))
        self.names, self.sizes = part.short(used), Names()
        left, right, other = ((self.names[i], part.graph[i].dtype) for i in (a, b, self.x))
        self.c = contraction_of(p, left, right, self.sizes)
        self.d = contraction_of(q, left, other, self.sizes)
        self.a_tile, self.b_tile = f"{self.names[a]}_tile", f"{self.names[b]}_tile"
        self.x_tile = f"{self.names[self.x]}_other_tile"
        taken = frozenset({self.a_tile, self.b_tile, self.x_tile, *self.sums})
        self.left = prologue(part, work.key, p.a, self.names, self.sizes, taken)
        taken |= frozenset(self.left.kernel.values) if self.left else frozenset()
        self.right = prologue(part, work.weight, q.b, self.names, self.sizes, taken, OTHER)
        self.taken = taken

    @property
    def sums(self) -> list[str]:
        """What the kernel calls the parts of the gradient of the weight."""
        name = self.names[self.weight]
        return [f"{name}_{x}_sum" for x in range(self.pair.depth // self.pair.tile.depth)]

    def frame(self) -> Frame:
        """The block that the epilogue works on."""
        tile, rows = self.pair.tile, self.c.m
        return Frame(
            tile.rows, tile.columns, "in_row", None, self.pair.several == 1, "tile_m",
            (Factor(rows, tile.rows),),
        )  # fmt: skip

    def epilogue(self) -> Epilogue | None:
        """What follows the adjoint in the operand, or its store."""
        z, frame = self.work.key, self.frame()
        if self.lowered is None:
            at = f"{self.names[z]}_ptr + {result_index(self.pair.p, self.sizes)}"
            stored = call("tl.store", [at, self.names[z], "mask=in_row"], INDENT)
            return Epilogue(self.names[z], tuple(stored), ())
        kernel = prepared(self.lowered, self.names, flat=False, taken=self.taken)
        if not attachable(kernel, z, self.pair.p):
            return None
        if whole_rows(kernel) and not frame.whole_rows:
            return None
        wide = self.part.wide(self.names)
        writer = Writer(kernel, z, frame, self.sizes, wide=wide)
        return writer.write(self.names[z] if z in self.work.writes else None)

    # ---- lines ---------------------------------------------------------------------------------

    def composed(self, epilogue: Epilogue, key: str) -> Composed:
        """The kernel, and what its parameters stand for."""
        part, work, pair, names = self.part, self.work, self.pair, self.names
        name, k, n = names[self.weight], pair.depth, pair.columns
        partial = Partial(f"{name}_partial_ptr", name, k * n, pair.programs)
        partials = (*epilogue.partials, partial)
        made = {p.buffer for p in partials}
        pointers = [
            Parameter.pointer(word, part.graph[i].dtype)
            for i, word in names.items()
            if word not in made
        ]
        pointers += [Parameter.pointer(f"{word}_partial", "f32") for word in sorted(made)]
        parameters = merged(pointers, drawing(epilogue.streams), self.sizes.parameters())
        title = [
            part.title(names, work),
            f"{epilogue.product}[{self.c.m}, {n}] = {self.c}, {name}[{k}, {n}] = {self.d}",
            PLACES,
        ]
        text = assembled(
            part.name(work), title, parameters, pair.tile, self.holes(epilogue),
            ((Factor(pair.programs * pair.several),),),
            dots=2 * len(self.sums),
        )  # fmt: skip
        flops = 4 * k * n * part.values.count(work.key) // n
        flops += self.lowered.flops if self.lowered else 0
        places = part.sources(work)
        found = composed((text,), names, self.sizes, partials, places, "product", flops)
        return replace(found, key=key)

    def holes(self, epilogue: Epilogue) -> Mapping[str, list[str]]:
        """The lines of the kernel by their place."""
        pair, rows = self.pair, self.c.m
        place = ["program = tl.program_id(0)", "column = tl.arange(0, BN)[None, :]"]
        if pair.several > 1:
            place = [
                f"program = tl.program_id(0) // {pair.several}",
                f"tile_n = tl.program_id(0) % {pair.several}",
                "column = tile_n * BN + tl.arange(0, BN)[None, :]",
            ]
        wide = self.part.wide(self.names)
        blocks = f"tl.cdiv({rows}, BM)"
        loop = [
            f"row = {block_range('tile_m', blocks, 'BM', '[:, None]', wide)}",
            f"in_row = row < {rows}",
            *self.loaded(),
            f"{epilogue.product} = tl.zeros([BM, BN], tl.float32)",
        ]
        for number, total in enumerate(self.sums):
            loop += self.step(epilogue.product, number, total)
        loop += epilogue.lines
        zeros = [f"{total} = tl.zeros([BK, BN], tl.float32)" for total in self.sums]
        steps = [f"for tile_m in range(program, {blocks}, {pair.programs}):"]
        steps += [f"    {line}" for line in loop]
        return {"place": place, "before": zeros, "steps": steps, "after": [], "end": self.stored()}

    def loaded(self) -> list[str]:
        """The block of the operand of the product."""
        b, tile = self.d.b, self.x_tile
        at = [f"{b.buffer}_ptr", times("row", b.row_stride), times("column", b.column_stride)]
        lines = call(f"{tile} = tl.load", [" + ".join(filter(None, at)), *_MASK], INDENT)
        return lines + _made(self.right, tile, "column")

    def step(self, product: str, number: int, total: str) -> list[str]:
        """What a block of the cotangent gives to both."""
        c, tile = self.c, self.a_tile
        start = f"{number * self.pair.tile.depth} + " if number else ""
        lines = [f"depth = {start}tl.arange(0, BK)"]
        at = [times("row", c.a.row_stride), times("depth[None, :]", c.a.column_stride)]
        lines += call(f"{tile} = tl.load", [_at(c.a.buffer, at), *_MASK], INDENT)
        lines += _made(self.left, tile, "depth[None, :]")
        if self.left is not None and self.pair.p.a in self.work.writes:
            first = None if self.pair.several == 1 else "(tile_n == 0)"
            mask = " & ".join(filter(None, (first, "in_row")))
            lines += self.left.stored(tile, "row", mask, INDENT)
        at = [times("depth[:, None]", c.b.row_stride), times("column", c.b.column_stride)]
        lines += call(f"{self.b_tile} = tl.load", [_at(c.b.buffer, at)], INDENT)
        how = f'input_precision="{self.precision}"'
        lines += call(f"{product} = tl.dot", [tile, self.b_tile, product, how], INDENT)
        turned = f"tl.trans({tile})"
        return lines + call(f"{total} = tl.dot", [turned, self.x_tile, total, how], INDENT)

    def stored(self) -> list[str]:
        """The parts of the gradient of the weight that a program leaves."""
        lines, name = [], self.names[self.weight]
        for number, total in enumerate(self.sums):
            first = number * self.pair.tile.depth
            row = f"(program * {self.pair.depth} + {first} + tl.arange(0, BK)[:, None])"
            at = f"{name}_partial_ptr + {row} * {self.pair.columns} + column"
            lines += call("tl.store", [at, total], 4)
        return lines


_MASK = ("mask=in_row", "other=0.0")


def _at(buffer: str, terms: list[str]) -> str:
    return " + ".join([f"{buffer}_ptr", *filter(None, terms)])


def _made(ahead: Prologue | None, tile: str, channels: str) -> list[str]:
    """The lines that make a block of what was loaded."""
    if ahead is None:
        return []
    made = ahead.made(tile, channels, None, ("in_row", None), "in_row", INDENT)
    return [*made.numbers, *made.channels, *made.rows, *made.elements]
