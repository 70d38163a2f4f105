"""The choice of a tile for a contraction: a small model of the machine, the same answer every time.

    time = rounds of co-resident blocks * (steps over k * slowest of MMA, L2, latency + a rest)
           + the second phase when k is split

The model ranks tiles that are known to compile; its numbers are not predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod

from .contraction import Contraction
from .kernel import Extent
from .tiles import (
    HALF,
    MACHINES,
    SINGLE,
    Machine,
    Tile,
    blocks,
    power_of_two,
    room,
    shared_bytes,
)

LATENCY = 900
"""Clock cycles from a load of the first bytes to their arrival."""

REST = 1500
"""Clock cycles before the first and after the last step of a block."""

STEP = 60
"""Clock cycles of the barriers and index arithmetic of one step."""

PHASE = 4000
"""Clock cycles of one more launch inside a CUDA graph."""

SPLITS = (1, 2, 4, 8, 16, 32)
TINY = 8
"""Up to this depth outer products beat a padded dot."""


def choose(
    arch: str,
    contraction: Contraction,
    sizes: Mapping[str, int],
    *,
    pressure: int = 1,
    whole_rows: bool = False,
    level: int = 0,
    times: int = 1,
    beside: int = 0,
) -> Tile:
    """The tile for `arch` (a key of MACHINES, or `interpret`); `sizes` gives nominal extents.

    `pressure` of the epilogue: see `room`.  `whole_rows` wants all columns in one block.  `level`
    counts refusals by the compile gate: each one rules out what was chosen and all larger tiles.
    `times`: as many products are one launch.  `beside`: so many more blocks of rows are loaded, of
    which an operand is made.

    Raises: LookupError when no tile is left.
    """
    m, n, k = (_size(e, sizes) for e in (contraction.m, contraction.n, contraction.k))
    batch = times * prod(_size(e, sizes) for e in contraction.batch)
    wide = contraction.a.dtype == "f32"
    if contraction.n == 1:
        return _vector(arch, m * batch, k)
    if isinstance(contraction.k, int) and k <= TINY:
        return outer(m, n, whole_rows, level)
    machine, item = MACHINES.get(arch, MACHINES["cuda:80"]), 4 if wide else 2
    limit, deepest = room(machine, pressure, item), max(16, power_of_two(k))
    found = [
        tile
        for tile in _shapes(wide, deepest)
        if shared_bytes(machine, tile, item, beside) <= machine.shared
        and tile.load <= limit
        and (not whole_rows or tile.columns == max(16, power_of_two(n)))
    ]
    splits = [s for s in SPLITS if s == 1 or k >= 256 * s]
    text = {tile: str(tile) for tile in found}  # tells equal costs apart

    def cost(tile: Tile) -> tuple[float, str]:
        if arch not in MACHINES:  # interpreted: about a millisecond a step of a program
            return _programs(tile, m, n, batch) * (2 + blocks(k, tile.depth)), text[tile]
        return min((_cost(machine, tile, s, m, n, k, batch, item), text[tile]) for s in splits)

    best = _best(found, cost, level)
    if best is None:
        rows = f" with whole rows of {n} columns" if whole_rows else ""
        raise LookupError(f"no tile for {arch}{rows} after {level} refusals")
    if arch not in MACHINES:
        return best
    split = min((_cost(machine, best, s, m, n, k, batch, item), s) for s in splits)[1]
    tiles_m, tiles_n = blocks(m, best.rows), blocks(n, best.columns)
    grouped = tiles_n >= 8 and tiles_m >= 16 and tiles_m * tiles_n >= 2 * machine.processors
    return replace(best, split=split, group=8 if grouped else 1)


def _best(found: list[Tile], cost: Callable[[Tile], tuple[float, str]], level: int) -> Tile | None:
    """The cheapest tile after `level` refusals; below 16 results a lane size is not what spills."""
    best = min(found, key=cost, default=None)
    for _ in range(level):
        if best is None:
            break
        refused = best
        found = [t for t in found if t.load < refused.load or (refused.load <= 16 and t != refused)]
        best = min(found, key=cost, default=None)
    return best


@lru_cache(maxsize=64)
def _shapes(wide: bool, deepest: int) -> tuple[Tile, ...]:
    """The tiles there are, no deeper than the products."""
    tiles = SINGLE if wide else HALF
    return tuple(replace(t, depth=min(t.depth, deepest)) for t in tiles)


def _cost(
    machine: Machine, tile: Tile, split: int, m: int, n: int, k: int, batch: int, item: int
) -> float:
    """Clock cycles."""
    programs = _programs(tile, m, n, batch) * split
    steps = blocks(blocks(k, tile.depth), split)
    threads = tile.warps * machine.warp
    registers = tile.rows * tile.columns / threads * 1.25 + 50
    fit = min(
        machine.shared // shared_bytes(machine, tile, item),
        2048 // threads,
        int(65_536 / (registers * threads)),
    )
    resident = max(1, min(fit, blocks(programs, machine.processors)))
    rounds = blocks(programs, machine.processors * resident)
    rate = machine.flops * (2 / item) * (1.0 if tile.rows >= machine.wide_rows else 0.5)
    work = 2 * tile.rows * tile.columns * tile.depth / rate
    traffic = (tile.rows + tile.columns) * tile.depth * item / machine.l2
    step = max(resident * work, resident * traffic, LATENCY / max(1, tile.stages - 1))
    store = resident * tile.rows * tile.columns * 4 / machine.memory
    time = rounds * (steps * (step + STEP) + REST + store)
    if split > 1:
        traffic = 8 * m * n * batch * split
        time += PHASE + traffic / (machine.memory * machine.processors)
    return time


def _programs(tile: Tile, m: int, n: int, batch: int) -> int:
    return blocks(m, tile.rows) * blocks(n, tile.columns) * batch


def _vector(arch: str, rows: int, k: int) -> Tile:
    """Rows of a times a vector: about 2048 elements a block; a long k with few rows is shared."""
    depth = min(power_of_two(k), 256)
    height = max(1, min(2048 // depth, power_of_two(rows)))
    steps, programs = blocks(k, depth), blocks(rows, height)
    split = 1
    if arch in MACHINES and steps >= 16:
        while split < 32 and programs * split < MACHINES[arch].processors and steps >= 8 * split:
            split *= 2
    return Tile(height, 1, depth, 4, 2, split)


def outer(m: int, n: int, whole_rows: bool, level: int) -> Tile:
    """A few outer products: 2048 elements a block, as a pointwise kernel would have."""
    columns = power_of_two(n) if whole_rows else min(power_of_two(n), 128)
    rows = max(1, min((2048 >> level) // columns, power_of_two(m)))
    if 2048 >> level < 128:
        raise LookupError("no smaller block of outer products")
    return Tile(rows, columns, 1, 4, 1)


def _size(extent: Extent, sizes: Mapping[str, int]) -> int:
    return extent if isinstance(extent, int) else sizes[extent]
