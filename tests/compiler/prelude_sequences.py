"""Attention, recurrent layers, positions and sums along an axis beside torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from .prelude_case import Case

Tensor = torch.Tensor
ROWS = "x: f32[B, T, 12]"
SOURCE = "x: f32[B, T, 12], m: f32[B, 4, 8]"
LAST = "x: f32[B, 3, 6]"


# ---- attention -----------------------------------------------------------------------------------


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


# ---- recurrent layers ----------------------------------------------------------------------------


def recurrent(kind: str, settings: str, begin: str = "", *, bias: bool = True,
              results: str = "y") -> Case:  # fmt: skip
    """A recurrent layer of five units; `begin` names the states it begins with."""
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    built = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
    weights = {f"{kind}.weight_ih": (5 * gates, 6), f"{kind}.weight_hh": (5 * gates, 5)}
    if bias:
        weights |= {f"{kind}.bias_ih": (5 * gates,), f"{kind}.bias_hh": (5 * gates,)}
    names = begin.split()

    def twin(x: Tensor, *rest: Tensor) -> Tensor:
        layer = built(6, 5, bias=bias, batch_first=True).double()
        begins = tuple(s[None] for s in rest[: len(names)])
        state = dict(
            zip((f"{w.split('.')[1]}_l0" for w in weights), rest[len(names) :], strict=True)
        )
        given = begins if kind == "lstm" else begins[0] if begins else None
        call = (x, given) if begins else (x,)
        y, last = torch.func.functional_call(layer, state, call)
        ends = last if kind == "lstm" else (last,)
        return y if results == "y" else torch.cat([y.flatten(1), *(s[0] for s in ends)], 1)

    inputs = ", ".join(["x: f32[B, T, 6]", *(f"{name}: f32[B, 5]" for name in names)])
    given = "".join(f", {letter}={name}" for letter, name in zip("hc", names, strict=False))
    if results == "y":
        flow = f"x -> {kind}(5{settings}{given})"
    else:
        flow = f"{results} = x -> {kind}(5, return_state=true{settings}{given})"
        flow += f"\n  concat(flatten(y), {results[3:]}, axis=1)"
    return Case(flow, twin, inputs, weights)


RECURRENT = [
    recurrent("rnn", ""),
    recurrent("rnn", ", bias=false", bias=False),
    recurrent("rnn", "", "a", results="y, h"),
    recurrent("lstm", ""),
    recurrent("lstm", ", bias=false", bias=False),
    recurrent("lstm", "", "a b", results="y, h, c"),
    recurrent("lstm", "", results="y, h, c"),
    recurrent("gru", ""),
    recurrent("gru", ", bias=false", "a", bias=False),
    recurrent("gru", "", "a", results="y, h"),
]


# ---- sequences of several lengths, backwards, both ways ------------------------------------------

LENGTHS = "x: f32[B, T, 6], k: i32[B]"
BUILT = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def packed(
    kind: str, *, both: bool = False, reverse: bool = False, begun: bool = False
) -> Callable[..., Tensor]:
    """PyTorch's layer over a packed batch: all states, zeros behind the ends, and the last h.

    The lengths are those that `feeds_of` draws, 0 to 5 of T = 5; torch takes no empty sequence,
    whose last state is the one that began it (`begun`, or zeros).
    """

    def twin(x: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        rows = lengths > 0
        begin, weights = (weights[0], weights[1:]) if begun else (x.new_zeros(len(x), 5), weights)
        layer = BUILT[kind](6, 5, batch_first=True, bidirectional=both or reverse).double()
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        state = {f"{part}_l0": w for part, w in zip(parts, weights[:4], strict=True)}
        if both or reverse:
            given = weights[-4:]
            state |= {f"{part}_l0_reverse": w for part, w in zip(parts, given, strict=True)}
        sequence = nn.utils.rnn.pack_padded_sequence(
            x[rows], lengths[rows].cpu(), batch_first=True, enforce_sorted=False
        )
        h = begin[rows].expand(1 + (both or reverse), -1, -1)
        starts = ((h, 0 * h) if kind == "lstm" else h,) if begun else ()
        y, last = torch.func.functional_call(layer, state, (sequence, *starts))
        padded, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
        h = last[0] if kind == "lstm" else last
        wide = padded.shape[-1]
        whole = x.new_zeros(*x.shape[:2], wide).index_put((rows.nonzero()[:, 0],), padded)
        ends = begin.index_put((rows.nonzero()[:, 0],), h[-1])
        if both:
            return whole
        return torch.cat([whole[..., wide - 5 :].flatten(1), ends], 1)

    return twin


def layer_weights(name: str, kind: str) -> dict[str, tuple[int, ...]]:
    wide = 5 * GATES[kind]
    return {f"{name}.weight_ih": (wide, 6), f"{name}.weight_hh": (wide, 5),
            f"{name}.bias_ih": (wide,), f"{name}.bias_hh": (wide,)}  # fmt: skip


def with_lengths(kind: str, reverse: bool) -> Case:
    rest = ", _" if kind == "lstm" else ""
    results = "y, h, c" if rest else "y, h"
    settings = "lengths=k, return_state=true" + (", reverse=true" if reverse else "")
    flow = f"{results} = x -> {kind}(5, {settings})\n  "
    used = "h" if not rest else "h + 0*c"
    flow += f"concat(flatten(y), {used}, axis=1)"
    weights = layer_weights(kind, kind)
    return Case(flow, packed(kind, reverse=reverse), LENGTHS, weights, sizes={"T": 5})


def begun_with_lengths(kind: str, reverse: bool) -> Case:
    """A walk backwards begins with `h` at the end of each sequence."""
    layer = with_lengths(kind, reverse)
    flow = layer.flow.replace("lengths=k", "lengths=k, h=a")
    twin = packed(kind, reverse=reverse, begun=True)
    return replace(layer, flow=flow, twin=twin, inputs=f"{LENGTHS}, a: f32[B, 5]")


def cell_with_lengths(kind: str, reverse: bool) -> Case:
    """The cell of the layer, walked to the ends by `scan`."""
    layer = with_lengths(kind, reverse)
    settings = "lengths=k, return_state=true" + (", reverse=true" if reverse else "")
    results = "y, _cells, h, c" if kind == "lstm" else "y, h"
    flow = f"{results} = x -> scan({kind}_cell(5), {settings})\n  "
    flow += layer.flow.partition("\n")[2].strip()
    return replace(layer, flow=flow, weights=layer_weights("scan", kind))


def backwards(x: Tensor, *weights: Tensor) -> Tensor:
    layer = nn.GRU(6, 5, batch_first=True).double()
    parts = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    state = dict(zip(parts, weights, strict=True))
    y, last = torch.func.functional_call(layer, state, (x.flip(1),))
    return torch.cat([y.flip(1).flatten(1), last[0]], 1)


def both_ways(kind: str) -> Case:
    name = "bidirectional"
    weights = layer_weights(f"{name}.forward", kind) | layer_weights(f"{name}.backward", kind)
    flow = f"x -> bidirectional(5, {kind}, lengths=k)"
    return Case(flow, packed(kind, both=True), LENGTHS, weights, sizes={"T": 5})


def cells_both_ways(kind: str) -> Case:
    layer = both_ways(kind)
    flow = f"x -> scan({kind}_cell(5), both_ways=true, lengths=k)"
    flow = f"y, _cells = {flow}\n  y" if kind == "lstm" else flow
    weights = {f"scan.{n.partition('.')[2]}": shape for n, shape in layer.weights.items()}
    return replace(layer, flow=flow, weights=weights)


SEVERAL = [
    *(with_lengths(kind, reverse) for kind in GATES for reverse in (False, True)),
    *(begun_with_lengths(kind, reverse) for kind in GATES for reverse in (False, True)),
    *(cell_with_lengths(kind, reverse) for kind in GATES for reverse in (False, True)),
    *(both_ways(kind) for kind in GATES),
    *(cells_both_ways(kind) for kind in GATES),
    Case("y, h = x -> gru(5, reverse=true, return_state=true)\n  concat(flatten(y), h, axis=1)",
         backwards, "x: f32[B, T, 6]", layer_weights("gru", "gru")),
    Case("x -> locked_dropout(0.3)", lambda x: x, "x: f32[B, T, 6]"),
]  # fmt: skip


# ---- cells walked by scan ------------------------------------------------------------------------


def walked(kind: str, begin: str = "", *, bias: bool = True) -> Case:
    """The cell of a recurrent layer, walked by `scan`: the same as the layer."""
    layer = recurrent(kind, "", begin, bias=bias, results="y, h, c" if kind == "lstm" else "y, h")
    weights = {f"scan.{name.partition('.')[2]}": shape for name, shape in layer.weights.items()}
    given = "".join(f", {x}={name}" for x, name in zip("hc", begin.split(), strict=False))
    names, ends = ("y, _cells, h, c", "h, c") if kind == "lstm" else ("y, h", "h")
    cell = f"{kind}_cell(5{'' if bias else ', bias=false'})"
    flow = f"{names} = x -> scan({cell}, return_state=true{given})\n  "
    return Case(flow + f"concat(flatten(y), {ends}, axis=1)", layer.twin, layer.inputs, weights)


WALKED = [
    *(walked(kind) for kind in ("rnn", "lstm", "gru")),
    walked("rnn", "a", bias=False),
    walked("lstm", "a b"),
    walked("gru", "a"),
    Case("y, h = x -> scan(gru_cell(5), reverse=true, return_state=true)\n"
         "  concat(flatten(y), h, axis=1)",
         backwards, "x: f32[B, T, 6]", layer_weights("scan", "gru")),
]  # fmt: skip


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
