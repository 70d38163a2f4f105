"""The sum over k inside a GEMM kernel, as lines of text, in one of three forms.

    dot     tensor cores, a block of k at a time
    outer   one k at a time in full float32: k is tiny, a padded dot would waste most of its work
    vector  n is 1: rows of a times one vector, summed once at the end

A `share` of k (split > 1) begins and ends at a multiple of the block depth, so the only mask is the
end of k itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .contraction import (
    Operand,
    Stride,
    batch_offset,
    divides,
    one_block,
    sum_of,
    times,
)
from .kernel import Extent, widened
from .request import Gemm
from .template import call
from .tiles import blocks

STEP = 8
"""Columns of indentation inside the loop."""


@dataclass(frozen=True, slots=True)
class Loop:
    """The lines before, in and after the loop; `dots` counts the `tl.dot` among them."""

    before: tuple[str, ...]
    steps: tuple[str, ...]
    after: tuple[str, ...]
    dots: int


def loop(gemm: Gemm) -> Loop:
    """The sum over k in the form that the tile asks for, once for each of several products."""
    if gemm.contraction.others:
        terms = [replace(c, others=()) for c in gemm.contraction.terms]
        first = replace(gemm, contraction=terms[0])
        made = gemm.others or ((),) * (len(terms) - 1)
        rest = (
            replace(gemm, contraction=c, prologue_a=lines, prologue_b=())
            for c, lines in zip(terms[1:], made, strict=True)
        )
        loops = [_dot(each, alone=False) for each in (first, *rest)]
        steps = tuple(line for found in loops for line in found.steps)
        return Loop(loops[0].before, steps, (), sum(found.dots for found in loops))
    match gemm.tile.form:
        case "outer":
            return _outer(gemm)
        case "vector":
            return _vector(gemm)
    return _dot(gemm)


def sum_guard(gemm: Gemm) -> str | None:
    """The condition under which this program owns the ride-along sums; None: it always does."""
    c, tile = gemm.contraction, gemm.tile
    across = one_block(tile.columns, c.n) if gemm.rowwise_sums else one_block(tile.rows, c.m)
    if across:
        return None
    return "tile_n == 0" if gemm.rowwise_sums else "tile_m == 0"


def _dot(gemm: Gemm, *, alone: bool = True) -> Loop:
    """`alone`: nothing is added to the sum that is there already."""
    c, tile = gemm.contraction, gemm.tile
    single = tile.split == 1 and one_block(tile.depth, c.k) and not c.apart
    fresh = single and not gemm.sums and alone
    product, start = gemm.product, "" if single else "start + "
    step = [f"depth = {start}tl.arange(0, BK)" + (".to(tl.int64)" if gemm.wide and single else "")]
    if gemm.wide and not single:
        step = ["depth = (start + tl.arange(0, BK)).to(tl.int64)"]
    masked = not divides(tile.depth, c.k)
    if masked:
        step.append(f"in_depth = depth < {c.k}")
    indent = 4 if single else STEP
    depth_a, depth_b = "depth[None, :]", "depth[:, None]"
    mask_a = _all(gemm.in_row, "in_depth[None, :]" if masked else None)
    mask_b = _all("in_depth[:, None]" if masked else None, gemm.in_column)
    step += _load(gemm, c.a, c.a_tile, (gemm.matrix_row, depth_a), mask_a, indent)
    step += _load(gemm, c.b, c.b_tile, (depth_b, "column"), mask_b, indent)
    step += [*gemm.prologue_a, *gemm.prologue_b]
    added, dots = _add_sums(gemm)
    step += added
    precision = [f'input_precision="{gemm.precision}"'] if c.a.dtype == "f32" else []
    carried = [] if fresh else [product]
    step += call(f"{product} = tl.dot", [c.a_tile, c.b_tile, *carried, *precision], indent)
    before = [] if fresh else [f"{product} = tl.zeros([BM, BN], tl.float32)"]
    before += _sum_start(gemm)
    return Loop(tuple(before), tuple(_looped(gemm, step, single)), _sum_end(gemm), 1 + dots)


def _outer(gemm: Gemm) -> Loop:
    c = gemm.contraction
    wider = widened(c.a.dtype)
    step = _load(gemm, c.a, c.a_tile, (gemm.matrix_row, "depth"), gemm.in_row, STEP)
    step += _load(gemm, c.b, c.b_tile, ("depth", "column"), gemm.in_column, STEP)
    step += [*gemm.prologue_a, *gemm.prologue_b]
    before = [f"{gemm.product} = tl.zeros([BM, BN], tl.float32)"]
    if gemm.sums:
        shape, tile = ("BM, 1", c.a_tile) if gemm.rowwise_sums else ("1, BN", c.b_tile)
        before.append(f"{gemm.sums.buffer}_sum = tl.zeros([{shape}], tl.float32)")
        step.append(f"{gemm.sums.buffer}_sum += {tile}{wider}")
    step.append(f"{gemm.product} += {c.a_tile}{wider} * {c.b_tile}{wider}")
    steps = [f"for depth in tl.static_range({c.k}):", *(f"    {line}" for line in step)]
    return Loop(tuple(before), tuple(_over_apart(gemm, steps)), (), 0)


def _vector(gemm: Gemm) -> Loop:
    c, tile = gemm.contraction, gemm.tile
    single = tile.split == 1 and one_block(tile.depth, c.k) and not c.apart
    depth = f"{'' if single else 'start + '}tl.arange(0, BK)[None, :]"
    step = [f"depth = ({depth}).to(tl.int64)" if gemm.wide else f"depth = {depth}"]
    masked = not divides(tile.depth, c.k)
    if masked:
        step.append(f"in_depth = depth < {c.k}")
    indent = 4 if single else STEP
    mask = "in_depth" if masked else None
    step += _load(gemm, c.a, c.a_tile, (gemm.matrix_row, "depth"), _all(gemm.in_row, mask), indent)
    step += _load(gemm, c.b, c.b_tile, ("depth", ""), mask, indent)
    step += [*gemm.prologue_a, *gemm.prologue_b]
    wider = widened(c.a.dtype)
    term = f"{c.a_tile}{wider} * {c.b_tile}{wider}"
    product = gemm.product
    folded = {product: ("BM", term)}
    if gemm.sums:
        height, tile_name = ("BM", c.a_tile) if gemm.rowwise_sums else ("1", c.b_tile)
        folded[f"{gemm.sums.buffer}_sum"] = (height, f"{tile_name}{wider}")
    if single:
        step += [
            f"{name} = tl.sum({value}, axis=1, keep_dims=True)"
            for name, (_, value) in folded.items()
        ]
        return Loop((), tuple(step), (), 0)
    step += [f"{name} += {value}" for name, (_, value) in folded.items()]
    before = [
        f"{name} = tl.zeros([{height}, BK], tl.float32)" for name, (height, _) in folded.items()
    ]
    after = [f"{name} = tl.sum({name}, axis=1, keep_dims=True)" for name in folded]
    return Loop(tuple(before), tuple(_looped(gemm, step, single)), tuple(after), 0)


def _looped(gemm: Gemm, step: list[str], single: bool) -> list[str]:
    """The step in its loop over k, or over this program's share of k."""
    if single:
        return step
    k, split = gemm.contraction.k, gemm.tile.split
    inside = [f"    {line}" for line in step]
    if split == 1:
        return _over_apart(gemm, [f"for start in range(0, {k}, BK):", *inside])
    steps = [f"for start in range(first, min(first + share, {k}), BK):", *inside]
    return [
        f"share = {_share(k, split, gemm.tile.depth)}",
        "first = split * share",
        *_over_apart(gemm, steps),
    ]


def _over_apart(gemm: Gemm, steps: list[str]) -> list[str]:
    """The steps for all values of the indices that are summed apart from k."""
    for x, i in reversed(list(enumerate(gemm.contraction.apart))):
        cast = [f"    part_{x} = tl.cast(part_{x}, tl.int64)"] if gemm.wide else []
        head = f"for part_{x} in range(0, {i.extent}):"
        steps = [head, *cast, *(f"    {line}" for line in steps)]
    return steps


def _share(k: Extent, split: int, depth: int) -> str:
    if isinstance(k, int):
        return str(blocks(blocks(k, depth), split) * depth)
    return f"tl.cdiv(tl.cdiv({k}, BK), {split}) * BK"


def _load(
    gemm: Gemm, operand: Operand, tile: str, at: tuple[str, str], mask: str | None, indent: int
) -> list[str]:
    c = gemm.contraction
    parts = (times(f"part_{x}", i.a if operand is c.a else i.b) for x, i in enumerate(c.apart))
    where = sum_of(
        f"{operand.buffer}_ptr",
        batch_offset(c, operand),
        *parts,
        _spanned(at[0], operand.row_stride),
        _spanned(at[1], operand.column_stride),
    )
    masks = [f"mask={mask}", "other=0.0"] if mask else []
    return call(f"{tile} = tl.load", [where, *masks], indent)


def _spanned(index: str, stride: Stride) -> str:
    """The term of an index; it gives the block its shape also where there is one element only."""
    return f"{index} * 0" if index and stride == 0 else times(index, stride) if index else ""


def _all(*masks: str | None) -> str | None:
    return " & ".join(mask for mask in masks if mask) or None


def _sum_start(gemm: Gemm) -> list[str]:
    if not gemm.sums:
        return []
    name = f"{gemm.sums.buffer}_sum"
    if gemm.sums_by_dot:
        block = "BM" if gemm.rowwise_sums else "BN"
        ones = f"ones = tl.full([BK, 16], 1.0, {gemm.element})"
        return [ones, f"{name} = tl.zeros([{block}, 16], tl.float32)"]
    return [f"{name} = tl.zeros([{'BM, 1' if gemm.rowwise_sums else '1, BN'}], tl.float32)"]


def _add_sums(gemm: Gemm) -> tuple[list[str], int]:
    """16-bit operands are summed by a dot with ones: they never leave shared memory."""
    if not gemm.sums:
        return [], 0
    c, name = gemm.contraction, f"{gemm.sums.buffer}_sum"
    if gemm.sums_by_dot:
        tile = c.a_tile if gemm.rowwise_sums else f"tl.trans({c.b_tile})"
        line, dots = f"{name} = tl.dot({tile}, ones, {name})", 1
    else:
        tile, axis = (c.a_tile, 1) if gemm.rowwise_sums else (c.b_tile, 0)
        line, dots = f"{name} += tl.sum({tile}, axis={axis}, keep_dims=True)", 0
    guard = sum_guard(gemm)
    return ([f"if {guard}:", f"    {line}"] if guard else [line]), dots


def _sum_end(gemm: Gemm) -> tuple[str, ...]:
    if not gemm.sums_by_dot or not gemm.sums:
        return ()
    name = f"{gemm.sums.buffer}_sum"
    total = f"tl.sum({name}, axis=1{', keep_dims=True' if gemm.rowwise_sums else ''}) * 0.0625"
    total = total if gemm.rowwise_sums else f"({total})[None, :]"
    return (f"{name} = {total}  # sixteen equal columns",)
