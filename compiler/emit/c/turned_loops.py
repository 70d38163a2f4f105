"""Loop nests of maps whose operands lie in different orders, or all in another than the loops.

    y[j, i] = f(x[i, j])  ->  for a block of 16 i: for j: for i of the block
    y[j, i] = x[i, j]     ->  turned in registers (turn.c)

The innermost axis is the one along which most operands are contiguous.  Where another operand is
contiguous along a second axis, the innermost one is cut into blocks: what a block reads of that
operand is whole cache lines by the time the second axis has moved on.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..axes import join_as_one, merge, statements, stride
from ..loops import Affine, Axis, Fold, Gather, Kernel, Load, Pass, Position, Size, Store
from ..names import c_expression
from .flow import contiguous_rows, indirect
from .words import Words

LINE = 16  # elements of a cache line
PAGE = 1024  # elements
FAR = (1 << 40) + 1  # a stride that is not a number
CROWDED, WRITING = 6.0, 1.5  # cycles, and how much dearer it is to write
WORDS = ("f32", "i32")  # what is turned in registers: 32 bits
LEAST = 4  # rows and columns that are worth it


@dataclass(frozen=True, slots=True)
class Copy:
    """One load that is stored, contiguous along another axis than it is read along."""

    load: Load
    store: Store
    read: Axis
    written: Axis


@dataclass(frozen=True, slots=True)
class Order:
    """Axes around the `inner` one, outermost first; in front of `around[cut]` begin its blocks, if
    `cut` is not None.  `copy` is what is turned in registers: loops around both its axes.
    """

    kernel: Kernel
    around: tuple[Axis, ...]
    inner: Axis
    cut: int | None
    copy: Copy | None = None


def turned(kernel: Kernel) -> Order | None:
    """The better order of the loops of a map; None where they are in order, or more than a map."""
    if not kernel.rows or not _is_map(kernel):
        return None
    lanes = bool(kernel.columns) and contiguous_rows(kernel)
    kernel = _joined(kernel)
    axes = (*kernel.rows, *kernel.columns)
    if len(axes) < 2:
        return None
    copy = _copy(kernel)
    if copy is not None:
        around = tuple(a for a in axes if a not in (copy.read, copy.written))
        around = tuple(sorted(around, key=lambda a: -_step(copy.load.index, a)))
        return Order(kernel, around, copy.read, None, copy)
    accesses = [s for s in statements(kernel) if isinstance(s, (Load, Store))]
    usual = axes[0] if lanes else axes[-1]
    costs = {axis: sum(_cost(s, axis) for s in accesses) for axis in axes}
    inner = min(axes, key=lambda a: (costs[a], a != usual))
    indices = list(dict.fromkeys(s.index for s in accesses))
    others = [i for i in indices if _step(i, inner) > 1 and any(_step(i, a) == 1 for a in axes)]
    if all(_step(i, inner) != 1 for i in indices) or (inner == usual and not others):
        return None
    guide = others[0] if others else indices[0]
    around = tuple(sorted((a for a in axes if a != inner), key=lambda a: -_step(guide, a)))
    cut = None
    if others:
        far = LINE * _step(guide, inner)
        cut = next((n for n, a in enumerate(around) if _step(guide, a) < far), len(around))
    return Order(kernel, around, inner, cut)


def _is_map(kernel: Kernel) -> bool:
    """Is every element made by itself, at little cost for what belongs to a row?"""
    for p in kernel.passes:
        if any(isinstance(s, (Fold, Gather)) or indirect(s) for s in p.body):
            return False
        straight = not p.over_columns and kernel.columns
        if straight and not all(isinstance(s, (Load, Size, Position)) for s in p.body):
            return False
    return True


def _joined(kernel: Kernel) -> Kernel:
    """The kernel with axes that walk memory as one joined, all but that of panels."""
    while True:
        axes = (*kernel.rows[1:], *kernel.columns)
        pairs = ((a, b) for a in axes for b in axes if a != b)
        found = next(((a, b) for a, b in pairs if join_as_one(kernel, a, b)), None)
        if found is None:
            return kernel
        kernel = merge(kernel, *found)


def _copy(kernel: Kernel) -> Copy | None:
    """What the kernel copies, if that is all and can be turned."""
    body = [s for p in kernel.passes for s in p.body]
    if len(body) != 2:
        return None
    load, store = body
    if not isinstance(load, Load) or not isinstance(store, Store) or load.guards:
        return None
    types = {b.dtype for b in kernel.buffers}
    if store.operand != load.target or len(types) > 1 or not types <= set(WORDS):
        return None
    axes = (*kernel.rows, *kernel.columns)
    long = [a for a in axes if not isinstance(a.extent, int) or a.extent >= LEAST]
    ends = [[a for a in long if _step(s.index, a) == 1] for s in (load, store)]
    found = next(((r, w) for r in ends[0] for w in ends[1] if r != w), None)
    return Copy(load, store, *found) if found is not None else None


def _step(index: Affine, axis: Axis) -> int:
    step = stride(index, axis)
    return abs(step) if isinstance(step, int) else FAR


def _cost(s: Load | Store, axis: Axis) -> float:
    """Of an element, about, in cycles, if this axis is the innermost: lines that lie whole pages
    apart crowd one set of a cache.
    """
    step = _step(s.index, axis)
    if step == 1:
        extent = axis.extent if isinstance(axis.extent, int) else LINE
        found = 1.0 - 0.9 * min(extent, LINE) / LINE
    else:
        found = 0.0 if step == 0 else CROWDED if step % PAGE == 0 else 1.0
    return WRITING * found if isinstance(s, Store) else found


class TurnedLoops(Words):
    """Axes in the order that memory asks for."""

    def __init__(self, order: Order) -> None:
        super().__init__(order.kernel, frozenset())
        self.order = order

    def loops(self, passes: list[Pass]) -> None:
        depth, order = 1, self.order
        begin, end = "0", self._extent(order.inner)
        for position, axis in enumerate((*order.around, None)):
            if position == order.cut:
                self.emit(f"for (long block = 0; block < {end}; block += {LINE}) {{", depth)
                depth += 1
                begin, end = "block", self._end(end, depth)
            if axis is not None:
                self.emit(self.loop(axis.name, self._extent(axis)), depth)
                depth += 1
        if order.copy is not None:
            self.emit(self._turn(order.copy), depth)
            depth -= 1
        else:
            name = order.inner.name
            self.emit("#pragma omp simd", depth)
            self.emit(f"for (long {name} = {begin}; {name} < {end}; ++{name}) {{", depth)
            self.body([s for p in passes for s in p.body], depth + 1, ())
        for level in reversed(range(1, depth + 1)):
            self.emit("}", level)

    def _end(self, extent: str, depth: int) -> str:
        """Where the block at hand ends."""
        if extent.isdecimal() and int(extent) % LINE == 0:
            return f"block + {LINE}"
        last = f"{extent} - block < {LINE} ? {extent} : block + {LINE}"
        self.emit(f"const long size = {last};", depth)
        return "size"

    def _turn(self, copy: Copy) -> str:
        """The call that turns a matrix; a side that runs backwards in memory begins at its end."""
        places, steps = [], []
        for s, along, across in (
            (copy.load, copy.read, copy.written),
            (copy.store, copy.written, copy.read),
        ):
            other = copy.store if s is copy.load else copy.load
            step = self.lead(c_expression(stride(s.index, across)))
            terms = tuple(t for t in s.index.terms if t[0] not in (along, across))
            place = f"{s.buffer}_ptr + {self.index(Affine(terms, s.index.offset))}"
            if stride(s.index, along) == -1:
                place += f" - ({self._extent(along)} - 1)"
            if stride(other.index, across) == -1:
                place += f" + ({self._extent(across)} - 1) * {step}"
                step = f"-{step}"
            places.append(place.replace(" + 0", ""))
            steps.append(step)
        sides = f"{self._extent(copy.written)}, {self._extent(copy.read)}"
        return f"weft_turn({sides}, {places[0]}, {steps[0]}, {places[1]}, {steps[1]});"

    def _extent(self, axis: Axis) -> str:
        return "rows" if axis == self.kernel.rows[0] else c_expression(axis.extent)
