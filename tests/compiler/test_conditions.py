"""What must hold of sizes: bounds of one size, inequalities of several."""

from __future__ import annotations

import pytest

from weft.compiler.conditions import conditions
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import new_builder
from weft.spec.dims import Dim, evaluate, symbol

T, S, H = symbol("T"), symbol("S"), symbol("H", 8)


def _of(extent: Dim, start: Dim, size: Dim) -> dict[str, Dim]:
    b = new_builder()
    x = b.input("x", TensorType("f32", (extent,)))
    cut = b.slice(x, (start,), (size,), (1,))
    return {c.text: c.least for c in conditions(b, (x, cut))}


@pytest.mark.parametrize(
    ("extent", "start", "size", "texts"),
    [
        (1024, 0, T, ["T <= 1024"]),
        (T, 0, 5, ["T >= 5"]),
        (T, 2, T - 2, ["T >= 3"]),
        (H, 0, 20, ["H >= 24"]),
        (T, 0, T // 3, ["T >= 3"]),
        (T, 0, T, []),
        (T, T - 1, 1, []),
        (T, 0, S, ["T >= S"]),
        (100, T, 1, ["T <= 99"]),
    ],
)
def test_slices(extent: Dim, start: Dim, size: Dim, texts: list[str]) -> None:
    found = _of(extent, start, size)
    assert list(found) == texts
    for text, least in found.items():
        for t in range(1, 40):
            sizes = {"T": t, "S": 7, "H": 8 * t}
            assert eval(text, dict(sizes)) == (evaluate(least, sizes) >= 0), (text, t)


def test_the_sharpest_of_several() -> None:
    b = new_builder()
    x = b.input("x", TensorType("f32", (512, T)))
    cuts = [b.slice(x, (0, 0), (T, n), (1, 1)) for n in (4, 9, 6)]
    found = {c.text: c.bound for c in conditions(b, (x, *cuts))}
    assert found == {"T <= 512": ("T", 512, False), "T >= 9": ("T", 9, True)}
    sizes = {"T": 3}
    for condition in conditions(b, (x, *cuts)):
        condition.likely(sizes)
    assert sizes == {"T": 9}
