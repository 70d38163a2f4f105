"""Maps whose operands lie in different orders: sides below and beyond a vector, backwards too."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, f32, i32
from weft.compiler.ir.builder import Builder

FLIPPED = (1, 1, -1, -1)


def _plain(*shape: int, order: tuple[int, ...], whole: bool = False) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x = (i32 if whole else f32)(b, "x", B, *shape)
        return {"y": b.copy(b.transpose(x, order), "y")}

    return build


def _flipped(*shape: int, order: tuple[int, ...], before: bool) -> Build:
    """The last two axes run backwards, before or after the transposition."""

    def flip(b: Builder, x: int) -> int:
        sizes = b.nodes[x].type.shape
        starts = tuple(n - 1 if s < 0 else 0 for n, s in zip(sizes, FLIPPED, strict=True))
        return b.slice(x, starts, sizes, FLIPPED)

    def build(b: Builder) -> dict[str, int]:
        x = f32(b, "x", *shape)
        y = b.transpose(flip(b, x), order) if before else flip(b, b.transpose(x, order))
        return {"y": b.copy(y, "y")}

    return build


def _computed(b: Builder) -> dict[str, int]:
    """Blocks: arithmetic, a row, and what is stored both ways."""
    x, row = f32(b, "x", B, 35, 50), f32(b, "row", 50)
    twice = b.map("mul", b.elementwise("add", x, b.broadcast(row, (2,), (B, 35, 50))), 2.0)
    small = b.map("tanh", f32(b, "small", 1024, 18))
    return {
        "both": b.copy(twice, "both"),
        "turned": b.copy(b.transpose(twice, (0, 2, 1)), "turned"),
        "columns": b.copy(b.transpose(small, (1, 0)), "columns"),
        "positions": b.map("where", b.transpose(b.map("gt", twice, 0.0), (2, 1, 0)), 1.0, 0.0),
    }


SIZES = ({"B": 3}, {"B": 1}, {"B": 0}, {"B": 33})

TURNED_CASES = (
    Case("turned", _plain(17, 37, order=(0, 2, 1)), SIZES, smooth=False),
    Case("turned_batch", _plain(40, order=(1, 0)), SIZES, smooth=False),
    Case("turned_whole", _plain(16, 32, order=(0, 2, 1), whole=True), SIZES, smooth=False),
    Case("turned_channels", _plain(3, 5, 19, order=(0, 3, 1, 2)), SIZES, smooth=False),
    Case("turned_narrow", _plain(70, 3, order=(0, 2, 1)), SIZES, smooth=False),
    Case("turned_outwards", _plain(6, 21, order=(2, 1, 0)), SIZES, smooth=False),
    Case(
        "turned_taps", _flipped(18, 35, 3, 2, order=(2, 3, 0, 1), before=True), ({},), smooth=False
    ),
    Case(
        "turned_back", _flipped(4, 3, 34, 20, order=(2, 3, 0, 1), before=False), ({},), smooth=False
    ),
    Case(
        "turned_ends", _flipped(5, 7, 23, 18, order=(0, 1, 3, 2), before=True), ({},), smooth=False
    ),
    Case("turned_blocks", _computed, SIZES, smooth=False),
)
