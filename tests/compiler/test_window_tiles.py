"""Convolutions on tile units, every way in every geometry, whatever the estimates would choose."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_long

import numpy as np
import pytest

from tests.laws.cases import B, f32
from tests.laws.harness import graph_of
from tests.laws.window_cases import GEOMETRIES, Geometry, operands, shared, square
from weft.compiler.emit.c import GEMM_SCRATCH
from weft.compiler.emit.c import library as texts
from weft.compiler.emit.c.windowed import planes, record
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph, Node
from weft.compiler.ops import OPS, new_builder
from weft.compiler.ops.windows import turned
from weft.compiler.plan.layout import Layout, row_major, weight_layout
from weft.compiler.plan.windows import FOLDED, FOLDS, kept_floats
from weft.runtime.native import FLAGS, build, load

IMAGES = 5
GUARD = 64  # floats that nobody may write, behind every block of memory
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
WAYS = {
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


PAIRS = [(g, way) for g in CASES for way in _ways(g)]


def _node(g: Geometry, way: str) -> tuple[Graph, Node]:
    b: Builder = new_builder()
    inputs, outputs = g.channels
    if WAYS[way] == "convolve":
        made = b.insert("convolve", operands(b, g), sizes=g.sizes, **shared(g))
    elif WAYS[way] == "convolve_weight":
        x, d = f32(b, "x", B, *g.space, inputs), f32(b, "d", B, *g.sizes, outputs)
        made = b.insert("convolve_weight", (x, d), kernel=g.kernel, **shared(g))
    else:
        d = f32(b, "d", B, *g.sizes, outputs)
        u = turned(b, f32(b, "w", outputs, inputs, *g.kernel))
        made = b.insert("convolve_input", (d, u), sizes=g.space, **shared(g))
    graph = graph_of(b, {"y": made})
    return graph, next(node for node in graph if node.op == WAYS[way])


def _layout(graph: Graph, node: Node) -> Callable[[int], Layout]:
    weight = {"convolve": node.operands[1], "convolve_weight": node.id}.get(node.op)
    return lambda i: (weight_layout if i == weight else row_major)(graph[i].shape)


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    """One function for each pair of a geometry and a way; they return 0 where there are tiles."""
    lines = ['#include "windows.c"', "int allowed(void)", "{", "#if defined(WEFT_TILES)"]
    lines += ["    return weft_tiles_allowed;", "#else", "    return 0;", "#endif", "}"]
    lines += ["#if defined(WEFT_TILES)"]
    for number, (g, way) in enumerate(PAIRS):
        graph, node = _node(g, way)
        known = record(graph, node, _layout(graph, node), {"B": IMAGES})
        lines += [f"static const weft_windows g_{number} = {known};"]
        lines += [f"void run_{number}(long images, const float *x, const float *w, float *y,"]
        lines += ["    float *scratch, float *planes, float *kept)", "{"]
        lines += [f"    const weft_windows *const g = &g_{number};", "    weft_axis a[3];"]
        lines += [BODIES[way], "    weft_end_tiles();", "}"]
    lines += ["#endif"]
    flags = ["-O1" if flag == "-O3" else flag for flag in FLAGS]
    source = "\n".join(lines)
    return load(build(source, files=texts(source), flags=flags))


def _memory(floats: int) -> np.ndarray:
    """Aligned as the runtime aligns it; NaN all over."""
    whole = np.full(floats + GUARD + 16, np.nan, np.float32)
    skip = -whole.ctypes.data // 4 % 16
    return whole[skip : skip + floats + GUARD]


def _stored(array: np.ndarray, layout: Layout) -> np.ndarray:
    """The memory of an array."""
    span = layout.span
    assert isinstance(span, int)
    flat = np.zeros(span, np.float32)
    _view(flat, array.shape, layout)[...] = array
    return flat


def _view(flat: np.ndarray, shape: tuple[int, ...], layout: Layout) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(flat, shape, [4 * int(s) for s in layout.strides])


def _run(
    library: ctypes.CDLL, number: int, spoil: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What a way makes, and what the reference does in float64."""
    g, way = PAIRS[number]
    graph, node = _node(g, way)
    layout, rng = _layout(graph, node), np.random.default_rng(number)
    fed = []
    for o in node.operands:
        shape = tuple(IMAGES if d == B else d for d in graph[o].shape)
        fed.append(rng.normal(size=shape).astype(np.float32))
    if spoil is not None:
        fed[0].reshape(-1)[fed[0].size // 2] = spoil
    attributes = dict(node.attributes)
    with np.errstate(invalid="ignore"):
        want = OPS[node.op].reference(*(x.astype(np.float64) for x in fed), **attributes)
    place = row_major(want.shape) if way != "weight" else layout(node.id)
    span = place.span
    assert isinstance(span, int)
    size = planes(graph, node, {"B": IMAGES})
    assert isinstance(size, int)
    y, room, kept = _memory(span), _memory(size), _memory(kept_floats(graph, node))
    scratch = _memory(GEMM_SCRATCH)
    if way == "weight":
        y[:span] = 0
    memory = [
        fed[0],
        fed[1] if node.op != "convolve" else _stored(fed[1], layout(node.operands[1])),
    ]
    pointers = [m.ctypes.data_as(ctypes.c_void_p) for m in (*memory, y, scratch, room, kept)]
    getattr(library, f"run_{number}")(c_long(IMAGES), *pointers)
    for block in (y, room, kept, scratch):
        assert np.isnan(block[-GUARD:]).all()
    return _view(y, want.shape, place), want


@pytest.mark.parametrize("number", range(len(PAIRS)), ids=[f"{g.name}_{w}" for g, w in PAIRS])
def test_every_way_is_the_reference(library: ctypes.CDLL, number: int) -> None:
    library.allowed.restype = c_int
    if not library.allowed():
        pytest.skip("this processor has no tile units")
    got, want = _run(library, number)
    assert np.abs(got - want).max(initial=0.0) <= 2e-6 * max(1.0, np.abs(want).max(initial=0.0))


@pytest.mark.parametrize("spoil", [np.inf, np.nan])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_finite_goes_the_ordinary_way(
    library: ctypes.CDLL, way: str, spoil: float
) -> None:
    if not library.allowed():
        pytest.skip("this processor has no tile units")
    number = next(n for n, (g, w) in enumerate(PAIRS) if w == way and g.name in SPOILT)
    got, want = _run(library, number, spoil)
    assert not np.isfinite(want).all()
    assert np.array_equal(np.isnan(got), np.isnan(want))
    fine = np.isfinite(want)
    assert np.array_equal(got[~fine & ~np.isnan(want)], want[~fine & ~np.isnan(want)])
    assert np.abs(got[fine] - want[fine]).max() <= 2e-6 * np.abs(want[fine]).max()
