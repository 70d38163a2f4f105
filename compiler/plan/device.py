"""Fusion for a GPU, where a kernel's rows run at the same time and a row must fit a tile."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..ir.graph import Node
from ..ops.products import letters
from .fuse import Fusion, Roots
from .moments import LONG
from .space import channel_sums, space
from .values import Values, lowering

LONGEST = 4_096
"""Columns of the longest row that may be folded beside a sum over the rows."""

PARTED = ("sum", "logsumexp", "squares")
"""Folds of long rows that blocks of a product take in parts."""


class DeviceFusion(Fusion):
    """Groups that a grid of independent programs can carry out.

    `replaced` are values that are written where an input lies that they are made from.
    """

    def __init__(self, values: Values, replaced: Collection[int] = ()) -> None:
        self.replaced = frozenset(replaced)
        super().__init__(values)

    def _index(self) -> None:
        super()._index()
        folds = [self.values.graph[r] for r in sorted(self.values.stored)]
        self.parted = frozenset(node.id for node in folds if self._is_parted(node))
        self.ridden = frozenset(node.id for node in folds if self._is_ridden(node))

    def _is_parted(self, node: Node) -> bool:
        """Does a fold of long rows of what a product makes feed nothing that reads this, too?

        Then the product takes it along, if it is not in a group with what needs it.
        """
        graph, count = self.values.graph, self.values.count
        if node.op not in PARTED or node.dtype != "f32":
            return False
        shape, last = graph[node.operands[0]].shape, len(graph[node.operands[0]].shape) - 1
        if node["axes"] != (last,) or not isinstance(shape[last], int) or shape[last] <= LONG:
            return False
        whole = count(node.operands[0])
        read = {i for i in self.leaves[node.id] if count(i) == whole}
        read |= {i for r in read & self.values.stored for i in self.leaves[r]}
        made = {i for i in read if self._is_product(i) and count(i) == whole}
        if any(lowering(graph[i]) == "fold" for i in self.leaves[node.id]):
            return False
        readers = self.readers.get(node.id, set()) & self.values.stored
        walked = {r: graph[r].operands[0] if lowering(graph[r]) == "fold" else r for r in readers}
        return bool(made) and all(
            count(i) < whole or not made & self.leaves[r] for r, i in walked.items()
        )

    def _is_product(self, i: int) -> bool:
        """Does a product make the value, or several that it is the sum of?"""
        return self.values.graph[i].op == "contract" or i in self.values.totals

    def _is_ridden(self, node: Node) -> bool:
        """Does a fold sum what a product makes of what it loads, and sums as well?

        Then the product takes it along, if it is not in a group with others.
        """
        ahead = self.values.ahead.get(node.operands[0]) if node.op == "sum" else None
        if ahead is None:
            return False
        readers = (self.values.graph[r] for r in ahead.readers)
        return any(_sums(r, node.operands[0], node["axes"]) for r in readers)

    def legal(self, roots: Roots) -> bool:
        """Also: rows folded beside other sums are short, a long batch is folded by many, folds
        that products take along wait for nobody or are alone, and what is replaced is made once.
        """
        if roots & self.ridden and len(roots) > 1:
            return False
        parted = roots & self.parted
        if parted and any(self.leaves[r] & parted for r in roots):
            return False
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


def _sums(reader: Node, i: int, axes: tuple[int, ...]) -> bool:
    """Does a product sum over these axes of an operand?"""
    if reader.op != "contract":
        return reader.op == "convolve_weight"
    left, right, made = letters(reader["spec"])
    mine = left if reader.operands[0] == i else right
    return not any(mine[axis] in made for axis in axes)


def _number(extents: Iterable[object]) -> float:
    total = 1.0
    for extent in extents:
        total *= extent if isinstance(extent, int) else float("inf")
    return total
