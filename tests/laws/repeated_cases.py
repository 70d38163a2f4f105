"""Products that are made again behind sums over the batch."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, f32
from tests.laws.window_cases import shared, square
from weft.compiler.ir.builder import Builder


def _back(channels: int = 20, *, kept: bool = False, far: bool = False) -> Build:
    """The cotangent of what is normalised, which takes two sums of a product behind a mask.

    `kept`: somebody else reads the masked product; `far`: it takes a value more.
    """
    g = square("image", 3, 1, channels=(channels, 20))

    def build(b: Builder) -> dict[str, int]:
        z, w = f32(b, "z", B, 3, 3, channels), f32(b, "w", 20, channels, 1, 1)
        y, d = (f32(b, name, B, 3, 3, 20) for name in ("y", "d"))
        n = b.insert("convolve", (b.map("maximum", z, 0.0), w), sizes=g.sizes, **shared(g))
        seen = b.map("gt", z if channels == 20 else y, 0.0)
        whole = b.map("add", n, b.map("mul", d, y) if far else d)
        m = b.map("where", seen, b.map("mul", whole, 0.1), 0.0)
        spread = lambda s: b.broadcast(b.map("mul", s, 0.01), (3,), b[m].shape)  # noqa: E731
        first, second = (
            b.sum(m, (0, 1, 2)),
            b.sum(b.map("mul", m, z if channels == 20 else d), (0, 1, 2)),
        )
        c = b.map("sub", b.map("sub", m, spread(first)), spread(second))
        c = b.map("add", c, b.map("mul", z, 0.1)) if channels == 20 else c
        found = {"c": c, "first": first, "second": second}
        return found | ({"m": m} if kept else {})

    return build


REPEATED_CASES = (Case("repeated", _back()),)
LEFT_CASES = (
    Case("kept", _back(kept=True)),
    Case("far", _back(far=True)),
    Case("channels", _back(160)),
)
"""Where it would not save anything."""
