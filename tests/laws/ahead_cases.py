"""Maps that products make of what they load: with numbers of rows, of channels, of both; products
that are one sum.
"""

from __future__ import annotations

from tests.laws.cases import B, Case, T, f32, i32
from weft.compiler.ir.builder import Builder

SIZES = ({"B": 1, "T": 1}, {"B": 7, "T": 3})


def _normalised(b: Builder, x: int, width: int, gain: int) -> int:
    shape = b[x].shape
    rows = tuple(range(len(shape) - 1))
    spread = lambda v: b.broadcast(v, rows, shape)  # noqa: E731
    centred = b.map("sub", x, spread(b.mean(x, (len(rows),))))
    variance = b.mean(b.map("mul", centred, centred), (len(rows),))
    y = b.map("mul", centred, spread(b.map("rsqrt", b.map("add", variance, 1e-5))))
    return b.map("mul", y, b.broadcast(gain, (len(rows),), shape))


def _norm(b: Builder) -> dict[str, int]:
    """Two products read the same rows; their weights need them along the other axis."""
    x, gain = f32(b, "x", B, T, 33), f32(b, "gain", 33)
    n = _normalised(b, x, 33, gain)
    u, v = f32(b, "u", 33, 35), f32(b, "v", 19, 33)
    return {"y": b.contract("btc,co->bto", n, u), "z": b.contract("btc,oc->bto", n, v)}


def _both(b: Builder) -> dict[str, int]:
    """Both operands of one product are made."""
    x, y = f32(b, "x", B, 24), f32(b, "y", B, 40)
    left = _normalised(b, x, 24, f32(b, "gain", 24))
    right = _normalised(b, y, 40, f32(b, "scale", 40))
    return {"z": b.contract("bi,bo->io", left, right)}


def _gated(b: Builder) -> dict[str, int]:
    """An activation whose derivative reads what it is made of."""
    x, w, v = f32(b, "x", B, T, 17), f32(b, "w", 17, 48), f32(b, "v", 48, 20)
    hidden = b.map("mul", b.contract("btc,co->bto", x, w), 0.2)
    bias = b.broadcast(f32(b, "bias", 48), (2,), (B, T, 48))
    hidden = b.map("add", hidden, bias)
    gated = b.map("mul", hidden, b.map("sigmoid", hidden))
    return {"y": b.map("mul", b.contract("btc,co->bto", gated, v), 0.1)}


def _classes(b: Builder) -> dict[str, int]:
    """A softmax less the labels, some of more rows, times a number that is one of all or 0."""
    x, w, labels = f32(b, "x", B, 18, 20), f32(b, "w", 37, 20), i32(b, "labels", B, 23)
    shape = (B, 18, 37)
    logits = b.contract("btc,vc->btv", x, w, "logits")
    some = b.slice(labels, (0, 2), (B, 18), (1, 1))
    hit = b.map("eq", b.iota(shape, 2), b.broadcast(some, (0, 1), shape))
    total = b.reduce("logsumexp", logits, (2,))
    p = b.map("exp", b.map("sub", logits, b.broadcast(total, (0, 1), shape)))
    counted = b.map("ge", some, 0.0)
    weight = b.broadcast(f32(b, "weight"), (), (B, 18))
    each = b.broadcast(b.map("where", counted, weight, 0.0), (0, 1), shape)
    d = b.map("mul", b.map("sub", p, b.map("where", hit, 1.0, 0.0)), each)
    rows, columns = b.contract("btv,vc->btc", d, w), b.contract("btv,btc->vc", d, x)
    picked = b.sum(b.map("where", hit, logits, 0.0), (2,))
    return {"total": total, "picked": picked, "rows": rows, "columns": columns}


def _stream(b: Builder) -> dict[str, int]:
    """A product adds to a stream of residuals, and the next one reads its normalised rows."""
    x, u, v = f32(b, "x", B, T, 37), f32(b, "u", 20, 37), f32(b, "v", 37, 20)
    y = b.map("add", x, b.contract("btc,co->bto", f32(b, "h", B, T, 20), u), name="stream")
    n = _normalised(b, y, 37, f32(b, "gain", 37))
    return {"stream": y, "z": b.contract("btc,co->bto", n, v)}


def _total(b: Builder) -> dict[str, int]:
    """Three products of different depths become one sum, with a map behind them."""
    x, y = f32(b, "x", B, T, 17), f32(b, "y", B, T, 40)
    u, v, w = f32(b, "u", 17, 33), f32(b, "v", 33, 40), f32(b, "w", 17, 33)
    first, third = b.contract("btc,co->bto", x, u), b.contract("btc,co->bto", x, w)
    second = b.contract("btc,oc->bto", y, v)
    total = b.map("add", b.map("add", first, second), third, name="total")
    bias = b.broadcast(f32(b, "bias", 33), (2,), (B, T, 33))
    again = b.map("add", b.contract("btc,co->bto", x, b.map("tanh", u)), total)
    return {"tanh": b.map("tanh", b.map("add", total, bias)), "again": again}


def _places(b: Builder) -> dict[str, int]:
    """A number for each place, the same in all samples."""
    x, place, w = f32(b, "x", B, 18, 16), f32(b, "place", 18), f32(b, "w", 16, 20)
    y = b.map("mul", x, b.broadcast(place, (1,), (B, 18, 16)))
    return {"y": b.contract("btc,co->bto", b.map("tanh", y), w)}


TOTAL = Case("total", _total, SIZES)
AHEAD_CASES = (
    Case("ahead_norm", _norm, SIZES),
    Case("ahead_both", _both, SIZES),
    Case("ahead_gated", _gated, SIZES),
    Case("ahead_classes", _classes, SIZES, smooth=False),
    Case("ahead_stream", _stream, SIZES),
    Case("ahead_places", _places, SIZES),
)
