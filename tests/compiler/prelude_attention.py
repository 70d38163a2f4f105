"""Attention of all kinds beside torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .prelude_case import Case

Tensor = torch.Tensor
ROWS = "x: f32[B, T, 12]"
SOURCE = "x: f32[B, T, 12], m: f32[B, 4, 8]"
LAST = "x: f32[B, 3, 6]"


def attended(
    heads: int,
    key_heads: int = 0,
    *,
    causal: bool = False,
    rope: float = 0,
    memory: bool = False,
    mask: bool = False,
    bias: bool = True,
) -> Callable[..., Tensor]:
    """torch's own product of queries, keys and values; its masks are [B, heads, T, S]."""

    def split(x: Tensor, w: Tensor, b: Tensor | None, count: int) -> Tensor:
        return F.linear(x, w, b).unflatten(-1, (count, -1)).transpose(1, 2)

    def twin(x: Tensor, *rest: Tensor) -> Tensor:
        given = list(rest)
        source = given.pop(0) if memory else x
        seen = given.pop(0) if mask else None
        if seen is not None:
            seen = seen[:, None, None] if seen.ndim == 2 else seen
            seen = seen[:, None] if seen.ndim == 3 else seen
        step = 2 if bias else 1
        layers = [(given[i], given[i + 1] if bias else None) for i in range(0, 4 * step, step)]
        few = key_heads or heads
        q, k, v = (
            split(y, w, b, n)
            for y, (w, b), n in zip((x, source, source), layers[:3], (heads, few, few), strict=True)
        )
        if rope:
            q, k = turned_halves(q, rope), turned_halves(k, rope)
        y = F.scaled_dot_product_attention(q, k, v, seen, is_causal=causal, enable_gqa=True)
        return F.linear(y.transpose(1, 2).flatten(2), *layers[3])

    return twin


def shaped(
    heads: int,
    change: Callable[..., Tensor],
    key_heads: int = 0,
    *,
    given: bool = False,
) -> Callable[..., Tensor]:
    """Scores changed by `change(scores, queries, keys, given)` written out; -inf hides."""

    def twin(x: Tensor, *rest: Tensor) -> Tensor:
        more, weights = (rest[:1], rest[1:]) if given else ((), rest)
        few = key_heads or heads
        q, k, v = (
            F.linear(x, weights[2 * n], weights[2 * n + 1]).unflatten(-1, (count, -1))
            .transpose(1, 2).repeat_interleave(heads // count, 1)
            for n, count in enumerate((heads, few, few))
        )  # fmt: skip
        at = torch.arange(x.shape[1])
        scores = q @ k.mT / k.shape[-1] ** 0.5
        y = change(scores, at[:, None], at, *more).softmax(-1) @ v
        return F.linear(y.transpose(1, 2).flatten(2), *weights[6:])

    return twin


def masked(
    heads: int, seen: Callable[..., Tensor], *, given: bool = False
) -> Callable[..., Tensor]:
    """torch's own product with a mask written out: `seen(queries, keys, given)`."""

    def twin(x: Tensor, *rest: Tensor) -> Tensor:
        more, weights = (rest[:1], rest[1:]) if given else ((), rest)
        at = torch.arange(x.shape[1])
        mask = seen(at[:, None], at, *more)
        mask = mask if mask.ndim == 4 else mask.expand(len(x), 1, *mask.shape[-2:])
        return attended(heads, mask=True)(x, mask, *weights)

    return twin


def documents(i: Tensor, j: Tensor, ids: Tensor) -> Tensor:
    return ((ids[:, :, None] == ids[:, None]) & (i >= j))[:, None]


def alibi(scores: Tensor, i: Tensor, j: Tensor) -> Tensor:
    heads = scores.shape[1]
    rates = 2.0 ** (-8.0 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)
    return scores - rates[:, None, None] * (i - j).abs()


def projections(features: int = 12, source: int = 12, keys: int = 12,
                bias: bool = True) -> dict[str, tuple[int, ...]]:  # fmt: skip
    found: dict[str, tuple[int, ...]] = {}
    sizes = {"query": (features, features), "key": (keys, source), "value": (keys, source),
             "out": (features, features)}  # fmt: skip
    for name, shape in sizes.items():
        found[f"attention.{name}.weight"] = shape
        if bias:
            found[f"attention.{name}.bias"] = shape[:1]
    return found


def multihead(x: Tensor, *parts: Tensor) -> Tensor:
    """PyTorch's layer, whose three projections are one."""
    layer = nn.MultiheadAttention(12, 3, batch_first=True).double()
    wq, bq, wk, bk, wv, bv, wo, bo = parts
    state = {"in_proj_weight": torch.cat([wq, wk, wv]), "in_proj_bias": torch.cat([bq, bk, bv]),
             "out_proj.weight": wo, "out_proj.bias": bo}  # fmt: skip
    later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    call = {"need_weights": False, "attn_mask": later}
    return torch.func.functional_call(layer, state, (x, x, x), call)[0]


def turned_halves(x: Tensor, base: float = 10000) -> Tensor:
    """Numbers a + b i, turned by e^(i t rate)."""
    half = x.shape[-1] // 2
    rates = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * rates
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(
        torch.ones_like(angles), angles
    )
    return torch.cat([turned.real, turned.imag], -1)


def turned_neighbours(x: Tensor, base: float = 10000) -> Tensor:
    order = [*range(0, x.shape[-1], 2), *range(1, x.shape[-1], 2)]
    back = torch.argsort(torch.tensor(order))
    return turned_halves(x[..., order], base)[..., back]


ATTENTION = [
    Case("x -> attention(3)", attended(3), ROWS, projections()),
    Case("x -> attention(1)", attended(1), ROWS, projections(), sizes={"B": 1, "T": 1}),
    Case("x -> attention(12)", attended(12), ROWS, projections(), sizes={"T": 7}),
    Case("x -> attention(3, causal=true)", attended(3, causal=True), ROWS, projections()),
    Case("x -> attention(3, causal=true)", multihead, ROWS, projections(), sizes={"T": 5}),
    Case("x -> attention(3, bias=false)", attended(3, bias=False), ROWS, projections(bias=False)),
    Case("x -> attention(6, key_heads=2)", attended(6, 2), ROWS, projections(keys=4)),
    Case("x -> attention(4, key_heads=1, causal=true, bias=false)",
         attended(4, 1, causal=True, bias=False), ROWS, projections(keys=3, bias=False)),
    Case("x -> attention(3, memory=m)", attended(3, memory=True), SOURCE, projections(source=8)),
    Case("x -> attention(6, key_heads=3, memory=m, causal=true)",
         attended(6, 3, memory=True, causal=True), SOURCE, projections(source=8, keys=6)),
    Case("x -> attention(3, mask=k)", attended(3, mask=True), f"{ROWS}, k: bool[B, T]",
         projections()),
    Case("x -> attention(3, mask=k)", attended(3, mask=True), f"{ROWS}, k: bool[B, T, T]",
         projections()),
    Case("x -> attention(3, mask=k)", attended(3, mask=True), f"{ROWS}, k: bool[B, 3, T, T]",
         projections()),
    Case("x -> attention(3, mask=k)", attended(3, mask=True), f"{ROWS}, k: bool[1, T, T]",
         projections()),
    Case("x -> attention(3, mask=k)", attended(3, mask=True), f"{ROWS}, k: bool[B, 1, T, T]",
         projections()),
    Case("x -> attention(6, key_heads=2, mask=k)", attended(6, 2, mask=True),
         f"{ROWS}, k: bool[B, 6, T, T]", projections(keys=4)),
    Case("x -> attention(3, memory=m, mask=k)", attended(3, memory=True, mask=True),
         f"{SOURCE}, k: bool[B, T, 4]", projections(source=8)),
    Case("x -> attention(3, memory=m, mask=k)", attended(3, memory=True, mask=True),
         f"{SOURCE}, k: bool[B, 4]", projections(source=8)),
    Case("x -> attention(3, causal=true, window=3)",
         masked(3, lambda i, j: (i >= j) & (i - j < 3)), ROWS, projections(), sizes={"T": 7}),
    Case("x -> attention(3, window=2)", masked(3, lambda i, j: (i - j).abs() < 2), ROWS,
         projections(), sizes={"T": 7}),
    Case("x -> attention(3, causal=true, prefix=3)", masked(3, lambda i, j: (i >= j) | (j < 3)),
         ROWS, projections(), sizes={"T": 7}),
    Case("x -> attention(3, causal=true, window=2, prefix=1)",
         masked(3, lambda i, j: ((i >= j) & (i - j < 2)) | (j < 1)), ROWS, projections(),
         sizes={"T": 7}),
    Case("x -> attention(3, causal=true, documents=k)", masked(3, documents, given=True),
         f"{ROWS}, k: i32[B, T]", projections(), sizes={"T": 7}),
    Case("x -> attention(3, softcap=0.7)",
         shaped(3, lambda s, i, j: torch.tanh(s / 0.7) * 0.7), ROWS, projections()),
    Case("x -> attention(6, key_heads=2, alibi=true)", shaped(6, alibi, 2), ROWS,
         projections(keys=4)),
    Case("x -> attention(3, score_bias=k)", shaped(3, lambda s, i, j, k: s + k, given=True),
         f"{ROWS}, k: f32[T, T]", projections()),
    Case("x -> attention(6, key_heads=2, score_bias=k)",
         shaped(6, lambda s, i, j, k: s + k, 2, given=True), f"{ROWS}, k: f32[6, T, T]",
         projections(keys=4)),
    Case("x -> attention(3, score_bias=k)", shaped(3, lambda s, i, j, k: s + k, given=True),
         f"{ROWS}, k: f32[B, 3, T, T]", projections()),
    Case("x -> attention(3, rope=100)", attended(3, rope=100), ROWS, projections()),
    Case("x -> attention(3, dropout=0.3)", attended(3), ROWS, projections()),
    Case("x -> attention(3, dropout=0)", attended(3), ROWS, projections(), training=True),
]  # fmt: skip
