"""Products of one form that read one value, and products with sums of parts of their rows."""

from __future__ import annotations

from tests.laws.cases import B, Case, T, f32
from weft.compiler.ir.builder import Builder

SIZES = ({"B": 1, "T": 1}, {"B": 7, "T": 3})


def _projected(b: Builder, x: int, name: str, width: int) -> int:
    """A linear layer of its own."""
    weight, bias = f32(b, f"w_{name}", width, b[x].shape[-1]), f32(b, f"b_{name}", width)
    shape = (*b[x].shape[:-1], width)
    added = b.broadcast(bias, (2,), shape)
    return b.map("add", b.contract("btc,oc->bto", x, weight), added, name=name)


def _projections(b: Builder) -> dict[str, int]:
    """Three of one width, and one of another."""
    x = f32(b, "x", B, T, 33)
    found = {name: _projected(b, x, name, 40) for name in ("q", "k", "v")}
    return found | {"gate": b.map("tanh", _projected(b, x, "gate", 24))}


def _many(b: Builder) -> dict[str, int]:
    """More than one launch takes, each with a map behind it."""
    x = f32(b, "x", B, T, 24)
    return {f"y{n}": b.map("tanh", _projected(b, x, str(n), 20)) for n in range(6)}


def _chained(b: Builder) -> dict[str, int]:
    """One weight read by products that wait for each other."""
    x, w = f32(b, "x", B, T, 20), f32(b, "w", 20, 20)
    first = b.map("tanh", b.contract("btc,co->bto", x, w))
    return {"y": b.map("tanh", b.contract("btc,co->bto", first, w)), "first": first}


def _stored(b: Builder) -> dict[str, int]:
    """Products without anything behind them, of which one is read again."""
    x = f32(b, "x", B, T, 24)
    y, z = (b.contract("btc,co->bto", x, f32(b, name, 24, 20)) for name in ("u", "v"))
    return {"y": y, "z": z, "more": b.map("exp", b.map("mul", y, 0.1))}


def _heads(b: Builder) -> dict[str, int]:
    """Sums of three heads of 16, of five of 8."""
    found = {}
    for heads, each in ((3, 16), (5, 8)):
        x, w = f32(b, f"x{heads}", B, T, 20), f32(b, f"w{heads}", 20, heads * each)
        other = f32(b, f"other{heads}", B, T, heads, each)
        z = b.contract("btc,co->bto", x, w)
        apart = b.reshape(z, (B, T, heads, each))
        found[f"sum{heads}"] = b.sum(b.map("mul", apart, other), (3,))
        found[f"z{heads}"] = z
    return found


ALIKE_CASES = (
    Case("alike_projections", _projections, SIZES),
    Case("alike_many", _many, SIZES),
    Case("alike_chained", _chained, SIZES),
    Case("alike_stored", _stored, SIZES),
    Case("alike_heads", _heads, SIZES),
)
