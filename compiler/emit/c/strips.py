"""Which launches walk the positions of a sample one by one, and their kernels over positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ....spec.dims import Dim, exact_quotient
from ...plan.product import Index, Product
from ...plan.strips import Even
from ..axes import named, statements, stride, with_indices
from ..loops import Affine, Axis, Draw, Kernel, Load, Position, Store


def even_kernel(kernel: Kernel) -> Even | None:
    """How a loop kernel walks positions: those along its second axis of rows."""
    if len(kernel.rows) < 2:
        return None
    samples, inner = kernel.rows[:2]
    values = {b.name: b.value for b in kernel.buffers}
    steps: dict[int, tuple[Dim, Dim]] = {}
    beyond: set[int] = set()
    for s in statements(kernel):
        index = getattr(s, "index", None)
        if index is None or not hasattr(s, "buffer"):
            continue
        value, found = values[s.buffer], (stride(index, samples), stride(index, inner))
        stays = isinstance(s, Store) and found[1] == 0
        if steps.setdefault(value, found) != found or stays or not isinstance(found[1], int):
            return None
        if (isinstance(s, Load) and s.guards) or not _within(index, samples, inner):
            beyond.add(value)
    whole = _counts_on(kernel, samples, inner)
    if not isinstance(inner.extent, int) or whole is None:
        return None
    return Even(inner.extent, steps, frozenset(beyond), whole)


def _counts_on(kernel: Kernel, samples: Axis, inner: Axis) -> bool | None:
    """Are positions numbered from the first sample on (True) or in a sample (False), by all that
    asks for the number?  None: both.
    """
    asked = [s.index for s in statements(kernel) if isinstance(s, (Position, Draw))]
    asked += [g.index for s in statements(kernel) for g in getattr(s, "guards", ())]
    along = [(stride(i, samples), stride(i, inner)) for i in asked]
    if all(each == 0 for each, _ in along):
        return False
    joined = all(sample == each * inner.extent for sample, each in along)
    return True if joined else None


def _within(index: Affine, samples: Axis, inner: Axis) -> bool:
    """Do the elements of a position lie before those of the next?"""
    rest = [(term, step) for term, step in index.terms if term not in (samples, inner)]
    if any(isinstance(term, str) for term, _ in rest):
        return False
    extents = ((term.extent, step) for term, step in rest if isinstance(term, Axis))
    return _short(extents, index.offset, stride(index, inner))


def _short(loops: Iterable[tuple[Dim, Dim]], offset: Dim, step: Dim) -> bool:
    """Do all loops, (extent, stride) each, stay between 0 and the next step?"""
    last = offset
    for extent, each in loops:
        if not isinstance(extent, int) or not isinstance(each, int) or each < 0:
            return False
        last = last + (extent - 1) * each
    known = isinstance(last, int) and isinstance(offset, int) and isinstance(step, int)
    return known and 0 <= offset and last < step  # type: ignore[operator]


def even_product(
    product: Product, walked: Index | None, domain: Dim, values: Mapping[str, int]
) -> Even | None:
    """How a product walks positions: its rows, its columns or, if it is added to what is there, its
    depth; `values`: its a, b and c.
    """
    if walked is None or walked in product.outer or len(set(values.values())) < 3:
        return None
    positions = exact_quotient(walked.extent, domain)
    if not isinstance(positions, int):
        return None
    steps: dict[int, tuple[Dim, Dim]] = {}
    beyond = set()
    others = [i for i in product.loops if i is not walked]
    for side, value in values.items():
        step: Dim = getattr(walked, side)
        if not isinstance(step, int):
            return None
        steps[value] = step * positions, step
        if not _short(((i.extent, getattr(i, side)) for i in others), 0, step):
            beyond.add(value)
    return Even(positions, steps, frozenset(beyond))


def over_positions(kernel: Kernel) -> Kernel:
    """The kernel for some positions of one sample."""
    samples = kernel.rows[0]

    def moved(index: Affine) -> Affine:
        return Affine(tuple((t, s) for t, s in index.terms if t != samples), index.offset)

    return replace(named(with_indices(replace(kernel, rows=kernel.rows[1:]), moved)), form=object())
