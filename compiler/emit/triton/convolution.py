"""The sums of a convolution as lines of Triton: what is gathered by windows meets a weight.

dot      tensor cores: windows x channels, a block of the channels of one tap at a time
flat     the same over taps and channels at once, where there are few channels (an RGB image)
phases   the adjoint with strides: a program's elements meet the same taps, and only those
direct   one tap and channel at a time, without a dot: each channel is a group (depthwise)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import windows
from .contraction import sum_of, times
from .gemm_loop import STEP, Loop
from .kernel import Extent
from .prologue import Prologue
from .spelling import both
from .template import call
from .tiles import Tile, blocks, power_of_two
from .windows import Axes, Image, Weight

UNROLLED = 32
"""Taps that are written out; more of them are a loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """rows[batch, windows, groups, columns] = sum over taps and depth of x[...] * w[...].

    `depth` channels are read and `columns` are made in each group.  `adjoint`: rows are elements,
    and x is read where their windows are.  `wide`: indices of rows take 64 bits.  `ahead`: what is
    made of x where it is loaded.
    """

    axes: Axes
    batch: Extent
    groups: int
    depth: int
    columns: int
    x: Image
    w: Weight
    adjoint: bool
    precision: str
    wide: bool
    wider: str = ""
    ahead: Prologue | None = None

    @property
    def weight(self) -> str:
        """What the weight is called where it is loaded: x may be its own."""
        return self.w.buffer + ("_weight" if self.w.buffer == self.x.buffer else "")

    @property
    def phases(self) -> int:
        """How many classes of elements meet different taps."""
        total = 1
        for a in self.axes:
            total *= a.stride if self.adjoint else 1
        return total

    @property
    def direct(self) -> bool:
        """Has each group one channel on one of the sides?"""
        return self.groups > 1 and 1 in (self.depth, self.columns)

    @property
    def flat(self) -> bool:
        """Are taps and channels walked together?"""
        few = self.depth % 16 != 0 and self.depth < 32
        return few and self.phases == 1

    @property
    def packed(self) -> bool:
        """Do taps and channels lie in the weight as they are counted?"""
        if not isinstance(self.w.depth, int) or self.w.backwards:
            return False
        step = self.w.depth * self.depth
        for a, stride in reversed(list(zip(self.axes, self.w.taps, strict=True))):
            if a.kernel > 1 and stride != step:
                return False
            step *= a.kernel
        return True

    def block(self, depth: int) -> int:
        """The channels of one tap in a step, at most `depth`: a divisor of them if possible."""
        if self.flat:
            return min(depth, max(16, power_of_two(windows.count(self.axes) * self.depth)))
        fitting = [size for size in (depth, 32, 16) if size <= depth and self.depth % size == 0]
        return fitting[0] if fitting else min(depth, max(16, power_of_two(self.depth)))

    @property
    def local(self) -> str:
        """The name of the result's channel within its group."""
        return "channel" if self.groups > 1 else "column"


def loop(w: Windows, tile: Tile, product: str, masks: tuple[str | None, str | None]) -> Loop:
    """The sum over taps and channels; `masks` of rows and columns, None where always true."""
    if w.direct or tile.form == "outer":
        return _direct(w, product, masks)
    return _phased(w, tile, product, masks) if w.phases > 1 else _dot(w, tile, product, masks)


def bases(w: Windows) -> list[str]:
    """Where the image and the weight of a program begin."""
    across = times("group", w.depth) if w.groups > 1 else ""
    if across and w.x.channel != 1:
        across = times(f"({across})" if " " in across else across, w.x.channel)
    deep = times("group", w.w.group) if w.groups > 1 else ""
    x = sum_of(f"{w.x.buffer}_ptr", times("image", w.x.image), across)
    v = sum_of(f"{w.w.buffer}_ptr", deep, times(w.local, w.w.column))
    return [f"{w.x.buffer}_at = {x}", f"{w.weight}_at = {v}"]


# ---- windows that read ---------------------------------------------------------------------------


def _dot(w: Windows, tile: Tile, product: str, masks: tuple[str | None, str | None]) -> Loop:
    in_row, in_column = masks
    number = windows.count(w.axes)
    per = blocks(w.depth, tile.depth)
    steps = blocks(number * w.depth, tile.depth) if w.flat else number * per
    single = steps == 1 and tile.split == 1
    before, step, depth_mask = _depths(w, tile, per, single)
    spread = "{}[None, :]" if w.flat else "{}"
    step += windows.elements(w.axes, spread)
    across = f"{depth_mask}[None, :]" if depth_mask else None
    down = f"{depth_mask}[:, None]" if depth_mask else None
    mask = windows.guard(step, in_row, *windows.inside(w.axes), across)
    deep = "depth" if w.depth > 1 else ""
    at = [f"{w.x.buffer}_at", *windows.offset(w.axes, w.x.space)]
    at.append(times(f"{deep}[None, :]", w.x.channel) if deep else "")
    indent = 4 if single else STEP
    step += _load(f"{w.x.buffer}_patch", sum_of(*at), mask, indent)
    if w.ahead:
        tile_of, source = f"{w.x.buffer}_patch", "depth[None, :]"
        channels, made = w.ahead.lines(tile_of, source, across, mask, indent)
        (before if per == 1 else step).extend(channels)
        step += made
    at = [f"{w.weight}_at", *_weight_at(w, "{}[:, None]" if w.flat else "{}")]
    at.append(times(f"{deep}[:, None]", w.w.depth) if deep else "")
    if w.flat and w.packed:
        at = [f"{w.weight}_at", times("index[:, None]", w.w.depth)]
    step += _load(f"{w.weight}_tile", sum_of(*at), both(down, in_column), indent)
    step += _multiplied(w, product, single, indent)
    if single:
        return Loop(tuple(before), tuple(step), (), 1)
    before.append(f"{product} = tl.zeros([BM, BN], tl.float32)")
    return Loop(tuple(before), tuple(_looped(step, steps, tile.split)), (), 1)


def _depths(
    w: Windows, tile: Tile, per: int, single: bool
) -> tuple[list[str], list[str], str | None]:
    """The channels and the tap of a step: lines before the loop, in it, and the mask's name."""
    number, lanes = windows.count(w.axes), "tl.arange(0, BK)"
    if w.flat:
        step = [f"index = {lanes}" if single else f"index = block * BK + {lanes}"]
        masked = (number * w.depth) % tile.depth != 0
        if masked:
            step.append(f"in_depth = index < {number * w.depth}")
        if w.depth > 1:
            step.append(f"depth = index % {w.depth}")
        tap = "index"
        if w.depth > 1 and number > 1:
            step.append(f"tap = index // {w.depth}")
            tap = "tap"
        return [], [*step, *windows.taps(tap, w.axes)], "in_depth" if masked else None
    masked = w.depth % tile.depth != 0
    before, step = [], []
    if per == 1:
        before.append(f"depth = {lanes}")
        step += windows.taps("block", w.axes)
        into = before
    else:
        if number > 1:
            step.append(f"tap = block // {per}")
            step += windows.taps("tap", w.axes)
        step.append(f"depth = block{f' % {per}' if number > 1 else ''} * BK + {lanes}")
        into = step
    if masked:
        into.append(f"in_depth = depth < {w.depth}")
    return before, step, "in_depth" if masked else None


def _weight_at(w: Windows, spread: str = "{}") -> list[str]:
    return windows.tap_offset(w.axes, w.w.taps, spread, backwards=w.w.backwards)


def _multiplied(w: Windows, product: str, single: bool, indent: int) -> list[str]:
    carried = [] if single else [product]
    operands = [f"{w.x.buffer}_patch", f"{w.weight}_tile", *carried]
    return call(f"{product} = tl.dot", [*operands, f'input_precision="{w.precision}"'], indent)


def _load(target: str, at: str, mask: str | None, indent: int, other: str = "0.0") -> list[str]:
    masks = [f"mask={mask}", f"other={other}"] if mask else []
    return call(f"{target} = tl.load", [at, *masks], indent)


def _looped(step: Sequence[str], steps: int, split: int) -> list[str]:
    """The steps, or this program's share of them."""
    inside = [f"    {line}" for line in step]
    if split == 1:
        return [f"for block in range(0, {steps}):", *inside]
    share = blocks(steps, split)
    head = [
        f"first = split * {share}",
        f"for block in range(first, min(first + {share}, {steps})):",
    ]
    return [*head, *inside]


# ---- one tap at a time ---------------------------------------------------------------------------


def _direct(w: Windows, product: str, masks: tuple[str | None, str | None]) -> Loop:
    in_row, in_column = masks
    number = windows.count(w.axes) * w.depth
    tap = "tap"
    step: list[str] = []
    if w.depth > 1 and windows.count(w.axes) > 1:
        step += [f"depth = at % {w.depth}", f"tap = at // {w.depth}"]
        tap = "tap"
    depth = "depth" if w.depth > 1 else ""
    loop_name = "at" if step else "depth" if w.depth > 1 else "tap"
    step += windows.taps(tap, w.axes)
    x, v = f"{w.x.buffer}_patch", f"{w.weight}_tile"
    if w.adjoint:
        step += adjoint_windows(w.axes)
        tests = adjoint_tests(w.axes)
        at = [times(f"out_{a.name}", s) for a, s in zip(w.axes, w.x.space, strict=True)]
    else:
        step += windows.elements(w.axes)
        tests, at = windows.inside(w.axes), windows.offset(w.axes, w.x.space)
    if w.groups > 1:
        of = "column" if w.columns == 1 else f"column // {w.columns}"
        channel = of if w.depth == 1 else f"{of} * {w.depth} + depth"
        across = times(f"({channel})" if " " in channel else channel, w.x.channel)
    else:
        across = times(depth, w.x.channel) if depth else ""
    x_mask = windows.guard(step, in_row, *tests, in_column if w.groups > 1 else None)
    step += _load(x, sum_of(f"{w.x.buffer}_at", *at, across), x_mask, STEP)
    at = [f"{w.weight}_at", *_weight_at(w), times(depth, w.w.depth) if depth else ""]
    step += _load(v, sum_of(*at), in_column, STEP)
    step.append(f"{product} += {x}{w.wider} * {v}{w.wider}")
    numbers = f"tl.static_range({number})" if number <= UNROLLED else f"range(0, {number})"
    before = [f"{product} = tl.zeros([BM, BN], tl.float32)"]
    lines = [f"for {loop_name} in {numbers}:", *(f"    {line}" for line in step)]
    return Loop(tuple(before), tuple(lines), (), 0)


def direct_bases(w: Windows) -> list[str]:
    """Where the image and the weight of a row and a column begin."""
    x = sum_of(f"{w.x.buffer}_ptr", times("image", w.x.image))
    if w.groups == 1:
        at = times("column", w.w.column)
    elif w.columns == 1:
        at = times("column", w.w.group)
    else:
        inner = times(f"(column % {w.columns})", w.w.column)
        at = sum_of(times(f"(column // {w.columns})", w.w.group), inner)
    return [f"{w.x.buffer}_at = {x}", f"{w.weight}_at = " + sum_of(f"{w.w.buffer}_ptr", at)]


# ---- elements that are read by windows -----------------------------------------------------------


def adjoint_windows(axes: Axes) -> list[str]:
    """out_h: the window that reads an element by a tap, counted from the last; from_h: times the
    stride.
    """
    lines = []
    for a in axes:
        tap = times(f"tap_{a.name}", a.dilation) if a.kernel > 1 else ""
        here = windows.place("in", a)
        text = here + windows.shifted(a.low - a.reach) + (f" + {tap}" if tap else "")
        if a.stride == 1:
            lines.append(f"out_{a.name} = {text}")
        else:
            lines += [f"from_{a.name} = {text}", f"out_{a.name} = from_{a.name} // {a.stride}"]
    return lines


def adjoint_tests(axes: Axes) -> list[str]:
    """The tests that the window is there, where it might not be."""
    found = []
    for a in axes:
        name = f"out_{a.name}" if a.stride == 1 else f"from_{a.name}"
        if a.reach > a.low:
            found.append(f"({name} >= 0)")
        if a.stride > 1:
            found.append(f"({name} % {a.stride} == 0)")
        ends = isinstance(a.inner, int) and isinstance(a.outer, int)
        if not ends or (a.inner - 1 + a.low) // a.stride >= a.outer:  # type: ignore[operator]
            found.append(f"(out_{a.name} < {a.outer})")
    return found


def phase_place(w: Windows) -> list[str]:
    """first_h, count_h: the elements of this program's phase; tap_h, taps_h: the taps they meet."""
    real = [a for a in w.axes if a.stride > 1]
    lines = windows.decoded("phase", [f"phase_{a.name}" for a in real], [a.stride for a in real])
    if len(real) == 1:
        lines = [f"phase_{real[0].name} = phase"]
    for a in real:
        n, s, phase = a.name, a.stride, f"phase_{a.name}"
        turn = -a.low % s
        lines.append(f"first_{n} = " + (f"({phase} + {turn}) % {s}" if turn else phase))
        lines.append(
            f"count_{n} = {a.inner // s}"
            if isinstance(a.inner, int) and a.inner % s == 0
            else f"count_{n} = ({a.inner} - first_{n} + {s - 1}) // {s}"
        )
        near = phase if a.common == 1 else f"({phase} // {a.common})"
        inverse = pow(a.dilation // a.common, -1, a.period) if a.period > 1 else 0
        nearest = times(near, inverse)
        nearest = f"{nearest} % {a.period}" if inverse > 1 or a.common > 1 else nearest
        lines.append(f"near_{n} = {nearest if a.period > 1 else 0}")
        text = f"({a.kernel} - near_{n} + {a.period - 1}) // {a.period}"
        if a.common > 1:
            text = f"tl.where({phase} % {a.common} == 0, {text}, 0)"
        lines.append(f"taps_{n} = {text}")
    return lines


def phase_rows(w: Windows) -> list[str]:
    """row, the flat index of each element of the phase; in_h; the window of its nearest tap."""
    counts = [f"count_{a.name}" if a.stride > 1 else a.inner for a in w.axes]
    tail = ".to(tl.int32)" if w.wide else ""
    below = windows.product_of(counts)
    lines = [f"in_row = pixel < {w.batch} * {below}"]
    names = [f"in_{a.name}" for a in w.axes]
    lines += windows.decoded("pixel", ["image", *names], [1, *counts], tail)
    row, corners = "image", []
    for a in w.axes:
        n = a.name
        if a.stride > 1:
            lines.append(f"in_{n} = first_{n} + " + (f"in_{n} * {a.stride}"))
            nearest = times(f"near_{n}", a.dilation)
            corners.append(
                f"corner_{n} = (in_{n}{windows.shifted(a.low)} - {nearest}) // {a.stride}"
            )
        elif a.inner != 1:
            corners.append(f"corner_{n} = in_{n}{windows.shifted(a.low)}")
        else:
            corners.append(f"corner_{n} = {a.low}")
        if a.inner != 1:
            row = f"({row}) * {a.inner} + in_{n}" if " " in row else f"{row} * {a.inner} + in_{n}"
    return [*lines, f"row = {row}", *corners]


def _phased(w: Windows, tile: Tile, product: str, masks: tuple[str | None, str | None]) -> Loop:
    in_row, in_column = masks
    per = blocks(w.depth, tile.depth)
    moving = [a for a in w.axes if a.kernel > 1]
    numbers = [f"taps_{a.name}" if a.stride > 1 else str(a.kernel) for a in moving]
    gone = [f"taps_{a.name}" for a in w.axes if a.kernel == 1 and a.stride > 1]
    step: list[str] = []
    tap = "block" if per == 1 else "tap"
    if per > 1 and moving:
        step.append(f"tap = block // {per}")
    for position, (a, number) in enumerate(zip(moving, numbers, strict=True)):
        below = windows.product_of(numbers[position + 1 :])
        text = tap if below == "1" else f"{tap} // {below}"
        step.append(f"tap_{a.name} = {text}" + (f" % {number}" if position else ""))
    lanes = "tl.arange(0, BK)"
    step.append(f"depth = block % {per} * BK + {lanes}" if per > 1 else f"depth = {lanes}")
    depth_mask = None
    if w.depth % tile.depth:
        step.append(f"in_depth = depth < {w.depth}")
        depth_mask = "in_depth"
    at, tests, weight = [f"{w.x.buffer}_at"], [], [f"{w.weight}_at"]
    for a, stride, across in zip(w.axes, w.x.space, w.w.taps, strict=True):
        n = a.name
        back = times(f"tap_{n}", a.dilation // a.common) if a.kernel > 1 else ""
        step.append(f"out_{n} = corner_{n}" + (f" - {back}" if back else ""))
        at.append(times(f"out_{n}", stride))
        tests += [f"(out_{n} >= 0)", f"(out_{n} < {a.outer})"]
        if a.kernel > 1:
            hit = times(f"tap_{n}", a.period)
            hit = f"near_{n} + {hit}" if a.stride > 1 else hit
            if not w.w.backwards:  # a turned weight has the last tap first
                hit = f"{a.kernel - 1} - ({hit})" if " " in hit else f"{a.kernel - 1} - {hit}"
            weight.append(times(f"({hit})" if " " in hit else hit, across))
    at.append(times("depth[None, :]", w.x.channel))
    weight.append(times("depth[:, None]", w.w.depth))
    across_mask = f"{depth_mask}[None, :]" if depth_mask else None
    down = f"{depth_mask}[:, None]" if depth_mask else None
    mask = windows.guard(step, in_row, *tests, across_mask)
    step += _load(f"{w.x.buffer}_patch", sum_of(*at), mask, STEP)
    step += _load(f"{w.weight}_tile", sum_of(*weight), both(down, in_column), STEP)
    step += _multiplied(w, product, False, STEP)
    factors = [*numbers, *gone, *([str(per)] if per > 1 else [])]
    total = " * ".join(f for f in factors if f != "1") or "1"
    lines = [f"for block in range(0, {total}):", *(f"    {line}" for line in step)]
    before = [f"{product} = tl.zeros([BM, BN], tl.float32)"]
    return Loop(tuple(before), tuple(lines), (), 1)
