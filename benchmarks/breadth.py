"""The CPU training step of many kinds of networks against torch, in one run.

    python benchmarks/breadth.py [--quick] [--out FILE]

`networks.py` has the networks that a speed is asked of; these say whether others keep up: plain,
dense, grouped and depthwise convolutions, an hourglass, sequences of samples, transformers with
dropout, mixers, gated recurrences.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import networks
import torch
from networks import Attention, Basic, Case, Gpt
from torch import nn
from torch.nn import functional as F
from train_step import command

PLAIN = """
block Twice(c) { conv(c, 3) -> relu -> conv(c, 3) -> relu -> max_pool(2) }

net net_of {
  in x: f32[B, 3, 32, 32]
  x -> Twice(64) -> Twice(128) -> Twice(256) -> flatten -> linear(256) -> relu
    -> linear(10) as logits
}
"""

WIDE = (
    networks.RESIDUAL
    + """
net net_of {
  in x: f32[B, 3, 32, 32]
  x -> conv(64, 3) -> batch_norm -> relu -> repeat 2 { Basic(64) } -> Basic(128, 2) -> Basic(128)
    -> Basic(256, 2) -> Basic(256) -> global_avg_pool -> linear(10) as logits
}
"""
)

DENSE = """
default conv(bias=false)

block Layer(k) {
  branch {
      identity
    | batch_norm -> relu -> conv(4*k, 1) -> batch_norm -> relu -> conv(k, 3)
  } -> concat(axis=1)
}

block Half(c) { batch_norm -> relu -> conv(c, 1) -> avg_pool(2) }

net net_of {
  in x: f32[B, 3, 32, 32]
  x -> conv(24, 3) -> repeat 6 { Layer(12) } -> Half(48) -> repeat 6 { Layer(12) } -> Half(60)
    -> repeat 6 { Layer(12) } -> batch_norm -> relu -> global_avg_pool -> linear(10) as logits
}
"""

DEPTHWISE = """
default conv(bias=false)

block Separable(c, stride=1) {
  in x: f32[B, C, H, W]
  x -> conv(C, 3, stride=stride, groups=C) -> batch_norm -> relu -> conv(c, 1) -> batch_norm -> relu
}

net net_of {
  in x: f32[B, 3, 32, 32]
  x -> conv(32, 3) -> batch_norm -> relu -> Separable(64) -> Separable(128, 2) -> Separable(128)
    -> Separable(256, 2) -> Separable(256) -> global_avg_pool -> linear(10) as logits
}
"""

GROUPED = """
default conv(bias=false)

block Next(c) {
  residual {
    conv(c//2, 1) -> batch_norm -> relu -> conv(c//2, 3, groups=32) -> batch_norm -> relu
      -> conv(c, 1) -> batch_norm
  } -> relu
}

net net_of {
  in x: f32[B, 3, 32, 32]
  x -> conv(128, 3) -> batch_norm -> relu -> repeat 3 { Next(128) } -> global_avg_pool
    -> linear(10) as logits
}
"""

HOURGLASS = """
block Twice(c) { conv(c, 3) -> relu -> conv(c, 3) -> relu }

block Beside {
  in x: f32[B, C, H, W], fine: f32[B, D, H, W]
  concat(fine, x, axis=1)
}

block Level(c, n) {
  Twice(c) as fine -> if n > 0 {
      max_pool(2) -> Level(2*c, n - 1) -> conv_transpose(c, 2, stride=2) -> Beside(fine) -> Twice(c)
    }
}

net net_of {
  in x: f32[B, 1, 64, 64]
  x -> Level(16, 3) -> conv(10, 1) -> global_avg_pool as logits
}
"""

WAVES = """
net net_of {
  in x: f32[B, 8, 512]
  x -> conv(64, 7) -> batch_norm -> relu -> conv(64, 5, stride=2) -> batch_norm -> relu
    -> conv(128, 5, stride=2) -> batch_norm -> relu -> conv(128, 3, dilation=2) -> relu
    -> mean(axis=2) -> linear(10) as logits
}
"""

VIT = """
param d=192, heads=3, depth=4

block Block {
  residual { layer_norm -> attention(heads) }
  -> residual { layer_norm -> linear(4*d) -> gelu(approximate=tanh) -> linear(d) }
}

net net_of {
  in x: f32[B, 3, 32, 32]
  weight place: f32[64, d] = normal(std=0.02)
  x -> conv(d, 4, stride=4, pad=0) -> rearrange("b c h w -> b (h w) c") as patches
  (patches + place) -> repeat depth { Block } -> layer_norm -> mean(axis=1) -> linear(10) as logits
}
"""

MIXER = """
param d=192, depth=4

block Mlp(hidden, wide) { linear(hidden) -> gelu(approximate=tanh) -> linear(wide) }

block Block {
  residual { layer_norm -> transpose -> Mlp(96, 64) -> transpose }
  -> residual { layer_norm -> Mlp(4*d, d) }
}

net net_of {
  in x: f32[B, 3, 32, 32]
  x -> conv(d, 4, stride=4, pad=0) -> rearrange("b c h w -> b (h w) c") -> repeat depth { Block }
    -> layer_norm -> mean(axis=1) -> linear(10) as logits
}
"""

DROPPED = """
param d=256, heads=4, depth=2, vocab=256, context=256

block Block {
  residual { layer_norm -> attention(heads, causal=true, dropout=0.1) -> dropout(0.1) }
  -> residual { layer_norm -> linear(4*d) -> gelu(approximate=tanh) -> linear(d) -> dropout(0.1) }
}

net net_of {
  in x: i32[B, T]
  let wte = embedding(vocab, d, weight_init=normal(std=0.02))
  weight wpe: f32[context, d] = normal(std=0.02)
  (wte(x) + wpe[:T]) -> dropout(0.1) -> repeat depth { Block } -> layer_norm
    -> linear(vocab, bias=false, weight=wte.weight) as logits
}
"""

GRU = """
net net_of {
  in x: i32[B, T]
  x -> embedding(256, 256) -> repeat 2 { gru(256) } -> linear(256) as logits
}
"""


# ---- PyTorch's side --------------------------------------------------------------------------


def normed(*layers: Any) -> list[nn.Module]:
    """Convolutions with batch norm and relu behind each."""
    found: list[nn.Module] = []
    for layer in layers:
        found += [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()]
    return found


def twice(c: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(c, out, 3, 1, 1), nn.ReLU(), nn.Conv2d(out, out, 3, 1, 1), nn.ReLU()]


def plain() -> nn.Module:
    widths = ((3, 64), (64, 128), (128, 256))
    layers = [x for w in widths for x in (*twice(*w), nn.MaxPool2d(2))]
    ends = [nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(*layers, *ends)


def head(c: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10)]


def wide() -> nn.Module:
    widths = [(64, 64, 1)] * 2 + [(64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
    stem = normed(nn.Conv2d(3, 64, 3, 1, 1, bias=False))
    return nn.Sequential(*stem, *(Basic(*w) for w in widths), *head(256))


class Dense(nn.Module):
    """Its input beside what two convolutions make of it."""

    def __init__(self, c: int, k: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 4 * k, 1, bias=False),
            nn.BatchNorm2d(4 * k), nn.ReLU(), nn.Conv2d(4 * k, k, 3, 1, 1, bias=False),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, self.body(x)), 1)


def dense() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 3, 1, 1, bias=False)]
    c = 24
    for out in (48, 60, 0):
        layers += [Dense(c + 12 * k, 12) for k in range(6)]
        c += 72
        layers += [nn.BatchNorm2d(c), nn.ReLU()]
        if out:
            layers += [nn.Conv2d(c, out, 1, bias=False), nn.AvgPool2d(2)]
            c = out
    return nn.Sequential(*layers, *head(c))


def depthwise() -> nn.Module:
    layers = normed(nn.Conv2d(3, 32, 3, 1, 1, bias=False))
    for c, out, s in ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)):
        each = nn.Conv2d(c, c, 3, s, 1, groups=c, bias=False)
        layers += normed(each, nn.Conv2d(c, out, 1, bias=False))
    return nn.Sequential(*layers, *head(256))


class Next(nn.Module):
    """A block of ResNeXt."""

    def __init__(self, c: int) -> None:
        super().__init__()
        narrow = normed(nn.Conv2d(c, c // 2, 1, bias=False))
        groups = normed(nn.Conv2d(c // 2, c // 2, 3, 1, 1, groups=32, bias=False))
        last = nn.Conv2d(c // 2, c, 1, bias=False), nn.BatchNorm2d(c)
        self.body = nn.Sequential(*narrow, *groups, *last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


def grouped() -> nn.Module:
    first = normed(nn.Conv2d(3, 128, 3, 1, 1, bias=False))
    return nn.Sequential(*first, *(Next(128) for _ in range(3)), *head(128))


class Level(nn.Module):
    """A level of an hourglass and all below."""

    def __init__(self, c: int, out: int, below: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(*twice(c, out))
        self.below = Level(out, 2 * out, below - 1) if below else None
        if below:
            self.up = nn.ConvTranspose2d(2 * out, out, 2, 2)
            self.last = nn.Sequential(*twice(2 * out, out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.fine(x)
        if self.below is None:
            return fine
        coarse = self.up(self.below(F.max_pool2d(fine, 2)))
        return self.last(torch.cat((fine, coarse), 1))


def hourglass() -> nn.Module:
    return nn.Sequential(
        Level(1, 16, 3), nn.Conv2d(16, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


class Mean(nn.Module):
    """The mean along an axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(self.axis)


def waves() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(8, 64, 7, 1, 3), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Conv1d(64, 64, 5, 2, 2), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Conv1d(64, 128, 5, 2, 2), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Conv1d(128, 128, 3, 1, 2, dilation=2), nn.ReLU(), Mean(2), nn.Linear(128, 10),
    )  # fmt: skip


class Patches(nn.Module):
    """Patches of 4 x 4 pixels, with their places if `placed`."""

    def __init__(self, d: int, placed: bool) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, d, 4, 4)
        self.place = nn.Parameter(torch.zeros(64, d)) if placed else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cut = self.cut(x).flatten(2).transpose(1, 2)
        return cut if self.place is None else cut + self.place


class Seeing(Attention):
    """A block that looks both ways."""

    causal = False


def vit() -> nn.Module:
    body = (Seeing(192, 3) for _ in range(4))
    return nn.Sequential(Patches(192, True), *body, nn.LayerNorm(192), Mean(1), nn.Linear(192, 10))


class Mixing(nn.Module):
    """Patches are mixed, then channels."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm, self.norm_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        act = partial(nn.GELU, approximate="tanh")
        self.across = nn.Sequential(nn.Linear(64, 96), act(), nn.Linear(96, 64))
        self.along = nn.Sequential(nn.Linear(d, 4 * d), act(), nn.Linear(4 * d, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.across(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.along(self.norm_2(x))


def mixer() -> nn.Module:
    body = (Mixing(192) for _ in range(4))
    return nn.Sequential(Patches(192, False), *body, nn.LayerNorm(192), Mean(1), nn.Linear(192, 10))


class Gru(nn.Module):
    """A language model of two gated layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(256, 256), nn.Linear(256, 256)
        self.body = nn.GRU(256, 256, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.table(x))[0])


CASES = (
    Case("plain 64-128-256, 32 x 32, batch 16", PLAIN, plain, (16, 3, 32, 32), 1),
    Case("residual 64-128-256, 32 x 32, batch 16", WIDE, wide, (16, 3, 32, 32), 1),
    Case("dense 3 x 6 of 12, 32 x 32, batch 16", DENSE, dense, (16, 3, 32, 32), 1),
    Case("depthwise, 32 x 32, batch 16", DEPTHWISE, depthwise, (16, 3, 32, 32), 1),
    Case("32 groups, 32 x 32, batch 16", GROUPED, grouped, (16, 3, 32, 32), 1),
    Case("hourglass 16, 64 x 64, batch 8", HOURGLASS, hourglass, (8, 1, 64, 64), 1),
    Case("waves, 512 samples, batch 32", WAVES, waves, (32, 8, 512), 1),
    Case("ViT 4 x 192, 64 patches, batch 16", VIT, vit, (16, 3, 32, 32), 1),
    Case("Mixer 4 x 192, 64 patches, batch 16", MIXER, mixer, (16, 3, 32, 32), 1),
    Case("GPT 2 x 256 with dropout, 256 tokens, batch 4", DROPPED, partial(Gpt, 2, 256, 256, 0.1),
         (4, 256), 1),
    Case("GRU 2 x 256, 64 tokens, batch 16", GRU, Gru, (16, 64), 1),
)  # fmt: skip


def report(quick: bool) -> str:
    """The whole report as Markdown."""
    return networks.report(quick, CASES)


if __name__ == "__main__":
    command(__doc__, report)
