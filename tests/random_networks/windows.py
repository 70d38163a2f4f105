"""Convolutions, pools and resampling, by chance: images are [C, ...] of one to three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from .twins import SEQUENCE, VECTOR, Draw, Layer, Run, Shape, Tensor

CONVOLVE = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
MAX_POOL = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVG_POOL = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
ADAPTIVE_AVG = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
ADAPTIVE_MAX = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
LINEAR_MODES = ("linear", "bilinear", "trilinear")
MODES = ("reflect", "replicate", "circular")

Pairs = Sequence[Sequence[int]]


def divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


def along(d: Draw, count: int, *choices: int) -> tuple[int, ...]:
    """One number for each axis, most often the same."""
    if d.odds(0.6):
        return (d.choice(choices),) * count
    return tuple(d.choice(choices) for _ in range(count))


def listed(d: Draw, values: Sequence[Any]) -> str:
    """As a setting: one number where all are the same, or a list."""
    if len(set(values)) == 1 and d.odds(0.7):
        return str(values[0])
    return f"[{', '.join(map(str, values))}]"


def setting(d: Draw, name: str, values: Sequence[int], default: int) -> str:
    if set(values) == {default} and d.odds(0.9):
        return ""
    return f", {name}={listed(d, values)}"


def padded(x: Tensor, pairs: Pairs, mode: str = "constant", value: float = 0.0) -> Tensor:
    """Around the last axes, first of them first."""
    flat = [n for pair in reversed(list(pairs)) for n in pair]
    if not any(flat):
        return x
    return F.pad(x, flat, mode, value) if mode == "constant" else F.pad(x, flat, mode)


def same(kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    return [(step * (k - 1) // 2,) * 2 for k, step in zip(kernel, dilation, strict=True)]


def drawn_pads(
    d: Draw, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[str, Pairs]:
    """The setting and what it says: (before, after) of each axis."""
    even = any(k % 2 == 0 and s == 1 for k, s in zip(kernel, stride, strict=True))
    if d.odds(0.5) and not even:
        return d.choice(("", "", ", pad=same")), same(kernel, dilation)
    if d.odds(0.3):
        return ", pad=0", [(0, 0)] * len(kernel)
    if d.odds(0.5):
        pads = along(d, len(kernel), 0, 1, 2, 3)
        return f", pad={listed(d, pads)}", [(p, p) for p in pads]
    pairs = [(d.choice((0, 1, 2, 4)), d.choice((0, 0, 1, 3))) for _ in kernel]
    return f", pad=[{', '.join(f'[{a}, {b}]' for a, b in pairs)}]", pairs


def _geometry(d: Draw, n: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    kernel = along(d, n, 1, 2, 3, 3, 3, 4, 5)
    stride = (1,) * n if d.odds(0.6) else along(d, n, 1, 2, 2, 3)
    dilation = (1,) * n if d.odds(0.7) else along(d, n, 1, 2, 3)
    return kernel, stride, dilation


def convolution(d: Draw, shape: Shape, out: int = 0, *, keep: bool = False) -> Layer:
    """`keep`: the sizes stay."""
    c, n = shape[0], len(shape) - 1
    kernel, stride, dilation = _geometry(d, n)
    if keep:
        kernel, stride = tuple(k // 2 * 2 + 1 for k in kernel), (1,) * n
    groups = 1 if d.odds(0.6) else d.choice(divisors(c))
    if d.odds(0.15):
        groups = c
    if out and out % groups:
        groups = 1
    out = out or groups * d.randint(1, max(1, 9 // groups))
    pad, pairs = ("", same(kernel, dilation)) if keep else drawn_pads(d, kernel, stride, dilation)
    mode = d.choice(MODES) if d.odds(0.3) else "zeros"
    bias = d.odds(0.7)
    standard = d.odds(0.07)
    text = f"{'standardised_conv' if standard else 'conv'}({out}, {listed(d, kernel)}"
    text += setting(d, "stride", stride, 1) + pad + setting(d, "dilation", dilation, 1)
    text += f", groups={groups}" if groups > 1 else ""
    text += "" if bias else ", bias=false"
    text += f", pad_mode={mode})" if mode != "zeros" else ")"

    def twin(run: Run, x: Tensor) -> Tensor:
        w = run.weight("weight", out, c // groups, *kernel)
        b = run.weight("bias", out) if bias else None
        if standard:
            axes = tuple(range(1, w.ndim))
            var, mean = torch.var_mean(w, axes, correction=0, keepdim=True)
            w = (w - mean) / torch.sqrt(var + 1e-5)
        x = padded(x, pairs, "constant" if mode == "zeros" else mode)
        return CONVOLVE[n - 1](x, w, b, stride, 0, dilation, groups)

    kind = f"conv{n}d" if groups == 1 else f"conv{n}d, groups"
    return Layer(kind if not standard else "standardised_conv", d.name("k"), text=text, twin=twin)


def pointwise(d: Draw, shape: Shape, out: int) -> Layer:
    """A convolution that only mixes channels."""
    c, n, bias = shape[0], len(shape) - 1, d.odds(0.5)

    def twin(run: Run, x: Tensor) -> Tensor:
        w = run.weight("weight", out, c, *[1] * n)
        b = run.weight("bias", out) if bias else None
        return CONVOLVE[n - 1](x, w, b)

    text = f"conv({out}, 1{'' if bias else ', bias=false'})"
    return Layer("conv, 1", d.name("k"), text=text, twin=twin)


def wider(d: Draw, shape: Shape) -> Layer:
    return pointwise(d, shape, shape[0] * d.randint(2, 4))


def plain_convolution(d: Draw, shape: Shape) -> Layer:
    return convolution(d, shape)


def separable(d: Draw, shape: Shape) -> Layer:
    c, n, out = shape[0], len(shape) - 1, d.randint(1, 7)
    kernel = along(d, n, 1, 3, 3, 5)
    stride = along(d, n, 1, 1, 2)

    def twin(run: Run, x: Tensor) -> Tensor:
        w = run.weight("depthwise.weight", c, 1, *kernel)
        x = CONVOLVE[n - 1](padded(x, same(kernel, [1] * n)), w, None, stride, groups=c)
        w = run.weight("pointwise.weight", out, c, *[1] * n)
        return CONVOLVE[n - 1](x, w, run.weight("pointwise.bias", out))

    text = f"separable_conv({out}, {listed(d, kernel)}{setting(d, 'stride', stride, 1)})"
    return Layer("separable_conv", d.name("k"), text=text, twin=twin)


def transposed(d: Draw, shape: Shape) -> Layer | None:
    c, n = shape[0], len(shape) - 1
    groups = 1 if d.odds(0.6) else d.choice(divisors(c))
    out = groups * d.randint(1, max(1, 6 // groups))
    kernel, stride = along(d, n, 1, 2, 3, 3, 4), along(d, n, 1, 2, 2, 3)
    dilation = (1,) * n if d.odds(0.7) else along(d, n, 1, 2)
    bias = d.odds(0.7)
    text = f"conv_transpose({out}, {listed(d, kernel)}" + setting(d, "stride", stride, 1)
    text += setting(d, "dilation", dilation, 1)
    text += f", groups={groups}" if groups > 1 else ""
    text += "" if bias else ", bias=false"
    whole = d.odds(0.3)
    if whole:
        text += ", pad=same"
        over = [t * (k - 1) + 1 - s for k, s, t in zip(kernel, stride, dilation, strict=True)]
        pairs = [(max(o, 0) // 2, max(o, 0) - max(o, 0) // 2) for o in over]
        extra = [max(-o, 0) for o in over]
    else:
        pads = along(d, n, 0, 0, 1, 2)
        pairs = [(p, p) for p in pads]
        if d.odds(0.2):
            pairs = [(d.randint(0, 2), d.randint(0, 2)) for _ in kernel]
        extra = [d.choice((0, 0, d.randint(0, max(s, t) - 1)))
                 for s, t in zip(stride, dilation, strict=True)]  # fmt: skip
        text += f", pad=[{', '.join(f'[{a}, {b}]' for a, b in pairs)}]" if any(
            a or b for a, b in pairs
        ) else ""  # fmt: skip
        text += setting(d, "output_pad", extra, 0)

    def twin(run: Run, x: Tensor) -> Tensor:
        w = run.weight("weight", c, out // groups, *kernel)
        b = run.weight("bias", out) if bias else None
        size = [(m - 1) * s + t * (k - 1) + 1 + e for m, s, t, k, e in
                zip(x.shape[2:], stride, dilation, kernel, extra, strict=True)]  # fmt: skip
        y = TRANSPOSED[n - 1](x, w, None, stride, 0, 0, groups, dilation)
        more = [(0, want - have) for want, have in zip(size, y.shape[2:], strict=True)]
        y = padded(y, more)
        for axis, (low, high) in enumerate(pairs, 2):
            y = y.narrow(axis, low, y.shape[axis] - low - high)
        return y if b is None else y + b.reshape(-1, *[1] * n)

    return Layer(f"conv_transpose{n}d", d.name("k"), text=f"{text})", twin=twin)


def max_pool(d: Draw, shape: Shape) -> Layer:
    n = len(shape) - 1
    kernel = along(d, n, 1, 2, 2, 3, 3)
    stride = kernel if d.odds(0.5) else along(d, n, 1, 2, 3)
    dilation = (1,) * n if d.odds(0.8) else along(d, n, 1, 2)
    ceil = d.odds(0.3) and not d.open
    pads = [(d.randint(0, k // 2),) * 2 for k in kernel] if d.odds(0.5) else [(0, 0)] * n
    uneven = d.odds(0.2) and not ceil
    if uneven:
        pads = [(d.randint(0, k // 2), d.randint(0, k // 2)) for k in kernel]
    text = f"max_pool({listed(d, kernel)}" + _strided(d, stride, kernel)
    text += setting(d, "dilation", dilation, 1) + _padding(d, pads)
    text += ", ceil=true)" if ceil else ")"

    def twin(run: Run, x: Tensor) -> Tensor:
        if uneven:
            return MAX_POOL[n - 1](
                padded(x, pads, value=-torch.inf), kernel, stride, dilation=dilation
            )
        low = tuple(a for a, _ in pads)
        return MAX_POOL[n - 1](x, kernel, stride, low, dilation, ceil_mode=ceil)

    return Layer("max_pool, ceil" if ceil else "max_pool", text=text, twin=twin)


def _strided(d: Draw, stride: Sequence[int], kernel: Sequence[int]) -> str:
    return "" if stride == kernel else f", stride={listed(d, stride)}"


def _padding(d: Draw, pads: Pairs) -> str:
    if not any(n for pair in pads for n in pair):
        return ""
    if all(a == b for a, b in pads):
        return f", pad={listed(d, [a for a, _ in pads])}"
    return f", pad=[{', '.join(f'[{a}, {b}]' for a, b in pads)}]"


def avg_pool(d: Draw, shape: Shape) -> Layer:
    n = len(shape) - 1
    kernel = along(d, n, 1, 2, 2, 3, 3)
    stride = kernel if d.odds(0.5) else along(d, n, 1, 2, 3)
    ceil = d.odds(0.3) and not d.open
    pads = along(d, n, 0, 1) if d.odds(0.5) else (0,) * n
    pads = tuple(min(p, k // 2) for p, k in zip(pads, kernel, strict=True))
    counted = d.odds(0.6)
    divisor = d.randint(1, 5) if n > 1 and d.odds(0.2) else None
    text = f"avg_pool({listed(d, kernel)}" + _strided(d, stride, kernel)
    text += _padding(d, [(p, p) for p in pads]) + (", ceil=true" if ceil else "")
    text += "" if counted else ", count_pad=false"
    text += f", divisor={divisor})" if divisor else ")"
    more = [divisor] if n > 1 else []

    def twin(run: Run, x: Tensor) -> Tensor:
        return AVG_POOL[n - 1](x, kernel, stride, pads, ceil, counted, *more)

    return Layer("avg_pool, ceil" if ceil else "avg_pool", text=text, twin=twin)


def adaptive_pool(d: Draw, shape: Shape) -> Layer:
    n, largest = len(shape) - 1, d.odds(0.5)
    sizes = along(d, n, 1, 2, 3, 4, 5)
    function = (ADAPTIVE_MAX if largest else ADAPTIVE_AVG)[n - 1]
    word = "max" if largest else "avg"
    text = f"adaptive_{word}_pool({listed(d, sizes)})"
    return Layer(f"adaptive_{word}_pool", text=text, twin=lambda run, x: function(x, sizes))


def global_pool(d: Draw, shape: Shape) -> Layer:
    if d.odds(0.6):
        return Layer("global_avg_pool", to=VECTOR, text="global_avg_pool",
                     twin=lambda run, x: x.flatten(2).mean(2))  # fmt: skip
    return Layer("global_max_pool", to=VECTOR, text="global_max_pool",
                 twin=lambda run, x: x.flatten(2).amax(2))  # fmt: skip


def upsample(d: Draw, shape: Shape) -> Layer:
    n = len(shape) - 1
    scale = along(d, n, 1, 2, 2, 3)
    mode = d.choice(("nearest", "bilinear", "bilinear", "bicubic"))
    if mode == "bicubic" and n != 2:
        mode = "bilinear"
    corners = mode != "nearest" and d.odds(0.5)
    text = f"upsample({listed(d, scale)}, mode={mode}{', align_corners=true' if corners else ''})"
    return Layer(f"upsample, {mode}", text=text, twin=_resampled(mode, corners, scale=scale))


def resize(d: Draw, shape: Shape) -> Layer:
    n = len(shape) - 1
    size = along(d, n, 1, 2, 3, 5, 7)
    mode = d.choice(("nearest", "bilinear", "bilinear", "bicubic"))
    if mode == "bicubic" and n != 2:
        mode = "bilinear"
    corners = mode != "nearest" and d.odds(0.5)
    text = f"resize({listed(d, size)}, mode={mode}{', align_corners=true' if corners else ''})"
    return Layer(f"resize, {mode}", text=text, twin=_resampled(mode, corners, size=size))


def _resampled(mode: str, corners: bool, *, scale: Any = None, size: Any = None) -> Any:
    def twin(run: Run, x: Tensor) -> Tensor:
        space = x.shape[2:]
        sizes = size or [a * b for a, b in zip(space, scale, strict=True)]
        named = LINEAR_MODES[len(space) - 1] if mode == "bilinear" else mode
        flag = None if mode == "nearest" else corners
        return F.interpolate(x, tuple(sizes), mode=named, align_corners=flag)

    return twin


def pixels(d: Draw, shape: Shape) -> Layer | None:
    """pixel_shuffle or pixel_unshuffle."""
    n, r = len(shape) - 1, d.choice((2, 2, 3))

    def shuffle(run: Run, x: Tensor) -> Tensor:
        b, c, *space = x.shape
        y = x.reshape(b, c // r**n, *[r] * n, *space)
        order = [0, 1] + [a for k in range(n) for a in (2 + n + k, 2 + k)]
        return y.permute(order).reshape(b, c // r**n, *[s * r for s in space])

    def unshuffle(run: Run, x: Tensor) -> Tensor:
        b, c, *space = x.shape
        y = x.reshape(b, c, *[m for s in space for m in (s // r, r)])
        order = [0, 1] + [3 + 2 * k for k in range(n)] + [2 + 2 * k for k in range(n)]
        return y.permute(order).reshape(b, c * r**n, *[s // r for s in space])

    if shape[0] % r**n == 0:
        return Layer("pixel_shuffle", text=f"pixel_shuffle({r})", twin=shuffle)
    if d.open or any(s % r for s in shape[1:]):
        return None
    return Layer("pixel_unshuffle", text=f"pixel_unshuffle({r})", twin=unshuffle)


def channel_shuffle(d: Draw, shape: Shape) -> Layer | None:
    groups = d.choice(divisors(shape[0]))

    def twin(run: Run, x: Tensor) -> Tensor:
        b, c, *space = x.shape
        return x.reshape(b, groups, c // groups, *space).transpose(1, 2).reshape(x.shape)

    return Layer("channel_shuffle", text=f"channel_shuffle({groups})", twin=twin)


def pad(d: Draw, shape: Shape) -> Layer:
    pairs = [(d.randint(0, 2), d.randint(0, 2)) for _ in shape[1:]]
    mode = d.choice(("constant", *MODES))
    value = d.choice((0, 0, -1, 0.5))
    text = f"pad([0, 0, {', '.join(f'[{a}, {b}]' for a, b in pairs)}]"
    if mode == "constant":
        text += f", value={value})" if value else ")"
    else:
        text, value = f"{text}, mode={mode})", 0
    twin = lambda run, x: padded(x, pairs, mode, value)  # noqa: E731
    return Layer(f"pad, {mode}", text=text, twin=twin)


def crop(d: Draw, shape: Shape) -> Layer | None:
    if d.open:
        return None
    size = [d.randint(1, s) for s in shape[1:]]

    def twin(run: Run, x: Tensor) -> Tensor:
        for axis, want in enumerate(size, 2):
            low = (x.shape[axis] - want) // 2
            x = x.narrow(axis, low, want)
        return x

    return Layer("center_crop", text=f"center_crop({listed(d, size)})", twin=twin)


def unfold(d: Draw, shape: Shape) -> Layer | None:
    """What windows see, as the channels of a sequence that is turned."""
    if len(shape) != 3:
        return None
    kernel, stride, low = along(d, 2, 1, 2, 3), along(d, 2, 1, 2), d.choice((0, 0, 1))
    text = f"unfold({listed(d, kernel)}{setting(d, 'stride', stride, 1)}"
    text += f", pad={low})" if low else ")"
    twin = lambda run, x: F.unfold(x, kernel, 1, low, stride)  # noqa: E731
    return Layer("unfold", to=SEQUENCE, text=text, twin=twin)


def patches(d: Draw, shape: Shape) -> Layer | None:
    n = len(shape) - 1
    size = [d.choice(divisors(s)) for s in shape[1:]]
    if d.open:
        return None

    def twin(run: Run, x: Tensor) -> Tensor:
        b, c, *space = x.shape
        y = x.reshape(b, c, *[m for s, k in zip(space, size, strict=True) for m in (s // k, k)])
        order = [0, *[2 + 2 * k for k in range(n)], 1, *[3 + 2 * k for k in range(n)]]
        return y.permute(order).flatten(n + 1).flatten(1, n)

    return Layer("patchify", to=SEQUENCE, text=f"patchify({listed(d, size)})", twin=twin)
