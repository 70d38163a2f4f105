"""Losses, by chance, with torch's of the same name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional as F

from .twins import Draw, Input, Loss, Shape, Tensor

IGNORED = -100


def drawn_loss(d: Draw, output: str, shape: Shape) -> Loss:
    """A loss of an output."""
    choices = [_distance, _distance, _binary, _own, _classes, _classes]
    if len(shape) > 1:
        choices.append(_dice)
    found = d.choice(choices)(d, output, shape)
    return replace(found, shape=shape) if found.target else found


def pooled_loss(d: Draw, output: str, rank: int) -> Loss:
    """A loss of the means of an output whose sizes are open."""
    found = d.choice((_distance, _binary, _own))(d, output, ())
    if found.target is None:
        return found
    axes = list(range(1, rank + 1))
    text = found.text.replace("{0}", f"mean({{0}}, axis={axes})")
    return replace(found, text=text, twin=lambda x, y: found.twin(x.mean(axes), y))


def _reduction(d: Draw) -> tuple[str, str, Callable[[Tensor], Tensor]]:
    """The setting, what goes around the call, and both in torch."""
    word = d.choice(("", "", "", "sum", "none"))
    if word == "sum":
        return ", reduction=sum", "{}", torch.sum
    if word == "none":
        return ", reduction=none", "mean({})", torch.mean
    return "", "{}", torch.mean


def _factor(d: Draw) -> float:
    return d.choice((1.0, 1.0, 0.5, 2.0))


def _distance(d: Draw, output: str, shape: Shape) -> Loss:
    setting, around, fold = _reduction(d)
    word, function = d.choice((
        ("mse", lambda x, y: F.mse_loss(x, y, reduction="none")),
        ("mae", lambda x, y: F.l1_loss(x, y, reduction="none")),
        ("huber", lambda x, y: F.huber_loss(x, y, reduction="none")),
    ))  # fmt: skip
    target = Input(d.name("t"), shape)
    text = around.format(f"{word}({{0}}, {{1}}{setting})")
    return Loss(word, output, text, lambda x, y: fold(function(x, y)), target, _factor(d))


def _binary(d: Draw, output: str, shape: Shape) -> Loss:
    setting, around, fold = _reduction(d)
    target = Input(d.name("t"), shape, "f32", below=2)
    if d.odds(0.3):
        text = around.format(f"focal({{0}}, {{1}}, alpha=0.25{setting})")
        return Loss("focal", output, text, lambda x, y: fold(_focal(x, y)), target, _factor(d))
    weight = d.choice((1, 1, 3))
    more = f", pos_weight={weight}" if weight != 1 else ""

    def twin(x: Tensor, y: Tensor) -> Tensor:
        many = torch.tensor(float(weight), dtype=x.dtype)
        return fold(F.binary_cross_entropy_with_logits(x, y, reduction="none", pos_weight=many))

    text = around.format(f"bce({{0}}, {{1}}{more}{setting})")
    return Loss("bce", output, text, twin, target, _factor(d))


def _focal(x: Tensor, y: Tensor) -> Tensor:
    """As in torchvision's sigmoid_focal_loss."""
    plain = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    p = torch.sigmoid(x)
    true = p * y + (1 - p) * (1 - y)
    return (0.25 * y + 0.75 * (1 - y)) * (1 - true) ** 2 * plain


def _classes(d: Draw, output: str, shape: Shape) -> Loss:
    """Class indices along an axis."""
    axis = d.choice((1, len(shape)))
    classes = shape[axis - 1]
    rest = tuple(n for k, n in enumerate(shape, 1) if k != axis)
    setting, around, fold = _reduction(d)
    smoothing = d.choice((0, 0, 0.1))
    weights = [d.choice((0.5, 1, 2)) for _ in range(classes)] if d.odds(0.2) else None
    ignores = d.odds(0.3) and not weights
    more = ("" if axis == len(shape) else f", axis={axis}") + setting
    more += f", label_smoothing={smoothing}" if smoothing else ""
    more += f", weight={weights}" if weights else ""
    target = Input(d.name("t"), rest, "i32", classes, least=-1 if ignores else 0)
    how = "mean" if fold is torch.mean and not setting else "sum" if fold is torch.sum else "none"

    def twin(x: Tensor, y: Tensor) -> Tensor:
        logits = x.movedim(axis, 1)
        each = torch.tensor(weights, dtype=x.dtype) if weights else None
        found = F.cross_entropy(logits, y.long(), each, ignore_index=IGNORED, reduction=how,
                                label_smoothing=smoothing)  # fmt: skip
        return found.mean() if how == "none" else found

    text = around.format(f"cross_entropy({{0}}, {{1}}{more})")
    return Loss("cross_entropy", output, text, twin, target, _factor(d))


def _dice(d: Draw, output: str, shape: Shape) -> Loss:
    target = Input(d.name("t"), shape, "f32", below=2)

    def twin(x: Tensor, y: Tensor) -> Tensor:
        p, y = torch.sigmoid(x).flatten(1), y.flatten(1)
        return (1 - (2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()

    return Loss("dice_loss", output, "dice_loss({0}, {1})", twin, target, _factor(d))


def _own(d: Draw, output: str, shape: Shape) -> Loss:
    """Without a target, as a penalty is."""
    text, twin = d.choice((
        ("mean({0}*{0})", lambda x: (x * x).mean()),
        ("mean(tanh({0}))", lambda x: torch.tanh(x).mean()),
        ("logsumexp({0})", lambda x: torch.logsumexp(x.flatten(), 0)),
    ))  # fmt: skip
    return Loss("of its own", output, text, twin, None, _factor(d))
