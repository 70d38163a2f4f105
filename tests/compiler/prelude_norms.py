"""Normalisation over channels beside torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from .prelude_case import IMAGE, LINE, ONE, OPEN, VOLUME, Case

Tensor = torch.Tensor


def squeezed(x: Tensor, a: Tensor, c: Tensor, b: Tensor, d: Tensor) -> Tensor:
    gate = torch.sigmoid(F.linear(torch.relu(F.linear(x.mean((2, 3)), a, c)), b, d))
    return x * gate[:, :, None, None]


def normed(settings: str = "", inputs: str = IMAGE, *, weights: str = "weight bias",
           training: bool = True, eps: float = 1e-5, momentum: float = 0.1,
           sizes: dict[str, int] | None = None) -> Case:  # fmt: skip
    """batch_norm; torch blends the running statistics in place."""
    channels = int(inputs.split(", ")[1].rstrip("]"))
    names = weights.split()

    def twin(x: Tensor, *rest: Tensor) -> Tensor:
        given = dict(zip(names, rest, strict=False))
        mean, var = rest[len(names) :]
        return F.batch_norm(x, mean, var, given.get("weight"), given.get("bias"), training,
                            momentum, eps)  # fmt: skip

    begin = np.linspace(0.5, 2, channels)
    return Case(
        f"x -> batch_norm({settings})" if settings else "x -> batch_norm",
        twin,
        inputs,
        {f"batch_norm.{name}": (channels,) for name in names},
        training=training,
        sizes=sizes or {},
        buffers={"batch_norm.running_mean": begin - 1, "batch_norm.running_var": begin},
    )


def two(name: str, channels: int = 4) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


NORMS = [
    normed(),
    normed(training=False),
    normed(inputs="x: f32[B, 6]"),
    normed(inputs="x: f32[B, 6]", training=False),
    normed(inputs="x: f32[B, 6]", sizes={"B": 2}),
    normed(inputs=OPEN),
    normed(inputs=LINE, sizes=ONE),
    normed(inputs=VOLUME),
    normed(inputs=VOLUME, training=False),
    normed("affine=false", weights=""),
    normed("affine=false", weights="", training=False),
    normed("bias=false", weights="weight"),
    normed("weight=false", weights="bias"),
    normed("eps=0.1, momentum=0.7", eps=0.1, momentum=0.7),
    Case("x -> group_norm(2)", lambda x, w, b: F.group_norm(x, 2, w, b), IMAGE, two("group_norm")),
    Case("x -> group_norm(4)", lambda x, w, b: F.group_norm(x, 4, w, b), OPEN, two("group_norm")),
    Case("x -> group_norm(1, eps=0.1)", lambda x, w, b: F.group_norm(x, 1, w, b, 0.1), LINE,
         two("group_norm")),
    Case("x -> group_norm(3)", lambda x, w, b: F.group_norm(x, 3, w, b),
         weights=two("group_norm", 6)),
    Case("x -> group_norm(2, affine=false)", lambda x: F.group_norm(x, 2), VOLUME),
    Case("x -> instance_norm", F.instance_norm, IMAGE),
    Case("x -> instance_norm", F.instance_norm, LINE, sizes=ONE),
    Case("x -> instance_norm(affine=true, eps=0.1)",
         lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=0.1), OPEN, two("instance_norm")),
    Case("x -> local_response_norm", lambda x: F.local_response_norm(x, 5), IMAGE),
    Case("x -> local_response_norm(2, alpha=0.3, beta=0.5, k=2)",
         lambda x: F.local_response_norm(x, 2, 0.3, 0.5, 2.0), LINE),
    Case("x -> local_response_norm(9, alpha=1)",
         lambda x: F.local_response_norm(x, 9, 1.0), VOLUME),
    Case("x -> squeeze_excite(2)", squeezed, IMAGE,
         {"squeeze_excite.squeeze.weight": (2, 4), "squeeze_excite.squeeze.bias": (2,),
          "squeeze_excite.excite.weight": (4, 2), "squeeze_excite.excite.bias": (4,)}),
]  # fmt: skip
