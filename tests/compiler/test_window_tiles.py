"""Convolutions on tile units, every way in every geometry, whatever the estimates would choose."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.window_ways import Way, Ways, agrees, agrees_where_finite
from tests.laws.window_cases import GEOMETRIES, Geometry, square
from weft.compiler.plan.windows import FOLDED, FOLDS

CASES = (
    *(g for g in GEOMETRIES if g.groups == 1 and g.name != "pointwise"),
    square("lenet", 12, 5, channels=(20, 50)),
    square("wide", 8, 3, pad=1, channels=(64, 64)),
    square("narrow", 32, 3, pad=1, channels=(16, 16)),
    square("deep", 4, 3, pad=1, channels=(260, 17)),
    square("many_windows", 24, 3, channels=(4, 33)),
    square("direct", 16, 3, pad=1, channels=(32, 48)),
    square("strided_wide", 8, 3, stride=2, pad=1, channels=(32, 48)),
)
DIRECT = {f"direct_{fold}": fold for fold in FOLDS}
DIRECT_TURNED = {f"direct_turned_{fold}": fold for fold in FOLDS}
SPOILT = ("wide", "narrow")
OPERATIONS = {
    "gathered": "convolve",
    **dict.fromkeys(DIRECT, "convolve"),
    "turned": "convolve_input",
    **dict.fromkeys(DIRECT_TURNED, "convolve_input"),
    "scattered": "convolve_input",
    "weight": "convolve_weight",
}
BODIES = {
    "gathered": """
    weft_split_b(g->outputs, weft_taps(g) * g->channels, w, g->lead, 1, (uint16_t *)kept);
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    weft_begin_tiles();
    weft_walk(images, g, a, x, w, kept, y, scratch, planes);""",
    "turned": """
    weft_split_b(g->outputs, weft_taps(g) * g->channels, w, g->lead, 1, (uint16_t *)kept);
    for (int k = 0; k < 3; ++k) weft_adjoint_axis(a + k, g, k, 0);
    weft_begin_tiles();
    weft_walk(images, g, a, x, w, kept, y, scratch, planes);""",
    **{
        way: f"""
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    weft_split_folded(g, {fold}, w, (uint16_t *)kept);
    weft_begin_tiles();
    weft_direct_images(images, g, a, {fold}, x, w, (const uint16_t *)kept, y, planes);"""
        for way, fold in DIRECT.items()
    },
    **{
        way: f"""
    for (int k = 0; k < 3; ++k) weft_adjoint_axis(a + k, g, k, 0);
    weft_split_folded(g, {fold}, w, (uint16_t *)kept);
    weft_begin_tiles();
    weft_direct_images(images, g, a, {fold}, x, w, (const uint16_t *)kept, y, planes);"""
        for way, fold in DIRECT_TURNED.items()
    },
    "scattered": """
    (void)a;
    weft_split_taps(g, w, (uint16_t *)kept);
    weft_begin_tiles();
    weft_scatter_images(images, g, x, w, (const uint16_t *)kept, y, scratch, planes);""",
    "weight": """
    (void)kept;
    for (int k = 0; k < 3; ++k) weft_forward_axis(a + k, g, k);
    weft_begin_tiles();
    weft_weight_images(images, g, a, x, w, y, scratch, planes);""",
}


def _lies(g: Geometry, places: tuple[int, ...], outputs: int, fold: int) -> bool:
    """Can tiles be read where patches lie: 16 groups of `fold` windows in a plane?"""
    fits = fold == 1 or fold * outputs <= FOLDED
    beside = g.dilation[-1] == 1 or g.kernel[-1] == 1
    return fits and beside and places[-1] % fold == 0 and np.prod(places[-2:]) >= 16 * fold


def _ways(g: Geometry) -> list[str]:
    found = ["gathered", "scattered"]
    found += ["turned"] if set(g.stride) == {1} else []
    found += [way for way, fold in DIRECT.items() if _lies(g, g.sizes, g.channels[1], fold)]
    if set(g.stride) == {1}:
        turned_ways = DIRECT_TURNED.items()
        found += [way for way, fold in turned_ways if _lies(g, g.space, g.channels[0], fold)]
    return [*found, "weight"]


END = "\n    weft_end_tiles();"
WAYS = [Way(way, g, OPERATIONS[way], BODIES[way] + END) for g in CASES for way in _ways(g)]


@pytest.fixture(scope="module")
def library() -> Ways:
    return Ways(WAYS, condition="defined(WEFT_TILES)")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)
def test_every_way_is_the_reference(library: Ways, way: Way) -> None:
    if not library.tiles:
        pytest.skip("this processor has no tile units")
    agrees(*library.run(way))


@pytest.mark.parametrize("spoil", [np.inf, np.nan])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_not_finite_goes_the_ordinary_way(library: Ways, name: str, spoil: float) -> None:
    if not library.tiles:
        pytest.skip("this processor has no tile units")
    way = next(w for w in WAYS if w.name == name and w.geometry.name in SPOILT)
    agrees_where_finite(*library.run(way, spoil))
