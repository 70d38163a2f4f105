"""Attention, recurrent layers and positions, by chance: sequences are [T, D]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from .twins import VECTOR, Draw, Input, Layer, Run, Shape, Tensor
from .windows import divisors

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def turned(x: Tensor, base: float = 10000.0) -> Tensor:
    """Pairs of features half the features apart, by angles that grow with the position."""
    t, n = x.shape[-2], x.shape[-1]
    rates = base ** (-2 * torch.arange(n // 2, dtype=x.dtype) / n)
    angles = torch.arange(t, dtype=x.dtype)[:, None] * rates
    a, b = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attention(d: Draw, shape: Shape, memory: str = "", keys: int = 0) -> Layer | None:
    """`memory`: the value of so many steps, `keys`, that is looked at instead."""
    t, n = shape
    heads = d.choice(divisors(n))
    key_heads = heads if d.odds(0.7) else d.choice(divisors(heads))
    causal, bias = d.odds(0.4) and not memory, d.odds(0.8)
    window = d.randint(1, 4) if d.odds(0.2) and not memory else None
    rope = d.odds(0.3) and n // heads % 2 == 0
    alibi, softcap = d.odds(0.15), d.odds(0.15)
    prefix = d.randint(1, 3) if (causal or window) and d.odds(0.2) else 0
    dropped = 0.25 if d.odds(0.15) else 0.0
    mask = None
    if d.odds(0.2) and not d.open:
        mask = Input(d.name("m"), (keys or t,), "bool", 2)
        d.inputs.append(mask)
    text = f"attention({heads}"
    text += f", key_heads={key_heads}" if key_heads != heads else ""
    text += ", causal=true" if causal else ""
    text += "" if bias else ", bias=false"
    text += f", window={window}" if window else ""
    text += ", rope=10000" if rope else ""
    text += ", alibi=true" if alibi else ""
    text += ", softcap=2" if softcap else ""
    text += f", prefix={prefix}" if prefix else ""
    text += f", dropout={dropped}" if dropped else ""
    text += f", mask={mask.name}" if mask else ""
    text += f", memory={memory}" if memory else ""

    def project(run: Run, name: str, x: Tensor, out: int) -> Tensor:
        w = run.weight(f"{name}.weight", out, x.shape[-1])
        return F.linear(x, w, run.weight(f"{name}.bias", out) if bias else None)

    def twin(run: Run, x: Tensor, *more: Tensor) -> Tensor:
        source, seen = (more[0], more[1:]) if memory else (x, more)
        size, length, width = x.shape[0], x.shape[1], n // heads
        count = source.shape[1]
        q = project(run, "query", x, n).reshape(size, length, heads, width).transpose(1, 2)
        k, v = (
            project(run, name, source, width * key_heads)
            .reshape(size, count, key_heads, width)
            .transpose(1, 2)
            .repeat_interleave(heads // key_heads, 1)
            for name in ("key", "value")
        )
        if rope:
            q = turned(q)
            k = turned(k)
        scores = q @ k.transpose(2, 3) / math.sqrt(width)
        if softcap:
            scores = 2 * torch.tanh(scores / 2)
        i, j = torch.arange(length)[:, None], torch.arange(count)
        if alibi:
            rates = 2.0 ** (-8 * torch.arange(1, heads + 1, dtype=x.dtype) / heads)
            scores = scores - rates[:, None, None] * (i - j).abs()
        allowed = torch.ones(length, count, dtype=torch.bool)
        if causal:
            allowed &= i >= j
        if window:
            allowed &= ((i - j) if causal else (i - j).abs()) < window
        if prefix:
            allowed |= j < prefix
        scores = torch.where(allowed, scores, -1e30)
        for one in seen:
            scores = torch.where(one[:, None, None, :], scores, -1e30)
        weights = torch.exp(scores - scores.logsumexp(-1, keepdim=True))  # of nothing: all 1
        if dropped and run.training:
            by_key = key_heads, heads // key_heads
            kept = run.uniform(size, *by_key, length, count) >= dropped
            weights = weights * kept.reshape(weights.shape) / (1 - dropped)
        y = (weights @ v).transpose(1, 2).reshape(size, length, n)
        return project(run, "out", y, n)

    needs = (*((memory,) if memory else ()), *((mask.name,) if mask else ()))
    kind = "attention, memory" if memory else "attention"
    return Layer(kind, d.name("k"), text=f"{text})", twin=twin, needs=needs)


def recurrent_twin(
    word: str, units: int, bias: bool, *, reverse: bool = False, prefix: str = ""
) -> Callable[..., tuple[Tensor, ...]]:
    """The outputs of all steps and the last states of a layer, like PyTorch's cells.

    `lengths` [B]: how many steps of each sequence count.
    """
    gates = GATES[word]

    def twin(run: Run, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, ...]:
        w = run.weight(f"{prefix}weight_ih", gates * units, x.shape[2])
        u = run.weight(f"{prefix}weight_hh", gates * units, units)
        names = (f"{prefix}bias_ih", f"{prefix}bias_hh")
        more = [run.weight(name, gates * units) for name in names] if bias else []
        h = c = x.new_zeros(x.shape[0], units)
        made: dict[int, Tensor] = {}
        for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
            if word == "lstm":
                new, cells = torch.lstm_cell(x[:, t], (h, c), w, u, *more)
            else:
                cell = torch.gru_cell if word == "gru" else torch.rnn_tanh_cell
                new, cells = cell(x[:, t], h, w, u, *more), c
            counts = torch.ones_like(new, dtype=torch.bool)
            if lengths is not None:
                counts = (t < lengths)[:, None].expand_as(new)
            h, c = torch.where(counts, new, h), torch.where(counts, cells, c)
            made[t] = torch.where(counts, new, 0.0)
        y = torch.stack([made[t] for t in range(x.shape[1])], 1)
        return (y, h, c) if word == "lstm" else (y, h)

    return twin


def _lengths(d: Draw, t: int) -> Input | None:
    if d.open or not d.odds(0.25):
        return None
    found = Input(d.name("m"), (), "i32", t + 1, least=0)
    d.inputs.append(found)
    return found


def recurrent(d: Draw, shape: Shape) -> Layer:
    word = d.choice(("rnn", "lstm", "gru"))
    units, bias, reverse = d.randint(1, 6), d.odds(0.8), d.odds(0.25)
    lengths = _lengths(d, shape[0])
    text = f"{word}({units}"
    text += "" if bias else ", bias=false"
    text += ", reverse=true" if reverse else ""
    text += f", lengths={lengths.name})" if lengths else ")"
    whole = recurrent_twin(word, units, bias, reverse=reverse)
    needs = (lengths.name,) if lengths else ()
    twin = lambda run, x, *more: whole(run, x, *more)[0]  # noqa: E731
    return Layer(word, d.name("k"), text=text, twin=twin, needs=needs)


def bidirectional(d: Draw, shape: Shape) -> Layer:
    word, units = d.choice(("rnn", "lstm", "gru")), d.randint(1, 4)
    lengths = _lengths(d, shape[0])
    ways = [
        recurrent_twin(word, units, True, reverse=reverse, prefix=prefix)
        for reverse, prefix in ((False, "forward."), (True, "backward."))
    ]

    def twin(run: Run, x: Tensor, *more: Tensor) -> Tensor:
        return torch.cat([way(run, x, *more)[0] for way in ways], -1)

    text = f"bidirectional({units}, cell={word}{f', lengths={lengths.name}' if lengths else ''})"
    needs = (lengths.name,) if lengths else ()
    return Layer("bidirectional", d.name("k"), text=text, twin=twin, needs=needs)


def _plain_cell(run: Run, units: int, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    both = torch.cat((x, h), 1)
    f = torch.sigmoid(_dense(run, "a", units, both))
    new = torch.tanh(_dense(run, "b", units, torch.cat((x, f * h), 1)))
    return ((1 - f) * h + f * new,)


def _normed_cell(run: Run, units: int, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    y = _dense(run, "a", units, x) + _dense(run, "b", units, h)
    y = F.layer_norm(y, (units,), run.weight("c.weight", units), run.weight("c.bias", units))
    return (F.gelu(y) + 0.5 * h,)


def _paired_cell(run: Run, units: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    a = torch.tanh(_dense(run, "a", units, torch.cat((x, h), 1)))
    cells = 0.5 * c + a
    return torch.sigmoid(_dense(run, "b", units, x)) * torch.tanh(cells), cells


def _dense(run: Run, name: str, out: int, x: Tensor) -> Tensor:
    return F.linear(
        x, run.weight(f"{name}.weight", out, x.shape[1]), run.weight(f"{name}.bias", out)
    )


CELLS: dict[str, tuple[Callable[..., tuple[Tensor, ...]], int, str]] = {
    "Plain": (_plain_cell, 1, """
  f = concat(x, h, axis=1) -> linear(units) as a -> sigmoid
  new = concat(x, f*h, axis=1) -> linear(units) as b -> tanh
  (1 - f)*h + f*new"""),
    "Normed": (_normed_cell, 1, """
  let a = linear(units)
  let b = linear(units)
  y = (a(x) + b(h)) -> layer_norm as c -> gelu
  y + 0.5*h"""),
    "Paired": (_paired_cell, 2, """
  new = concat(x, h, axis=1) -> linear(units) as a -> tanh
  cells = 0.5*c + new
  o = x -> linear(units) as b -> sigmoid
  out o*tanh(cells), cells"""),
}  # fmt: skip
"""What each makes of a step and its states, how many states it has, and its block."""


def scan_twin(word: str, units: int, reverse: bool) -> Callable[[Run, Tensor], tuple[Tensor, ...]]:
    """All steps of all states."""
    cell, count, _ = CELLS[word]

    def twin(run: Run, x: Tensor) -> tuple[Tensor, ...]:
        states: tuple[Tensor, ...] = (x.new_zeros(x.shape[0], units),) * count
        made: dict[int, tuple[Tensor, ...]] = {}
        for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
            states = made[t] = cell(run, units, x[:, t], *states)
        return tuple(torch.stack([made[t][k] for t in range(x.shape[1])], 1) for k in range(count))

    return twin


def block_of(word: str) -> str:
    """The cell as a block of the file."""
    states = "h: f32[B, units], c: f32[B, units]" if CELLS[word][1] == 2 else "h: f32[B, units]"
    return f"block {word}(units) {{\n  in x: f32[B, D], {states}{CELLS[word][2]}\n}}\n"


def scan(d: Draw, shape: Shape) -> Layer:
    word, units, reverse = d.choice(("Plain", "Normed")), d.randint(1, 5), d.odds(0.2)
    whole = scan_twin(word, units, reverse)
    text = f"scan({word}({units}){', reverse=true)' if reverse else ')'}"
    return Layer("scan", d.name("k"), text=text, twin=lambda run, x: whole(run, x)[0],
                 defines=(word, block_of(word)))  # fmt: skip


def positions(d: Draw, shape: Shape) -> Layer | None:
    t, n = shape
    word = d.choice(("learned_positions", "sinusoidal_positions", "rope", "delay"))
    if word == "learned_positions":
        entries = t + d.randint(0, 3) + (12 if d.open else 0)

        def learned(run: Run, x: Tensor) -> Tensor:
            return x + run.weight("weight", entries, x.shape[2])[: x.shape[1]]

        return Layer(word, d.name("k"), text=f"learned_positions({entries})", twin=learned)
    if word == "delay":
        by = d.randint(0, 2)

        def late(run: Run, x: Tensor) -> Tensor:
            return F.pad(x, (0, 0, by, 0))[:, : x.shape[1]]

        return Layer(word, text=f"delay({by})", twin=late)
    if n % 2:
        return None
    if word == "rope":
        return Layer(word, text="rope", twin=lambda run, x: turned(x))

    def waves(run: Run, x: Tensor) -> Tensor:
        rates = 10000.0 ** (-2 * torch.arange(n // 2, dtype=x.dtype) / n)
        angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * rates
        return x + torch.stack((angles.sin(), angles.cos()), -1).flatten(1)

    return Layer(word, text="sinusoidal_positions", twin=waves)


def locked_dropout(d: Draw, shape: Shape) -> Layer:
    p = d.choice((0.2, 0.5))

    def twin(run: Run, x: Tensor) -> Tensor:
        if not run.training:
            return x
        kept = run.uniform(x.shape[0], 1, x.shape[2]) >= p
        return torch.where(kept, x / (1 - p), 0.0)

    return Layer("locked_dropout", text=f"locked_dropout({p})", twin=twin)


def over_time(d: Draw, shape: Shape) -> Layer:
    """One vector of all steps."""
    text, twin = d.choice((
        ("mean(axis=1)", lambda run, x: x.mean(1)),
        ("sum(axis=1)", lambda run, x: x.sum(1)),
        ("max(axis=1)", lambda run, x: x.amax(1)),
    ))  # fmt: skip
    return Layer("over time", to=VECTOR, text=text, twin=twin)
