"""How many queries and keys an attention kernel has in registers at a time."""

from __future__ import annotations

from dataclasses import replace

from ...plan.memory import nominal
from .attention_scores import Scores
from .part import Machine
from .tiles import Tile, power_of_two


def _tiles(text: str) -> tuple[Tile, ...]:
    found = []
    for word in text.split():
        block, warps, stages = word.split("/")
        rows, columns = map(int, block.split("x"))
        found.append(Tile(rows, columns, 16, int(warps), int(stages)))
    return tuple(found)


FORWARD = _tiles("64x32/4/3 64x32/4/2 32x32/4/2 32x16/4/2 16x16/4/1")
FORWARD_WIDE = _tiles("128x32/8/3 64x32/8/2 32x32/4/2 32x16/4/2 16x16/4/1")
KEYS_WIDE_NARROW = _tiles("64x16/8/2 32x16/4/2 32x16/8/2 16x16/8/2 16x16/4/1")
KEYS = _tiles("64x16/4/2 32x32/4/2 32x16/4/2 32x16/4/1 16x16/4/1")
KEYS_WIDE = _tiles("32x16/4/2 32x16/8/2 16x16/8/2 16x16/8/1 16x16/4/1")
QUERIES = _tiles("64x32/4/2 32x32/4/2 32x16/4/2 16x16/4/1")
QUERIES_WIDE = _tiles("128x32/8/2 64x32/8/2 32x32/4/2 32x16/4/2 16x16/4/1")
WIDEST_TILES = _tiles("64x32/8/2 32x16/8/2 32x16/8/1 16x16/8/1 16x16/4/1 16x16/2/1")
"""Owned x walked / warps / stages, the first that compiles; narrow: queries and keys of 16 bits.

A Hopper's own instructions take 64 rows, for which keys of 32 bits leave no registers.
"""

FIRST: dict[tuple[str, bool, int], tuple[tuple[int, int], ...]] = {
    ("cuda:80", False, 128): ((0, 0), (0, 0), (1, 1)),
    ("cuda:80", False, 256): ((2, 1), (1, 2), (1, 1)),
    ("cuda:80", True, 64): ((0, 0), (1, 0), (0, 0)),
    ("cuda:80", True, 256): ((0, 0), (1, 1), (0, 0)),
    ("cuda:86", False, 64): ((0, 0), (1, 1), (0, 0)),
    ("cuda:86", False, 128): ((1, 1), (0, 2), (1, 1)),
    ("cuda:86", False, 256): ((2, 2), (3, 3), (2, 2)),
    ("cuda:86", True, 64): ((0, 0), (1, 0), (0, 0)),
    ("cuda:86", True, 256): ((0, 0), (1, 1), (1, 1)),
    ("cuda:90", False, 64): ((0, 0), (0, 4), (0, 0)),
    ("cuda:90", False, 128): ((0, 0), (0, 2), (0, 0)),
    ("cuda:90", False, 256): ((2, 2), (1, 2), (1, 1)),
    ("cuda:90", True, 256): ((0, 0), (1, 1), (0, 0)),
    ("cuda:100", False, 128): ((0, 0), (0, 4), (0, 0)),
    ("cuda:100", False, 256): ((0, 1), (1, 2), (1, 1)),
    ("hip:gfx942", False, 128): ((1, 3), (0, 0), (2, 2)),
    ("hip:gfx942", False, 256): ((1, 1), (4, 5), (4, 4)),
    ("hip:gfx942", True, 128): ((0, 1), (1, 1), (1, 1)),
    ("hip:gfx942", True, 256): ((1, 1), (2, 2), (1, 1)),
}
"""How many tiles are refused, as measured, by architecture, 16 bits and widest head: forward, of
keys and of queries, each without and with random numbers.
"""

ALIKE = {"cuda:89": "cuda:86"}
"""Architectures with the memory and the instructions of another one."""


def tile_of(scores: Scores, machine: Machine) -> Tile:
    """How many positions are owned and walked at a time: no more than there are.

    Raises: LookupError when no tile is left.
    """
    if machine.interpreted:
        return Tile(32, 16, 16, 4, 2)
    found = _candidates(scores)
    found = found[min(_refused(scores, machine), len(found) - 1) :]
    level = machine.levels.get(scores.key(), 0)
    if level >= len(found):
        raise LookupError(f"no tile for attention after {level} refusals")
    tile, launch = found[level], scores.launch
    owned, walked = (
        power_of_two(nominal(scores.shape[d], scores.values.sizes))
        for d in (launch.owned, launch.walked)
    )
    rows, columns = min(tile.rows, owned), min(tile.columns, walked)
    return replace(tile, rows=max(16, rows), columns=max(16, columns))


def _refused(scores: Scores, machine: Machine) -> int:
    """How many of the tiles are known not to fit."""
    widest = max(matrix.width for matrix in scores.matrices())
    width = next((w for w in (64, 128) if widest <= w), 256)
    arch = ALIKE.get(machine.arch, machine.arch)
    known = FIRST.get((arch, scores.narrow, width))
    if known is None or scores.pair:
        return 0
    role = 0 if len(scores.launch.products) == 1 else 1 if scores.of_keys else 2
    return known[role][bool(scores.kernel.streams)]


def _candidates(scores: Scores) -> tuple[Tile, ...]:
    widest = max(matrix.width for matrix in scores.matrices())
    wide = widest > 64
    if widest > 128:
        return WIDEST_TILES
    if len(scores.launch.products) == 1:
        return FORWARD_WIDE if wide else FORWARD
    if scores.of_keys and wide:
        return KEYS_WIDE_NARROW if scores.narrow else KEYS_WIDE
    if scores.of_keys:
        return KEYS
    return QUERIES_WIDE if wide else QUERIES
