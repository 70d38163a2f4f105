"""Modules of several arms."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .weights import Tensor, Weights, second


def part(w: Weights, x: Tensor, at: str, eps: float = 1e-3, **settings: Any) -> Tensor:
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
    x = respond(pool(part(w, x, "Conv", stride=2)))
    x = pool(respond(part(w, part(w, x, "Conv_2"), "Conv_3")))
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        at = w.below(f"mixed_{name}")
        arms = [
            part(at, x, "one"),
            part(at, part(at, x, "reduce_3"), "three"),
            part(at, part(at, x, "reduce_5"), "five"),
            part(at, F.max_pool2d(x, 3, 1, 1), "project"),
        ]
        x = torch.cat(arms, 1)
        if name in ("3b", "4e"):
            x = pool(x, 2) if torchvision and name == "4e" else pool(x)
    return w.linear(x.mean((2, 3)), "logits")


def bn_inception(w: Weights, x: Tensor) -> Tensor:
    """Modules that halve have no first and no fourth convolution."""
    unit = lambda at, x, name, **s: part(at, x, name, 1e-5, **s)  # noqa: E731
    pool = lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)  # noqa: E731
    x = pool(unit(w, x, "Conv", stride=2))
    x = pool(unit(w, unit(w, x, "Conv_2"), "Conv_3"))
    for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        at = w.below(f"mixed_{name}")
        halve = name in ("3c", "4e")
        stride = 2 if halve else 1
        three = unit(at, unit(at, x, "reduce"), "three", stride=stride)
        twice = unit(at, unit(at, x, "reduce_double"), "double_1")
        twice = unit(at, twice, "double_2", stride=stride)
        if halve:
            x = torch.cat([three, twice, pool(x)], 1)
        else:
            around = F.max_pool2d if name == "5b" else F.avg_pool2d
            arms = [unit(at, x, "one"), three, twice, unit(at, around(x, 3, 1, 1), "project")]
            x = torch.cat(arms, 1)
    return w.linear(x.mean((2, 3)), "logits")


def inception_resnet(w: Weights, x: Tensor, modules: tuple[int, ...]) -> Tensor:
    """The convolutions of a module are numbered as they are written."""
    halve = {"stride": 2, "padding": 0}
    stem = w.below("stem")
    x = part(stem, part(stem, x, "Halve.Conv", **halve), "Conv", padding=0)
    x = F.max_pool2d(part(stem, x, "Conv_2"), 3, 2)
    x = F.max_pool2d(part(stem, part(stem, x, "Conv_3"), "Conv_4", padding=0), 3, 2)
    mean = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = torch.cat([*_arms(stem, x, 4, 1, 2, 3), part(stem, mean, "Conv_11")], 1)
    for i in range(modules[0]):
        x = F.relu(x + 0.17 * _project(w.below("modules_35", i), x, 1, 2, 3))
    at = w.below("to_17")
    arm = part(at, part(at, x, "Conv"), "Conv_2")
    arms = [part(at, x, "Halve.Conv", **halve), part(at, arm, "Halve_2.Conv", **halve)]
    x = torch.cat([*arms, F.max_pool2d(x, 3, 2)], 1)
    for i in range(modules[1]):
        x = F.relu(x + 0.1 * _project(w.below("modules_17", i), x, 1, 3))
    at = w.below("to_8")
    long = part(at, part(at, x, "Conv_3"), "Conv_4")
    arms = [part(at, part(at, x, "Conv"), "Halve.Conv", **halve)]
    arms.append(part(at, part(at, x, "Conv_2"), "Halve_2.Conv", **halve))
    x = torch.cat([*arms, part(at, long, "Halve_3.Conv", **halve), F.max_pool2d(x, 3, 2)], 1)
    for i in range(modules[2]):
        x = F.relu(x + 0.2 * _project(w.below("modules_8", i, "Module8"), x, 1, 3))
    x = x + _project(w.below("last"), x, 1, 3)
    return w.linear(part(w, x, "top").mean((2, 3)), "logits")


def _arms(w: Weights, x: Tensor, count: int, *lengths: int) -> list[Tensor]:
    """So many convolutions an arm, the first of them after `count` others."""
    found = []
    for length in lengths:
        y = x
        for _ in range(length):
            y = part(w, y, second("Conv", count))
            count += 1
        found.append(y)
    return found


def _project(w: Weights, x: Tensor, *lengths: int) -> Tensor:
    return w.conv(torch.cat(_arms(w, x, 0, *lengths), 1))
