"""Convolutions in a row."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .weights import Tensor, Weights, second


def no_pooling(w: Weights, x: Tensor, kind: str) -> Tensor:
    """20 maps, then 320-50-10."""
    for at in ("Halve", "Halve_2"):
        inner = w.below(at)
        x = inner.conv(x, padding=0, stride=2 if kind == "stride" else 1)
        if kind == "pool":
            x = F.max_pool2d(x, 2)
        elif kind == "conv":
            x = inner.conv(F.relu(x), "conv_2", stride=2)
        x = F.relu(x)
    return w.linear(F.relu(w.linear(x.flatten(1))), "logits")


def vgg(w: Weights, x: Tensor) -> Tensor:
    """One convolution a stage, with normalisation."""
    for i in range(5):
        stage = w.below("features", i, "repeat", 0)
        x = F.max_pool2d(F.relu(stage.bn(stage.conv(x))), 2)
    x = x.flatten(1)
    for i in range(2):
        x = F.relu(w.linear(x, f"dense.{i}.linear"))
    return w.linear(x, "logits")


def nin(w: Weights, x: Tensor) -> Tensor:
    """Caffe's pools round up."""
    for count, pool in enumerate((F.max_pool2d, F.avg_pool2d, None)):
        block = w.below(second("MlpConv", count))
        for at in ("conv", "mlp.0.conv", "mlp.1.conv"):
            x = F.relu(block.conv(x, at))
        x = x.mean((2, 3)) if pool is None else pool(x, 3, 2, ceil_mode=True)
    return x


def all_cnn(w: Weights, x: Tensor, convs: int, pool: bool) -> Tensor:
    """Springenberg's four."""
    for i in range(2):
        stage = w.below("stage", i)
        for j in range(convs - 1):
            x = F.relu(stage.conv(x, f"body.{j}.conv"))
        x = F.relu(stage.conv(x, "last", stride=1 if pool else 2))
        if pool:
            x = F.max_pool2d(x, 3, 2, 1)
    x = F.relu(w.conv(x, padding=0))
    return F.relu(w.conv(F.relu(w.conv(x, "conv_2")), "conv_3")).mean((2, 3))


def csrnet(w: Weights, x: Tensor, dilations: tuple[int, ...]) -> Tensor:
    """VGG's beginning and a dilated end."""
    for i, count in enumerate((2, 2, 3)):
        for j in range(count):
            x = F.relu(w.conv(x, f"front.{i}.conv.{j}.conv"))
        x = F.max_pool2d(x, 2)
    for j in range(3):
        x = F.relu(w.conv(x, f"top.{j}.conv"))
    for j, dilation in enumerate(dilations):
        x = F.relu(w.conv(x, f"back.{j}.conv", dilation=dilation))
    return w.conv(x, "density")


def espcn(w: Weights, x: Tensor, r: int) -> Tensor:
    """Shi et al., with borders repeated."""
    for count, kernel in enumerate((5, 3, 3)):
        x = F.pad(x, (kernel // 2,) * 4, mode="replicate")
        x = w.below(second("Conv", count)).conv(torch.tanh(x) if count else x, padding=0)
    return F.pixel_shuffle(x, r)


def lenet5(w: Weights, x: Tensor) -> Tensor:
    """Today's."""
    for at in ("conv", "conv_2"):
        x = F.max_pool2d(F.relu(w.conv(x, at, padding=0)), 2)
    x = F.relu(w.linear(F.relu(w.linear(x.flatten(1))), "linear_2"))
    return w.linear(x, "logits")


def original(w: Weights, x: Tensor, drawings: Tensor) -> Tensor:
    """LeNet-5 of 1998, map by map."""

    def squash(x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)

    def subsample(x: Tensor, at: str) -> Tensor:
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        return squash(w.tensors[f"{at}.factor"] * total + w.tensors[f"{at}.offset"])

    x = subsample(squash(w.conv(x, "c1", padding=0)), "s2")
    rows = [[i, (i + 1) % 6, (i + 2) % 6] for i in range(6)]
    rows += [[i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6] for i in range(6)]
    rows += [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]
    names = ["by_three"] * 6 + ["by_four"] * 6 + ["by_pairs"] * 3 + ["by_all"]
    maps = []
    for k, (row, name) in enumerate(zip(rows, names, strict=True)):
        own = k - names.index(name)
        kernel, bias = w.tensors[f"c3.{name}.weight"], w.tensors[f"c3.{name}.bias"]
        maps.append(F.conv2d(x[:, row], kernel[own : own + 1], bias[own : own + 1]))
    x = subsample(squash(torch.cat(maps, 1)), "s4")
    x = squash(w.linear(squash(w.conv(x, "c5", padding=0)).flatten(1), "f6"))
    return ((x[:, None] - drawings) ** 2).sum(2)


def two_tower(w: Weights, x: Tensor) -> Tensor:
    """AlexNet with groups and responses normalised as the paper has it."""
    for at, groups in (("conv", 1), ("conv_2", 2)):
        x = F.relu(w.conv(x, at, stride=4, padding=0) if groups == 1 else w.conv(x, at, groups=2))
        square = F.pad(x * x, (0, 0, 0, 0, 2, 2))
        near = sum(square[:, i : i + x.shape[1]] for i in range(5))
        x = F.max_pool2d(x / (2 + 1e-4 * near) ** 0.75, 3, 2)
    for at, groups in (("conv_3", 1), ("conv_4", 2), ("conv_5", 2)):
        x = F.relu(w.conv(x, at, groups=groups))
    return _dense(w, F.max_pool2d(x, 3, 2))


def one_tower(w: Weights, x: Tensor) -> Tensor:
    """torchvision's AlexNet."""
    x = F.max_pool2d(F.relu(w.conv(x, stride=4, padding=2)), 3, 2)
    x = F.max_pool2d(F.relu(w.conv(x, "conv_2")), 3, 2)
    for i in range(3):
        x = F.relu(w.conv(x, f"body.{i}.conv"))
    return _dense(w, F.max_pool2d(x, 3, 2))


def _dense(w: Weights, x: Tensor) -> Tensor:
    x = x.flatten(1)
    for i in range(2):
        x = F.relu(w.linear(x, f"dense.{i}.linear"))
    return w.linear(x, "logits")


def overfeat(w: Weights, x: Tensor, stride: int, pool: int, layers: int) -> Tensor:
    """The mean over the map of answers."""
    x = F.max_pool2d(F.relu(w.conv(x, stride=stride, padding=0)), pool)
    x = F.max_pool2d(F.relu(w.conv(x, "conv_2", padding=0)), 2)
    for i in range(layers):
        x = F.relu(w.conv(x, f"body.{i}.conv"))
    x = F.relu(w.conv(F.max_pool2d(x, pool), "conv_3", padding=0))
    return w.conv(F.relu(w.conv(x, "conv_4")), "map").mean((2, 3))
