"""The blocks a GEMM may be cut into, and the machines they are for.

Every tile here was compiled for all four machines with five fills (plain store; bias, erf and
residual; backward of gelu with column sums; softmax of whole rows; split weight gradient).  What
the choice allows did not spill under Triton 3.9 and used tensor cores everywhere; under 3.7.1 and
3.6 three of 805 spilled 8 or 16 bytes, which the compile gate answers with the next tile.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tile:
    """The block of one program: `rows` x `columns` of the product, `depth` of k at a time.

    `split` programs share k; `group` rows of blocks run together so that they find their columns
    of b in the L2 cache.  So often the block of phase two, which adds shares up, was `halved`.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    split: int = 1
    group: int = 1
    halved: int = 0

    @property
    def form(self) -> str:
        """How the kernel sums over k: `dot`, `outer` (depth 1) or `vector` (one column)."""
        if self.depth == 1:
            return "outer"
        return "vector" if self.columns == 1 else "dot"

    @property
    def load(self) -> float:
        """Results for each of 32 lanes of a warp."""
        return self.rows * self.columns / (32 * self.warps)

    @property
    def patch(self) -> float:
        """Elements of the left operand in a step, for each of 32 lanes of a warp."""
        return self.rows * self.depth / (32 * self.warps)

    def __str__(self) -> str:
        """`128x64x32/4/3`, then `/k4` where four programs share k."""
        text = f"{self.rows}x{self.columns}x{self.depth}/{self.warps}/{self.stages}"
        return text + (f"/k{self.split}" if self.split > 1 else "")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the choice of a tile needs to know about an architecture; rates are per processor.

    Units: `flops` 16-bit tensor-core operations a clock (tf32: half), `l2` and `memory` bytes a
    clock, `shared` bytes.  `wide_rows`: the fewest rows for the fastest tensor-core instruction;
    `spare`: stages that need no buffer; `room`: the most float32 results for each of 32 lanes;
    `cache`: bytes that all processors share.
    """

    name: str
    processors: int
    flops: int
    l2: float
    memory: float
    shared: int
    warp: int
    wide_rows: int
    spare: int
    room: int
    cache: int


MACHINES = {
    "cuda:80": Machine("A100", 108, 2048, 24.0, 10.0, 166_912, 32, 16, 1, 64, 40 << 20),
    "cuda:86": Machine("RTX 30, A10, A40", 82, 512, 14.0, 6.5, 101_376, 32, 16, 1, 64, 6 << 20),
    "cuda:89": Machine("RTX 40, L4, L40", 128, 512, 16.0, 3.0, 101_376, 32, 16, 1, 64, 48 << 20),
    "cuda:90": Machine("H100, H200", 132, 4096, 29.0, 16.0, 232_448, 32, 64, 0, 128, 50 << 20),
    "cuda:100": Machine("B200", 148, 8192, 29.0, 24.0, 232_448, 32, 64, 0, 128, 126 << 20),
    "hip:gfx942": Machine("MI300X", 304, 2048, 20.0, 8.0, 65_536, 64, 16, 1, 128, 256 << 20),
}


def blocks(extent: int, block: int) -> int:
    """How many blocks cover the extent."""
    return -(-extent // block)


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(0, n - 1).bit_length()


def _parse(text: str) -> tuple[Tile, ...]:
    tiles = []
    for word in text.split():
        block, warps, stages = word.split("/")
        rows, columns, depth = map(int, block.split("x"))
        tiles.append(Tile(rows, columns, depth, int(warps), int(stages)))
    return tuple(tiles)


HALF = _parse(
    """
    256x128x64/8/3 128x256x64/8/3 128x128x64/8/3 128x128x32/8/4
    128x64x64/4/3 64x128x64/4/3 64x64x64/4/4 32x128x64/4/4 64x32x64/4/4 32x64x64/4/4 16x128x64/4/4
    32x32x64/4/4 16x64x128/4/3 64x16x64/4/4 16x32x128/4/4 32x16x128/4/4 16x16x128/4/4
    16x256x64/4/3 16x256x64/4/2 32x256x64/8/3 16x512x32/8/3
    """
)
SINGLE = _parse(
    """
    128x256x32/8/3 128x128x32/8/3 128x64x32/4/3 64x128x32/4/3 64x64x32/4/4 32x128x32/4/4
    64x32x32/4/4 32x64x32/4/4 16x128x32/4/4 32x32x64/4/4 16x64x64/4/3 64x16x64/4/4 16x32x64/4/4
    32x16x64/4/4 16x16x64/4/4 16x256x32/4/3 16x256x32/4/2 32x256x32/8/3
    """
)


def shared_bytes(machine: Machine, tile: Tile, item: int, beside: int = 0) -> int:
    """Shared memory for the operands in flight, `item` bytes an element (measured: never less);
    `beside`: more blocks of rows, of which the left operand is made and then rearranged.
    """
    stages = max(1, tile.stages - machine.spare)
    loaded = stages * (tile.rows + tile.columns) * tile.depth * item
    if not beside:
        return loaded
    return loaded + tile.rows * item * (stages * beside * tile.depth + tile.depth + 4)


def room(machine: Machine, pressure: int, item: int) -> int:
    """The most results that each of 32 lanes may hold.

    `pressure` of the epilogue on the registers: 0 stores the product, 1 adds a few operands and a
    function, 2 several of each, or sums over rows.
    """
    if pressure == 2 and item == 2:
        return machine.room // 2
    return min(machine.room, 128 >> pressure)
