"""Windows over channels-last images as kernel text: where they lie, which taps are inside.

Along each axis h:  in_h = out_h * stride - low + tap_h * dilation

`out_h` counts windows, `in_h` elements of the image.  Rows of a block are windows, or elements,
of all images one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from .contraction import Stride, times
from .kernel import Extent

NAMES = ("d", "h", "w")
"""What the last three axes of an image are called."""

LONGEST = 72
"""Characters of a mask that stands inside a load."""


@dataclass(frozen=True, slots=True)
class WindowAxis:
    """One axis of the windows: `inner` elements of the image, `outer` windows."""

    name: str
    kernel: int
    stride: int
    dilation: int
    low: int
    inner: Extent
    outer: Extent

    @property
    def trivial(self) -> bool:
        """Is there one window, one element and one tap?"""
        one = (self.kernel, self.stride, self.low, self.inner, self.outer)
        return one == (1, 1, 0, 1, 1)

    @property
    def reach(self) -> int:
        """How far the last tap lies behind the first."""
        return (self.kernel - 1) * self.dilation

    @property
    def near(self) -> int:
        """How many windows an element can lie in."""
        return self.reach // self.stride + 1

    @property
    def common(self) -> int:
        """Which phases have taps: the multiples of this."""
        return gcd(self.stride, self.dilation)

    @property
    def period(self) -> int:
        """From one tap of a phase to the next."""
        return self.stride // self.common


Axes = tuple[WindowAxis, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A channels-last operand as it lies in memory; `space` has a stride for each axis."""

    buffer: str
    image: Stride
    space: tuple[Stride, ...]
    channel: Stride

    @property
    def tile(self) -> str:
        """What the kernel calls the loaded block."""
        return f"{self.buffer}_tile"


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight as it lies in memory: strides from tap to tap, and of the channels in a group.

    `backwards`: the first tap that is met lies last.
    """

    buffer: str
    taps: tuple[Stride, ...]
    depth: Stride
    column: Stride
    group: Stride
    backwards: bool

    @property
    def tile(self) -> str:
        """What the kernel calls the loaded block."""
        return f"{self.buffer}_tile"


def product_of(extents: Sequence[Extent]) -> str:
    """The product of extents as text that can be a divisor."""
    number = 1
    for extent in extents:
        number *= extent if isinstance(extent, int) else 1
    names = [extent for extent in extents if isinstance(extent, str)]
    text = " * ".join([*([str(number)] if number != 1 or not names else []), *names])
    return f"({text})" if "*" in text else text


def decoded(
    flat: str, names: Sequence[str], extents: Sequence[Extent], tail: str = ""
) -> list[str]:
    """The index along every axis from the flat index; the first one has no bound."""
    lines = []
    for position, (name, extent) in enumerate(zip(names, extents, strict=True)):
        below = product_of(extents[position + 1 :])
        text = flat if below == "1" else f"{flat} // {below}"
        if extent == 1 and position:
            continue
        if position:
            text += f" % {extent}"
        lines.append(f"{name} = ({text}){tail}" if tail and position else f"{name} = {text}")
    return lines


def pixels(flat: str, axes: Axes, word: str, *, wide: bool = False) -> list[str]:
    """image, out_h, out_w (or in_h, in_w) of the flat index of a window (or an element)."""
    names = [f"{word}_{a.name}" for a in axes]
    extents = [a.outer if word == "out" else a.inner for a in axes]
    tail = ".to(tl.int32)" if wide else ""
    return decoded(flat, ["image", *names], [1, *extents], tail)


def corners(axes: Axes) -> list[str]:
    """The first element of each window, along every axis where it is not the window's number."""
    lines = []
    for a in axes:
        at = times(place("out", a), a.stride) or "0"
        if (a.stride, a.low) != (1, 0) and a.outer != 1:
            lines.append(f"corner_{a.name} = {at}{shifted(-a.low)}")
    return lines


def corner(a: WindowAxis) -> str:
    """What `corners` calls the first element of a window, a number where there is one window."""
    if a.outer == 1:
        return str(-a.low)
    return f"corner_{a.name}" if (a.stride, a.low) != (1, 0) else f"out_{a.name}"


def place(word: str, a: WindowAxis) -> str:
    """The index of a window or an element along an axis: `0` where there is only one."""
    return "0" if (a.outer if word == "out" else a.inner) == 1 else f"{word}_{a.name}"


def shifted(offset: int) -> str:
    """`+ offset` or `- offset`; nothing for 0."""
    return "" if offset == 0 else f" + {offset}" if offset > 0 else f" - {-offset}"


def taps(index: str, axes: Axes) -> list[str]:
    """tap_h, tap_w of the number of a tap."""
    real = [a for a in axes if a.kernel > 1]
    lines = []
    for position, a in enumerate(real):
        below = product_of([b.kernel for b in real[position + 1 :]])
        text = index if below == "1" else f"{index} // {below}"
        lines.append(f"tap_{a.name} = {text}" + (f" % {a.kernel}" if position else ""))
    return lines


def element(a: WindowAxis) -> str:
    """The name of the element that a tap of a window reads; a number where it is always one."""
    return corner(a) if a.kernel == 1 else f"in_{a.name}"


def elements(axes: Axes, spread: str = "{}") -> list[str]:
    """in_h, in_w of a tap of the windows; `spread` gives the index of a tap its shape."""
    lines = []
    for a in axes:
        if a.kernel > 1:
            tap = times(spread.format(f"tap_{a.name}"), a.dilation)
            text = tap + shifted(-a.low) if a.outer == 1 else f"{corner(a)} + {tap}"
            lines.append(f"in_{a.name} = {text}")
    return lines


def inside(axes: Axes) -> list[str]:
    """The tests that the element of a tap lies in the image, where it might not."""
    return [test for a in axes if element(a) != "0" for test in bounds(a, element(a))]


def bounds(a: WindowAxis, name: str) -> list[str]:
    """`0 <= name < inner`, without the halves that always hold."""
    tests = [f"({name} >= 0)"] if a.low > 0 else []
    end = (a.outer - 1) * a.stride - a.low + a.reach if isinstance(a.outer, int) else None
    if end is None or not isinstance(a.inner, int) or end >= a.inner:
        tests.append(f"({name} < {a.inner})")
    return tests


def guard(step: list[str], *masks: str | None) -> str | None:
    """The conjunction of the masks; a long one gets lines of its own in `step`."""
    tests = [m for m in dict.fromkeys(masks) if m]
    text = " & ".join(tests)
    if len(text) <= LONGEST:
        return text or None
    line = tests[0]
    for test in tests[1:]:
        if len(line) + len(test) > LONGEST:
            step.append(f"inside = {line}")
            line = "inside"
        line += f" & {test}"
    step.append(f"inside = {line}")
    return "inside"


def offset(axes: Axes, strides: Sequence[Stride]) -> list[str]:
    """The terms of an element's address within its image."""
    named = ((element(a), stride) for a, stride in zip(axes, strides, strict=True))
    return [times(name, stride) for name, stride in named if name != "0"]


def tap_offset(
    axes: Axes, strides: Sequence[Stride], spread: str = "{}", *, backwards: bool = False
) -> list[str]:
    """The terms of a tap's address in a weight."""
    found = []
    for a, stride in zip(axes, strides, strict=True):
        name = spread.format(f"tap_{a.name}")
        if a.kernel > 1:
            found.append(times(f"({a.kernel - 1} - {name})" if backwards else name, stride))
    return found


def count(axes: Axes) -> int:
    """The taps of a window."""
    total = 1
    for a in axes:
        total *= a.kernel
    return total
