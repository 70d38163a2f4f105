"""A map of what a kept product made, in pieces between the products of tiles (beside.h).

z = h w;  y = sigmoid(x + z)  ->  z of 16 units, and meanwhile y of the 16 before them; and so on

The map's own loop stays as it is, for processors without tile units and what is not finite.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...ir.body import ROW
from ...ops import OPS
from ...plan.launch import Launch
from ...plan.product import Product, product_of
from ..expressions import fold_single_uses
from ..loops import Kernel, KernelBuffer, Let, Load, Statement, Store, operands_of
from ..names import local_name, size_name
from .flow import contiguous_rows, indirect, size_symbols
from .kept import Kept
from .part import Part
from .row_loops import RowLoops
from .words import STORED

PIECES = 6  # as many as products of tiles for a step of the depth
PARTS = range(2, 5)  # tiles of a group
LEAST = 32  # units that are worth it


@dataclass(frozen=True, slots=True)
class Beside:
    """The map `kernel` of a product, which it reads in as many `parts` as there are such units.

    `source` is the buffer of the product, `fetched` are those that come from far away, `aliased`
    those that share memory with others.
    """

    name: str
    kernel: Kernel
    product: Product
    source: str
    parts: int
    fetched: frozenset[str]
    aliased: frozenset[str]

    @property
    def units(self) -> int:
        """The columns of the map."""
        units = self.kernel.columns[0].extent
        assert isinstance(units, int)
        return units

    @property
    def sizes(self) -> list[str]:
        """The sizes without a number that it mentions."""
        return [size_name(s) for s in sorted(size_symbols(self.kernel))]

    @property
    def buffers(self) -> list[KernelBuffer]:
        """Those beside the product."""
        return [b for b in self.kernel.buffers if b.name != self.source]


def maps_beside(part: Part, launches: Sequence[Launch], far: Collection[int]) -> dict[int, Beside]:
    """The maps that can go on beside the product in front of them, by that; values `far` lie far
    away.
    """
    found: dict[int, Beside] = {}
    for launch, after in pairwise(launches):
        node = part.graph[launch.heavy] if launch.heavy is not None else None
        if node is None or node.op != "contract" or launch.summed:
            continue
        product = product_of(part.graph, node, part.layout, launch.letter)
        readers = [x for x in launches if product.c in x.reads]
        if readers != [after] or product.c in part.given:
            continue
        beside = _mapped(part, product, after, far)
        if beside is not None:
            found[node.id] = beside
    return found


def _mapped(part: Part, product: Product, launch: Launch, far: Collection[int]) -> Beside | None:
    if launch.heavy is not None or launch.attention is not None or launch.summed or product.outer:
        return None
    main = max(launch.writes, key=lambda i: (part.values.count(i), -i))
    name = f"compute_{local_name(part.graph[main].name)}"
    kernel = part.lowered(launch.roots, name)
    if len(kernel.passes) != 1 or not kernel.passes[0].over_columns or contiguous_rows(kernel):
        return None
    if [(axis.name, axis.extent) for axis in kernel.rows] != [("row", ROW)]:
        return None
    units, n = (kernel.columns[0].extent if len(kernel.columns) == 1 else 0), product.n.extent
    if not isinstance(units, int) or not isinstance(n, int) or units < LEAST or n % units:
        return None
    source = next((b.name for b in kernel.buffers if b.value == product.c), None)
    if source is None or product.k.a != 1 or n // units not in PARTS:
        return None
    body = kernel.passes[0].body
    if not all(map(_plain, body)):
        return None
    reads = [s for s in body if isinstance(s, Load) and s.buffer == source]
    wanted = (kernel.rows[0], product.m.c), (kernel.columns[0], 1)
    if any(s.index.terms != wanted or s.index.offset not in range(0, n, units) for s in reads):
        return None
    aliased = frozenset(b.name for b in kernel.buffers if b.value in part.overlapping)
    fetched = frozenset(b.name for b in kernel.buffers if b.value in far)
    beside = Beside(name, kernel, product, source, n // units, fetched, aliased)
    return beside if _pieces(beside) is not None else None


def _plain(s: Statement) -> bool:
    if isinstance(s, Let):
        return s.function != "table"
    if not isinstance(s, (Load, Store)) or (isinstance(s, Load) and s.guards):
        return False
    return not indirect(s) and isinstance(s.index.offset, int)


# ---- pieces --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """What happens after one product of tiles: what it takes from those before, and leaves."""

    taken: tuple[str, ...]
    body: tuple[Statement, ...]
    left: tuple[str, ...]


def _cost(s: Statement) -> int:
    known = OPS.get(s.function) if isinstance(s, Let) else None
    return 1 + (known.flops if known is not None else 0)


def _pieces(beside: Beside) -> list[_Piece] | None:
    """The statements in pieces of about equal length; None if one would have to leave what is no
    float.

    Loads are repeated where they are needed, unless something is written where they read.
    """
    kernel = beside.kernel
    body = kernel.passes[0].body
    free = {s.target: s for s in body if isinstance(s, Load) and s.buffer not in beside.aliased}
    work = [s for s in body if getattr(s, "target", None) not in free]
    total, done = sum(map(_cost, work)), 0
    groups: list[list[Statement]] = [[] for _ in range(PIECES)]
    for s in work:
        groups[min(PIECES * done // max(total, 1), PIECES - 1)].append(s)
        done += _cost(s)
    made = {t: k for k, group in enumerate(groups) for s in group if (t := _target(s))}
    left: dict[int, set[str]] = {k: set() for k in range(PIECES)}
    taken: dict[int, set[str]] = {k: set() for k in range(PIECES)}
    for k, group in enumerate(groups):
        for name in (o for s in group for o in operands_of(s)):
            if name in made and made[name] != k:
                left[made[name]].add(name)
                taken[k].add(name)
    crossing = set().union(*left.values())
    if any(kernel.values[name].dtype != "f32" for name in crossing):
        return None
    found = []
    for k, group in enumerate(groups):
        loads = dict.fromkeys(o for s in group for o in operands_of(s) if o in free)
        statements = (*(free[o] for o in loads), *group)
        found.append(_Piece(tuple(sorted(taken[k])), statements, tuple(sorted(left[k]))))
    return found


def _target(s: Statement) -> str | None:
    return getattr(s, "target", None)


# ---- text ----------------------------------------------------------------------------------------


class _Writer(RowLoops):
    """The statements of a map for 16 units of a row."""

    def __init__(self, beside: Beside) -> None:
        super().__init__(beside.kernel, beside.aliased)
        self.beside, self.held = beside, 0

    def load(self, load: Load) -> str:
        if load.buffer != self.beside.source:
            return super().load(load)
        assert isinstance(load.index.offset, int)
        part = load.index.offset // self.beside.units
        return f"z[{16 * part} + j]" if part else "z[j]"

    def pieces(self) -> list[str]:
        found = _pieces(self.beside) or []
        held = sorted({name for piece in found for name in piece.left})
        place = {name: f"held[{k}][j]" for k, name in enumerate(held)}
        column, self.held = self.kernel.columns[0].name, max(len(held), 1)
        for k, piece in enumerate(found):
            self.emit(f"if (piece == {k}) {{", 1)
            self.emit("#pragma omp simd", 2)
            self.emit("for (long j = 0; j < count; ++j) {", 2)
            self.emit(f"const long {column} = unit + j;", 3)
            for name in piece.taken:
                self.emit(f"const float {name} = {place[name]};", 3)
            stay, self.writer.nested = fold_single_uses(piece.body, piece.left)
            for s in stay:
                self.emit(self.statement(s), 3)
            for name in piece.left:
                self.emit(f"{place[name]} = {name};", 3)
            self.emit("}", 2)
            self.emit("}", 1)
        return self.lines

    def fetched(self) -> list[str]:
        """What asks for the lines of 16 units of a row that come from far away."""
        far = {b.name for b in self.beside.buffers} & self.beside.fetched
        body, found = self.kernel.passes[0].body, dict[str, None]()
        for s in body:
            if isinstance(s, (Load, Store)) and s.buffer in far:
                place = self.index(s.index).replace(self.kernel.columns[0].name, "unit")
                found[f"__builtin_prefetch({s.buffer}_ptr + {place});"] = None
        return list(found)


TEMPLATE = """\
#if defined(WEFT_TILES)
/* 16 units of a row, or those that are left, in pieces: z is what the product made */
WEFT_INLINE void FAMILY_piece(const int piece, const long row, const long unit, const long count,
    const float *z, float (*held)[16], {given})
{{
{leads}{pieces}
}}
static __attribute__((noinline, unused)) long FAMILY_columns(long steps, const uint16_t *a,
    const uint16_t *b, float *z, long rows, long unit, const float *before, {given})
{{
    float held[{held}][16] __attribute__((aligned(64)));
    long row = 0;
#define WEFT_DO(piece) \\
    if (row < rows) FAMILY_piece(piece, row, unit, 16, before + 64 * row, held, {names});
    WEFT_COLUMNS_BESIDE({parts}, WEFT_DO)
#undef WEFT_DO
    return row;
}}
#endif
/* A step of some rows: what the product makes of h, and the map of it; was it done? */
WEFT_KERNEL int FAMILY(long rows, const float *h, long hr, float *planes, {given})
{{
#if defined(WEFT_TILES)
{leads}    const uint16_t *kept = (const uint16_t *)planes;
    uint16_t *const split = (uint16_t *)(planes + {room});
    float made[2][16 * 64] __attribute__((aligned(64)));
    float held[{held}][16] __attribute__((aligned(64)));
    if (!weft_cut_few(rows, {depth}, h, hr, split)) return 0;
    weft_few_rows(rows);
    int last = 0;
    for (long unit = 0; unit < {units}; unit += 16, last ^= 1) {{
        for (long row = 0; row < rows; ++row) {{{fetched}
        }}
        long row = FAMILY_columns({steps}, split, kept, made[last], unit ? rows : 0, unit - 16,
            made[!last], {names});
        for (; unit && row < rows; ++row) WEFT_UNROLL for (int piece = 0; piece < {count}; ++piece)
            FAMILY_piece(piece, row, unit - 16, 16, made[!last] + 64 * row, held, {names});
        kept += {tiles} * WEFT_PIECE;
    }}
    for (long row = 0; row < rows; ++row) WEFT_UNROLL for (int piece = 0; piece < {count}; ++piece)
        FAMILY_piece(piece, row, {start}, {rest}, made[!last] + 64 * row, held, {names});
    _tile_release();
    return 1;
#else
    return 0;
#endif
}}"""


def text(beside: Beside, kept: Kept) -> str:
    """The function that carries out a step of some rows, and what it calls."""
    writer, own = _Writer(beside), beside.buffers
    pieces, fetched = "\n".join(writer.pieces()), writer.fetched()
    rest, steps, const = (beside.units - 1) % 16 + 1, -(-kept.k // 32), {"in": "const "}
    given = [f"const long {name}" for name in beside.sizes]
    given += [f"{const.get(b.role, '')}{STORED[b.dtype]} *{b.name}_ptr" for b in own]
    return TEMPLATE.format(
        given=", ".join(given),
        names=", ".join((*beside.sizes, *(f"{b.name}_ptr" for b in own))),
        leads="".join(f"    const long {name} = {size};\n" for size, name in writer.leads.items()),
        pieces=pieces,
        held=writer.held,
        parts=beside.parts,
        room=kept.room - kept.at,
        depth=kept.k,
        units=beside.units,
        fetched="".join(f"\n            {line}" for line in fetched),
        steps=steps,
        count=PIECES,
        tiles=beside.parts * steps,
        start=beside.units - rest,
        rest=rest,
    )
