"""Recurrent layers beside torch: one way, both ways, of several lengths, and walks of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from .prelude_attention import Tensor
from .prelude_case import Case

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
