"""Networks whose filters see one channel each: MobileNets, EfficientNet, ConvNeXt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from .weights import Tensor, Weights

Activation = Callable[[Tensor], Tensor]


def _hardsigmoid(x: Tensor) -> Tensor:
    """PyTorch's own has a sixth in float32, in float64 too."""
    return F.relu6(x + 3) / 6


def _hardswish(x: Tensor) -> Tensor:
    return x * _hardsigmoid(x)


def _unit(
    w: Weights,
    x: Tensor,
    act: Activation,
    eps: float,
    stride: int,
    gate: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """An inverted residual; its kernel says how wide it is inside."""
    y = x
    if w.get("widen.conv.weight") is not None:
        y = act(w.bn(w.conv(y, "widen.conv"), "widen.batch_norm", eps))
    y = w.conv(y, "filter.conv", stride=stride, groups=y.shape[1])
    y = act(w.bn(y, "filter.batch_norm", eps))
    if w.get("Gate.conv.weight") is not None:
        assert gate is not None
        inner = act if gate is torch.sigmoid else F.relu
        mean = y.mean((2, 3), keepdim=True)
        y = y * gate(w.conv(inner(w.conv(mean, "Gate.conv")), "Gate.conv_2"))
    y = w.bn(w.conv(y), "y", eps)
    return x + y if y.shape == x.shape else y


def mobile_v2(w: Weights, x: Tensor, counts: Sequence[int] = (1, 2, 3, 4, 3, 3, 1)) -> Tensor:
    """Strides of the stages: 1, 2, 2, 2, 1, 2, 1."""
    x = F.relu6(w.bn(w.conv(x, "first.conv", stride=2), "first.batch_norm"))
    for i, (count, stride) in enumerate(zip(counts, (1, 2, 2, 2, 1, 2, 1), strict=True)):
        for j in range(count):
            unit = w.below("stage", i, "repeat", j)
            x = _unit(unit, x, F.relu6, 1e-5, stride if j == 0 else 1)
    x = F.relu6(w.bn(w.conv(x, "last.conv"), "last.batch_norm"))
    return w.linear(x.mean((2, 3)), "logits")


def mobile_v3(w: Weights, x: Tensor, layers: Sequence[tuple[bool, int]]) -> Tensor:
    """Of each layer whether it is smooth, and its stride."""
    x = _hardswish(w.bn(w.conv(x, "first.conv", stride=2), "first.batch_norm", 1e-3))
    for i, (smooth, stride) in enumerate(layers):
        act = _hardswish if smooth else F.relu
        x = _unit(w.below("body", i), x, act, 1e-3, stride, _hardsigmoid)
    x = _hardswish(w.bn(w.conv(x, "widen.conv"), "widen.batch_norm", 1e-3))
    return w.linear(_hardswish(w.linear(x.mean((2, 3)))), "logits")


def efficient(w: Weights, x: Tensor, counts: Sequence[int]) -> Tensor:
    """How many layers each of the seven stages has."""
    x = F.silu(w.bn(w.conv(x, "first.conv", stride=2), "first.batch_norm", 1e-3))
    for i, (count, stride) in enumerate(zip(counts, (1, 2, 2, 2, 1, 2, 1), strict=True)):
        for j in range(count):
            unit = w.below("stage", i, "repeat", j)
            x = _unit(unit, x, F.silu, 1e-3, stride if j == 0 else 1, torch.sigmoid)
    x = F.silu(w.bn(w.conv(x, "last.conv"), "last.batch_norm", 1e-3))
    return w.linear(x.mean((2, 3)), "logits")


def convnext(w: Weights, x: Tensor, layers: Sequence[int]) -> Tensor:
    """Channels are last but for convolutions."""
    x = _over_channels(w.below("Norm"), w.conv(x, "patches", stride=4, padding=0))
    for i, count in enumerate(layers):
        stage = w.below("stage", i)
        if i:
            x = stage.conv(_over_channels(stage.below("Norm"), x), stride=2, padding=0)
        for j in range(count):
            block = stage.below("body", j)
            y = block.ln(block.conv(x, groups=x.shape[1]).permute(0, 2, 3, 1))
            y = block.linear(F.gelu(block.linear(y, "widen")), "narrow").permute(0, 3, 1, 2)
            x = x + block.tensors["scale"] * y
    return w.linear(w.ln(x.mean((2, 3))), "logits")


def _over_channels(w: Weights, x: Tensor) -> Tensor:
    return w.ln(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
