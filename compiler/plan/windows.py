"""The heavy operations that walk windows: their geometry, and the scratch that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ...spec.dims import Dim, numel
from ..ir.graph import Graph, Node
from .layout import LANES, padded_symbol
from .memory import nominal

CONVOLUTIONS = ("convolve", "convolve_input", "convolve_weight")
PUTS = ("pool_max_put", "pool_sum_input")
"""Pools that read windows and make what these read."""

WEIGHTS = ("convolve_weight", "convolve_weight_put")
"""Adjoints in the weight of a convolution."""

POOLS = ("pool_max", "pool_max_place", "pool_max_input", "pool_max_pick", "pool_sum", *PUTS)
WINDOWED = (*CONVOLUTIONS, *WEIGHTS[1:], *POOLS)

PLANES = 1 << 15  # floats of padded rows that stay in a second-level cache
TERMS = 1 << 16  # floats of products that wait to be added, as in window_ways.c
PIXELS, MOST_PIXELS = 512, 2048  # summed at once for the adjoint in the weight
PAIRED, MOST_PAIRED = 1 << 17, 1 << 18  # halves of a plane of what pairs of windows read
PIECE = 768  # floats of the planes of a tile (tile_units.h)
ROOM, MOST_ROOM = 1 << 16, 1 << 17  # halves of a plane of patches that lie as tiles read them
SPARSE_IMAGE, SPARSE_NUMBERS = 1 << 13, 1 << 14  # floats (window_sparse.c)
SPARSE_VECTORS = 8  # of a row of taps, as in window_sparse.c
FEW_CHANNELS = 8  # with less, Winograd's algorithm is no quicker
GROUP = 4  # outputs of a group at most whose lanes are outputs, as in window_lanes.c
FOLDS, FOLDED = (1, 2, 4), 128  # windows whose outputs stand side by side, as in window_direct.c
SQUARES, MANY_SQUARES = 72, 96  # of 2 x 2 windows at once: in twelves and in eights
SUMS = 1 << 18  # floats of sums over squares for the adjoint in the weight


@dataclass(frozen=True, slots=True)
class Geometry:
    """A windowed operation with three spatial axes; unused ones, in front, have extent 1.

    `inner` are the extents of what is read, `outer` those of the result (for pools and for the
    adjoint in the weight: of the windows); `channels` those read, `outputs` those made.
    """

    inner: tuple[Dim, ...]
    outer: tuple[Dim, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    low: tuple[int, ...]
    channels: int
    outputs: int
    groups: int

    @property
    def adjoint_reach(self) -> tuple[Dim, ...]:
        """Elements along each axis that one class of places of an adjoint's result reaches."""
        return tuple(
            (n + s - 1) // s + (k - 1) * d // s + 1
            for n, s, k, d in zip(self.outer, self.stride, self.kernel, self.dilation, strict=True)
        )

    @property
    def reach(self) -> tuple[Dim, ...]:
        """Elements along each axis that all windows reach."""
        return tuple(
            (n - 1) * s + (k - 1) * d + 1
            for n, s, k, d in zip(self.outer, self.stride, self.kernel, self.dilation, strict=True)
        )


def geometry(graph: Graph, node: Node) -> Geometry:
    """Read a windowed node."""
    first = graph[node.operands[0]]
    kernel: Sequence[int] = (
        node["kernel"] if node.op not in CONVOLUTIONS[:2] else _kernel(graph, node)
    )
    inner, outer = first.shape[1:-1], node.shape[1:-1]
    channels, outputs = first.shape[-1], node.shape[-1]
    if node.op in ("convolve_weight", "pool_max_input"):
        windows = graph[node.operands[1]]
        outer, outputs = windows.shape[1:-1], windows.shape[-1]
    elif node.op == "convolve_weight_put":
        outer, outputs = node["sizes"], graph[node.operands[1]].shape[-1]
    elif node.op in PUTS:
        inner, outer = outer, inner
    assert isinstance(channels, int) and isinstance(outputs, int)
    groups = node["groups"] if node.op in (*CONVOLUTIONS, *WEIGHTS) else 1

    def three(values: Sequence[Dim], fill: int) -> tuple[Dim, ...]:
        return (fill,) * (3 - len(values)) + tuple(values)

    return Geometry(
        three(inner, 1),
        three(outer, 1),
        _numbers(three(kernel, 1)),
        _numbers(three(node["stride"], 1)),
        _numbers(three(node["dilation"], 1)),
        _numbers(three(node["low"], 0)),
        channels,
        outputs,
        groups,
    )


def is_pointwise(graph: Graph, node: Node) -> bool:
    """Is this a convolution of single elements, or an adjoint: a product of matrices?"""
    if node.op not in CONVOLUTIONS or node["groups"] != 1:
        return False
    g = geometry(graph, node)
    same = all(a == b for a, b in zip(g.inner, g.outer, strict=True))
    return same and {*g.kernel, *g.stride} == {1} and set(g.low) == {0}


def tiles_image(g: Geometry) -> bool:
    """Do the windows cover the image, each element once?"""
    apart = g.stride == g.kernel and {*g.dilation} == {1} and {*g.low} == {0}
    sides = zip(g.inner, g.outer, g.kernel, strict=True)
    return apart and all(isinstance(n, int) and inner == n * k for inner, n, k in sides)


def turned_from(graph: Graph, i: int) -> int | None:
    """The weight [out, in, *kernel] of which `i` is the turned one; None if it is not."""
    node = graph[i]
    rank = len(node.shape)
    if node.op != "transpose" or node["order"] != (*range(2, rank), 0, 1):
        return None
    source = graph[node.operands[0]]
    kernel = source.shape[2:]
    if set(kernel) == {1}:
        return source.operands[0] if source.op == "slice" else source.id
    ends = tuple(e - 1 for e in kernel)
    whole = source.op == "slice" and source["sizes"] == graph[source.operands[0]].shape
    if whole and (source["starts"], source["steps"]) == (
        (0, 0, *ends),
        (1, 1, *(-1 for _ in ends)),
    ):
        return source.operands[0]
    return None


def _kernel(graph: Graph, node: Node) -> tuple[int, ...]:
    shape = graph[node.operands[1]].shape
    return _numbers(shape[2:] if node.op == "convolve" else shape[:-2])


def _numbers(values: Sequence[Dim]) -> tuple[int, ...]:
    assert all(isinstance(v, int) for v in values)
    return tuple(v for v in values if isinstance(v, int))


def block_of(g: Geometry, sizes: Mapping[str, int], *, adjoint: bool) -> int:
    """Rows of the result that are made from one block of padded rows."""
    reach = g.adjoint_reach if adjoint else g.reach
    pixel = max(g.channels, lanes_of(g))
    row = nominal(reach[2], sizes) * pixel * ((g.kernel[0] - 1) * g.dilation[0] + 1)
    fit = max(PLANES // max(row, 1) - (g.kernel[1] - 1) * g.dilation[1], 1)
    step = 1 if adjoint else g.stride[1]
    return max(1, min(fit // step, nominal(g.outer[1], sizes)))


def planes_of(g: Geometry, block: int, *, adjoint: bool) -> Dim:
    """Floats of scratch for the padded rows of one block."""
    reach = g.adjoint_reach if adjoint else g.reach
    return numel((*_pixels(g, block, adjoint=adjoint), reach[2] + 1, g.channels))


def _pixels(g: Geometry, block: int, *, adjoint: bool) -> tuple[int, int]:
    """Planes, and rows of each, that a block of the result reads."""
    step = 1 if adjoint else g.stride[1]
    height = (block - 1) * step + (g.kernel[1] - 1) * g.dilation[1] + 2
    return (g.kernel[0] - 1) * g.dilation[0] + 1, height


def lanes_of(g: Geometry) -> int:
    """Floats of a pixel where lanes are outputs: those of groups of few channels; 0 of others."""
    each, made = g.channels // g.groups, g.outputs // g.groups
    few = g.groups > 1 and made <= GROUP and each <= 2 * GROUP
    return _lines(g.outputs) * each if few else 0


def _laid(g: Geometry, block: int, *, adjoint: bool) -> Dim:
    """Floats for the weight, and for what a block reads, where lanes are outputs."""
    reach, lanes = g.adjoint_reach if adjoint else g.reach, lanes_of(g)
    weight = g.kernel[0] * g.kernel[1] * g.kernel[2] * lanes
    found = numel((*_pixels(g, block, adjoint=adjoint), reach[2] + 1, lanes)) if lanes else 0
    return weight + found


def tiles_of(g: Geometry, op: str, block: int) -> Dim:
    """Floats of scratch for what tile units need beside the padded rows (window_tiles.c), or for
    what lies lane by lane (window_lanes.c).
    """
    if g.groups > 1:
        return _laid(g, block, adjoint=op == "convolve_input")
    if op == "convolve_weight":
        high = -(-g.outputs // 16)
        return _lines(high * (pixels_of(g) // 32) * PIECE + 3 * room_of(g, op, block) // 2 + LANES)
    taps = g.kernel[0] * g.kernel[1] * g.kernel[2]
    adjoint = op == "convolve_input"
    vectors = -(-taps * g.channels // 32)
    table = _lines(4 * (vectors + taps)) + _lines(vectors + 1)
    reach = g.adjoint_reach if adjoint else g.reach
    height = (block - 1) * (1 if adjoint else g.stride[1]) + (g.kernel[1] - 1) * g.dilation[1] + 1
    depth = (g.kernel[0] - 1) * g.dilation[0] + 1
    unit = (reach[2] * g.channels + 32) * (depth * height)  # halves
    patches = _lines(2 * g.kernel[0] * g.kernel[1]) + 3 * room_of(g, op, block) // 2 + LANES
    span = 3 * unit // 2 + table + patches
    if adjoint and isinstance(span, int):
        span = max(span, TERMS)
    elif adjoint:
        span = span + TERMS
    return _lines(span) if isinstance(span, int) else padded_symbol(span)


def pixels_of(g: Geometry) -> int:
    """Pixels that are summed at once for the adjoint in the weight: a row of them at least."""
    width = g.outer[2]
    wide = min(width, MOST_PIXELS) if isinstance(width, int) else 0
    return max(PIXELS, -(-wide // 32) * 32)


def _paired(g: Geometry) -> int:
    """Halves of one plane for what pairs of windows read: at least those of one row of windows."""
    width = g.outer[2]
    if not isinstance(width, int):
        return PAIRED
    pitch = 32 * g.kernel[2] * -(-g.channels // 16)
    depth, low = (g.kernel[0] - 1) * g.dilation[0] + 1, (g.kernel[1] - 1) * g.dilation[1] + 1
    high = -(-low // g.stride[1]) * g.stride[1]
    least = -(-width // 2) * pitch * depth * high + 16 * pitch
    return min(max(PAIRED, least), MOST_PAIRED)


def room_of(g: Geometry, op: str, block: int) -> int:
    """Halves of one plane for patches that tiles read where they lie: those of a block of rows, or
    of as many as stay in cache, but of 32 windows if they fit at all.
    """
    if op == "convolve_weight":
        return _paired(g)
    adjoint, width = op == "convolve_input", g.outer[2]
    if not isinstance(width, int):
        return ROOM
    step = 1 if adjoint else g.stride[1]
    depth, low = (g.kernel[0] - 1) * g.dilation[0] + 1, (g.kernel[1] - 1) * g.dilation[1] + 1
    most = 0
    for fold in FOLDS:
        groups = width // fold
        if groups == 0 or (fold > 1 and fold * g.outputs > FOLDED):
            continue
        across = fold * (1 if adjoint else g.stride[2]) * g.channels
        run = across + ((g.kernel[2] - 1) * g.dilation[2] + 1) * g.channels
        line = 32 * -(-run // 32)
        row = max(groups * line, (max(groups, 16) - 1) * across + line)

        def halves(rows: int, row: int = row) -> int:
            return depth * row * (-(-((rows - 1) * step + low) // step) * step)

        least = halves(-(-32 // groups))
        most = max(most, min(halves(block), max(ROOM, least)))
    return min(most, MOST_ROOM)


def kept_floats(graph: Graph, node: Node) -> int:
    """Floats of the planes of a weight that stays for all images of a stage; 0 if none does."""
    g = geometry(graph, node)
    if node.op == "convolve_weight" or g.groups > 1 or is_pointwise(graph, node):
        return 0
    taps = g.kernel[0] * g.kernel[1] * g.kernel[2]
    ways = [_tiles(taps * g.outputs, g.channels)] if node.op == "convolve_input" else []
    if strip_of(g):
        columns = 16 if g.outputs <= 16 else 32
        ways.append(16 * (g.channels * columns * -(-g.outputs // columns) + LANES))
    if node.op == "convolve" or max(g.stride) == 1:
        ways += [_tiles(g.outputs, taps * g.channels), *map(partial(_folded, g), FOLDS)]
    return max(ways) + (sparse_floats(g) if node.op == "convolve_input" else 0)


def strip_of(g: Geometry) -> int:
    """Squares of 2 x 2 windows that Winograd's algorithm walks at once, where a processor has no
    tile units (window_winograd.c); 0 where it does not apply, or there are too few channels.
    """
    plane = g.kernel == (1, 3, 3) and (g.inner[0], g.outer[0], g.low[0]) == (1, 1, 0)
    plain = {*g.stride, *g.dilation, g.groups} == {1}
    if not plane or not plain or g.channels < FEW_CHANNELS:
        return 0
    return MANY_SQUARES if _lines(g.channels) + _lines(g.outputs) <= 128 else SQUARES


def broad_of(g: Geometry) -> int:
    """Outputs whose sums over squares are made at once for the adjoint in the weight."""
    fit = SUMS // (16 * g.channels)
    return g.outputs if _lines(g.outputs) <= fit else min(max(fit // 32, 1) * 32, g.outputs)


def squares_of(g: Geometry, op: str) -> int:
    """Floats of scratch for a strip of squares."""
    strip = strip_of(g)
    if not strip:
        return 0
    made = broad_of(g) if op == "convolve_weight" else g.outputs
    read, made = _lines(g.channels), _lines(made)
    sums = g.channels * made + 3 * LANES if op == "convolve_weight" else 0
    return read + 16 * (strip * (read + made) + 6 * LANES + sums)


def sparse_floats(g: Geometry) -> int:
    """Floats of a weight as rows of taps; 0 where that is not worth it (window_sparse.c)."""
    if g.kernel[0] > 1 or {g.inner[0], g.outer[0]} != {1} or g.groups > 1 or g.dilation[2] > 1:
        return 0
    vectors = -(-g.kernel[2] * g.outputs // LANES)
    floats = g.channels * g.kernel[1] * vectors * LANES
    return floats if vectors <= SPARSE_VECTORS and floats <= PLANES and sparse_room(g) else 0


def sparse_room(g: Geometry) -> int:
    """Floats of scratch for what the few numbers of an image add up to, and for their list."""
    _, high, wide = g.inner
    if not (isinstance(high, int) and isinstance(wide, int)):
        return 0
    reach = (high - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1
    sums = reach * ((wide - 1) * g.stride[2] + g.kernel[2]) * g.outputs
    numbers = high * wide * _lines(g.channels)
    if sums > SPARSE_IMAGE or numbers > SPARSE_NUMBERS:
        return 0
    return _lines(sums) + 2 * (numbers + LANES) + high * wide + LANES


def _folded(g: Geometry, fold: int) -> int:
    """Floats of a weight for groups of `fold` windows; 0 if there are none."""
    if fold > 1 and fold * g.outputs > FOLDED:
        return 0
    run = ((fold - 1) * g.stride[2] + g.kernel[2]) * g.channels
    return _tiles(fold * g.outputs, g.kernel[0] * g.kernel[1] * 32 * -(-run // 32))


def _tiles(columns: int, depth: int) -> int:
    return -(-columns // 16) * -(-depth // 32) * PIECE


def _lines(floats: int) -> int:
    return -(-floats // LANES) * LANES
