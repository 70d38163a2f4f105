"""Convolutions and their adjoints beside torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .prelude_case import IMAGE, LINE, ONE, OPEN, VOLUME, Case

Tensor = torch.Tensor


def conv(settings: str, weight: tuple[int, ...], inputs: str = IMAGE, *, bias: bool = True,
         name: str = "conv", sizes: dict[str, int] | None = None,
         twin: Callable[..., Tensor] | None = None, **torchs: Any) -> Case:  # fmt: skip
    """A convolution; what torch calls its settings stands in `torchs`."""
    functions = {"conv": (F.conv1d, F.conv2d, F.conv3d)}
    functions["conv_transpose"] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
    function = functions[name][len(weight) - 3]
    outs = weight[0] if name == "conv" else weight[1] * torchs.get("groups", 1)
    weights: dict[str, tuple[int, ...]] = {f"{name}.weight": weight}
    if bias:
        weights[f"{name}.bias"] = (outs,)
    made = twin or (lambda x, w, b=None: function(x, w, b, **torchs))
    return Case(f"x -> {name}({settings})", made, inputs, weights, sizes=sizes or {})


def padded(mode: str, *pads: int) -> Callable[..., Tensor]:
    """A convolution after a padding in torch's order: last axis first."""

    def twin(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return (F.conv1d, F.conv2d, F.conv3d)[w.ndim - 3](F.pad(x, pads, mode), w, b)

    return twin


def grown(function: Callable[..., Tensor], low: tuple[int, ...], stride: tuple[int, ...],
          dilation: Any = 1, extra: Any = 0) -> Callable[..., Tensor]:  # fmt: skip
    """A transposed convolution cut to `stride` times the sizes, `low` of it taken away in front."""

    def twin(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y = function(x, w, b, stride, 0, extra, dilation=dilation)
        sizes = [s * n for s, n in zip(stride, x.shape[2:], strict=True)]
        kept = [slice(a, a + n) for a, n in zip(low, sizes, strict=True)]
        assert all(a.stop <= n for a, n in zip(kept, y.shape[2:], strict=True))
        return y[:, :, *kept]

    return twin


def standardised(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return F.conv2d(x, standard(w), b, padding=1)


def standardised_groups(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    x = F.pad(x, (1, 1, 1, 1), "reflect")
    return F.conv2d(x, standard(w, 0.1), b, stride=2, groups=2)


def standardised_volume(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return F.conv3d(x, standard(w), b, padding=(1, 0, 0), dilation=(1, 2, 1))


def standard(w: Tensor, eps: float = 1e-5) -> Tensor:
    var, mean = torch.var_mean(w, tuple(range(1, w.ndim)), correction=0, keepdim=True)
    return (w - mean) / torch.sqrt(var + eps)


def separable_line(x: Tensor, depthwise: Tensor, pointwise: Tensor) -> Tensor:
    x = F.pad(x, (2, 2), "circular")
    return F.conv1d(F.conv1d(x, depthwise, dilation=2, groups=4), pointwise)


def separable(x: Tensor, depthwise: Tensor, pointwise: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(F.conv2d(x, depthwise, padding=1, stride=2, groups=4), pointwise, bias)


CONVOLUTIONS = [
    conv("6, 3", (6, 4, 3, 3), padding=1),
    conv("6, 3", (6, 4, 3, 3), OPEN, padding=1),
    conv("6, 3", (6, 4, 3, 3), "x: f32[B, 4, 1, 1]", padding=1),
    conv("6, 3", (6, 4, 3, 3), sizes=ONE, padding=1),
    conv("6, 3, bias=false", (6, 4, 3, 3), bias=False, padding=1),
    conv("5, 1", (5, 4, 1, 1)),
    conv("5, 1, stride=3", (5, 4, 1, 1), stride=3),
    conv("5, 2, stride=3, pad=0", (5, 4, 2, 2), stride=3),
    conv("5, 2, stride=5, pad=1", (5, 4, 2, 2), stride=5, padding=1),
    conv("5, 4, stride=2", (5, 4, 4, 4), stride=2, padding=1),
    conv("5, 2, pad=0", (5, 4, 2, 2)),
    conv("3, [7, 8], pad=0", (3, 4, 7, 8)),
    conv("3, [1, 5], stride=[2, 1], pad=[0, 3]", (3, 4, 1, 5), stride=(2, 1), padding=(0, 3)),
    conv("3, 3, pad=4", (3, 4, 3, 3), padding=4),
    conv("3, 3, pad=[[0, 2], [1, 0]]", (3, 4, 3, 3), twin=padded("constant", 1, 0, 0, 2)),
    conv("3, 3, dilation=2", (3, 4, 3, 3), dilation=2, padding=2),
    conv("3, 3, dilation=[3, 1], pad=[0, 1]", (3, 4, 3, 3), dilation=(3, 1), padding=(0, 1)),
    conv("3, 2, dilation=2, stride=3, pad=2", (3, 4, 2, 2), dilation=2, stride=3, padding=2),
    conv("6, 3, groups=2", (6, 2, 3, 3), groups=2, padding=1),
    conv("8, 3, groups=4, stride=2", (8, 1, 3, 3), groups=4, stride=2, padding=1),
    conv("4, 3, groups=4, bias=false", (4, 1, 3, 3), bias=False, groups=4, padding=1),
    conv("3, 3, pad_mode=reflect", (3, 4, 3, 3), twin=padded("reflect", 1, 1, 1, 1)),
    conv("3, 5, pad_mode=reflect, pad=[[2, 0], [1, 3]]", (3, 4, 5, 5),
         twin=padded("reflect", 1, 3, 2, 0)),
    conv("3, 3, pad_mode=reflect", (3, 4, 3), LINE, twin=padded("reflect", 1, 1)),
    conv("3, 3, pad_mode=replicate, pad=3", (3, 4, 3, 3), twin=padded("replicate", 3, 3, 3, 3)),
    conv("3, 3, pad_mode=circular", (3, 4, 3, 3), twin=padded("circular", 1, 1, 1, 1)),
    conv("3, 3, pad_mode=circular, pad=[[0, 2], 1]", (3, 4, 3, 3),
         twin=padded("circular", 1, 1, 0, 2)),
    conv("6, 5, stride=2", (6, 4, 5), LINE, stride=2, padding=2),
    conv("6, 2, stride=7, pad=0", (6, 4, 2), LINE, stride=7),
    conv("6, 3, pad=[[2, 0]]", (6, 4, 3), LINE, twin=padded("constant", 2, 0)),
    conv("3, 3", (3, 2, 3, 3, 3), VOLUME, padding=1),
    conv("3, [2, 1, 3], stride=[2, 1, 1], pad=[1, 0, 0]", (3, 2, 2, 1, 3), VOLUME,
         stride=(2, 1, 1), padding=(1, 0, 0)),
    conv("3, 3, stride=[1, 2, 1], dilation=[2, 1, 1]", (3, 2, 3, 3, 3), VOLUME,
         stride=(1, 2, 1), dilation=(2, 1, 1), padding=(2, 1, 1)),
    conv("4, 3, groups=2", (4, 1, 3, 3, 3), VOLUME, groups=2, padding=1),
    conv("3, 3, pad_mode=reflect", (3, 2, 3, 3, 3), VOLUME, twin=padded("reflect", *[1] * 6)),
    conv("3, 3, pad_mode=replicate, pad=[[2, 0], 1, [0, 3]]", (3, 2, 3, 3, 3), VOLUME,
         twin=padded("replicate", 0, 3, 1, 1, 2, 0)),
    conv("3, 3, pad_mode=circular, pad=[0, [1, 2], 1]", (3, 2, 3, 3, 3), VOLUME,
         twin=padded("circular", 1, 1, 1, 2, 0, 0)),
    conv("4, 3, groups=4, dilation=3, stride=2", (4, 1, 3), LINE, groups=4, dilation=3, stride=2,
         padding=3),
    conv("6, 2, stride=2", (4, 6, 2, 2), name="conv_transpose", stride=2),
    conv("6, 2, stride=2", (4, 6, 2, 2), OPEN, name="conv_transpose", stride=2),
    conv("6, 3", (4, 6, 3, 3), sizes=ONE, name="conv_transpose"),
    conv("6, 3, bias=false", (4, 6, 3, 3), name="conv_transpose", bias=False),
    conv("6, 3, stride=2, pad=1, output_pad=1", (4, 6, 3, 3), name="conv_transpose", stride=2,
         padding=1, output_padding=1),
    conv("6, 2, stride=3, pad=[0, 1]", (4, 6, 2, 2), name="conv_transpose", stride=3,
         padding=(0, 1)),
    conv("6, [4, 1], stride=[2, 3], output_pad=[1, 2]", (4, 6, 4, 1), name="conv_transpose",
         stride=(2, 3), output_padding=(1, 2)),
    conv("6, 3, dilation=3, output_pad=2", (4, 6, 3, 3), name="conv_transpose", dilation=3,
         output_padding=2),
    conv("6, 3, stride=2, groups=2", (4, 3, 3, 3), name="conv_transpose", stride=2, groups=2),
    conv("4, 4, stride=2, pad=1, groups=4", (4, 1, 4, 4), name="conv_transpose", stride=2,
         padding=1, groups=4),
    conv("3, 3, stride=2", (4, 3, 3), LINE, name="conv_transpose", stride=2),
    conv("6, 5, stride=2, pad=same", (4, 6, 5, 5), name="conv_transpose",
         twin=grown(F.conv_transpose2d, (1, 1), (2, 2))),
    conv("6, [2, 3], stride=[3, 1], pad=same, dilation=[1, 2]", (4, 6, 2, 3), OPEN,
         name="conv_transpose", twin=grown(F.conv_transpose2d, (0, 2), (3, 1), (1, 2), (1, 0))),
    conv("3, 4, stride=3, pad=same", (4, 3, 4), LINE, name="conv_transpose",
         twin=grown(F.conv_transpose1d, (0,), (3,))),
    conv("3, 3, stride=2, pad=same", (2, 3, 3, 3, 3), VOLUME, name="conv_transpose",
         twin=grown(F.conv_transpose3d, (0, 0, 0), (2, 2, 2))),
    conv("3, 2, stride=2", (2, 3, 2, 2, 2), VOLUME, name="conv_transpose", stride=2),
    conv("6, 3, stride=3, pad=[[2, 0], [0, 1]]", (4, 6, 3, 3), name="conv_transpose",
         twin=lambda x, w, b: F.conv_transpose2d(x, w, b, 3)[:, :, 2:, :-1]),
    conv("4, 3, stride=2, pad=1, output_pad=[1, 0, 1], groups=2", (2, 2, 3, 3, 3), VOLUME,
         name="conv_transpose", stride=2, padding=1, output_padding=(1, 0, 1), groups=2),
    conv("8, 4, stride=3, dilation=2, groups=4", (4, 2, 4), LINE, name="conv_transpose", stride=3,
         dilation=2, groups=4),
    Case("x -> separable_conv(6, 3, dilation=2, pad_mode=circular, bias=false)", separable_line,
         LINE, {"separable_conv.depthwise.weight": (4, 1, 3),
                "separable_conv.pointwise.weight": (6, 4, 1)}),
    Case("x -> separable_conv(6, 3, stride=2)", separable, IMAGE,
         {"separable_conv.depthwise.weight": (4, 1, 3, 3),
          "separable_conv.pointwise.weight": (6, 4, 1, 1),
          "separable_conv.pointwise.bias": (6,)}),
    Case("x -> standardised_conv(6, 3)", standardised, IMAGE,
         {"standardised_conv.weight": (6, 4, 3, 3), "standardised_conv.bias": (6,)}),
    Case("x -> standardised_conv(6, 3, stride=2, groups=2, eps=0.1, pad_mode=reflect)",
         standardised_groups, IMAGE,
         {"standardised_conv.weight": (6, 2, 3, 3), "standardised_conv.bias": (6,)}),
    Case("x -> standardised_conv(6, [3, 1, 2], dilation=[1, 2, 1], pad=[1, 0, 0])",
         standardised_volume, VOLUME,
         {"standardised_conv.weight": (6, 2, 3, 1, 2), "standardised_conv.bias": (6,)}),
]  # fmt: skip
