"""`x[:, -1]`, `x[..., a:b]`, `table[index]`: indices of tensors."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec.dims import Dim, Polynomial, sign
from ..ir.builder import Builder
from .request import Refusal, shown
from .values import Tensor


def index_tensor(b: Builder, x: int, parts: Sequence[object]) -> int:
    """Cut by numbers and slices first, then look up the one tensor of indices, if there is one.

    Raises: Refusal for an index outside the axis.
    """
    shape = b[x].shape
    parts = _without_dots(parts, len(shape), shape)
    starts: list[Dim] = [0] * len(shape)
    sizes: list[Dim] = list(shape)
    dropped: list[int] = []
    lookup: tuple[int, Tensor] | None = None
    for axis, part in enumerate(parts):
        if isinstance(part, slice):
            starts[axis], sizes[axis] = _range(part, shape[axis], axis)
        elif isinstance(part, Tensor):
            if lookup is not None:
                raise Refusal(
                    "E416", "only one axis can be indexed by a tensor", (), "index in two steps"
                )
            lookup = (axis - len(dropped), part)
        else:
            assert isinstance(part, (int, Polynomial))
            starts[axis], sizes[axis] = _one(part, shape[axis], axis), 1
            dropped.append(axis)
    cut = b.squeeze(b.slice(x, starts, sizes, [1] * len(shape)), dropped)
    return _look_up(b, cut, *lookup) if lookup else cut


def _without_dots(parts: Sequence[object], rank: int, shape: tuple[Dim, ...]) -> list[object]:
    count = sum(part is not ... for part in parts)
    if count > rank or list(parts).count(...) > 1:
        what = f"{count} indices" if count > rank else "`...` twice"
        raise Refusal("E402", f"{what} for {shown(shape)}", (0,))
    whole = slice(None, None)
    opened: list[object] = []
    for part in parts:
        opened += [whole] * (rank - count) if part is ... else [part]
    return opened + [whole] * (rank - len(opened))


def _one(part: Dim, extent: Dim, axis: int) -> Dim:
    if isinstance(part, int) and part < 0:
        part = extent + part
    low, beyond = sign(part), sign(extent - part)
    if low == -1 or beyond in (0, -1):
        raise Refusal(
            "E419", f"index {part} is outside axis {axis}, which has {extent} entries", (0,)
        )
    return part


def _range(part: slice, extent: Dim, axis: int) -> tuple[Dim, Dim]:
    """Start and size of a slice; ends below zero count from the back, as in Python."""
    start, stop = (_end(end, extent) for end in (part.start, part.stop))
    start = 0 if start is None else start
    stop = extent if stop is None else stop
    if sign(start) == -1 or sign(extent - stop) == -1:
        text = (
            f"{'' if part.start is None else part.start}:{'' if part.stop is None else part.stop}"
        )
        raise Refusal(
            "E419", f"the slice {text} is outside axis {axis}, which has {extent} entries", (0,)
        )
    if sign(stop - start) in (0, -1):
        raise Refusal("E408", f"the slice {start}:{stop} of axis {axis} is empty", (0,))
    return start, stop - start


def _end(end: Dim | None, extent: Dim) -> Dim | None:
    return extent + end if isinstance(end, int) and end < 0 else end


def _look_up(b: Builder, x: int, axis: int, index: Tensor) -> int:
    if index.type.dtype not in ("i32", "i64"):
        hint = (
            "use where(condition, a, b)"
            if index.type.dtype == "bool"
            else "convert it: cast(x, i32)"
        )
        raise Refusal("E414", f"an index must be whole numbers, got {index.type}", (), hint)
    rank, count = len(b[x].shape), index.type.rank
    front = [axis, *(i for i in range(rank) if i != axis)]
    taken = b.take(b.transpose(x, front), index.id)
    order = [*range(count, count + axis), *range(count), *range(count + axis, count + rank - 1)]
    return b.transpose(taken, order)
