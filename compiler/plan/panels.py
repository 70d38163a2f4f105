"""How the threads of a CPU walk a domain: panels of rows, and the groups that may be walked so."""

from __future__ import annotations

from itertools import pairwise

from .fuse import Fusion, Roots
from .layout import LANES
from .space import channel_sums, space
from .values import lowering

SMALL_PANEL, LARGE_PANEL = 64, 256  # rows of a panel of the batch
PANEL_FLOATS = 1 << 16  # what a panel may hold: a quarter of a typical second-level cache
LARGE_ROW = 1 << 12  # floats of one row of a batch that fill a panel's vectors by themselves
CHUNKS = 16  # of a literal domain, at most
SHARED_CHUNKS = 24  # of all domains that are walked at the same time, about
GRAIN = 1 << 12  # elements that are worth a chunk of their own
SHARED_SUM = 1 << 15  # elements of a batch whose sums are worth sharing between threads


class PanelFusion(Fusion):
    """Groups that many threads can carry out in panels."""

    def legal(self, roots: Roots) -> bool:
        """Also: the batch is walked, never folded in one go, nor a large one channel by channel,
        and what is the same for all of it is made once.
        """
        if not super().legal(roots) or self._serial(roots):
            return False
        return not self._owned(roots) and not self._repeated(roots)

    def _serial(self, roots: Roots) -> bool:
        found = space(self.values, roots)
        folded = any(not isinstance(found.extents[column], int) for column in found.columns)
        return len(roots) > 1 and not found.rows and folded

    def _owned(self, roots: Roots) -> bool:
        """Would each thread fold all rows of a large batch for some of its channels?

        Apart from what reads it, such a sum is partial in the stage that makes its rows, and what
        reads it joins the stage that its own readers walk, as in batch normalisation.
        """
        found, graph = space(self.values, roots), self.values.graph
        if all(isinstance(found.extents[column], int) for column in found.columns):
            return False
        sums = channel_sums(self.values, roots)
        return any(self.values.count(graph[i].operands[0]) > SHARED_SUM for i in sums)

    def _repeated(self, roots: Roots) -> bool:
        """Would every row make a value that is the same for all of them?"""
        found, graph = space(self.values, roots), self.values.graph
        batch = {row for row in found.rows if not isinstance(found.extents[row], int)}
        made = (graph[r] for r in roots if lowering(graph[r]) != "fold")
        return any((set(found.rows) if n.shape else batch) - set(found.of(n)) for n in made)


def batch_panel(nominal: int, row: int, parts: int, each: int = 0, least: int = 1) -> int:
    """Rows of a panel of a batch of `nominal` rows; `row` floats of each live in the panel.

    A panel fits the second-level cache, fills the register tiles of the products, and leaves
    work for every part of a sum.  Where `each` row makes many floats, as images and sequences do,
    a few rows are a panel, `least` of them at least.
    """
    if each >= LARGE_ROW:
        return max(1, min(max(least, PANEL_FLOATS // each), -(-nominal // 2)))
    if nominal < 4 * SMALL_PANEL:
        return max(LANES, _lanes(-(-nominal // 2)))
    fits = PANEL_FLOATS // max(row, 1) // LANES * LANES
    return max(SMALL_PANEL, min(LARGE_PANEL, fits, _lanes(-(-nominal // parts))))


def literal_panel(domain: int, work: int, grain: int = LANES, together: int = 0) -> int:
    """Rows of a chunk of a literal domain: few chunks, shared evenly by two and four.

    Where other domains are walked at the same time, all of them with the work `together`, chunks
    may be as large as that allows: threads share them all.
    """
    most = max(1, min(CHUNKS, work // GRAIN, -(-domain // grain)))
    if together > work:
        count = min(most, -(-SHARED_CHUNKS * work // together))
        return -(-domain // (count * grain)) * grain
    sizes = {-(-domain // (count * grain)) * grain for count in range(1, most + 1)}
    return min(sizes, key=lambda size: (sum(_longest(domain, size, t) for t in (2, 4)), -size))


def _longest(domain: int, chunk: int, threads: int) -> int:
    """The rows that the busiest of the threads gets."""
    chunks = -(-domain // chunk)
    borders = [min(domain, me * chunks // threads * chunk) for me in range(threads + 1)]
    return max(end - begin for begin, end in pairwise(borders))


def _lanes(rows: int) -> int:
    return -(-rows // LANES) * LANES
