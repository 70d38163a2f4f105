"""Reductions over axes, and products of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...spec.dims import numel
from ..ir.types import FLOATS
from .request import Known, Refusal, Request, Result, agree, shown

BATCH = "abcdefgh"  # letters of the axes that a product does not touch


def _kept(r: Request, result: int, axes: Sequence[int]) -> int:
    """The result with its folded axes as extents of 1, where `keep` says so."""
    if not r["keep"]:
        return result
    shape = tuple(1 if i in axes else e for i, e in enumerate(r.shape()))
    return r.b.broadcast(result, [i for i in range(len(shape)) if i not in axes], shape)


def _fold(function: str, real: bool = False) -> Callable[[Request], Result]:
    def build(r: Request) -> Result:
        axes = r.axes(r["axis"])
        x = r.real() if real else r.x[0]
        if function == "sum" and r.b[x].dtype == "bool":
            x = r.b.cast(x, "i32")
        return _kept(r, r.b.reduce(function, x, axes), axes)

    return build


def _mean(r: Request) -> Result:
    axes = r.axes(r["axis"])
    return _kept(r, r.b.mean(r.real(), axes), axes)


def _index_of(function: str) -> Callable[[Request], Result]:
    def build(r: Request) -> Result:
        axis = r.axis(r["axis"])
        return _kept(r, r.b.reduce(function, r.x[0], (axis,)), (axis,))

    return build


def _matmul(r: Request) -> Result:
    """The last axis of `a` with the second to last of `b`; axes before those are batches."""
    r = r.of_floats()
    for i in (0, 1):
        if not r.shape(i):
            raise Refusal("E402", "a product needs at least one axis, got a number", (i,))
        if r.type(i).dtype not in FLOATS:
            hint = "convert it first: cast(x, f32)"
            raise Refusal(
                "E414", f"a product needs floating-point numbers, got {r.type(i)}", (i,), hint
            )
    (a, left), (b, right) = _lettered(r)
    spec = "".join(x for x in BATCH if x in left + right)  # as they stand, however they lie
    spec += "".join(x for x in left + right if x in "mn")
    dtype = max((r.b[x].dtype for x in (a, b)), key=["f16", "bf16", "f32", "f64"].index)
    return r.b.contract(f"{left},{right}->{spec}", r.b.cast(a, dtype), r.b.cast(b, dtype))


def _lettered(r: Request) -> tuple[tuple[int, str], tuple[int, str]]:
    """Both operands, one letter an axis; transposes are read off, repeating batch axes dropped."""
    shapes = [r.shape(0), r.shape(1)]
    tails = ["mk" if len(shapes[0]) > 1 else "k", "kn" if len(shapes[1]) > 1 else "k"]
    depth = shapes[0][-1], shapes[1][-2 if len(shapes[1]) > 1 else -1]
    code = agree(*depth)
    if code:
        message = f"the last axis of {shown(shapes[0])} is {depth[0]}, "
        which = "second to last" if len(shapes[1]) > 1 else "only"
        message += f"the {which} of {shown(shapes[1])} is {depth[1]}"
        raise Refusal(code, message, (0, 1), axis=-1)
    leads = [shape[: -len(tail)] for shape, tail in zip(shapes, tails, strict=True)]
    whole = r.b.broadcast_shape(leads)
    if len(whole) > len(BATCH):
        raise Refusal("E402", f"a product has at most {len(BATCH)} batch axes", (0, 1))
    result = []
    for i in (0, 1):
        offset = len(whole) - len(leads[i])
        ones = [j for j, e in enumerate(leads[i]) if e == 1 and whole[j + offset] != 1]
        letters = [BATCH[j + offset] for j in range(len(leads[i])) if j not in ones] + list(
            tails[i]
        )
        x = r.b.squeeze(r.x[i], ones)
        if r.b[x].op == "transpose":
            order = r.b[x]["order"]
            letters = [letters[order.index(axis)] for axis in range(len(order))]
            x = r.b[x].operands[0]
        result.append((x, "".join(letters)))
    return result[0], result[1]


def _take(r: Request) -> Result:
    """Entries of `table` along `axis` at whole numbers."""
    axis = r.axis(r["axis"])
    if r.type(1).dtype not in ("i32", "i64"):
        hint = "convert it first: cast(x, i32)"
        raise Refusal("E414", f"an index must be whole numbers, got {r.type(1)}", (1,), hint)
    r.bounds(r.x[1], r.shape()[axis], None)
    rank, count = len(r.shape()), len(r.shape(1))
    front = [axis, *(i for i in range(rank) if i != axis)]
    taken = r.b.take(r.b.transpose(r.x[0], front), r.x[1])
    order = [*range(count, count + axis), *range(count), *range(count + axis, count + rank - 1)]
    return r.b.transpose(taken, order)


def _size(r: Request) -> Result:
    return Known(numel(r.shape()[axis] for axis in r.axes(r["axis"])))


FOLDS = (
    ("sum(x; axis:axes=all, keep:flag=false)", _fold("sum"), "the sum over the axes"),
    ("mean(x; axis:axes=all, keep:flag=false)", _mean, "the mean over the axes"),
    ("max(x; axis:axes=all, keep:flag=false)", _fold("max"), "the largest along the axes"),
    ("min(x; axis:axes=all, keep:flag=false)", _fold("min"), "the smallest along the axes"),
    (
        "logsumexp(x; axis:axes=all, keep:flag=false)",
        _fold("logsumexp", real=True),
        "log(sum(exp(x))), without overflow",
    ),
    ("argmax(x; axis:axis=-1, keep:flag=false)", _index_of("argmax"), "where the largest stands"),
    ("argmin(x; axis:axis=-1, keep:flag=false)", _index_of("argmin"), "where the smallest stands"),
    ("matmul(a, b;)", _matmul, "the matrix product; axes before the last two are batches"),
    ("take(table, index; axis:axis=0)", _take, "the entries of the table that the index names"),
    (
        "size(x; axis:axes=all)",
        _size,
        "the number of elements along the axes, known at compile time",
    ),
)
