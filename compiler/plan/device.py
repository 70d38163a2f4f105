"""Fusion for a GPU, where a kernel's rows run at the same time and a row must fit a tile."""

from __future__ import annotations

from collections.abc import Iterable

from .fuse import Fusion, Roots
from .space import space
from .values import lowering

LONGEST = 4_096
"""Columns of the longest row that may be folded beside a sum over the rows."""


class DeviceFusion(Fusion):
    """Groups that a grid of independent programs can carry out."""

    def legal(self, roots: Roots) -> bool:
        """Also: rows folded beside other sums are short."""
        return super().legal(roots) and self._row_fits(roots)

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
