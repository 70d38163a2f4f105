"""Winograd's convolutions in every geometry that they are made for, on all widths of vectors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.window_ways import Way, Ways, agrees, agrees_where_finite
from tests.laws.window_cases import Geometry, square
from weft.runtime.native import FLAGS

GEOMETRIES = (
    square("even", 8, 3, pad=1, channels=(16, 16)),
    square("odd", 7, 3, pad=1, channels=(17, 33)),
    square("large", 32, 3, pad=1, channels=(16, 24)),
    square("inside", 9, 3, channels=(20, 8)),
    square("around", 5, 3, pad=2, channels=(8, 40)),
    square("one", 1, 3, pad=1, channels=(9, 16)),
    square("deep", 4, 3, pad=1, channels=(260, 70)),
    square("deeper", 3, 3, pad=1, channels=(520, 40)),
    Geometry("oblong", (5, 12), (3, 3), (1, 1), ((0, 2), (1, 0)), (1, 1), (12, 10)),
    Geometry("cropped", (9, 8), (3, 3), (1, 1), ((1, -1), (0, -2)), (1, 1), (8, 8)),
)
BODIES = {
    "convolve": """
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    weft_winograd_weight(g, w, kept);
    weft_plain_walk(images, g, a, WEFT_WINOGRAD, x, w, kept, y, scratch, planes);""",
    "convolve_input": """
    weft_winograd_weight(g, w, kept);
    weft_walk_input(images, g, WEFT_WINOGRAD, x, w, kept, y, scratch, planes);""",
    "convolve_weight": """
    weft_sum_windows(images, g, WEFT_WINOGRAD, x, w, y, scratch, planes);""",
}
WAYS = [Way(op, g, op, body) for g in GEOMETRIES for op, body in BODIES.items()]
ASKS = {
    "convolve": "weft_convolve_way(g)",
    "convolve_input": "weft_input_way(g)",
    "convolve_weight": "weft_weight_way(images, g)",
}
QUICKER = {
    "enough": (square("enough", 8, 3, pad=1, channels=(16, 16)), {*ASKS}),
    "few_channels": (square("few", 16, 3, pad=1, channels=(3, 16)), {"convolve_input"}),
    "few_squares": (square("few_squares", 3, 3, pad=1, channels=(16, 16)), set[str]()),
    "strided": (square("strided", 15, 3, stride=2, pad=1, channels=(16, 16)), set[str]()),
    "dilated": (square("dilated", 16, 3, dilation=2, pad=2, channels=(16, 16)), set[str]()),
    "larger": (square("larger", 16, 5, pad=2, channels=(16, 16)), set[str]()),
}
CHOICES = [
    Way(f"{name}_{op}", g, op, f"    *y = {ask} == WEFT_WINOGRAD;")
    for name, (g, _) in QUICKER.items()
    for op, ask in ASKS.items()
]
VECTORS = {
    "native": FLAGS,
    "avx2": [*FLAGS, "-mno-avx512f"],
    "sse": [*FLAGS, "-mno-avx"],
}


@pytest.fixture(scope="module", params=VECTORS)
def library(request: pytest.FixtureRequest) -> Ways:
    return Ways(WAYS, flags=VECTORS[request.param])


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
def test_squares_are_the_reference(library: Ways, way: Way) -> None:
    agrees(*library.run(way))


@pytest.mark.parametrize("spoil", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("op", BODIES)
@pytest.mark.parametrize("name", ["odd", "deep"])
def test_what_is_not_finite_goes_the_ordinary_way(
    library: Ways, name: str, op: str, spoil: float
) -> None:
    way = next(w for w in WAYS if w.geometry.name == name and w.op == op)
    got, want = library.run(way, spoil)
    with np.errstate(over="ignore"):
        agrees_where_finite(got, want.astype(np.float32))


def test_squares_are_chosen_where_they_are_quicker() -> None:
    asked = Ways(CHOICES)
    for name, (_, quicker) in QUICKER.items():
        ways = [way for way in CHOICES if way.name == f"{name}_{way.op}"]
        chosen = {way.op for way in ways if asked.run(way)[0].reshape(-1)[0]}
        assert chosen == (set() if asked.tiles else quicker), name
