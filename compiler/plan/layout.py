"""How stored values lie in memory: a layout is nothing but strides.

On a CPU the batch is the vector axis of narrow values: `[B, 10]` is stored as ten runs of B
numbers, so that no vector is mostly padding.  Weights are stored so that the product's result
reads them along its own contiguous axis.  PyTorch's shapes are kept outside through strided
views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...spec.dims import Dim, Polynomial
from ..ir.body import Body
from ..ir.graph import Graph, Node
from ..ir.types import Shape
from ..ops.products import letters

LANES = 16  # floats in the widest vector
THIN = 4  # extents along which a contraction is written out
LONG = 256  # floats of a row of a sequence or image that begins with a vector of its own
PAGE = 1024  # floats after which rows fall into the same cache sets

Strides = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Strides in elements, and the elements that the value spans in memory."""

    strides: Strides
    span: Dim


@lru_cache(maxsize=4096)
def row_major(shape: tuple[Dim, ...], innermost: Dim | None = None) -> Layout:
    """Contiguous, or with rows padded to `innermost` elements."""
    strides: list[Dim] = []
    step: Dim = 1
    for position, extent in enumerate(reversed(shape)):
        strides.append(step)
        step = step * (innermost if position == 0 and innermost is not None else extent)
    return Layout(tuple(reversed(strides)), step if shape else 1)


def padded(extent: int) -> int:
    """A leading dimension: whole vectors, and not a stride that keeps hitting the same cache
    sets.
    """
    width = -(-extent // LANES) * LANES
    return width + LANES if width % (PAGE // 4) == 0 else width


def narrow(shape: tuple[Dim, ...]) -> bool:
    """A batch of rows too short to fill vectors."""
    if len(shape) != 2 or isinstance(shape[0], int) or not isinstance(shape[1], int):
        return False
    return 1 < shape[1] < 2 * LANES and shape[1] % LANES != 0


def parameter_layouts(
    graph: Graph, parameters: Mapping[str, int], *, native: bool
) -> dict[str, Layout]:
    """A layout for each parameter (name -> input node), from the first product that reads it."""
    found: dict[str, Layout] = {}
    for name, i in parameters.items():
        node = graph[i]
        if native and is_weight(graph, i):
            found[name] = weight_layout(node.shape)
            continue
        if not native and _by_windows(graph, i):
            found[name] = device_weight_layout(node.shape)
            continue
        inner = _innermost(graph, node) if native and len(node.shape) == 2 else None
        found[name] = (
            _with_innermost(node.shape, inner) if inner is not None else row_major(node.shape)
        )
    return found


def _with_innermost(shape: tuple[Dim, ...], inner: int) -> Layout:
    width = shape[inner]
    lead = padded(width) if isinstance(width, int) and width >= LANES else width
    outer = 1 - inner
    strides: list[Dim] = [0, 0]
    strides[inner], strides[outer] = 1, lead
    return Layout(tuple(strides), shape[outer] * lead)


def _innermost(graph: Graph, node: Node) -> int | None:
    """The dimension of a weight along which its first product's result is contiguous; the longer
    one of thin weights, whose gradient is written in pieces; that of the rows of a table.
    """
    users = [graph[user] for user in graph.users(node.id)]
    if any(user.op == "take" and user.operands[0] == node.id for user in users):
        return 1  # rows are read, added to and multiplied as they lie
    for user in users:
        if user.op == "scan":
            body: Body = user["body"]
            slot = body.inputs[user.operands.index(node.id)]
            within = [n for n in body.nodes if n.op == "contract" and slot in n.operands]
            if within:
                return _along_result(within[0], slot, node.shape)
        if user.op == "contract":
            return _along_result(user, node.id, node.shape)
    return None


def _along_result(product: Node, weight: int, shape: Shape) -> int:
    """The dimension of a weight along which a product's result is contiguous."""
    out, depth = (e if isinstance(e, int) else 0 for e in shape)
    if narrow(product.shape) and min(out, depth) <= THIN:
        return 1 if depth >= out else 0
    a, b, result = letters(product["spec"])
    mine = a if product.operands[0] == weight else b
    contiguous = result[0] if narrow(product.shape) else result[-1]
    return mine.index(contiguous) if contiguous in mine else 1


def weight_layout(shape: Sequence[Dim]) -> Layout:
    """[out, in, *kernel] in memory as [*kernel, in, out]: products read rows of outputs."""
    out, depth, *kernel = (e for e in shape if isinstance(e, int))
    lead = padded(out) if out >= LANES else out
    strides: list[Dim] = [1, lead]
    step = lead * depth
    for extent in reversed(kernel):
        strides.insert(2, step)
        step *= extent
    return Layout(tuple(strides), step)


def device_weight_layout(shape: Sequence[Dim]) -> Layout:
    """[out, in, *kernel] in memory as [out, *kernel, in]: neighbours are channels of one tap.

    With a single channel a group (depthwise) neighbours are groups: [*kernel, out].
    """
    out, depth, *kernel = (e for e in shape if isinstance(e, int))
    order = [*range(2, len(shape)), 0, 1] if depth == 1 else [0, *range(2, len(shape)), 1]
    extents, strides, step = (out, depth, *kernel), [1] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= extents[axis]
    return Layout(tuple(strides), step)


def _by_windows(graph: Graph, i: int) -> bool:
    """Do convolutions read the value as their weight, and nothing wants it row-major?"""
    users = [graph[user] for user in graph.users(i)]
    if len(graph[i].shape) < 3 or any(user.op in ("reshape", "scatter_add") for user in users):
        return False
    turned = [graph[t] for s in users if s.op == "slice" for t in graph.users(s.id)]
    turned += [user for user in users if user.op == "transpose"]
    last = [graph[c] for t in turned for c in graph.users(t.id)]
    return is_weight(graph, i) or any(c.op == "convolve_input" for c in last)


def is_weight(graph: Graph, i: int) -> bool:
    """Does a convolution read the value as its weight?"""
    return any(
        graph[user].op == "convolve" and graph[user].operands[1] == i for user in graph.users(i)
    )


def value_layout(node: Node, *, native: bool, plain: bool) -> Layout:
    """The layout of a value in the workspace; `plain`: its elements must be contiguous, row-
    major.
    """
    if native and not plain:
        if narrow(node.shape):
            lead = padded_symbol(node.shape[0])
            return Layout((1, lead), lead * node.shape[1])
        width = node.shape[-1] if len(node.shape) > 1 else None
        if isinstance(width, int) and len(node.shape) == 2 and width > 2 * LANES:
            return row_major(node.shape, padded(width))
        if isinstance(width, int) and width >= LONG:
            lead = -(-width // LANES) * LANES
            return row_major(node.shape, lead if lead % (PAGE // 2) else lead + LANES)
    return row_major(node.shape)


@lru_cache(maxsize=1024)
def padded_symbol(dim: Dim) -> Dim:
    """A leading dimension in whole vectors."""
    if isinstance(dim, Polynomial) and all(c % LANES == 0 for _, c in dim.terms):
        return dim
    return ((dim + (LANES - 1)) // LANES) * LANES
