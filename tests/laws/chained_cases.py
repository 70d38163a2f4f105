"""Products whose results the next product reads at once."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, f32
from tests.laws.window_cases import shared, square
from weft.compiler.ir.builder import Builder


def _times(b: Builder, x: int, name: str, columns: int) -> int:
    return b.contract("bi,oi->bo", x, f32(b, name, columns, b[x].shape[-1]))


def _shifted(b: Builder, x: int, name: str) -> int:
    return b.map("add", x, b.broadcast(f32(b, name, b[x].shape[-1]), (1,), b[x].shape))


def two(*widths: int, kept: bool = True, rides: bool = True) -> Build:
    """A residual block between two products; `kept`: somebody else reads what is between them;
    `rides`: something follows the second.
    """

    def build(b: Builder) -> dict[str, int]:
        first, middle, last = widths
        z = _shifted(b, _times(b, f32(b, "x", B, first), "w", middle), "c")
        s = b.map("maximum", b.map("add", z, f32(b, "skip", B, middle)), 0.0)
        y = _times(b, s, "v", last)
        found = {"y": b.map("maximum", _shifted(b, y, "e"), -0.5) if rides else y}
        return found | ({"s": b.map("mul", s, 0.5), "whole": s} if kept else {})

    return build


def _bare(b: Builder) -> dict[str, int]:
    """Nothing stands between the products."""
    z = _times(b, f32(b, "x", B, 40), "w", 72)
    return {"y": _times(b, z, "v", 12)}


def _followed(b: Builder) -> dict[str, int]:
    """Something stands behind the second product only."""
    z = _times(b, f32(b, "x", B, 40), "w", 16)
    return {"y": b.map("maximum", _shifted(b, _times(b, z, "v", 16), "e"), -0.5)}


def _activated(b: Builder) -> dict[str, int]:
    """A function of what memory holds anyway, made in front of the second product."""
    z = _shifted(b, _times(b, f32(b, "x", B, 24), "w", 80), "c")
    a = b.map("tanh", b.map("mul", z, 0.5))
    return {"y": _times(b, a, "v", 20), "z": z}


def _made(b: Builder) -> dict[str, int]:
    """The first product makes its operand of what it loads."""
    x = f32(b, "x", B, 40)
    mean = b.broadcast(b.mean(x, (1,)), (0,), b[x].shape)
    z = _times(b, b.map("sub", x, mean), "w", 72)
    s = b.map("maximum", z, 0.0)
    return {"y": _times(b, s, "v", 20), "x": b.map("mul", x, 2.0), "s": s}


def _normalised(b: Builder) -> dict[str, int]:
    """Rows between the products are normalised: a block has to hold whole ones."""
    z = _times(b, f32(b, "x", B, 20), "w", 48)
    centred = b.map("sub", z, b.broadcast(b.mean(z, (1,)), (0,), b[z].shape))
    square = b.mean(b.map("mul", centred, centred), (1,))
    scale = b.map("rsqrt", b.map("add", square, 1e-5))
    n = b.map("mul", centred, b.broadcast(scale, (0,), b[z].shape))
    return {"y": _times(b, n, "v", 33), "n": n}


def _summed(b: Builder) -> dict[str, int]:
    """Sums over the batch ride behind both."""
    z = _times(b, f32(b, "x", B, 20), "w", 80)
    s = b.map("where", b.map("gt", f32(b, "h", B, 80), 0.0), z, 0.0)
    y = b.map("mul", _times(b, s, "v", 20), f32(b, "g", B, 20))
    return {"s": s, "d_c": b.sum(s, (0,)), "y": y, "d_e": b.sum(y, (0,))}


def _dropped(b: Builder) -> dict[str, int]:
    """Random numbers between the products."""
    z = _times(b, f32(b, "x", B, 20), "w", 80)
    kept = b.map("gt", b.random("uniform", b[z].shape, 3), 0.4)
    s = b.map("where", kept, z, 0.0)
    return {"y": _times(b, s, "v", 20), "s": s}


def _pixels(b: Builder) -> dict[str, int]:
    """Convolutions of single elements, with the moments of the second."""
    g, axes = square("image", 3, 1), (0, 1, 2)
    x, w, v = f32(b, "x", B, 3, 3, 20), f32(b, "w", 72, 20, 1, 1), f32(b, "v", 24, 72, 1, 1)
    z = b.insert("convolve", (x, w), sizes=g.sizes, **shared(g))
    s = b.map("maximum", b.map("add", z, f32(b, "skip", *b[z].shape)), 0.0)
    y = b.insert("convolve", (s, v), sizes=g.sizes, **shared(g))
    away = b.map("sub", y, b.broadcast(b.mean(y, axes), (3,), b[y].shape))
    square_ = b.mean(b.map("mul", away, away), axes)
    return {"s": s, "y": y, "mean": b.mean(y, axes), "spread": square_}


def _itself(b: Builder) -> dict[str, int]:
    """The second adds what it reads: other elements of it than it has in registers."""
    s = b.map("maximum", _times(b, f32(b, "x", B, 20), "w", 48), 0.0)
    return {"y": b.map("add", _times(b, s, "v", 48), s)}


def _waits(b: Builder) -> dict[str, int]:
    """The second product needs a sum over all that the first makes."""
    z = _times(b, f32(b, "x", B, 20), "w", 48)
    s = b.map("sub", z, b.broadcast(b.mean(z, (0,)), (1,), b[z].shape))
    return {"y": _times(b, s, "v", 20), "z": z, "s": s}


CHAINED_CASES = (
    Case("block", two(64, 256, 64)),
    Case("odd", two(17, 100, 10)),
    Case("deep", two(300, 100, 10)),
    Case("narrow", two(40, 24, 12, rides=False)),
    Case("passing", two(24, 80, 20, kept=False)),
    Case("bare", _bare),
    Case("activated", _activated),
    Case("made", _made),
    Case("normalised", _normalised),
    Case("summed", _summed),
    Case("dropped", _dropped),
    Case("pixels", _pixels),
)
ALIKE_NAMES = (
    Case("narrow_alike", two(40, 24, 12, rides=False)),
    Case("square_alike", two(40, 16, 16, rides=False, kept=False)),
    Case("followed_alike", _followed),
)
"""For nodes that are all called the same: a product, its sum with a bias, the next product."""

APART_CASES = (
    Case("itself", _itself),
    Case("waits", _waits),
    Case("wide", two(20, 40, 300)),
    Case("few", two(20, 40, 1)),
)
"""Where the next product cannot stand behind the first one."""
