"""Pools and their adjoints as lines of Triton: rows are places in the image, columns channels.

pool             a window reads its elements
scattered        windows that tile the image: each writes its elements' gradients
picked           a window reads another image where it attains its maximum first
winner           which element of a window attained its maximum first
gathered         an element reads the gradients of the windows that it lies in
"""

from __future__ import annotations

from dataclasses import dataclass

from . import windows
from .contraction import sum_of, times
from .convolution import UNROLLED
from .gemm_loop import STEP, Loop
from .kernel import Extent
from .prologue import Prologue
from .spelling import both
from .template import call
from .windows import Axes, Image, place, product_of, shifted

Masks = tuple[str | None, str | None]
ZEROS = "tl.zeros([BM, BN], tl.float32)"
LOWEST = 'float("-inf")'


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of `channels` channels over the image `x`; `largest`: the maximum, else the sum.

    `tiles`: the windows cover the image, each element once.  `ahead`: what is made of x where it
    is loaded.
    """

    axes: Axes
    batch: Extent
    channels: int
    x: Image
    largest: bool
    wide: bool
    tiles: bool
    ahead: Prologue | None = None

    @property
    def taps(self) -> int:
        return windows.count(self.axes)


def base(p: Pool) -> str:
    """Where the image of a row begins, at its channel."""
    return based(p.x)


def based(x: Image) -> str:
    """The same of any image."""
    at = sum_of(times("image", x.image), times("column", x.channel))
    return f"{x.buffer}_at = {sum_of(f'{x.buffer}_ptr', at)}"


def loop(p: Pool, product: str, masks: Masks) -> Loop:
    """The maximum or the sum of each window."""
    step = windows.taps("tap", p.axes) + windows.elements(p.axes)
    mask = windows.guard(step, masks[0], *windows.inside(p.axes), masks[1])
    other = LOWEST if p.largest else "0.0"
    at = sum_of(f"{p.x.buffer}_at", *windows.offset(p.axes, p.x.space))
    step += _load("seen", at, mask, other)
    before, made = _made(p, masks, mask, other)
    step += made
    step.append(f"{product} = maximum({product}, seen)" if p.largest else f"{product} += seen")
    start = f"tl.full([BM, BN], {other}, tl.float32)" if p.largest else ZEROS
    before.append(f"{product} = {start}")
    return Loop(tuple(before), tuple(_over(p.taps, "tap", step)), (), 0)


def _made(p: Pool, masks: Masks, mask: str | None, other: str) -> tuple[list[str], list[str]]:
    """What is made of the elements seen: lines before the taps, and for each of them."""
    if p.ahead is None:
        return [], []
    return p.ahead.lines("seen", "column", masks[1], mask, STEP, other=other)


def picked(p: Pool, y: str, e: Image, product: str, masks: Masks) -> Loop:
    """What the image `e` has at the first element that attains the maximum `y` of its window."""
    step = windows.taps("tap", p.axes) + windows.elements(p.axes)
    mask = windows.guard(step, masks[0], *windows.inside(p.axes), masks[1])
    for target, image in (("seen", p.x), ("given", e)):
        at = sum_of(f"{image.buffer}_at", *windows.offset(p.axes, image.space))
        step += _load(target, at, mask, "0.0")
    chosen = windows.guard(step, "open", "(seen == best)", *windows.inside(p.axes))
    step += [
        f"chosen = {chosen}",
        f"{product} = tl.where(chosen, given, {product})",
        "open = open & ~chosen",
    ]
    before = _load("best", f"{y}_ptr + row * {p.channels} + column", both(*masks), "0.0", 4)
    before += [based(e)] if e.buffer != p.x.buffer else []
    before += ["open = tl.full([BM, BN], True, tl.int1)", f"{product} = {ZEROS}"]
    return Loop(tuple(before), tuple(_over(p.taps, "tap", step)), (), 0)


def winner(p: Pool, y: str, product: str, masks: Masks) -> Loop:
    """The number of the first tap that attains the maximum `y` of its window, -1 if none does."""
    number = product_of([p.taps])
    step = windows.taps("tap", p.axes) + windows.elements(p.axes)
    mask = windows.guard(step, masks[0], *windows.inside(p.axes), masks[1])
    at = sum_of(f"{p.x.buffer}_at", *windows.offset(p.axes, p.x.space))
    step += _load("seen", at, mask, "0.0")
    chosen = windows.guard(step, f"({product} < 0)", "(seen == best)", *windows.inside(p.axes))
    step += [f"chosen = {chosen}", f"{product} = tl.where(chosen, tap, {product})"]
    before = _load("best", f"{y}_ptr + row * {p.channels} + column", both(*masks), "0.0", 4)
    before.append(f"{product} = tl.full([BM, BN], -1.0, tl.float32)  # of {number} taps")
    return Loop(tuple(before), tuple(_over(p.taps, "tap", step)), (), 0)


def largest(p: Pool, product: str, masks: Masks) -> Loop:
    """The same where elements are made of what is loaded: the maximum is found again, as other
    kernels may round it otherwise.
    """
    step = windows.taps("tap", p.axes) + windows.elements(p.axes)
    mask = windows.guard(step, masks[0], *windows.inside(p.axes), masks[1])
    at = sum_of(f"{p.x.buffer}_at", *windows.offset(p.axes, p.x.space))
    step += _load("seen", at, mask, LOWEST)
    before, made = _made(p, masks, mask, LOWEST)
    better = f"((seen > best) | ({product} < 0))"
    chosen = windows.guard(made, better, *windows.inside(p.axes))
    step += [
        *made,
        f"chosen = {chosen}",
        f"{product} = tl.where(chosen, tap, {product})",
        "best = tl.where(chosen, seen, best)",
        "open = open & (seen == seen)",
    ]
    before += [
        f"best = tl.full([BM, BN], {LOWEST}, tl.float32)",
        "open = tl.full([BM, BN], True, tl.int1)",
        f"{product} = tl.full([BM, BN], -1.0, tl.float32)  # of {p.taps} taps",
    ]
    after = f"{product} = tl.where(open, {product}, -1.0)  # where one is NaN, none wins"
    return Loop(tuple(before), tuple(_over(p.taps, "tap", step)), (after,), 0)


def scattered(p: Pool, y: str, d: str, result: str, masks: Masks) -> Loop:
    """The first element of each window that attains the maximum gets the gradient, the others 0."""
    inside = both(*masks)
    at = f"row * {p.channels} + column"
    before = _load("best", f"{y}_ptr + {at}", inside, "0.0", 4)
    before += _load("given", f"{d}_ptr + {at}", inside, "0.0", 4)
    before.append("open = tl.full([BM, BN], True, tl.int1)")
    step = windows.taps("tap", p.axes) + windows.elements(p.axes)
    space = windows.offset(p.axes, p.x.space)
    step += _load("seen", sum_of(f"{p.x.buffer}_at", *space), inside, "0.0")
    step.append("chosen = open & (seen == best)")
    here = sum_of(f"{result}_ptr", times("image", _images(p)), *_dense(p), "column")
    masked = [f"mask={inside}"] if inside else []
    step += call("tl.store", [here, "tl.where(chosen, given, 0.0)", *masked], STEP)
    step.append("open = open & (seen != best)")
    return Loop(tuple(before), tuple(_over(p.taps, "tap", step)), (), 0)


def _images(p: Pool) -> str:
    """Elements of one image, as text."""
    return product_of([*(a.inner for a in p.axes), p.channels])


def _dense(p: Pool) -> list[str]:
    """The terms of an element's address in a row-major image."""
    found = []
    for position, a in enumerate(p.axes):
        below = product_of([*(b.inner for b in p.axes[position + 1 :]), p.channels])
        if windows.element(a) != "0":
            found.append(times(windows.element(a), below))
    return found


def gathered(p: Pool, d: str, best: str | None, product: str, masks: Masks) -> Loop:
    """The sum of the gradients `d` of an element's windows: of those it won, given `best`."""
    step, tests, names = [], [], [f"near_{a.name}" for a in p.axes if a.near > 1]
    number = 1
    for a in p.axes:
        number *= a.near
    extents = [a.near for a in p.axes if a.near > 1]
    for position, (name, extent) in enumerate(zip(names, extents, strict=True)):
        below = product_of(extents[position + 1 :])
        text = "near" if below == "1" else f"near // {below}"
        step.append(f"{name} = {text}" + (f" % {extent}" if position else ""))
    at, tap = ["image"], ""
    before = []
    for a in p.axes:
        n = a.name
        from_ = place("in", a) + shifted(a.low)
        before.append(f"from_{n} = {from_}")
        back = f" - near_{n}" if a.near > 1 else ""
        step.append(f"out_{n} = {_over_stride(f'from_{n}', a.stride)}{back}")
        tests += [f"(from_{n} >= 0)"] if a.low < 0 else []
        tests += [f"(out_{n} >= 0)", f"(out_{n} < {a.outer})"]
        if a.kernel > 1 or a.stride > 1:
            step.append(f"rest_{n} = from_{n} - {times(f'out_{n}', a.stride)}")
            tests.append(f"(rest_{n} <= {a.reach})")
            if a.dilation > 1:
                tests.append(f"(rest_{n} % {a.dilation} == 0)")
        rest = f"rest_{n}" if a.dilation == 1 else f"rest_{n} // {a.dilation}"
        if a.kernel > 1:
            tap = f"({tap}) * {a.kernel} + {rest}" if " " in tap else sum_of(
                times(tap, a.kernel) if tap else "", rest)  # fmt: skip
        at.append(f"out_{n}")
    flat = at[0]
    for a, name in zip(p.axes, at[1:], strict=True):
        flat = f"({flat}) * {a.outer} + {name}" if " " in flat else f"{flat} * {a.outer} + {name}"
    step.append(f"window = ({flat}) * {p.channels} + column")
    mask = windows.guard(step, masks[0], *tests, masks[1])
    step += _load("given", f"{d}_ptr + window", mask, "0.0")
    if best:
        step += _load("best", f"{best}_ptr + window", mask, "-1.0")
        step.append(f"chosen = best == ({tap}).to(tl.float32)" if tap else "chosen = best == 0.0")
        step.append(f"{product} += tl.where(chosen, given, 0.0)")
    else:
        step.append(f"{product} += given")
    return Loop((*before, f"{product} = {ZEROS}"), tuple(_over(number, "near", step)), (), 0)


def _over_stride(name: str, stride: int) -> str:
    return name if stride == 1 else f"{name} // {stride}"


def _over(number: int, name: str, step: list[str]) -> list[str]:
    numbers = f"tl.static_range({number})" if number <= UNROLLED else f"range(0, {number})"
    return [f"for {name} in {numbers}:", *(f"    {line}" for line in step)]


def _load(target: str, at: str, mask: str | None, other: str, indent: int = STEP) -> list[str]:
    masks = [f"mask={mask}", f"other={other}"] if mask else []
    return call(f"{target} = tl.load", [at, *masks], indent)
