"""Which products are one launch with the one behind them, and its tile.

What is saved has to be more than what programs load again of the weights: each of them reads both,
for its rows alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...plan.order import Order
from ...plan.product import Product
from ..loops import Load
from .alike import Edges
from .axes import statements
from .choice import TINY
from .epilogue import pressure
from .part import Machine as Target
from .part import Part, Work
from .products import row_wise
from .tiles import MACHINES, Machine, Tile, blocks, power_of_two

HELD = 256
"""The deepest rows of the first operand that a block holds."""

WIDEST = 256
"""Columns of the second product, all of which a program keeps."""

BLOCK = 128
"""Rows and columns of the blocks of products that are launches of their own."""

ROOM = {4: 80, 2: 96}
"""Results for each of 32 lanes, by the bytes of an element: both blocks of a program."""

MADE = {"cuda:90": 160}
"""The same with rows of the first operand that a program makes and holds: on an H100 each group of
four warps keeps all of them in its registers (measured: of 200 all spill).
"""

REFUSALS = 3
"""After so many the products are two launches."""

INTERPRETED = Tile(32, 64, 1, 4, 1)

SHAPES = tuple(
    Tile(rows, columns, 1, warps, stages)
    for rows, columns, warps, stages in (
        (128, 64, 8, 2), (128, 32, 8, 2), (128, 128, 8, 2), (128, 32, 8, 1), (64, 64, 4, 2),
        (64, 128, 8, 2), (64, 32, 8, 2), (64, 64, 8, 1), (64, 32, 8, 1),
    )
)  # fmt: skip
"""The better first, of those that load as much."""


@dataclass(frozen=True, slots=True)
class Link:
    """`p`: the first product, `q`: the second, which reads `handed`; `columns`: those of a block of
    the second, which are all it has.
    """

    p: Product
    q: Product
    handed: int
    tile: Tile
    columns: int

    @property
    def middle(self) -> int:
        """Columns of what is handed on."""
        assert isinstance(self.p.n.extent, int)
        return self.p.n.extent

    @property
    def held(self) -> bool:
        """Does a block hold whole rows of the first operand?"""
        assert isinstance(self.p.k.extent, int)
        return self.p.k.extent <= self.tile.depth


def key_of(part: Part, work: Work) -> str:
    """What tells the kernel from others when it is refused."""
    assert work.then is not None
    p, q = part.product(work.key), part.product(work.then.key)
    widths, place = (p.k.extent, p.n.extent, q.n.extent), part.graph[work.key].place
    return f"{part.name(work)}: {' -> '.join(map(str, widths))} columns at {place}"


def link_of(part: Part, work: Work, target: Target, level: int) -> Link | None:
    """How one launch makes both products; None where it cannot."""
    assert work.then is not None
    p, q = part.product(work.key), part.product(work.then.key)
    extents = p.k.extent, p.n.extent, q.n.extent
    k, n, columns = (e if isinstance(e, int) else 0 for e in extents)
    if min(k, n) <= TINY or not 1 < columns <= WIDEST or not (_plain(p) and _plain(q)):
        return None
    handed = part.values.memory(work.then.key, q.a)
    found = part.graph[handed].dtype, part.graph[p.a].dtype, part.graph[p.b].dtype
    reads = (q.m.extent, q.k.extent, q.m.a, q.k.a) == (p.m.extent, n, n, 1)
    if not reads or {part.graph[q.b].dtype} != set(found):
        return None
    if part.values.sources.get((work.key, p.a)) is not None and p.k.a != 1:
        return None
    tile = _tile(part, work, target, (k, n, columns), level)
    return None if tile is None else Link(p, q, handed, tile, max(16, power_of_two(columns)))


def _plain(p: Product) -> bool:
    """Is it one matrix product, whose result lies row by row?"""
    return not p.outer and row_wise(p)


def _tile(
    part: Part, work: Work, target: Target, extents: tuple[int, int, int], level: int
) -> Tile | None:
    """The shape that loads least again of those that fit, after `level` refusals."""
    k, n, columns = extents
    depth = max(16, power_of_two(k))
    item = 4 if part.graph[work.key].dtype == "f32" else 2
    depth = depth if depth <= HELD else 128 // item
    widest, out = max(16, power_of_two(n)), max(16, power_of_two(columns))
    machine = MACHINES.get(target.arch)
    if machine is None:
        return replace(INTERPRETED, columns=min(64, widest), depth=depth)
    loads, heavy = _asked(part, work)
    most = ROOM[item] / 2 if heavy else ROOM[item]
    made = depth / 128 if k <= HELD and part.values.made_by(work.key) else 0  # for each row
    whole = MADE.get(target.arch, 1 << 16) if made else most
    shapes = (replace(s, columns=min(s.columns, widest), depth=depth) for s in SHAPES)
    fits = [
        tile
        for tile in dict.fromkeys(shapes)
        if (tile.stages == 1 or machine.warp == 32)  # there loads that wait take registers
        and tile.rows * (tile.columns + out) / (32 * tile.warps) <= most
        and tile.rows * ((tile.columns + out) / (32 * tile.warps) + made) <= whole
        and _shared(machine, tile, out, item, loads) <= machine.shared
    ]
    fits.sort(key=lambda tile: _loaded(part, work, tile))
    return fits[level] if level < min(len(fits), REFUSALS) else None


def _loaded(part: Part, work: Work, tile: Tile) -> int:
    """Bytes of both weights and of the first operand that programs load."""
    assert work.then is not None
    values, p, q = part.values, part.product(work.key), part.product(work.then.key)
    assert isinstance(p.n.extent, int) and isinstance(p.k.extent, int)
    a, w, v = (
        values.bytes_of(values.memory(i, o))
        for i, o in ((work.key, p.a), (work.key, p.b), (work.then.key, q.b))
    )
    rows = values.count(work.key) // p.n.extent
    walks = 1 if p.k.extent <= tile.depth else blocks(p.n.extent, tile.columns)
    return blocks(rows, tile.rows) * (w + v) + walks * a


def _loaded_apart(part: Part, work: Work, link: Link) -> int:
    """The same where they are two launches: there the second loads what is handed on, too."""
    assert work.then is not None
    values, p, q = part.values, link.p, link.q
    assert isinstance(q.n.extent, int)
    first, second = (work.key, p), (work.then.key, q)
    weights = sum(values.bytes_of(values.memory(i, x.b)) for i, x in (first, second))
    a, s = (values.bytes_of(values.memory(i, x.a)) for i, x in (first, second))
    rows = values.count(link.handed) // link.middle
    across = blocks(link.middle, BLOCK), blocks(q.n.extent, BLOCK)
    return blocks(rows, BLOCK) * weights + across[0] * a + across[1] * s


def _asked(part: Part, work: Work) -> tuple[int, bool]:
    """What the epilogue of the first product loads in whole blocks, and whether it is heavy."""
    if not work.roots:
        return 0, False
    kernel = part.lowered(work.roots)
    full = sum(
        isinstance(s, Load) and kernel.values[s.target].kind == "full" for s in statements(kernel)
    )
    return full - 1, pressure(kernel, moments=False) == 2


def _shared(machine: Machine, tile: Tile, out: int, item: int, loads: int) -> int:
    """Shared memory for the first operand and what is in flight (measured: hardly ever less).

    Units: bytes.
    """
    held = tile.rows * tile.depth * item
    weights = tile.depth * tile.columns * item, out * tile.columns * item
    if machine.warp > 32:
        return max(held, *weights)
    if tile.stages == 1:
        return held + max(weights)
    return held + tile.stages * (sum(weights) + loads * tile.rows * tile.columns * 4)


# ---- pairs ---------------------------------------------------------------------------------------


def with_chains(
    part: Part, works: list[Work], target: Target, edges: Edges, fits: Callable[[Work], bool]
) -> list[Work]:
    """Join products with those that read what they make, first where it saves most."""
    makers = {value: work for work in works if _leads(part, work) for value in work.writes}
    followers = [w for w in works if _follows(part, w) and _handed(part, w) in makers]
    if not followers:
        return works
    order, left = Order(edges(works)), dict.fromkeys(works)
    readers = Counter(value for work in works for value in work.reads)
    found = []
    for then in followers:
        work = makers[_handed(part, then)]
        joined = _joined(part, work, then, alone=readers[_handed(part, then)] == 1)
        if joined is not None:
            saved = part.bytes_of(work) + part.bytes_of(then) - part.bytes_of(joined)
            found.append((saved, work, then, joined))
    for saved, work, then, joined in sorted(found, key=lambda x: (-x[0], x[1].key, x[2].key)):
        if work not in left or then not in left or not order.apart((work, then)):
            continue
        if _gains(part, joined, target, saved) and fits(joined):
            del left[work], left[then]
            left[joined] = None
            order.merge((work, then), joined)
    return list(left)


def _single(part: Part, work: Work) -> bool:
    """Is it one product, of a right operand that it loads as it is, and what rides behind it?"""
    if not part.is_product(work) or work.members or work.weight is not None:
        return False
    if work.summed is not None:
        return False
    values = part.values
    right = work.key, part.product(work.key).b
    return values.made_as_one(work.key) == (work.key, (work.key,)) and right not in values.sources


def _leads(part: Part, work: Work) -> bool:
    return _single(part, work) and work.moments is None


def _follows(part: Part, work: Work) -> bool:
    if not _single(part, work):
        return False
    lowered = part.lowered(work.roots) if work.roots else None
    return lowered is None or not (lowered.streams or lowered.starts)


def _handed(part: Part, then: Work) -> int:
    return part.values.memory(then.key, part.product(then.key).a)


def _joined(part: Part, work: Work, then: Work, *, alone: bool) -> Work | None:
    """One launch, if the second reads what the first makes as its left operand and nowhere else;
    `alone`: nobody but the second reads that.
    """
    handed = _handed(part, then)
    beside = {part.values.base(i) for i in part.fusion.reads(then.roots)}
    beside.add(part.values.memory(then.key, part.product(then.key).b))
    if part.phase(work) != part.phase(then) or handed in beside:
        return None
    if work.writes & then.reads != {handed} or then.writes & work.reads:
        return None
    dropped = {handed} if alone and handed not in part.values.outputs else set()
    reads, writes = work.reads | (then.reads - {handed}), work.writes | then.writes
    return replace(work, reads=reads, writes=writes - dropped, then=then)


def _gains(part: Part, joined: Work, target: Target, saved: int) -> bool:
    """Are there rows for all processors, and is what passes the cache more often than before less
    than what is saved?
    """
    machine, link = MACHINES.get(target.arch), link_of(part, joined, target, 0)
    if machine is None or link is None:
        return saved > 0 and link is not None
    again = _loaded(part, joined, link.tile) - _loaded_apart(part, joined, link)
    programs = blocks(part.values.count(link.handed) // link.middle, link.tile.rows)
    return programs >= machine.processors and again * machine.memory < saved * machine.l2
