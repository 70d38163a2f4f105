"""Which launches are one with another that reads the same large values.

Neither waits for the other.  Rows are taken in chunks that are small enough to stay in the cache
until all programs that need them have run: see `beside`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ...artifact import evaluate
from ...plan.memory import nominal
from ...plan.order import Order
from ...plan.windows import CONVOLUTIONS
from .alike import Edges
from .compose import hosted
from .composed import Composed
from .part import Machine as Target
from .part import Part, Work
from .tiles import MACHINES, Machine, shared_bytes

CHUNKS = (2, 3, *(k << n for n in range(9) for k in (4, 5, 6, 7)))
"""Numbers of chunks that are tried: each share of a gradient more costs bytes."""
ROWS = 256
"""The fewest rows of a chunk."""

LEAST = 16
"""What is saved is as large a share of what is moved, and that as large a share of the cache."""

RESIDENT = 8
"""Warps that a processor runs at a time: products take most of its registers."""


def with_siblings(part: Part, works: list[Work], target: Target, edges: Edges) -> list[Work]:
    """Join launches that read the same values, first where it saves most."""
    readers: dict[int, list[Work]] = {}
    for work in works:
        if _may(part, work):
            for value in work.reads:
                readers.setdefault(value, []).append(work)
    near = Counter[tuple[Work, Work]]()
    for value, found in readers.items():
        for second in found:
            if shares(part, second):
                for first in found:
                    if first is not second and (not shares(part, first) or first.key < second.key):
                        near[first, second] += part.values.bytes_of(value)
    if not near:
        return works
    order, left = Order(edges(works)), dict.fromkeys(works)
    for (first, second), saved in sorted(
        near.items(), key=lambda x: (-x[1], x[0][0].key, x[0][1].key)
    ):
        if first not in left or second not in left or part.phase(first) != part.phase(second):
            continue
        if order.reaches(first, second) or order.reaches(second, first):
            continue
        if not order.apart((first, second)) or key_of(part, (first, second)) in target.levels:
            continue
        joined = _joined(part, first, second, target, saved)
        if joined is not None:
            del left[first], left[second]
            left[joined] = None
            order.merge((first, second), joined)
    return list(left)


def key_of(part: Part, pair: Sequence[Work]) -> str:
    """What tells the kernel from others when it is refused."""
    places = (part.graph[work.key].place for work in pair)
    shapes = (", ".join(map(str, part.graph[work.key].shape)) for work in pair)
    names = " beside ".join(f"{part.name(w)}[{s}]" for w, s in zip(pair, shapes, strict=True))
    return f"{names} at {next(iter(places))}"


def shares(part: Part, work: Work) -> bool:
    """Do the rows of the batch lie along what a product sums?"""
    assert work.heavy is not None
    node, sizes = part.graph[work.heavy], part.values.sizes
    if node.op != "contract":
        return node.op == "convolve_weight"
    p = part.product(work.heavy)
    return nominal(p.k.extent, sizes) > max(nominal(i.extent, sizes) for i in (p.m, p.n))


def _may(part: Part, work: Work) -> bool:
    """Is it one product or convolution, whose programs take rows in their order?"""
    if work.heavy is None or work.members or work.weight is not None or part.is_attention(work):
        return False
    if part.values.made_as_one(work.heavy) != (work.heavy, (work.heavy,)):
        return False
    node = part.graph[work.heavy]
    if node.op == "contract":
        return not part.product(work.heavy).outer
    return node.op in (*CONVOLUTIONS[:2], "convolve_weight")


def _joined(part: Part, first: Work, second: Work, target: Target, saved: int) -> Work | None:
    """One launch of both, where they move more than the cache holds anyway, chunks are small enough
    for it, and what more shares leave behind is less than what is saved.
    """
    pair = first, second
    found = [x for x in (_found(part, work, target) for work in pair) if x is not None]
    if len(found) < len(pair):
        return None
    machine = MACHINES.get(target.arch)
    apart = [_split(part, w, x) for w, x in zip(pair, found, strict=True)]
    reads, writes = first.reads | second.reads, first.writes | second.writes
    whole = replace(first, reads=reads, writes=writes)
    moved = part.bytes_of(whole)
    if machine is not None and (moved * LEAST < machine.cache or saved * LEAST < moved):
        return None
    if machine is not None and not _room(part, pair, found, machine):
        return None
    for chunks in CHUNKS:
        if chunks < max(apart) or not _fit(part, pair, found, chunks, moved, machine):
            continue
        both = tuple(
            replace(w, shares=chunks, apart=before) if shares(part, w) else w
            for w, before in zip(pair, apart, strict=True)
        )
        joined = replace(whole, pair=both, shares=chunks)
        gains = machine is None or part.parts(joined) < saved
        return joined if gains and all(_found(part, w, target) for w in both) else None
    return None


def _room(part: Part, pair: Sequence[Work], found: Sequence[Composed], machine: Machine) -> bool:
    """Is there shared memory for the blocks of both?  Only on an MI300X those of two gradients lie
    beside each other, as measured, where loads run ahead of products; elsewhere the programs of the
    one take the place of the other's.
    """
    if machine.warp == 32 or not all(shares(part, work) for work in pair):
        return True
    stages = min((each.tile.stages for each in found if each.tile), default=0)
    if stages <= 2:
        return True
    needed = 0
    for work, each in zip(pair, found, strict=True):
        assert work.heavy is not None
        item = 4 if part.graph[part.graph[work.heavy].operands[0]].dtype == "f32" else 2
        tile = replace(each.tile, stages=stages) if each.tile else None
        needed += shared_bytes(machine, tile, item) if tile else 0
    return needed <= machine.shared


def _fit(
    part: Part, pair: Sequence[Work], found: Sequence[Composed], chunks: int, moved: int,
    machine: Machine | None,
) -> bool:  # fmt: skip
    """Do all chunks that are under way at a time fit half of the cache?"""
    if machine is None:
        return True
    each = sum(_each(part, w, x, chunks) for w, x in zip(pair, found, strict=True))
    warps = max(x.texts[0].warps for x in found)
    flight = max(1, RESIDENT // warps) * machine.processors / each + 1
    small = moved / chunks * flight <= machine.cache / 2
    return small and chunks * ROWS <= _rows(part, pair[1])


def _found(part: Part, work: Work, target: Target) -> Composed | None:
    """The kernels, if the first of them is one of a pair."""
    try:
        found = hosted(part, work, target)
    except LookupError:
        return None
    if found is None or found.texts[0].alone or len(found.grids[0]) > 2:
        return None
    many = len(found.texts) == 2 and len(found.grids[0]) == 2
    return found if many or not work.shares else None


def _rows(part: Part, work: Work) -> int:
    """How many rows the batch has."""
    graph = part.graph
    node = graph[work.key]
    if node.op == "contract":
        p = part.product(work.key)
        return max(nominal(i.extent, part.values.sizes) for i in (p.m, p.k))
    made = graph[node.operands[1]] if node.op == "convolve_weight" else node
    return part.values.count(made.id) // max(1, nominal(made.shape[-1], part.values.sizes))


def _split(part: Part, work: Work, found: Composed) -> int:
    """Programs that share the rows, where nobody asks for a number."""
    if not shares(part, work) or len(found.texts) == 1:
        return 1
    return int(evaluate(found.grids[0][1], part.values.sizes))


def _each(part: Part, work: Work, found: Composed, chunks: int) -> int:
    """Programs of a chunk of rows."""
    sizes = [int(evaluate(axis, part.values.sizes)) for axis in found.grids[0]]
    if shares(part, work):
        return sizes[0]
    return -(-sizes[0] // chunks) * (sizes[1] if sizes[1:] else 1)
