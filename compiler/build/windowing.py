"""Convolutions, pools and what windows need: sizes along each axis, padding by modes, resampling.

The language has channels on axis 1, as PyTorch does; the operations of graphs have them last. The
transpositions between the two meet and vanish (`compiler/ops/rules.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...spec.dims import Dim, exact_quotient, numel, sign
from ..ir.types import Shape
from ..ops.windows import turned
from .request import Known, Refusal, Request, Result, agree, shown
from .shaping import continued
from .signature import Setting, accepts, wanted
from .values import show

Pair = tuple[int, int]
EXACT = 1 << 24  # whole numbers that single precision tells apart


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
    groups = _groups(r, r.shape()[1], r.shape(1)[1], r.shape(1)[0])
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
    pad = pads(r, count, kernel, stride, dilation)
    extra = each(r, "output_pad", count, 0)
    groups = _groups(r, r.shape(1)[1] * r["groups"], r.shape(1)[1], r.shape()[1])
    if agree(r.shape(1)[0], r.shape()[1]):
        message = (
            f"the weight takes {r.shape(1)[0]} channels, {shown(r.shape())} has {r.shape()[1]}"
        )
        raise Refusal("E403", message, (0, 1))
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


def _kernel(r: Request, count: int) -> tuple[int, ...]:
    kernel = r.shape(1)[2:]
    if len(kernel) != count:
        message = f"{shown(r.shape())} has {count} spatial axes, the weight {shown(r.shape(1))} "
        raise Refusal("E402", f"{message}has {len(kernel)}", (0, 1))
    for extent in kernel:
        if not isinstance(extent, int):
            raise Refusal("E310", f"the kernel must be known at compile time, not {extent}", (1,))
    return tuple(e for e in kernel if isinstance(e, int))


def _groups(r: Request, channels: Dim, depth: Dim, out: Dim) -> int:
    """Raises: Refusal E409 where groups do not divide the channels, E403 where they do not fit."""
    groups: int = r["groups"]
    if groups < 1:
        raise Refusal("E311", f"`groups` must be at least 1, not {groups}")
    for what, extent in (("in", channels), ("out", out)):
        if exact_quotient(extent, groups) is None:
            message = f"{groups} groups do not divide the {extent} channels {what}"
            raise Refusal("E409", message, (0,), "give `groups` a divisor of both")
    if agree(channels, depth * groups):
        message = f"the weight takes {depth * groups} channels, {shown(r.shape())} has {channels}"
        raise Refusal("E403", message, (0, 1), None, 1)
    return groups


# ---- pools ---------------------------------------------------------------------------------------


def _pool(r: Request, function: str) -> tuple[int, dict[str, Any], tuple[Pair, ...]]:
    count = spatial(r)
    kernel = each(r, "kernel", count)
    stride = kernel if r["stride"] is None else each(r, "stride", count)
    dilation = each(r, "dilation", count) if "dilation" in r.settings else (1,) * count
    pad = pads(r, count, kernel, stride, dilation)
    for k, pair in zip(kernel, pad, strict=True):
        if max(pair) > k // 2:
            message = f"`pad` must be at most half of the kernel ({k}), got {max(pair)}"
            raise Refusal("E316", message, (), "pad first: x -> pad(…)")
    sizes = windows(r, kernel, stride, dilation, pad, ceil=r["ceil"])
    geometry = {"kernel": kernel, "stride": stride, "dilation": dilation,
                "low": tuple(low for low, _ in pad), "sizes": sizes}  # fmt: skip
    return r.b.insert(function, (last(r, r.real()),), function, **geometry), geometry, pad


def _max_pool(r: Request) -> Result:
    """The largest of each window, and where in the plane it is, if asked."""
    y, geometry, _ = _pool(r, "pool_max")
    if not r["return_indices"]:
        return first(r, y)
    del geometry["sizes"]
    x = r.b[y].operands[0]
    found = r.b.insert("pool_max_pick", (x, y, _places(r, r.b[x].shape)), "places", **geometry)
    return first(r, y), r.b.cast(first(r, found), "i32")


def _places(r: Request, shape: Shape) -> int:
    """Of a channels-last shape, as PyTorch counts: the rows of a plane one after another.

    Raises: Refusal E316 for planes whose places single precision does not tell apart.
    """
    b, plane = r.b, numel(shape[1:-1])
    if isinstance(plane, int) and plane > EXACT:
        raise Refusal("E316", f"`return_indices` counts to {EXACT}, a plane has {plane} places")
    found = b.constant(0, "i32")
    found = b.broadcast(found, (), shape)
    for axis in range(1, len(shape) - 1):
        below = b.broadcast(b.size(numel(shape[axis + 1 : -1])), (), shape)
        found = b.map("add", found, b.map("mul", b.iota(shape, axis), below))
    return b.cast(found, "f32")


def _max_unpool(r: Request) -> Result:
    """Elements put where the windows of a pool found their maxima: its adjoint."""
    y, geometry, _ = _pool(replace(r, x=r.x[1:]), "pool_max")
    del geometry["sizes"]
    if len(r.shape()) != len(r.shape(1)):
        raise Refusal("E402", f"{shown(r.shape())} was not pooled from {shown(r.shape(1))}", (0, 1))
    given = last(r, r.real())
    pooled = r.b[first(r, y)].shape
    codes = [agree(want, got) for want, got in zip(pooled, r.shape(), strict=True)]
    for code in filter(None, codes):
        message = f"max_pool makes {shown(pooled)} of {shown(r.shape(1))}, not {shown(r.shape())}"
        raise Refusal(code, message, (0, 1))
    x = r.b[y].operands[0]
    return first(r, r.b.insert("pool_max_input", (x, y, given), "unpooled", **geometry))


def _avg_pool(r: Request) -> Result:
    """The sum over a window by the number of its elements, with or without those of the padding."""
    total, geometry, pad = _pool(r, "pool_sum")
    shape = r.b[total].shape
    spread: list[int] = []
    whole = 1
    for axis, (k, s, low_high) in enumerate(
        zip(geometry["kernel"], geometry["stride"], pad, strict=True), 1
    ):
        if _always_full(r, axis + 1, k, s, low_high, geometry["sizes"][axis - 1]):
            whole *= k
        else:
            spread.append(_count(r, axis, k, s, low_high, shape))
    mean = r.b.map("mul", total, 1.0 / whole)
    for count in spread:
        mean = r.b.map("div", mean, count)
    return first(r, mean)


def _always_full(r: Request, axis: int, k: int, s: int, pad: Pair, count: Dim) -> bool:
    """Does every window of the axis hold `k` elements that count?"""
    low, high = pad
    end = (count - 1) * s + k - low - r.shape()[axis]
    inside = sign(end) in (-1, 0)
    if r["count_pad"]:
        return inside or sign(end - high) in (-1, 0) or not r["ceil"]
    return low == 0 and high == 0 and (inside or not r["ceil"])


def _count(r: Request, axis: int, k: int, s: int, pad: Pair, shape: Shape) -> int:
    """How many elements of the axis each window holds, as a value of the result's shape."""
    b, extent = r.b, r.shape()[axis + 1]
    low, high = pad if r["count_pad"] else (0, 0)
    line = b.cast(b.iota(shape, axis), "f32")
    begin = b.map("sub", b.map("mul", line, float(s)), float(pad[0]))
    limit = b.map("add", b.broadcast(b.size(extent), (), shape), float(high))
    end = b.map("minimum", b.map("add", begin, float(k)), limit)
    return b.map("sub", end, b.map("maximum", begin, float(-low)))


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
        "convolve_transpose(x, weight; stride:sizes=1, pad:pads=0, output_pad:sizes=0, "
        "dilation:sizes=1, groups:integer=1)",
        _convolve_transpose,
        "the adjoint of a convolution: weight [channels in, channels/groups, kernel …], no bias",
    ),
    (
        "max_pool(x; kernel:sizes, stride:sizes=none, pad:pads|same=0, dilation:sizes=1, "
        "ceil:flag=false, return_indices:flag=false)",
        _max_pool,
        "the largest element of each window; stride is the kernel unless given; `return_indices` gives "
        "its place in the plane as a second result",
    ),
    (
        "max_unpool(x, source; kernel:sizes, stride:sizes=none, pad:pads|same=0, "
        "dilation:sizes=1, ceil:flag=false)",
        _max_unpool,
        "x put where max_pool of `source` with these settings finds its maxima, zeros elsewhere",
    ),
    (
        "avg_pool(x; kernel:sizes, stride:sizes=none, pad:pads|same=0, ceil:flag=false, "
        "count_pad:flag=true)",
        _avg_pool,
        "the mean of each window; `count_pad` counts the zeros around x too",
    ),
    (
        "per_axis(x; value:value, name:text=value)",
        _per_axis,
        "a list with one number for each spatial axis, known at compile time; `name` for errors",
    ),
)
