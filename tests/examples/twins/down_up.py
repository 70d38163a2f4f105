"""Networks that make images small and large again, and their critics."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .weights import Tensor, Weights


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


def detector(w: Weights, x: Tensor) -> Tensor:
    """What the finer level says of kinds."""

    def unit(at: Weights, x: Tensor, stride: int = 1) -> Tensor:
        return F.relu(at.bn(at.conv(x, stride=stride)))

    def stage(at: Weights, x: Tensor) -> Tensor:
        x = unit(at.below("Conv"), x, 2)
        return F.relu(x + at.bn(at.conv(unit(at.below("Conv_2"), x))))

    levels = [stage(w.below("c4"), stage(w.below("Stage"), unit(w.below("Conv"), x)))]
    for name in ("c8", "c16"):
        levels.append(stage(w.below(name), levels[-1]))
    x = w.conv(levels[2], "p16")
    for level, at in ((levels[1], "conv"), (levels[0], "conv_2")):
        x = w.conv(level, at) + F.interpolate(x, scale_factor=2)
    return w.conv(unit(w.below("head", "h"), unit(w.below("head", "Conv"), x)), "head.kind")
