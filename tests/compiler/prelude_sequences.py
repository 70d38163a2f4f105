"""Experts, positions, sums along an axis and gated layers beside torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .prelude_attention import ATTENTION, LAST, ROWS, Tensor, turned_halves, turned_neighbours
from .prelude_case import Case
from .prelude_recurrent import RECURRENT, SEVERAL, WALKED

# ---- mixtures of experts -------------------------------------------------------------------------


def mixture(top: int, capacity: int | None = None, *, activation: Callable[[Tensor], Tensor],
            normalise: bool = True, balance: bool = False) -> Callable[..., Tensor]:  # fmt: skip
    """Token by token and expert by expert, as the papers say it."""

    def twin(x: Tensor, *weights: Tensor) -> Tensor:
        router, up, down = weights[0], weights[1], weights[2 if len(weights) == 3 else 3]
        experts = len(router)
        probability = torch.softmax(x @ router.T, -1)
        result = torch.zeros_like(x)
        counts = torch.zeros(experts, dtype=x.dtype)
        rows = []
        for b in range(len(x)):
            taken = [0] * experts
            for t in range(x.shape[1]):
                best = torch.topk(probability[b, t], top)
                shares = best.values / best.values.sum() if normalise else best.values
                y = torch.zeros_like(x[b, t])
                for share, e in zip(shares, best.indices.tolist(), strict=True):
                    counts[e] += 1
                    taken[e] += 1
                    if capacity is not None and taken[e] > capacity:
                        continue
                    hidden = x[b, t] @ up[e] + (weights[2][e] if len(weights) > 3 else 0)
                    out = activation(hidden) @ down[e] + (weights[4][e] if len(weights) > 3 else 0)
                    y = y + share * out
                rows.append(y)
        result = torch.stack(rows).reshape(x.shape)
        if not balance:
            return result
        tokens = x.shape[0] * x.shape[1]
        loss = experts * (counts / tokens * probability.mean((0, 1))).sum() / top
        return torch.cat([result.flatten(), loss[None]])

    return twin


def experts_of(count: int, hidden: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "moe.router.weight": (count, 12), "moe.up": (count, 12, hidden),
    }  # fmt: skip
    if bias:
        found["moe.up_bias"] = (count, hidden)
    found["moe.down"] = (count, hidden, 12)
    if bias:
        found["moe.down_bias"] = (count, 12)
    return found


BALANCED = "y, loss = x -> moe({})\n  concat(reshape(y, [60*T]), reshape(loss, [1]), axis=0)"
ROUTED = "x: f32[5, T, 12]"
EXPERTS = [
    Case("x -> moe(4, 7)", mixture(2, activation=F.gelu), ROWS, experts_of(4, 7)),
    Case("x -> moe(3, 5, top=1, normalise=false)",
         mixture(1, activation=F.gelu, normalise=False), ROWS, experts_of(3, 5)),
    Case("x -> moe(3, 5, top=3, activation=relu, bias=false)",
         mixture(3, activation=F.relu), ROWS, experts_of(3, 5, bias=False), sizes={"T": 1}),
    Case("x -> moe(3, 5, capacity=2, activation=silu)",
         mixture(2, 2, activation=F.silu), ROWS, experts_of(3, 5), sizes={"T": 7}),
    Case(BALANCED.format("4, 7, return_balance=true"),
         mixture(2, activation=F.gelu, balance=True), ROUTED, experts_of(4, 7)),
    Case(BALANCED.format("4, 7, top=1, capacity=2, return_balance=true"),
         mixture(1, 2, activation=F.gelu, balance=True), ROUTED, experts_of(4, 7),
         sizes={"T": 7}),
]  # fmt: skip


# ---- positions, sums along an axis, gated layers -------------------------------------------------


def waves(index: Tensor, features: int, base: float = 10000) -> Tensor:
    """The table of Vaswani et al.: sin and cos in turn, of index / base^(2 i / features)."""
    table = torch.zeros(*index.shape, features, dtype=torch.float64)
    for i in range(0, features, 2):
        angle = index.double() / base ** (i / features)
        table[..., i], table[..., i + 1] = torch.sin(angle), torch.cos(angle)
    return table


def halves(index: Tensor, features: int) -> Tensor:
    table = waves(index, features)
    return torch.cat([table[..., ::2], table[..., 1::2]], -1)


def gated(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def twin(x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        return F.linear(activation(F.linear(x, gate)) * F.linear(x, up), down)

    return twin


def gates(name: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.gate.weight": (8, 6),
        f"{name}.up.weight": (8, 6),
        f"{name}.down.weight": (6, 8),
    }


OTHERS = [
    Case("x -> swiglu(8)", gated(F.silu), weights=gates("swiglu")),
    Case("x -> geglu(8)", gated(F.gelu), weights=gates("geglu")),
    Case("x -> geglu(8, tanh)", gated(lambda x: F.gelu(x, approximate="tanh")),
         weights=gates("geglu")),
    Case("sinusoidal(y, 6)*x", lambda x, y: waves(y, 6) * x, "x: f32[B, 6], y: i32[B]"),
    Case("sinusoidal(y, 6, order=halves)*x", lambda x, y: halves(y, 6) * x,
         "x: f32[B, 6], y: i32[B]"),
    Case("x -> sinusoidal_positions", lambda x: x + waves(torch.arange(3), 12), ROWS),
    Case("x -> sinusoidal_positions(base=50)",
         lambda x: x + waves(torch.arange(3), 6, 50), "x: f32[B, 2, T, 6]"),
    Case("x -> learned_positions(7)", lambda x, w: x + w[:3], "x: f32[B, 3, 12]",
         {"learned_positions.weight": (7, 12)}),
    Case("x -> delay", lambda x: F.pad(x, (0, 0, 1, 0))[:, :-1], "x: f32[B, T, 6]"),
    Case("x -> delay(5)", torch.zeros_like, "x: f32[B, T, 6]"),
    Case("x -> rope", turned_halves, ROWS),
    Case("x -> rope(base=100, pairs=neighbours)", lambda x: turned_neighbours(x, 100),
         "x: f32[B, 2, T, 6]"),
    Case("x -> flip", lambda x: x.flip(1)),
    Case("x -> flip(axis=-2)", lambda x: x.flip(-2), "x: f32[B, H, W]"),
    Case("x -> flip(axis=0)", lambda x: x.flip(0), LAST),
    Case("x -> cumsum", lambda x: x.cumsum(-1)),
    Case("x -> cumsum(axis=0)", lambda x: x.cumsum(0), LAST),
    Case("x -> cumsum(axis=1)", lambda x: x.cumsum(1), "x: f32[B, T, 6]", sizes={"T": 1}),
    Case("x -> cumprod", lambda x: x.cumprod(-1)),
    Case("x -> cumprod(axis=1)", lambda x: x.cumprod(1), "x: f32[B, T, 6]"),
]  # fmt: skip

SEQUENCES = [*ATTENTION, *RECURRENT, *SEVERAL, *WALKED, *EXPERTS, *OTHERS]
