"""Launches that read the same rows: both adjoints of a product."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, f32
from tests.laws.window_cases import Geometry, operands, shared, square
from weft.compiler.ir.builder import Builder
from weft.compiler.ops.windows import turned


def _linear(b: Builder) -> dict[str, int]:
    """Both adjoints of a layer, of a cotangent that somebody else reads too."""
    x, z, w = f32(b, "x", B, 40), f32(b, "z", B, 72), f32(b, "w", 72, 40)
    d = b.map("where", b.map("gt", z, 0.0), f32(b, "d", B, 72), 0.0)
    d_x = b.contract("bo,oi->bi", d, w)
    masked = b.map("where", b.map("gt", x, 0.0), d_x, 0.0)
    return {"d": d, "d_x": masked, "d_w": b.contract("bo,bi->oi", d, x), "d_b": b.sum(d, (0,))}


def _followed(b: Builder) -> dict[str, int]:
    """Something waits for the gradient of the weight and stands behind its shares."""
    x, d, w = f32(b, "x", B, 40), f32(b, "d", B, 20), f32(b, "w", 20, 40)
    d_w = b.map("mul", b.contract("bo,bi->oi", d, x), w)
    return {"d_x": b.map("tanh", b.contract("bo,oi->bi", d, w)), "d_w": d_w, "s": b.sum(d_w, (1,))}


def _waiting(b: Builder) -> dict[str, int]:
    """One product needs what the other makes."""
    x, d = f32(b, "x", B, 40), f32(b, "d", B, 40)
    return {"y": b.contract("bi,oi->bo", d, b.contract("bo,bi->oi", d, x))}


def _windows(g: Geometry) -> Build:
    """Both adjoints of a convolution, with a mask and sums behind the one in its operand."""

    def build(b: Builder) -> dict[str, int]:
        x, w = operands(b, g)
        d = f32(b, "d", B, *g.sizes, g.channels[1])
        d_x = b.insert("convolve_input", (d, turned(b, w)), sizes=g.space, **shared(g))
        d_w = b.insert("convolve_weight", (x, d), kernel=g.kernel, **shared(g))
        masked = b.map("where", b.map("gt", x, 0.0), d_x, 0.0)
        return {"d_x": masked, "d_w": d_w, "sums": b.sum(masked, (0, 1, 2))}

    return build


BESIDE_CASES = (
    Case("linear", _linear),
    Case("followed", _followed),
    Case("windows", _windows(square("windows", 5, 3, pad=1, channels=(24, 17)))),
    Case("strided", _windows(square("strided", 6, 3, stride=2, pad=1, channels=(16, 40)))),
)
WAITING = Case("waiting", _waiting)
"""Where one launch needs what the other makes."""
