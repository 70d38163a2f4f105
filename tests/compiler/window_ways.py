"""One way of a convolution at a time, whatever estimates would choose, against the reference."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_int, c_long
from dataclasses import dataclass

import numpy as np

from tests.laws.cases import B, f32
from tests.laws.harness import graph_of
from tests.laws.window_cases import Geometry, operands, shared
from weft.compiler.emit.c import GEMM_SCRATCH
from weft.compiler.emit.c import library as texts
from weft.compiler.emit.c.windowed import planes, record
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph, Node
from weft.compiler.ops import OPS, new_builder
from weft.compiler.ops.windows import turned
from weft.compiler.plan.layout import Layout, row_major, weight_layout
from weft.compiler.plan.windows import kept_floats
from weft.runtime.native import FLAGS, build, load

IMAGES = 5
GUARD = 64  # floats that nobody may write, behind every block of memory


@dataclass(frozen=True)
class Way:
    """One way in one geometry: `body` carries out `op`."""

    name: str
    geometry: Geometry
    op: str
    body: str

    @property
    def id(self) -> str:
        return f"{self.geometry.name}_{self.name}"


def node_of(way: Way) -> tuple[Graph, Node]:
    """The graph of a way, and the node that it carries out."""
    b: Builder = new_builder()
    g = way.geometry
    inputs, outputs = g.channels
    if way.op == "convolve":
        made = b.insert("convolve", operands(b, g), sizes=g.sizes, **shared(g))
    elif way.op == "convolve_weight":
        x, d = f32(b, "x", B, *g.space, inputs), f32(b, "d", B, *g.sizes, outputs)
        made = b.insert("convolve_weight", (x, d), kernel=g.kernel, **shared(g))
    else:
        d = f32(b, "d", B, *g.sizes, outputs)
        u = turned(b, f32(b, "w", outputs, inputs, *g.kernel))
        made = b.insert("convolve_input", (d, u), sizes=g.space, **shared(g))
    graph = graph_of(b, {"y": made})
    return graph, next(node for node in graph if node.op == way.op)


def _layout(graph: Graph, node: Node) -> Callable[[int], Layout]:
    weight = {"convolve": node.operands[1], "convolve_weight": node.id}.get(node.op)
    return lambda i: (weight_layout if i == weight else row_major)(graph[i].shape)


class Ways:
    """A library with one function for each way.

    `flags`: how it is compiled; `condition`: of the preprocessor, without which there are none.
    """

    def __init__(
        self, ways: Sequence[Way], *, condition: str = "1", flags: Sequence[str] = FLAGS
    ) -> None:
        self.ways = ways
        lines = ['#include "windows.c"', "int allowed(void)", "{", "#if defined(WEFT_TILES)"]
        lines += ["    return weft_tiles_allowed;", "#else", "    return 0;", "#endif", "}"]
        lines += [f"#if {condition}"]
        for number, way in enumerate(ways):
            graph, node = node_of(way)
            known = record(graph, node, _layout(graph, node), {"B": IMAGES})
            lines += [f"static const weft_windows g_{number} = {known};"]
            lines += [f"void run_{number}(long images, const float *x, const float *w, float *y,"]
            lines += ["    float *scratch, float *planes, float *kept)", "{"]
            lines += [f"    const weft_windows *const g = &g_{number};", "    weft_axis a[3];"]
            lines += ["    (void)a; (void)scratch; (void)kept;", way.body, "}"]
        lines += ["#endif"]
        source = "\n".join(lines)
        some = ["-O1" if flag == "-O3" else flag for flag in flags]
        self.library = load(build(source, files=texts(source), flags=some))
        self.library.allowed.restype = c_int

    @property
    def tiles(self) -> bool:
        """Are there tile units?"""
        return bool(self.library.allowed())

    def run(self, way: Way, spoil: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What a way makes, and what the reference does in float64; one number of the first operand
        is `spoil`.
        """
        number = self.ways.index(way)
        graph, node = node_of(way)
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
        place = row_major(want.shape) if way.op != "convolve_weight" else layout(node.id)
        span, size = place.span, planes(graph, node, {"B": IMAGES})
        assert isinstance(span, int) and isinstance(size, int)
        y, room, kept = _memory(span), _memory(size), _memory(kept_floats(graph, node))
        scratch = _memory(GEMM_SCRATCH)
        if way.op == "convolve_weight":
            y[:span] = 0
        memory = [
            fed[0],
            fed[1] if node.op != "convolve" else _stored(fed[1], layout(node.operands[1])),
        ]
        pointers = [m.ctypes.data_as(ctypes.c_void_p) for m in (*memory, y, scratch, room, kept)]
        getattr(self.library, f"run_{number}")(c_long(IMAGES), *pointers)
        for block in (y, room, kept, scratch):
            assert np.isnan(block[-GUARD:]).all()
        return _view(y, want.shape, place), want


def agrees(got: np.ndarray, want: np.ndarray) -> None:
    """The reference's numbers, as near as single precision comes to them."""
    assert np.abs(got - want).max(initial=0.0) <= 2e-6 * max(1.0, np.abs(want).max(initial=0.0))


def agrees_where_finite(got: np.ndarray, want: np.ndarray) -> None:
    """NaN and infinities where the reference has them, and its numbers elsewhere."""
    assert not np.isfinite(want).all()
    assert np.array_equal(np.isnan(got), np.isnan(want))
    fine = np.isfinite(want)
    assert np.array_equal(got[~fine & ~np.isnan(want)], want[~fine & ~np.isnan(want)])
    assert np.abs(got[fine] - want[fine]).max() <= 2e-6 * np.abs(want[fine]).max()


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
