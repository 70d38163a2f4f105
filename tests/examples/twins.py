"""The networks for images once more, in PyTorch: functions of an image and of weights by name.

They are written from the papers and from the libraries that made them known, not from the specs;
only the names of the weights are those of the specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

Tensor = torch.Tensor


@dataclass(frozen=True)
class Weights:
    """Tensors by path, and the layers that use them."""

    tensors: Mapping[str, Tensor]

    def below(self, *path: object) -> Weights:
        """Those under a path."""
        prefix = ".".join(map(str, path)) + "."
        inside = {n[len(prefix) :]: t for n, t in self.tensors.items() if n.startswith(prefix)}
        return Weights(inside)

    def get(self, name: str) -> Tensor | None:
        """One of them, or None."""
        return self.tensors.get(name)

    def conv(self, x: Tensor, at: str = "conv", **settings: Any) -> Tensor:
        """A convolution with the padding that keeps the size, unless it is given."""
        weight = self.tensors[f"{at}.weight"]
        dilation = settings.get("dilation", 1)
        settings.setdefault("padding", [dilation * (k - 1) // 2 for k in weight.shape[2:]])
        return F.conv2d(x, weight, self.get(f"{at}.bias"), **settings)

    def up(self, x: Tensor, at: str = "conv_transpose", **settings: Any) -> Tensor:
        """A transposed convolution."""
        weight = self.tensors[f"{at}.weight"]
        return F.conv_transpose2d(x, weight, self.get(f"{at}.bias"), **settings)

    def linear(self, x: Tensor, at: str = "linear") -> Tensor:
        """A dense layer."""
        return F.linear(x, self.tensors[f"{at}.weight"], self.get(f"{at}.bias"))

    def bn(self, x: Tensor, at: str = "batch_norm", eps: float = 1e-5) -> Tensor:
        """Batch normalisation by the running statistics."""
        t, path = self.tensors, f"{at}."
        mean, var = t[f"{path}running_mean"], t[f"{path}running_var"]
        weight, bias = self.get(f"{path}weight"), self.get(f"{path}bias")
        return F.batch_norm(x, mean, var, weight, bias, False, 0, eps)

    def gn(self, x: Tensor, groups: int, at: str = "group_norm", eps: float = 1e-5) -> Tensor:
        """Group normalisation."""
        return F.group_norm(x, groups, self.tensors[f"{at}.weight"], self.get(f"{at}.bias"), eps)

    def ln(self, x: Tensor, at: str = "layer_norm", eps: float = 1e-6) -> Tensor:
        """Layer normalisation."""
        return F.layer_norm(
            x, x.shape[-1:], self.tensors[f"{at}.weight"], self.get(f"{at}.bias"), eps
        )

    def attend(self, x: Tensor, heads: int, at: str = "attention") -> Tensor:
        """Self-attention of several heads."""
        batch, length, width = x.shape
        parts = [
            self.linear(x, f"{at}.{name}").view(batch, length, heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        ]
        y = F.scaled_dot_product_attention(*parts)
        return self.linear(y.transpose(1, 2).reshape(batch, length, width), f"{at}.out")


def second(name: str, count: int) -> str:
    """The name of the layer after `count` others of its kind."""
    return name if count == 0 else f"{name}_{count + 1}"


# ---- convolutions in a row ----------------------------------------------------------------------


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


# ---- modules of several arms --------------------------------------------------------------------


def _part(w: Weights, x: Tensor, at: str, eps: float = 1e-3, **settings: Any) -> Tensor:
    """A convolution, its normalisation if it has one, and ReLU."""
    w = w.below(at)
    x = w.conv(x, **settings)
    return F.relu(w.bn(x, eps=eps) if w.get("batch_norm.weight") is not None else x)


def _respond(x: Tensor) -> Tensor:
    return F.local_response_norm(x, 5, 5e-4, 0.75, 1)


def googlenet(w: Weights, x: Tensor, torchvision: bool) -> Tensor:
    """The answer alone."""
    respond = (lambda x: x) if torchvision else _respond
    pool = lambda x, k=3: F.max_pool2d(x, k, 2, ceil_mode=True)  # noqa: E731
    x = respond(pool(_part(w, x, "Conv", stride=2)))
    x = pool(respond(_part(w, _part(w, x, "Conv_2"), "Conv_3")))
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        at = w.below(f"mixed_{name}")
        arms = [
            _part(at, x, "one"),
            _part(at, _part(at, x, "reduce_3"), "three"),
            _part(at, _part(at, x, "reduce_5"), "five"),
            _part(at, F.max_pool2d(x, 3, 1, 1), "project"),
        ]
        x = torch.cat(arms, 1)
        if name in ("3b", "4e"):
            x = pool(x, 2) if torchvision and name == "4e" else pool(x)
    return w.linear(x.mean((2, 3)), "logits")


def bn_inception(w: Weights, x: Tensor) -> Tensor:
    """Modules that halve have no first and no fourth convolution."""
    part = lambda at, x, name, **s: _part(at, x, name, 1e-5, **s)  # noqa: E731
    pool = lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)  # noqa: E731
    x = pool(part(w, x, "Conv", stride=2))
    x = pool(part(w, part(w, x, "Conv_2"), "Conv_3"))
    for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        at = w.below(f"mixed_{name}")
        halve = name in ("3c", "4e")
        stride = 2 if halve else 1
        three = part(at, part(at, x, "reduce"), "three", stride=stride)
        twice = part(at, part(at, x, "reduce_double"), "double_1")
        twice = part(at, twice, "double_2", stride=stride)
        if halve:
            x = torch.cat([three, twice, pool(x)], 1)
        else:
            around = F.max_pool2d if name == "5b" else F.avg_pool2d
            arms = [part(at, x, "one"), three, twice, part(at, around(x, 3, 1, 1), "project")]
            x = torch.cat(arms, 1)
    return w.linear(x.mean((2, 3)), "logits")


def inception_resnet(w: Weights, x: Tensor, modules: tuple[int, ...]) -> Tensor:
    """The convolutions of a module are numbered as they are written."""
    halve = {"stride": 2, "padding": 0}
    stem = w.below("stem")
    x = _part(stem, _part(stem, x, "Halve.Conv", **halve), "Conv", padding=0)
    x = F.max_pool2d(_part(stem, x, "Conv_2"), 3, 2)
    x = F.max_pool2d(_part(stem, _part(stem, x, "Conv_3"), "Conv_4", padding=0), 3, 2)
    mean = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = torch.cat([*_arms(stem, x, 4, 1, 2, 3), _part(stem, mean, "Conv_11")], 1)
    for i in range(modules[0]):
        x = F.relu(x + 0.17 * _project(w.below("modules_35", i), x, 1, 2, 3))
    at = w.below("to_17")
    arm = _part(at, _part(at, x, "Conv"), "Conv_2")
    arms = [_part(at, x, "Halve.Conv", **halve), _part(at, arm, "Halve_2.Conv", **halve)]
    x = torch.cat([*arms, F.max_pool2d(x, 3, 2)], 1)
    for i in range(modules[1]):
        x = F.relu(x + 0.1 * _project(w.below("modules_17", i), x, 1, 3))
    at = w.below("to_8")
    long = _part(at, _part(at, x, "Conv_3"), "Conv_4")
    arms = [_part(at, _part(at, x, "Conv"), "Halve.Conv", **halve)]
    arms.append(_part(at, _part(at, x, "Conv_2"), "Halve_2.Conv", **halve))
    x = torch.cat([*arms, _part(at, long, "Halve_3.Conv", **halve), F.max_pool2d(x, 3, 2)], 1)
    for i in range(modules[2]):
        x = F.relu(x + 0.2 * _project(w.below("modules_8", i, "Module8"), x, 1, 3))
    x = x + _project(w.below("last"), x, 1, 3)
    return w.linear(_part(w, x, "top").mean((2, 3)), "logits")


def _arms(w: Weights, x: Tensor, count: int, *lengths: int) -> list[Tensor]:
    """So many convolutions an arm, the first of them after `count` others."""
    found = []
    for length in lengths:
        y = x
        for _ in range(length):
            y = _part(w, y, second("Conv", count))
            count += 1
        found.append(y)
    return found


def _project(w: Weights, x: Tensor, *lengths: int) -> Tensor:
    return w.conv(torch.cat(_arms(w, x, 0, *lengths), 1))


# ---- ways round ---------------------------------------------------------------------------------


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


# ---- down and up --------------------------------------------------------------------------------


def unet(w: Weights, x: Tensor, depth: int, pad: int) -> Tensor:
    """Contracting and expanding path, without recursion; normalised where it has statistics."""

    def double(at: Weights, x: Tensor) -> Tensor:
        for end in ("", "_2"):
            x = at.conv(x, f"conv{end}", padding=pad)
            norm = f"batch_norm{end}"
            x = F.relu(x if at.get(f"{norm}.weight") is None else at.bn(x, norm))
        return x

    at, kept = w.below("level"), []
    for level in range(depth + 1):
        x = double(at.below("fine"), x)
        if level < depth:
            kept.append((at, x))
            x, at = F.max_pool2d(x, 2), at.below("below")
    for back, fine in reversed(kept):
        x = back.up(x, "up", stride=2)
        top, left = (fine.shape[2] - x.shape[2]) // 2, (fine.shape[3] - x.shape[3]) // 2
        cut = fine[:, :, top : top + x.shape[2], left : left + x.shape[3]]
        x = torch.cat([cut, x], 1)
        x = double(back.below("joined"), x)
    return w.conv(x, "logits")


def pix2pix(w: Weights, x: Tensor, depth: int) -> Tensor:
    """The U-Net of pix2pix, whose outermost level has no skip."""

    def level(at: Weights, x: Tensor, deeper: int) -> Tensor:
        y = at.conv(F.leaky_relu(x, 0.2), "down", stride=2, padding=1)
        if deeper:
            y = level(at.below("below"), at.bn(y, "down_norm"), deeper - 1)
        y = at.bn(at.up(F.relu(y), "up", stride=2, padding=1), "up_norm")
        return torch.cat([x, y], 1)

    x = level(w.below("level"), w.conv(x, "first", stride=2, padding=1), depth - 2)
    return torch.tanh(w.up(F.relu(x), "last", stride=2, padding=1))


def generator(w: Weights, x: Tensor) -> Tensor:
    """DCGAN's."""
    x = F.relu(w.bn(w.up(x[:, :, None, None])))
    for i in range(3):
        up = w.below("up", i)
        x = F.relu(up.bn(up.up(x, stride=2, padding=1)))
    return torch.tanh(w.up(x, "conv_transpose_2", stride=2, padding=1))


def discriminator(w: Weights, x: Tensor) -> Tensor:
    """DCGAN's, before the sigmoid."""
    x = F.leaky_relu(w.conv(x, stride=2, padding=1), 0.2)
    for i in range(3):
        down = w.below("down", i)
        x = F.leaky_relu(down.bn(down.conv(x, stride=2, padding=1)), 0.2)
    return w.conv(x, "conv_2", padding=0).flatten(1)


def translate(w: Weights, x: Tensor, blocks: int) -> Tensor:
    """CycleGAN's generator."""

    def reflected(at: Weights, x: Tensor, name: str, by: int) -> Tensor:
        return at.conv(F.pad(x, (by,) * 4, mode="reflect"), name, padding=0)

    w = w.below("zebra")
    x = F.relu(F.instance_norm(reflected(w, x, "first", 3)))
    for i in range(2):
        x = F.relu(F.instance_norm(w.conv(x, f"down.{i}.conv", stride=2)))
    for i in range(blocks):
        unit = w.below("body", i)
        y = F.relu(F.instance_norm(reflected(unit, x, "conv", 1)))
        x = x + F.instance_norm(reflected(unit, y, "conv_2", 1))
    for i in range(2):
        y = w.up(x, f"up.{i}.conv_transpose", stride=2, padding=1, output_padding=1)
        x = F.relu(F.instance_norm(y))
    return torch.tanh(reflected(w, x, "last", 3))


def patches(w: Weights, x: Tensor) -> Tensor:
    """CycleGAN's discriminator."""
    w = w.below("score")
    x = F.leaky_relu(w.conv(x, stride=2, padding=1), 0.2)
    for i, stride in enumerate((2, 2, 1)):
        x = F.instance_norm(w.conv(x, f"down.{i}.conv", stride=stride, padding=1))
        x = F.leaky_relu(x, 0.2)
    return w.conv(x, "score", padding=1)


def ddpm(w: Weights, x: Tensor, t: Tensor, widths: tuple[int, ...], attend: set[int]) -> Tensor:
    """A stack of skips, as diffusers keeps it."""
    half = widths[0] // 2
    rate = torch.exp(-torch.log(torch.tensor(1e4).double()) * torch.arange(half) / (half - 1))
    angle = t[:, None] * rate
    time = w.linear(torch.cat([angle.sin(), angle.cos()], 1), "time.linear")
    time = w.linear(F.silu(time), "time.linear_2")

    def res(at: Weights, x: Tensor) -> Tensor:
        y = at.conv(F.silu(at.gn(x, 32, eps=1e-6)), "h")
        y = y + at.linear(F.silu(time), "time_shift")[:, :, None, None]
        y = at.conv(F.silu(at.gn(y, 32, "group_norm_2", 1e-6)), "change")
        return y + (at.conv(x, "shortcut") if at.get("shortcut.weight") is not None else x)

    def look(at: Weights, x: Tensor) -> Tensor:
        y = at.gn(x, 32, eps=1e-6).flatten(2).transpose(1, 2)
        return x + at.attend(y, 1).transpose(1, 2).reshape(x.shape)

    def step(at: Weights, x: Tensor, i: int) -> Tensor:
        x = res(at.below("Res"), x)
        return look(at.below("Attend"), x) if i in attend else x

    levels = [w.below("level", *["below"] * i) for i in range(len(widths))]
    x = w.conv(x, "first")
    skips = [x]
    for i, level in enumerate(levels):
        for name in ("down_1", "down_2"):
            x = step(level.below(name), x, i)
            skips.append(x)
        if i + 1 < len(levels):
            x = level.conv(F.pad(x, (0, 1, 0, 1)), "halve", stride=2, padding=0)
            skips.append(x)
    x = res(levels[-1].below("middle_1"), x)
    x = res(levels[-1].below("middle_2"), look(levels[-1].below("middle_attend"), x))
    for i, level in reversed(list(enumerate(levels))):
        for name in ("up_1", "up_2", "up_3"):
            x = step(level.below(name), torch.cat([x, skips.pop()], 1), i)
        if i:
            x = levels[i - 1].conv(F.interpolate(x, scale_factor=2), "double")
    assert not skips
    return w.conv(F.silu(w.gn(x, 32, eps=1e-6)), "noise")


# ---- words --------------------------------------------------------------------------------------


def encoder(w: Weights, x: Tensor, heads: int) -> Tensor:
    """A layer of a vision transformer."""
    x = x + w.attend(w.ln(x), heads)
    return x + w.linear(F.gelu(w.linear(w.ln(x, "layer_norm_2"))), "linear_2")


def vit(w: Weights, x: Tensor, heads: int, depth: int, patch: int) -> Tensor:
    """The answer stands at the class token."""
    x = w.conv(x, "patches", stride=patch, padding=0).flatten(2).transpose(1, 2)
    x = torch.cat([w.tensors["class_token"].expand(len(x), -1, -1), x], 1) + w.tensors["position"]
    for i in range(depth):
        x = encoder(w.below("body", i), x, heads)
    return w.linear(w.ln(x, "encoded")[:, 0], "logits")


def mixer(w: Weights, x: Tensor, depth: int, patch: int) -> Tensor:
    """Places, channels."""
    x = w.conv(x, "patches", stride=patch, padding=0).flatten(2).transpose(1, 2)
    for i in range(depth):
        layer = w.below("body", i)
        places, channels = layer.below("tokens"), layer.below("channels")
        y = layer.ln(x).transpose(1, 2)
        x = x + places.linear(F.gelu(places.linear(y)), "linear_2").transpose(1, 2)
        y = layer.ln(x, "layer_norm_2")
        x = x + channels.linear(F.gelu(channels.linear(y)), "linear_2")
    return w.linear(w.ln(x).mean(1), "logits")


def dpt(w: Weights, x: Tensor, heads: int, depth: int, grid: int) -> Tensor:
    """DPT-Large without the parts that nothing uses."""
    x = w.conv(x, "patches", stride=16, padding=0).flatten(2).transpose(1, 2)
    token = w.tensors["embed.class_token"].expand(len(x), -1, -1)
    x = torch.cat([token, x], 1) + w.tensors["embed.position"]
    taps = []
    for i in range(1, 5):
        for j in range(depth // 4):
            x = encoder(w.below(f"encoder_{i}", j), x, heads)
        at = w.below(f"reassemble_{i}")
        known = torch.cat([x[:, 1:], x[:, :1].expand(-1, grid * grid, -1)], 2)
        words = F.gelu(at.linear(known, "readout"))
        taps.append(at.conv(words.transpose(1, 2).reshape(len(x), -1, grid, grid), "project"))
    taps[0] = w.up(taps[0], "resize_1", stride=4)
    taps[1] = w.up(taps[1], "resize_2", stride=2)
    taps[3] = w.conv(taps[3], "resize_4", stride=2)
    return _depth(w, taps)


def _words(w: Weights, x: Tensor, heads: int, layers: int, first: int) -> tuple[Tensor, Tensor]:
    """After so many layers: the words, and the image made of them."""
    for j in range(layers):
        x = encoder(w.below(f"encoder_{first}", j), x, heads)
    at, side = w.below(f"reassemble_{first + 2}"), int((x.shape[1] - 1) ** 0.5)
    known = torch.cat([x[:, 1:], x[:, :1].expand(-1, side * side, -1)], 2)
    image = F.gelu(at.linear(known, "readout")).transpose(1, 2).reshape(len(x), -1, side, side)
    return x, at.conv(image, "project")


def hybrid(w: Weights, x: Tensor, heads: int) -> Tensor:
    """DPT-Hybrid without the parts that nothing uses; TensorFlow's padding."""

    def unit(at: Weights, x: Tensor, stride: int) -> Tensor:
        y = F.relu(at.gn(_standardised(at, x, "standardised_conv", 1e-6), 32))
        y = F.pad(y, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        y = _standardised(at, y, "Conv3.standardised_conv", 1e-6, stride=stride, padding=0)
        y = F.relu(at.gn(y, 32, "group_norm_2"))
        y = at.gn(_standardised(at, y, "standardised_conv_2", 1e-6), 32, "group_norm_3")
        if at.get("project.weight") is not None:
            x = _standardised(at, x, "project", 1e-6, stride=stride)
            x = at.gn(x, 32, "project_norm")
        return F.relu(x + y)

    x = _standardised(w, F.pad(x, (2, 3, 2, 3)), "root", 1e-6, stride=2, padding=0)
    x = F.max_pool2d(F.pad(F.relu(w.gn(x, 32, "root_norm")), (0, 1, 0, 1)), 3, 2)
    taps = []
    for stage, (count, stride) in enumerate(((3, 1), (4, 2), (9, 2)), 1):
        for i in range(count):
            x = unit(w.below(f"stage_{stage}", i), x, stride if i == 0 else 1)
        taps.append(x)
    x = w.conv(x, "patches").flatten(2).transpose(1, 2)
    token = w.tensors["embed.class_token"].expand(len(x), -1, -1)
    x, taps[2] = _words(w, torch.cat([token, x], 1) + w.tensors["embed.position"], heads, 9, 1)
    x, last = _words(w, x, heads, 3, 2)
    return _depth(w, [*taps, w.conv(last, "resize_4", stride=2)])


def _depth(w: Weights, taps: list[Tensor]) -> Tensor:
    """Four images, from fine to coarse, fused to the depth of each pixel."""
    decode = w.below("decode")
    y = torch.zeros(())
    for i in range(4, 0, -1):
        level, fuse = decode.conv(taps[i - 1], f"level_{i}"), decode.below(f"fuse_{i}")
        units = [fuse.below(second("Unit", k)) for k in range(1 if i == 4 else 2)]
        y = level if i == 4 else y + _unit(units[0], level)
        y = fuse.conv(_twice(_unit(units[-1], y)), "project")
    head = w.below("depth_map")
    y = head.conv(_twice(head.conv(y)), "conv_2")
    return F.relu(head.conv(F.relu(y), "conv_3"))


def _unit(w: Weights, x: Tensor) -> Tensor:
    return x + w.conv(F.relu(w.conv(F.relu(x))), "conv_2")


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _standardised(w: Weights, x: Tensor, at: str, eps: float, **settings: Any) -> Tensor:
    """The kernels of each channel with mean 0 and variance 1."""
    kernel = w.tensors[f"{at}.weight"]
    var, mean = torch.var_mean(kernel, dim=[1, 2, 3], keepdim=True, unbiased=False)
    settings.setdefault("padding", kernel.shape[2] // 2)
    return F.conv2d(x, (kernel - mean) / torch.sqrt(var + eps), **settings)


def transunet(w: Weights, x: Tensor, heads: int, depth: int) -> Tensor:
    """The authors' repository, at a smaller size."""

    def gn(at: Weights, x: Tensor, count: int) -> Tensor:
        return at.gn(x, 32, second("Normalise", count) + ".group_norm", 1e-6)

    def unit(at: Weights, x: Tensor, stride: int) -> Tensor:
        y = F.relu(gn(at, _standardised(at, x, "standardised_conv", 1e-5), 0))
        y = _standardised(at, y, "standardised_conv_2", 1e-5, stride=stride)
        y = _standardised(at, F.relu(gn(at, y, 1)), "standardised_conv_3", 1e-5)
        if at.get("project.weight") is not None:
            x = _standardised(at, x, "project", 1e-5, stride=stride)
            x = at.gn(x, x.shape[1], "project_norm")
        return F.relu(x + gn(at, y, 2))

    x = _standardised(w, x, "root", 1e-5, stride=2)
    x = F.relu(w.gn(x, 32, "root_norm.group_norm", 1e-6))
    fine = [x]
    x = F.max_pool2d(x, 3, 2)
    for stage, (count, stride) in enumerate(((3, 1), (4, 2), (9, 2)), 1):
        for i in range(count):
            x = unit(w.below(f"stage_{stage}", i), x, stride if i == 0 else 1)
        fine.append(F.pad(x, (0, 1, 0, 1)) if stage == 1 else x)
    side = x.shape[2]
    x = w.conv(x, "patches").flatten(2).transpose(1, 2) + w.tensors["position"]
    for i in range(depth):
        x = encoder(w.below("body", i), x, heads)
    x = w.ln(x).transpose(1, 2).reshape(len(x), -1, side, side)
    x = _part(w, x, "widen", 1e-5)
    for i, skip in enumerate([*reversed(fine[:3]), None], 1):
        x = _twice(x)
        x = x if skip is None else torch.cat([x, skip], 1)
        at = w.below(f"up_{i}")
        x = _part(at, _part(at, x, "ConvNorm", 1e-5), "ConvNorm_2", 1e-5)
    return w.conv(x, "logits")
