"""Weights by name, and the layers of PyTorch that use them."""

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
