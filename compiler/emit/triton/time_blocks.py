"""The block of a program that takes samples through all of time.

A step reads the whole weight, whatever the samples; so a program takes more of them as soon as
every processor has one, and fewer columns at a time instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from .tiles import MACHINES, power_of_two

LEAST = 16
"""The smallest side of a dot."""

MOST = 64
"""Samples of a program, at most."""

AREA = 1024
"""Samples times columns of a block, at most: 64 columns of 16 samples."""

DEPTH = 32
"""How many indices of a sum a dot takes, at most."""

STAGES = 2


@dataclass(frozen=True, slots=True)
class TimeBlock:
    """`rows` samples, `columns` of their values at a time, `depth` of the sums of products.

    `alone`: a program may take all registers of its processor.
    """

    rows: int
    columns: int
    depth: int
    alone: bool = False

    @property
    def warps(self) -> int:
        """With 4 the several products of a large block would crowd the registers."""
        return 8 if self.rows * self.columns == AREA else 4

    def narrowed(self, width: int) -> TimeBlock:
        """The block where no value has more columns."""
        most = max(LEAST, power_of_two(width))
        columns, depth = min(self.columns, most), min(self.depth, most)
        return TimeBlock(self.rows, columns, depth, self.alone)


def time_block(samples: int, arch: str, refused: int) -> TimeBlock:
    """The block for so many samples, once it has been `refused` so often.

    NVIDIA's assembler aims at several programs on a processor, and spills a few registers for that.
    Told not to, it may take all there are, and spill a few elsewhere.  So each size is tried both
    ways before it is halved.  The interpreter takes the smallest, so that small tests have
    several.

    Raises: LookupError where no smaller block is left.
    """
    if arch == "interpret":
        return TimeBlock(LEAST, LEAST, LEAST)
    area, alone = AREA >> refused // 2, refused % 2 == 0
    if area < LEAST * LEAST:
        raise LookupError("no smaller block is left")
    processors = MACHINES[arch].processors if arch in MACHINES else MACHINES["cuda:80"].processors
    rows = LEAST
    while rows < min(MOST, area // LEAST) and samples > rows * processors:
        rows *= 2
    columns = area // rows if rows == LEAST else LEAST
    return TimeBlock(rows, columns, min(DEPTH, area // LEAST), alone)
