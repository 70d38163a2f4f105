"""Convolutional networks in weft beside the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

STEPS = 3


@dataclass(frozen=True)
class Twin:
    """A net in weft, the same in PyTorch (parameters in the same order), its data and loss."""

    net: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    target: tuple[int, ...] | None
    loss: str
    torch_loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    classes: int = 0
    blocks: str = ""
    rounding: float = 1.0  # long sums in float32 allow for more

    @property
    def spec(self) -> str:
        dims = ", ".join(map(str, self.shape[1:]))
        kind = "i32" if self.classes else "f32"
        wanted = "".join(f", {n}" for n in (self.target or ())[1:])
        return f"""
{self.blocks}
net twin {{
  in x: f32[B, {dims}]
  {self.net} as y
}}
train {{
  steps = 3
  data x: f32[B, {dims}], target: {kind}[B{wanted}] = npz("unused.npz", batch={self.shape[0]})
  step main updates twin {{
    optimizer = sgd(lr=0.05, momentum=0.9)
    loss = x -> twin -> {self.loss}
  }}
}}
"""

    def batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(5)
        shape = self.target or (self.shape[0],)
        found = []
        for _ in range(STEPS):
            x = rng.normal(size=self.shape).astype(np.float32).astype(np.float64)
            t = rng.integers(0, self.classes, shape) if self.classes else rng.normal(size=shape)
            found.append((x, t if self.classes else t.astype(np.float32).astype(np.float64)))
        return found


# ---- PyTorch's side --------------------------------------------------------------------------


class Lenet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.c, self.d = nn.Linear(64, 20), nn.Linear(20, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(torch.tanh(self.a(x)), 2)
        x = F.max_pool2d(torch.relu(self.b(x)), 2)
        return self.d(torch.tanh(self.c(x.flatten(1))))


class Bottleneck(nn.Module):
    def __init__(self, c: int, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.side = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.plain = c == out and stride == 1
        if self.plain:
            self.side = nn.Sequential()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.main(x) + self.side(x))


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Bottleneck(8, 4, 16, 1), Bottleneck(16, 4, 16, 1), Bottleneck(16, 8, 20, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 7),
    )  # fmt: skip


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def pair(i: int, o: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU(), nn.Conv2d(o, o, 3), nn.ReLU())

        self.down, self.low = pair(1, 4), pair(4, 8)
        self.up, self.join = nn.ConvTranspose2d(8, 4, 2, 2), pair(8, 4)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down(x)
        up = self.up(self.low(F.max_pool2d(skip, 2)))
        cut = (skip.shape[2] - up.shape[2]) // 2
        skip = skip[:, :, cut : cut + up.shape[2], cut : cut + up.shape[3]]
        return self.last(self.join(torch.cat([skip, up], 1)))


class Dense(nn.Module):
    def __init__(self, c: int, growth: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, growth, 3, padding=1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.f(x)], 1)


def densenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), Dense(6, 5), Dense(11, 5), Dense(16, 5),
        nn.BatchNorm2d(21), nn.ReLU(), nn.Conv2d(21, 10, 1, bias=False), nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 7),
    )  # fmt: skip


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.arms = nn.ModuleList([
            nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 3, 1), nn.ReLU(), nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 5, 5, padding=2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 3, 1), nn.ReLU()),
        ])  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([arm(x) for arm in self.arms], 1)


def googlenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5, 1e-2, 0.75, 1), Inception(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(18, 7),
    )  # fmt: skip


class Excite(nn.Module):
    def __init__(self, c: int, r: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(c, c // r), nn.Linear(c // r, c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.b(torch.relu(self.a(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


def mobile() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(),
        nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False), nn.GroupNorm(4, 8), nn.SiLU(),
        nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=2), Excite(12, 3),
        nn.GroupNorm(1, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 7),
    )  # fmt: skip


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, padding_mode="reflect"), nn.InstanceNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 8, 3, 2, 1, output_padding=1), nn.ReLU(),
        nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, padding=1, padding_mode="replicate"),
        nn.PixelShuffle(2), nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.Tanh(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(2, 2, 4, 2, 1, groups=2),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    )  # fmt: skip


def waves() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 6, 5, 2, 2), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(6, 5, 3, padding=2, dilation=2), nn.Flatten(), nn.Linear(30, 7),
    )  # fmt: skip


def wide() -> nn.Module:
    """Batch norms of so many elements that threads share their sums."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7),
    )  # fmt: skip


def volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 5, (1, 3, 2)),
        nn.BatchNorm3d(5), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(5, 7),
    )  # fmt: skip


# ---- the pairs -------------------------------------------------------------------------------

CLASSES: dict[str, Any] = {
    "target": None,
    "loss": "cross_entropy(target)",
    "torch_loss": F.cross_entropy,
    "classes": 7,
}
BLOCKS = """
block Bottleneck(width, c, stride=1) {
  in x: f32[B, C, H, W]
  x -> residual {
        conv(width, 1, bias=false) -> batch_norm -> relu
        -> conv(width, 3, stride=stride, bias=false) -> batch_norm -> relu
        -> conv(c, 1, bias=false) -> batch_norm
      | if C != c or stride != 1 { conv(c, 1, stride=stride, bias=false) -> batch_norm }
    } -> relu
}

block Pair(n) { conv(n, 3, pad=0) -> relu -> conv(n, 3, pad=0) -> relu }

block Join(n) {
  in x: f32[B, D, H, W], skip: f32[B, n, SH, SW]
  up = x -> conv_transpose(n, 2, stride=2)
  cut = skip -> center_crop([2*H, 2*W])
  concat(cut, up, axis=1) -> Pair(n)
}

block Dense(growth) {
  branch { identity | batch_norm -> relu -> conv(growth, 3, bias=false) } -> concat(axis=1)
}

block Inception {
  branch {
      conv(4, 1) -> relu
    | conv(3, 1) -> relu -> conv(6, 3) -> relu
    | conv(2, 1) -> relu -> conv(5, 5) -> relu
    | max_pool(3, stride=1, pad=1) -> conv(3, 1) -> relu
  } -> concat(axis=1)
}
"""

TWINS = {
    "lenet": Twin(
        "x -> conv(6, 5) -> tanh -> avg_pool(2) -> conv(16, 5, pad=0) -> relu -> max_pool(2)"
        " -> flatten -> linear(20) -> tanh -> linear(7)",
        Lenet, (5, 1, 16, 16), **CLASSES,
    ),
    "resnet": Twin(
        "x -> conv(8, 7, stride=2, bias=false) -> batch_norm -> relu"
        " -> max_pool(3, stride=2, pad=1) -> Bottleneck(4, 16) -> Bottleneck(4, 16)"
        " -> Bottleneck(8, 20, stride=2) -> global_avg_pool -> linear(7)",
        resnet, (4, 3, 22, 18), **CLASSES, blocks=BLOCKS,
    ),
    "unet": Twin(
        "x -> Pair(4) as skip -> max_pool(2) -> Pair(8) -> Join(4, skip=skip) -> conv(2, 1)",
        Unet, (2, 1, 20, 24), (2, 4, 8), "cross_entropy(target, axis=1)", F.cross_entropy, 2,
        BLOCKS,
    ),
    "densenet": Twin(
        "x -> conv(6, 3, bias=false) -> repeat 3 { Dense(5) } -> batch_norm -> relu"
        " -> conv(10, 1, bias=false) -> avg_pool(2) -> global_avg_pool -> linear(7)",
        densenet, (3, 3, 8, 9), **CLASSES, blocks=BLOCKS,
    ),
    "googlenet": Twin(
        "x -> conv(8, 5, stride=2) -> relu -> max_pool(3, stride=2, ceil=true)"
        " -> local_response_norm(5, alpha=1e-2) -> Inception"
        " -> avg_pool(3, stride=2, pad=1, ceil=true, count_pad=false) -> global_max_pool"
        " -> linear(7)",
        googlenet, (3, 3, 20, 20), **CLASSES, blocks=BLOCKS,
    ),
    "mobile": Twin(
        "x -> conv(8, 3, stride=2) -> hardswish -> conv(8, 5, stride=2, groups=8, bias=false)"
        " -> group_norm(4) -> silu -> conv(12, 3, dilation=2, groups=2) -> squeeze_excite(3)"
        " -> group_norm(1) -> global_avg_pool -> linear(7)",
        mobile, (3, 3, 17, 16), **CLASSES,
    ),
    "generator": Twin(
        "x -> conv(6, 3, pad_mode=reflect) -> instance_norm -> relu"
        " -> conv_transpose(8, 3, stride=2, pad=1, output_pad=1) -> relu -> upsample(2)"
        " -> conv(4, 3, pad_mode=replicate) -> pixel_shuffle(2) -> conv(2, 3, pad_mode=circular)"
        " -> tanh -> upsample(2, bilinear) -> conv_transpose(2, 4, stride=2, pad=1, groups=2)"
        " -> upsample(2, bilinear, align_corners=true)",
        generator, (2, 2, 3, 4), (2, 2, 192, 256), "mse(target)", F.mse_loss,
    ),
    "waves": Twin(
        "x -> conv(6, 5, stride=2) -> batch_norm -> relu -> max_pool(2)"
        " -> conv(5, 3, dilation=2) -> flatten -> linear(7)",
        waves, (6, 2, 25), **CLASSES,
    ),
    "wide": Twin(
        "x -> conv(16, 3, bias=false) -> batch_norm -> relu -> conv(16, 3, bias=false)"
        " -> batch_norm -> tanh -> global_avg_pool -> linear(7)",
        wide, (37, 3, 10, 11), **CLASSES, rounding=4.0,
    ),
    "volumes": Twin(
        "x -> conv(4, 3) -> relu -> max_pool(2) -> conv(5, [1, 3, 2], pad=0) -> batch_norm -> relu"
        " -> global_avg_pool -> linear(7)",
        volumes, (3, 1, 5, 8, 7), **CLASSES, rounding=2.0,
    ),
}  # fmt: skip
