"""The adjoint of a convolution in its weight, as lines of Triton: a sum over all windows.

    dot       rows are the channels made, columns the taps and channels read
    direct    each channel is a group: rows are taps, columns the channels made

Programs that share the windows leave partial sums, which a second kernel adds in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import windows
from .contraction import Stride, block_range, divides, sum_of, tiles_of, times
from .gemm_loop import STEP, Loop
from .kernel import Extent
from .prologue import Prologue
from .spelling import both
from .template import call
from .tiles import Tile, blocks
from .windows import Axes, Image


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightGradient:
    """w[groups * columns, depth, taps] = sum over windows of d[windows, ...] * x[...].

    `result` has the strides of the weight: from one channel made to the next, from one read, and
    from tap to tap.
    """

    axes: Axes
    count: Extent
    groups: int
    depth: int
    columns: int
    x: Image
    d: str
    result: tuple[Stride, Stride, tuple[Stride, ...]]
    precision: str
    wide: bool
    wider: str = ""
    ahead: Prologue | None = None
    beside: Prologue | None = None

    @property
    def direct(self) -> bool:
        """Is every group one channel that is read?"""
        return self.groups > 1 and self.depth == 1

    @property
    def flat(self) -> bool:
        """Are taps and channels columns together?"""
        return self.depth % 16 != 0 and self.depth < 32

    @property
    def taps(self) -> int:
        return windows.count(self.axes)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the result as a matrix."""
        made = self.groups * self.columns
        return (self.taps, made) if self.direct else (made, self.taps * self.depth)


def place(w: WeightGradient, tile: Tile) -> list[str]:
    """Which rows and columns this program makes."""
    if w.direct:
        return [
            "row = tl.program_id(0) // " + str(blocks(w.shape[1], tile.columns)),
            *_across(w, tile),
        ]
    tiles_m = str(blocks(w.columns, tile.rows))
    tiles_n = str(column_tiles(w, tile))
    lines = tiles_of("tl.program_id(0)", tiles_m, tiles_n, 1)
    lines += [] if tiles_m != "1" else ["tile_m = 0"]
    m = block_range("tile_m", tiles_m, "BM", "[:, None]", False)
    if w.groups > 1:
        lines += ["group = tl.program_id(1)", f"local = {m}", f"row = group * {w.columns} + local"]
    else:
        lines.append(f"row = {m}")
    if not divides(tile.rows, w.columns):
        lines.append(f"in_row = {'local' if w.groups > 1 else 'row'} < {w.columns}")
    return [*lines, *_columns(w, tile, tiles_n)]


def _across(w: WeightGradient, tile: Tile) -> list[str]:
    tiles = blocks(w.shape[1], tile.columns)
    number = "tl.program_id(0)" + (f" % {tiles}" if tiles > 1 else "")
    lanes = "tl.arange(0, BN)[None, :]"
    lines = [f"column = {lanes}" if tiles == 1 else f"column = {number} * BN + {lanes}"]
    if not divides(tile.columns, w.shape[1]):
        lines.append(f"in_column = column < {w.shape[1]}")
    return [*lines, *windows.taps("row", w.axes)]


def column_tiles(w: WeightGradient, tile: Tile) -> int:
    """Blocks of columns: those of one tap after those of the other, unless they are flat."""
    if w.flat:
        return blocks(w.taps * w.depth, tile.columns)
    return w.taps * blocks(w.depth, tile.columns)


def _columns(w: WeightGradient, tile: Tile, tiles_n: str) -> list[str]:
    """column, and the tap and the channel that it stands for."""
    if w.flat:
        lines = [f"column = {block_range('tile_n', tiles_n, 'BN', '[None, :]', False)}"]
        if not divides(tile.columns, w.taps * w.depth):
            lines.append(f"in_column = column < {w.taps * w.depth}")
        return [*lines, *unpacked(w)]
    per = blocks(w.depth, tile.columns)
    lines = [] if tiles_n != "1" else ["tile_n = 0"]
    tap = "tile_n" if per == 1 else "tap"
    if per > 1:
        lines.append(f"tap = tile_n // {per}")
    lanes = "tl.arange(0, BN)[None, :]"
    lines.append(f"channel = tile_n % {per} * BN + {lanes}" if per > 1 else f"channel = {lanes}")
    lines += windows.taps(tap, w.axes)
    if not divides(tile.columns, w.depth):
        lines.append(f"in_column = channel < {w.depth}")
    shift = "" if w.taps == 1 else times(tap, w.depth)
    return [*lines, "column = " + sum_of(shift, "channel")]


def unpacked(w: WeightGradient) -> list[str]:
    """The tap and the channel of a column."""
    if w.depth == 1:
        return windows.taps("column", w.axes)
    channel = [f"channel = column % {w.depth}" if w.taps > 1 else "channel = column"]
    return [*channel, f"tap = column // {w.depth}", *windows.taps("tap", w.axes)]


def loop(w: WeightGradient, tile: Tile, product: str, masks: tuple[str | None, str | None]) -> Loop:
    """The sum over the windows, or over this program's share of them."""
    in_row, in_column = masks
    step = ["pixel = start + tl.arange(0, BK)"]
    if w.wide:
        step = ["pixel = (start + tl.arange(0, BK)).to(tl.int64)"]
    masked = not divides(tile.depth, w.count)
    if masked:
        step.append(f"in_depth = pixel < {w.count}")
    step += windows.pixels("pixel", w.axes, "out", wide=w.wide)
    down = "in_depth[:, None]" if masked else None
    d, x = f"{w.d}_tile", f"{w.x.buffer}_patch"
    channels, patch = _patch(w, x, both(down, in_column), in_column)
    step += patch
    if w.direct:
        at = sum_of(f"{w.d}_ptr", times("pixel[:, None]", w.groups * w.columns), "column")
        step += _load(d, at, both(down, in_column))
        step.append(f"{product} += {x}{w.wider} * {d}{w.wider}")
        after = [f"{product} = tl.sum({product}, axis=0, keep_dims=True)"]
        before = [f"{product} = tl.zeros([BK, BN], tl.float32)"]
        return Loop(tuple(before), tuple(_looped(w, tile, step)), tuple(after), 0)
    numbers, lines = _cotangent(w, d, in_row, "in_depth[None, :]" if masked else None)
    step += lines
    before = [*channels, *numbers, f"{product} = tl.zeros([BM, BN], tl.float32)"]
    arguments = [d, x, product, f'input_precision="{w.precision}"']
    step += call(f"{product} = tl.dot", arguments, STEP)
    return Loop(tuple(before), tuple(_looped(w, tile, step)), (), 1)


def _cotangent(
    w: WeightGradient, tile: str, in_row: str | None, across: str | None
) -> tuple[list[str], list[str]]:
    """A block of what the windows made, or its cotangent made of that; first the lines before the
    loop.
    """
    mask, pixels = both(in_row, across), "pixel[None, :]"
    at = sum_of(f"{w.d}_ptr", times(pixels, w.groups * w.columns), "row")
    lines = _load(tile, at, mask)
    if w.beside is None:
        return [], lines
    made = w.beside.made(tile, "row", pixels, (across, in_row), mask, STEP)
    return [*made.numbers, *made.channels], [*lines, *made.rows, *made.elements]


def _patch(
    w: WeightGradient, target: str, mask: str | None, in_column: str | None
) -> tuple[list[str], list[str]]:
    """What the windows of a block read by the taps of its columns; first the lines before the
    loop.
    """
    lines, tests = [], []
    at = [f"{w.x.buffer}_ptr", times("image[:, None]", w.x.image)]
    for a, stride in zip(w.axes, w.x.space, strict=True):
        first = times(windows.place("out", a), a.stride)
        first = "" if windows.place("out", a) == "0" else first
        shift = windows.shifted(-a.low)
        if first:
            first = f"({first}{shift})[:, None]" if " " in first or shift else f"{first}[:, None]"
            shift = ""
        tap = times(f"tap_{a.name}", a.dilation) if a.kernel > 1 else ""
        text = (sum_of(first, tap) + shift) or "0"
        if text == "0":
            continue
        lines.append(f"in_{a.name} = {text}")
        at.append(times(f"in_{a.name}", stride))
        tests += windows.bounds(a, f"in_{a.name}")
    if w.direct:
        channel = "column" if w.columns == 1 else f"(column // {w.columns})"
    else:
        channel = "channel" if w.depth > 1 else ""
        if w.groups > 1:
            channel = f"(group * {w.depth} + {channel})" if channel else "group"
    one = w.depth == 1 and w.taps == 1
    at.append(times(channel, w.x.channel) if channel else "0 * column" if one else "")
    mask = windows.guard(lines, mask, *tests)
    lines += _load(target, sum_of(*at), mask)
    if w.ahead is None:
        return [], lines
    channels, made = w.ahead.lines(target, channel, in_column, mask, STEP)
    return channels, [*lines, *made]


def _load(target: str, at: str, mask: str | None) -> list[str]:
    masks = [f"mask={mask}", "other=0.0"] if mask else []
    return call(f"{target} = tl.load", [at, *masks], STEP)


def _looped(w: WeightGradient, tile: Tile, step: list[str]) -> list[str]:
    inside = [f"    {line}" for line in step]
    if tile.split == 1:
        return [f"for start in range(0, {w.count}, BK):", *inside]
    if isinstance(w.count, int):
        share = str(blocks(blocks(w.count, tile.depth), tile.split) * tile.depth)
    else:
        share = f"tl.cdiv(tl.cdiv({w.count}, BK), {tile.split}) * BK"
    return [
        f"share = {share}",
        "first = split * share",
        f"for start in range(first, min(first + share, {w.count}), BK):",
        *inside,
    ]


def result_at(w: WeightGradient) -> tuple[list[str], str]:
    """Lines that unpack a row and a column, and where they lie in the weight."""
    made, depth, strides = w.result
    by_tap = windows.tap_offset(w.axes, strides)
    if w.direct:
        return windows.taps("row", w.axes), sum_of(times("column", made), *by_tap)
    if _contiguous(w):
        return [], sum_of(times("row", made), "column")
    inner = times("channel", depth) if w.depth > 1 else ""
    return unpacked(w), sum_of(times("row", made), inner, *by_tap)


def _contiguous(w: WeightGradient) -> bool:
    """Do columns lie in memory one after the other?"""
    _, depth, strides = w.result
    step = w.depth
    for a, stride in reversed(list(zip(w.axes, strides, strict=True))):
        if a.kernel > 1 and stride != step:
            return False
        step *= a.kernel
    return w.depth == 1 or depth == 1
