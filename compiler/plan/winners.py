"""Behind a pool of maxima only winners have a cotangent.

    convolve_weight(x, pool_max_put(p, d))  ->  convolve_weight_put(x, p, d)

A quarter of the multiply-adds is left where windows of two by two do not overlap, and no cotangent
of all elements is made for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...spec.dims import numel
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops.pools import GEOMETRY
from .layout import LANES
from .rewrite import rewritten
from .windows import Geometry, geometry

PICKED = 4  # channels at most whose numbers are picked, as in window_picked.c
MOST_LANES = 4096  # of the sums of a channel
NEAR = 7168  # floats of a plane of 16 channels, in a first-level cache
CACHED = 20480  # floats of windows of what fills no vectors
FAR = 1 << 17  # floats of all that is laid out, in a second-level cache
IMAGES = 32  # at once, at most
GAIN = 0.4  # of all windows' multiply-adds, idle lanes too: tile units are that much faster


def with_winners(graph: Graph) -> Graph:
    """The graph in which weights of convolutions behind pools are told who won."""
    found = {node.id for node in graph if _is_better(graph, node)}
    if not found:
        return graph

    def told(b: Builder, node: Node, new: Mapping[int, int]) -> int:
        x, put = node.operands[0], graph[node.operands[1]]
        operands = (new[x], *(new[o] for o in put.operands))
        return b.insert("convolve_weight_put", operands, node.name, **winners_of(node, put))

    return rewritten(graph, found, told)


def winners_of(node: Node, put: Node) -> Mapping[str, object]:
    """The attributes of a `convolve_weight_put` for both."""
    own = {key: node[key] for key in ("stride", "dilation", "low", "groups", "kernel")}
    return {**own, "sizes": put["sizes"], "pool": tuple(put[key] for key in GEOMETRY)}


def _is_better(graph: Graph, node: Node) -> bool:
    """Is it the adjoint of a plain convolution of images behind a pool, and are winners few?"""
    if node.op != "convolve_weight" or node["groups"] != 1 or len(node["kernel"]) != 2:
        return False
    put = graph[node.operands[1]]
    if put.op != "pool_max_put" or node["dilation"][-1] != 1 or "to" in dict(node.attributes):
        return False
    x, place = graph[node.operands[0]], graph[put.operands[0]]
    sides = (numel(x.shape[1:]), numel(place.shape[1:]), numel(put.shape[1:]))
    if not all(isinstance(n, int) for n in sides):
        return False
    g = geometry(graph, node)
    numbers, lanes = g.kernel[1] * g.kernel[2] * g.channels, lanes_of(g)
    winners, windows = sides[1], sides[2]
    assert isinstance(winners, int) and isinstance(windows, int)
    return lanes <= MOST_LANES and winners * lanes <= GAIN * windows * numbers


def lanes_of(g: Geometry) -> int:
    """Sums for each channel: those of channels that fill vectors, and the rest in vectors of 16."""
    return g.kernel[1] * g.kernel[2] * _main(g) + _each(g)


def _main(g: Geometry) -> int:
    return g.channels // LANES * LANES


def _each(g: Geometry) -> int:
    """Floats of a window of the channels that are left."""
    return _whole(g.kernel[1] * g.kernel[2] * (g.channels % LANES))


@dataclass(frozen=True, slots=True)
class Pool:
    """The pool behind a convolution, of two axes; `out`: its windows."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    low: tuple[int, int]
    out: tuple[int, int]


def pool_of(graph: Graph, node: Node) -> Pool:
    """The pool of a `convolve_weight_put`."""
    _, height, width, _ = graph[node.operands[1]].shape
    assert isinstance(height, int) and isinstance(width, int)
    kernel, stride, dilation, low = node["pool"]
    return Pool(kernel, stride, dilation, low, (height, width))


def rows_of(g: Geometry, pool: Pool) -> int:
    """Rows of the pool at once: what their windows read stays in cache."""
    most = 1
    while most < pool.out[0] and _fits(g, pool, most + 1, 1):
        most += 1
    return -(-pool.out[0] // -(-pool.out[0] // most))


def images_of(g: Geometry, pool: Pool) -> int:
    """Images at once, where all rows of one are."""
    if rows_of(g, pool) < pool.out[0]:
        return 1
    most = 1
    while most < IMAGES and _fits(g, pool, pool.out[0], most + 1):
        most += 1
    return most


def _fits(g: Geometry, pool: Pool, rows: int, images: int) -> bool:
    """Does what is read again and again stay in cache?"""
    (tall, across), _ = _extents(g, pool, rows)
    plane = _pixels(g, pool, rows) * LANES if _main(g) else 0
    second = tall * across * _each(g)
    laid = images * _laid(g, pool, rows)
    return images * plane <= NEAR and images * second <= CACHED and laid <= FAR


def room(g: Geometry, pool: Pool) -> int:
    """Floats of scratch, as window_winners.c divides it."""
    rows, lanes, images = rows_of(g, pool), lanes_of(g), images_of(g, pool)
    found = _whole(images * rows * pool.out[1] * g.outputs)
    laid = max(images * _laid(g, pool, rows), _picked(g, pool, rows))
    padded, thin = (
        _pixels(g, pool, rows) * g.channels,
        _pixels(g, pool, rows) * (g.channels % LANES),
    )
    sums = (_whole(g.outputs) + 1) * (lanes + LANES)
    return _whole(padded) + _whole(thin) + laid + 3 * found + sums + 8 * LANES


def _extents(g: Geometry, pool: Pool, rows: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Windows that some rows of the pool reach, and pixels that those reach."""
    counts = (rows, pool.out[1])
    tall, across = (
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(counts, pool.stride, pool.kernel, pool.dilation, strict=True)
    )
    high = (tall - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1
    return (tall, across), (high, (across - 1) * g.stride[2] + g.kernel[2])


def _pixels(g: Geometry, pool: Pool, rows: int) -> int:
    _, (high, wide) = _extents(g, pool, rows)
    return high * wide


def _laid(g: Geometry, pool: Pool, rows: int) -> int:
    """Floats of what the windows of some rows of the pool read, as it is laid out."""
    (tall, across), _ = _extents(g, pool, rows)
    return _pixels(g, pool, rows) * _main(g) + tall * across * _each(g)


def _picked(g: Geometry, pool: Pool, rows: int) -> int:
    """Floats of padded rows that are laid out to be picked from (window_picked.c), at most."""
    _, (high, _) = _extents(g, pool, rows)
    return g.channels * high * pool.out[1] * LANES if g.channels <= PICKED else 0


def _whole(count: int) -> int:
    return -(-count // LANES) * LANES
