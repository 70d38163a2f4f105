"""Images as sequences of words."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .arms import part
from .weights import Tensor, Weights, second


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
    x = part(w, x, "widen", 1e-5)
    for i, skip in enumerate([*reversed(fine[:3]), None], 1):
        x = _twice(x)
        x = x if skip is None else torch.cat([x, skip], 1)
        at = w.below(f"up_{i}")
        x = part(at, part(at, x, "ConvNorm", 1e-5), "ConvNorm_2", 1e-5)
    return w.conv(x, "logits")
