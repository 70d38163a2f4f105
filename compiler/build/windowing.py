"""Convolutions and what windows need: sizes along each axis, padding by modes.

The language has channels on axis 1, as PyTorch does; the operations of graphs have them last. The
transpositions between the two meet and vanish (`compiler/ops/rules.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...spec.dims import Dim, exact_quotient, sign
from ..ir.types import Shape
from ..ops.windows import turned
from .request import Known, Refusal, Request, Result, agree, shown
from .shaping import continued
from .signature import Setting, accepts, wanted
from .values import show

Pair = tuple[int, int]


def last(r: Request, x: int) -> int:
    """Channels moved behind the spatial axes."""
    rank = len(r.b[x].shape)
    return r.b.transpose(x, [0, *range(2, rank), 1])


def first(r: Request, x: int) -> int:
    """Channels moved back to axis 1."""
    rank = len(r.b[x].shape)
    return r.b.transpose(x, [0, rank - 1, *range(1, rank - 1)])


# ---- settings along each axis --------------------------------------------------------------------


def spatial(r: Request) -> int:
    """The number of spatial axes, one to three.  Raises: Refusal E402."""
    count = len(r.shape()) - 2
    if not 1 <= count <= 3:
        hint = "add axes with reshape or unsqueeze; channels are axis 1"
        message = (
            f"needs [batch, channels, …] with one to three spatial axes, got {shown(r.shape())}"
        )
        raise Refusal("E402", message, (0,), hint)
    return count


def each(r: Request, name: str, count: int, least: int = 1) -> tuple[Any, ...]:
    """A setting that is one number or size, or one for each spatial axis.

    Raises: Refusal E402, E311.
    """
    return along(r, r[name], name, count, least)


def along(r: Request, value: Any, name: str, count: int, least: int = 1) -> tuple[Any, ...]:
    """The same of any value, called `name` where it does not fit."""
    listed = value if isinstance(value, tuple) else (value,) * count
    if len(listed) != count:
        raise _miscounted(r, name, listed, count, "one number, or a list with one for each")
    for entry in listed:
        if sign(entry - least) == -1:
            raise Refusal("E311", f"`{name}` must be at least {least}, not {entry}")
    return tuple(listed)


def _miscounted(r: Request, name: str, listed: Sequence[Any], count: int, hint: str) -> Refusal:
    axes = "one spatial axis" if count == 1 else f"{count} spatial axes"
    message = f"`{name}` has {len(listed)} entries, {shown(r.shape())} has {axes}"
    return Refusal("E402", message, (0,), hint)


def pads(r: Request, count: int, kernel: Sequence[int], stride: Sequence[int],
         dilation: Sequence[int]) -> tuple[Pair, ...]:  # fmt: skip
    """`pad` as (before, after) of each spatial axis.  Raises: Refusal E407, E402, E311."""
    value = r["pad"]
    if value == "same":
        for k, s in zip(kernel, stride, strict=True):
            if s == 1 and k % 2 == 0:
                hint = "use an odd kernel or give `pad=` a number"
                if len(r.x) > 1 and k >= 8 and r.shape(1)[0] == r.shape()[1]:
                    hint += "; the channels that come in are not given: conv(channels, kernel)"
                message = f"pad=same needs an odd kernel when stride is 1, got {k}"
                raise Refusal("E407", message, (), hint)
        return tuple((d * (k - 1) // 2,) * 2 for k, d in zip(kernel, dilation, strict=True))
    listed = value if isinstance(value, tuple) else (value,) * count
    if len(listed) != count:
        example = ", ".join(["[1, 2]"] * count)
        raise _miscounted(r, "pad", listed, count, f"pad=[{example}] for 1 before and 2 after")
    pairs = tuple(p if isinstance(p, tuple) else (p, p) for p in listed)
    for pair in pairs:
        if min(pair) < 0:
            raise Refusal("E311", f"`pad` must be at least 0, not {min(pair)}")
    return pairs


def windows(r: Request, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
            pad: Sequence[Pair], *, ceil: bool = False) -> Shape:  # fmt: skip
    """The number of windows along each spatial axis.

    Raises: Refusal E408 where there would be none.
    """
    found = []
    axes = zip(r.shape()[2:], kernel, stride, dilation, pad, strict=True)
    for axis, (extent, k, s, d, (low, high)) in enumerate(axes, 2):
        reach = d * (k - 1) + 1
        free = extent + (low + high - reach)
        count = _windows_up(extent, free, s, low, high, reach) if ceil else free // s + 1
        if sign(count - 1) == -1:
            padded = f" and padding of {low} and {high}" if low or high else ""
            wide = f"a kernel of {k}" + (f" (dilation {d}: it spans {reach})" if d > 1 else "")
            message = f"{wide} does not fit axis {axis} of {shown(r.shape())}{padded}"
            raise Refusal(
                "E408", message, (0,), "a larger input, a smaller kernel, or `pad=`", axis
            )
        found.append(count)
    return tuple(found)


def _windows_up(extent: Dim, free: Dim, stride: int, low: int, high: int, reach: int) -> Dim:
    """Windows counted upwards; the last one must begin inside the operand or before it."""
    count: Dim = (free + (stride - 1)) // stride + 1
    if high + stride <= reach:
        return count
    if isinstance(count, int) and isinstance(extent, int):
        return count - 1 if (count - 1) * stride >= extent + low else count
    whole = exact_quotient(free, stride)
    if whole is not None:
        return whole + 1
    message = f"with ceil=true it depends on {extent} whether the last window begins in the padding"
    hint = f"a number or `{extent}%{stride}` in the type of the input, or less padding"
    raise Refusal("E413", message, (0,), hint)


# ---- convolution ---------------------------------------------------------------------------------


def _convolve(r: Request) -> Result:
    r = r.of_floats()
    count = spatial(r)
    kernel = _kernel(r, count)
    stride, dilation = each(r, "stride", count), each(r, "dilation", count)
    pad = pads(r, count, kernel, stride, dilation)
    groups = _groups(r, r.shape()[1], r.shape(1)[1] * r["groups"], r.shape(1)[0])
    sizes = windows(r, kernel, stride, dilation, pad)
    low = tuple(low for low, _ in pad)
    x = r.real()
    if r["pad_mode"] != "zeros":
        x, low = continued(r, x, pad, r["pad_mode"], 2), (0,) * count
    made = r.b.insert("convolve", (last(r, x), r.x[1]), "conv", stride=stride,
                      dilation=dilation, low=low, groups=groups, sizes=sizes)  # fmt: skip
    return first(r, made)


def _convolve_transpose(r: Request) -> Result:
    r = r.of_floats()
    count = spatial(r)
    kernel = _kernel(r, count)
    stride, dilation = each(r, "stride", count), each(r, "dilation", count)
    if r["pad"] == "same":
        pad, extra = _multiplying(r, kernel, stride, dilation)
    else:
        pad, extra = pads(r, count, kernel, stride, dilation), each(r, "output_pad", count, 0)
    groups = _groups(r, r.shape()[1], r.shape(1)[0], r.shape(1)[1] * r["groups"])
    sizes: list[Dim] = []
    axes = zip(r.shape()[2:], kernel, stride, dilation, pad, extra, strict=True)
    for axis, (extent, k, s, d, (low, high), more) in enumerate(axes, 2):
        if more >= max(s, d):
            message = f"`output_pad` must be below stride or dilation ({max(s, d)}), got {more}"
            raise Refusal("E316", message)
        size = (extent - 1) * s - low - high + d * (k - 1) + more + 1
        if sign(size) in (-1, 0):
            wide = f"axis {axis} of {shown(r.shape())} becomes {size + low + high}"
            message = f"{wide}, and padding of {low} and {high} leaves nothing of it"
            raise Refusal("E408", message, (0,), "less padding", axis)
        sizes.append(size)
    low = tuple(low for low, _ in pad)
    made = r.b.insert("convolve_input", (last(r, r.real()), turned(r.b, r.x[1])), "conv_transpose",
                      stride=stride, dilation=dilation, low=low, groups=groups,
                      sizes=tuple(sizes))  # fmt: skip
    return first(r, made)


def _multiplying(
    r: Request, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[Pair, ...], tuple[int, ...]]:
    """What pad=same takes away on both sides, and adds behind, so that sizes grow by the stride.

    Where that is odd, more goes at the end, as in Keras.  Raises: Refusal E316.
    """
    if r["output_pad"] not in (0, (0,) * len(kernel)):
        message = f"pad=same makes sizes {_product(stride)} as large, and takes no `output_pad`"
        raise Refusal("E316", message, (), "give `pad` a number beside `output_pad`")
    over = [d * (k - 1) + 1 - s for k, s, d in zip(kernel, stride, dilation, strict=True)]
    cut = [max(n, 0) for n in over]
    return tuple((n // 2, n - n // 2) for n in cut), tuple(max(-n, 0) for n in over)


def _product(stride: Sequence[int]) -> str:
    return " and ".join(f"{s} times" for s in dict.fromkeys(stride))


def _kernel(r: Request, count: int) -> tuple[int, ...]:
    kernel = r.shape(1)[2:]
    if len(kernel) != count:
        message = f"{shown(r.shape())} has {count} spatial axes, the weight {shown(r.shape(1))} "
        raise Refusal("E402", f"{message}has {len(kernel)}", (0, 1))
    for extent in kernel:
        if not isinstance(extent, int):
            raise Refusal("E310", f"the kernel must be known at compile time, not {extent}", (1,))
    return tuple(e for e in kernel if isinstance(e, int))


def _groups(
    r: Request, channels: Dim, depth: Dim, out: Dim
) -> int:
    """`depth`: the channels that the weight takes.

    Raises: Refusal E409 where groups do not divide the channels, E403 where they do not fit.
    """
    groups: int = r["groups"]
    if groups < 1:
        raise Refusal("E311", f"`groups` must be at least 1, not {groups}")
    of = f"of {shown(r.shape())}"
    for extent, what in ((channels, of), (out, f"it makes {of}")):
        if exact_quotient(extent, groups) is None:
            message = f"{groups} groups do not divide the {extent} channels {what}"
            raise Refusal("E409", message, (0,), "give `groups` a divisor of both")
    if agree(channels, depth):
        message = f"the weight takes {depth} channels, {shown(r.shape())} has {channels}"
        raise Refusal("E403", message, (0, 1), None, 1)
    return groups


# ---- settings known at compile time --------------------------------------------------------------


def _per_axis(r: Request) -> Result:
    """A number once for every spatial axis, or the list as it is."""
    count = spatial(r)
    value, name = r["value"], r["name"]
    kind = Setting(name, "extents", (), None)
    if not accepts(kind, value):
        raise Refusal("E311", f"`{name}` must be {wanted(kind)}, not {show(value)}")
    return Known(along(r, value, name, count))


WINDOWING = (
    (
        "convolve(x, weight; stride:sizes=1, pad:pads|same=0, dilation:sizes=1, groups:integer=1, "
        "pad_mode:word|zeros|reflect|replicate|circular=zeros)",
        _convolve,
        "convolution with a weight of shape [channels, channels in/groups, kernel …], without bias",
    ),
    (
        "convolve_transpose(x, weight; stride:sizes=1, pad:pads|same=0, output_pad:sizes=0, "
        "dilation:sizes=1, groups:integer=1)",
        _convolve_transpose,
        "the adjoint of a convolution: weight [channels in, channels/groups, kernel …], no bias",
    ),
    (
        "per_axis(x; value:value, name:text=value)",
        _per_axis,
        "a list with one number for each spatial axis, known at compile time; `name` for errors",
    ),
)
