"""Fusion for a GPU, where a kernel's rows run at the same time and a row must fit a tile."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .fuse import Fusion, Roots
from .space import channel_sums, space
from .values import Values, lowering

LONGEST = 4_096
"""Columns of the longest row that may be folded beside a sum over the rows."""


class DeviceFusion(Fusion):
    """Groups that a grid of independent programs can carry out.

    `replaced` are values that are written where an input lies that they are made from.
    """

    def __init__(self, values: Values, replaced: Collection[int] = ()) -> None:
        self.replaced = frozenset(replaced)
        super().__init__(values)

    def legal(self, roots: Roots) -> bool:
        """Also: rows folded beside other sums are short, a long batch is folded by many, and what
        is replaced is made once.
        """
        if not super().legal(roots) or not self._row_fits(roots):
            return False
        return not self._serial(roots) and not self._replaced_often(roots)

    def _replaced_often(self, roots: Roots) -> bool:
        """Would every program read and replace a value that is the same for all of them?"""
        if not roots & self.replaced:
            return False
        found, graph = space(self.values, roots), self.values.graph
        axes = {*found.rows, *found.columns}
        return any(axes - set(found.of(graph[r])) for r in roots & self.replaced)

    def _serial(self, roots: Roots) -> bool:
        """Would a few programs fold all rows of a batch, each of them some columns of it?

        Apart from what reads it, such a sum is a gather over rows, which all programs share.
        """
        found = space(self.values, roots)
        rows = [found.extents[r] for r in found.rows]
        width = _number([found.extents[c] for c in found.columns])
        if not rows or any(not isinstance(e, int) for e in rows) or width <= LONGEST:
            return False
        return bool(channel_sums(self.values, roots))

    def _row_fits(self, roots: Roots) -> bool:
        found = space(self.values, roots)
        width = _number([found.extents[c] for c in found.columns])
        if not found.rows and width > LONGEST and len(roots) > 1:
            return False  # one program would have to do it all
        folds = [self.values.graph[r] for r in roots if lowering(self.values.graph[r]) == "fold"]
        over_columns = any(set(found.folded(f)) & set(found.columns) for f in folds)
        over_rows = [f for f in folds if set(found.folded(f)) & set(found.rows) and f.shape]
        return not (over_columns and over_rows) or width <= LONGEST


def _number(extents: Iterable[object]) -> float:
    total = 1.0
    for extent in extents:
        total *= extent if isinstance(extent, int) else float("inf")
    return total
