"""Calls of convolutions and pools: the geometry as a record (geometry.h), operands by pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ....spec.dims import Dim
from ...ir.graph import Graph, Node
from ...plan.layout import LANES, Layout, padded_symbol
from ...plan.windows import (
    CONVOLUTIONS,
    PUTS,
    WEIGHTS,
    Geometry,
    block_of,
    broad_of,
    geometry,
    pixels_of,
    planes_of,
    room_of,
    sparse_floats,
    sparse_room,
    squares_of,
    strip_of,
    tiles_of,
)
from ...plan.winners import images_of, pool_of, room, rows_of
from ..names import c_expression

LayoutOf = Callable[[int], Layout]
LOOKING = ("pool_max_input", "pool_max_pick")  # they remember who still looks for its maximum
POOLED = 1 << 15  # floats for a convolution and the pool behind it at once, as in pooled.c
SPARE = 16  # floats that the widest store may write beyond a row of channels


def planes(graph: Graph, node: Node, sizes: Mapping[str, int]) -> Dim:
    """Floats of scratch that the call of a windowed node needs, beside that of its products."""
    g = geometry(graph, node)
    if node.op in LOOKING:
        return g.channels + SPARE
    if node.op == "convolve_weight_put":
        return room(g, pool_of(graph, node))
    if node.op not in CONVOLUTIONS:
        return 0
    block = block_of(g, sizes, adjoint=node.op == "convolve_input")
    tiles, squares = tiles_of(g, node.op, block), squares_of(g, node.op)
    floats = _padded(g, node.op, block)
    floats = floats + (max(tiles, squares) if isinstance(tiles, int) else tiles + squares)
    if node.op == "convolve" and any(graph[u].op == "pool_max" for u in graph.users(node.id)):
        return max(floats, POOLED) if isinstance(floats, int) else floats + POOLED
    if node.op != "convolve_input":
        return floats
    listed = sparse_room(g)
    return max(floats, listed) if isinstance(floats, int) else floats + listed


def _padded(g: Geometry, op: str, block: int) -> Dim:
    """Floats for the padded rows of a block: whole cache lines."""
    span = planes_of(g, block, adjoint=op == "convolve_input") + SPARE
    return -(-span // LANES) * LANES if isinstance(span, int) else padded_symbol(span)


def record(graph: Graph, node: Node, layout: LayoutOf, sizes: Mapping[str, int]) -> str:
    """The `weft_windows` of a node, as an initialiser."""
    g = geometry(graph, node)
    read = node.id if node.op in PUTS else node.operands[0]
    xb, *xs, xc = layout(read).strides
    xs = [xb] * (3 - len(xs)) + xs
    fields: dict[str, Sequence[Dim] | Dim] = {
        "in": g.inner,
        "out": g.outer,
        "kernel": g.kernel,
        "stride": g.stride,
        "dilation": g.dilation,
        "low": g.low,
        "channels": g.channels,
        "outputs": g.outputs,
        "groups": g.groups,
        "xb": xb,
        "xs": xs,
        "xc": xc if g.channels > 1 else 1,
    }
    if node.op == "convolve_weight_put":
        fields |= _weights(graph, node, g, layout) | _winners(graph, node, g)
    if node.op in CONVOLUTIONS:
        fields |= _weights(graph, node, g, layout)
        adjoint = node.op == "convolve_input"
        block = block_of(g, sizes, adjoint=adjoint)
        fields |= {"block": block, "after": _padded(g, node.op, block)}
        fields |= {"room": room_of(g, node.op, block), "pixels": pixels_of(g)}
        if strip_of(g):
            fields |= {"strip": strip_of(g), "broad": broad_of(g)}
        fields |= {"listed": sparse_floats(g)} if adjoint else {}
    return "{" + ", ".join(f".{name} = {_value(value)}" for name, value in fields.items()) + "}"


def _weights(graph: Graph, node: Node, g: Geometry, layout: LayoutOf) -> dict[str, Dim]:
    """Strides of the weights: from one depth, tap and group to the next."""
    if node.op == "convolve_input":
        row = g.outputs // g.groups
        return {"lead": row, "tap": g.channels * row, "group": g.channels // g.groups * row}
    weight = node.operands[1] if node.op == "convolve" else node.id
    lead: Dim = layout(weight).strides[1]
    return {"lead": lead, "tap": g.channels // g.groups * lead, "group": g.outputs // g.groups}


def _winners(graph: Graph, node: Node, g: Geometry) -> dict[str, Sequence[Dim] | Dim]:
    """The pool whose winners have cotangents, its rows and images at once."""
    pool = pool_of(graph, node)
    sides = {"": pool.kernel, "_out": pool.out, "_stride": pool.stride}
    sides |= {"_dilation": pool.dilation, "_low": pool.low}
    found = {f"pool{name}": (int(name != "_low"), *pair) for name, pair in sides.items()}
    return {**found, "block": rows_of(g, pool), "pixels": images_of(g, pool)}


def _value(value: Sequence[Dim] | Dim) -> str:
    if isinstance(value, Sequence):
        return "{" + ", ".join(map(c_expression, value)) + "}"
    return c_expression(value)


def keep(node: Node, name: str, images: str, weight: str, place: str) -> str:
    """The expression that rearranges the weight of a convolution for `images` images."""
    return f"weft_keep_{node.op}({images}, &{name}, {weight}, {place})"


def call(
    node: Node,
    name: str,
    images: str,
    pointers: Sequence[str],
    results: Sequence[str],
    kept: str = "",
) -> str:
    """The statement that carries out a windowed node; `name` is its geometry's, `kept` points to
    the rearranged weight.  `results`: its own, and the places of maxima if they are wanted.
    """
    if node.op in CONVOLUTIONS[:2]:
        pointers = [*pointers, kept or "0"]
    if node.op == "pool_max":
        results = [*results, "0"][:2]
    arguments = [images, f"&{name}", *pointers, *results]
    if node.op in (*CONVOLUTIONS, *WEIGHTS):
        arguments += ["scratch", "planes"]
    elif node.op in LOOKING:
        arguments.append("planes")
    return f"weft_{node.op}({', '.join(arguments)});"


def pooled_call(
    images: str, windows: Sequence[str], pointers: Sequence[str], results: Sequence[str]
) -> str:
    """The statement of a convolution and of the pool that alone reads it; `windows`: both."""
    geometries = [f"&{name}" for name in windows]
    arguments = [images, *geometries, *pointers, *[*results, "0"][:2], "scratch", "planes"]
    return f"weft_convolve_pool({', '.join(arguments)});"
