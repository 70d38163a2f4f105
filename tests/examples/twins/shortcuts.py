"""Networks with ways round their layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .weights import Tensor, Weights


def resnet(w: Weights, x: Tensor, bottleneck: bool, groups: int = 1) -> Tensor:
    """One unit a stage."""
    x = F.max_pool2d(F.relu(w.bn(w.conv(x, stride=2))), 3, 2, 1)
    for i in range(4):
        unit = w.below("stage", i, "unit", 0)
        main, way = unit.below("main"), unit.below("shortcut")
        stride = 1 if i == 0 else 2
        if bottleneck:
            y = F.relu(main.bn(main.conv(x)))
            y = F.relu(
                main.bn(main.conv(y, "conv_2", stride=stride, groups=groups), "batch_norm_2")
            )
            y = main.bn(main.conv(y, "conv_3"), "batch_norm_3")
        else:
            y = F.relu(main.bn(main.conv(x, stride=stride)))
            y = main.bn(main.conv(y, "conv_2"), "batch_norm_2")
        if way.tensors:
            x = way.bn(way.conv(x, stride=stride))
        x = F.relu(x + y)
    return w.linear(x.mean((2, 3)), "logits")


def cifar(w: Weights, x: Tensor) -> Tensor:
    """One unit a stage; every second pixel and zeros go round."""
    x = F.relu(w.bn(w.conv(x)))
    for i in range(3):
        unit = w.below(f"stage_{i + 1}", 0)
        y = F.relu(unit.bn(unit.conv(x, stride=1 if i == 0 else 2)))
        y = unit.bn(unit.conv(y, "conv_2"), "batch_norm_2")
        if i > 0:
            quarter = x.shape[1] // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
        x = F.relu(x + y)
    return w.linear(x.mean((2, 3)), "logits")


def wide(w: Weights, x: Tensor) -> Tensor:
    """One unit a stage, normalisation first."""
    x = w.conv(x)
    for i in range(3):
        unit = w.below("stage", i, "unit", 0)
        main, stride = unit.below("Main"), 1 if i == 0 else 2
        y = F.relu(unit.bn(x, "Activate.batch_norm"))
        if unit.get("shortcut.weight") is not None:
            x = unit.conv(y, "shortcut", stride=stride)
        y = F.relu(main.bn(main.conv(y, stride=stride), "Activate.batch_norm"))
        x = x + main.conv(y, "conv_2")
    return w.linear(F.relu(w.bn(x, "Activate.batch_norm")).mean((2, 3)), "logits")


def densenet(w: Weights, x: Tensor, layers: int) -> Tensor:
    """So many layers at each of four sizes."""
    x = F.max_pool2d(F.relu(w.bn(w.conv(x, stride=2), "Activate.batch_norm")), 3, 2, 1)
    for i in range(4):
        for j in range(layers):
            layer = w.below("dense", i, "layer", j)
            y = layer.conv(F.relu(layer.bn(x, "Activate.batch_norm")))
            y = layer.conv(F.relu(layer.bn(y, "Activate_2.batch_norm")), "conv_2")
            x = torch.cat([x, y], 1)
        if i < 3:
            change = w.below("dense", i, "Transition")
            x = F.avg_pool2d(change.conv(F.relu(change.bn(x, "Activate.batch_norm"))), 2)
    return w.linear(F.relu(w.bn(x, "Activate_2.batch_norm")).mean((2, 3)), "logits")


def highway(w: Weights, x: Tensor, depth: int) -> Tensor:
    """Two highway layers."""
    x = F.relu(w.linear(x))
    for i in range(depth - 1):
        layer = w.below("body", i)
        gate = torch.sigmoid(layer.linear(x))
        x = gate * F.relu(layer.linear(x, "linear_2")) + (1 - gate) * x
    return w.linear(x, "logits")
