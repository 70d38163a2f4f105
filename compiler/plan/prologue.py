"""Maps in front of a convolution that its kernel carries out on what it loads (on a GPU).

    a = relu(normalise(z)):  convolve(a, w)  ->  convolve(z, w), with a made of each loaded block

`a` is not stored, and whoever else wants it makes it of `z`.  Windows that reach over the border
read zeros of `a`, not of `z`.  Where no sum over the batch stands between, the maps ride behind the
kernel that makes `z` instead, and nobody stores that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...spec.dims import numel
from ..ir.graph import Node
from ..ops import OPS
from .windows import geometry

if TYPE_CHECKING:
    from .values import Values

LIGHT = 32  # operations an element
AHEAD = 240  # operations that take as long as writing an element and reading it twice
COLUMNS = 128  # of a block that shares what was loaded
FEW = 16  # channels, from which on a block of them is loaded at a time
SMALL = 16  # times smaller than the map: numbers a channel


def prologue_of(values: Values, i: int) -> int | None:
    """The value that the map `i` can be made of where it is loaded, if it needs no memory."""
    graph, node = values.graph, values.graph[i]
    if OPS[node.op].lowering != "map" or len(node.shape) < 3 or isinstance(node.shape[0], int):
        return None
    readers = [graph[u] for u in values.users[i]]
    stores = [u for u in readers if OPS[u.op].lowering in ("heavy", "alias", "reindex")]
    if not stores or not all(_takes(values, u, i) for u in stores):
        return None
    source, work = _source(values, node)
    if source is None or work > LIGHT:
        return None
    loads = sum(_loads(values, u) for u in stores)
    return source if work * loads <= AHEAD else None


def _takes(values: Values, reader: Node, i: int) -> bool:
    """Is the reader a convolution whose kernels load blocks of channels?"""
    if reader.op not in ("convolve", "convolve_weight") or reader.operands[0] != i:
        return False
    g = geometry(values.graph, reader)
    whole = reader.operands[1] != i and g.groups == 1 and g.outputs > 1
    return whole and g.channels >= FEW and (g.channels % FEW == 0 or g.channels >= 2 * FEW)


def _loads(values: Values, reader: Node) -> int:
    """How often an element is loaded."""
    g = geometry(values.graph, reader)
    taps = g.kernel[0] * g.kernel[1] * g.kernel[2]
    windows = max(1, taps // (g.stride[0] * g.stride[1] * g.stride[2]))
    return windows * -(-g.outputs // COLUMNS)


def _source(values: Values, node: Node) -> tuple[int | None, int]:
    """The one large value below, reached by maps alone, and the operations an element; None where
    there are more, or no sum over the batch.
    """
    graph = values.graph
    members, leaves, stack = {node.id}, set[int](), list(node.operands)
    while stack:
        i = stack.pop()
        if i in members or graph[i].op == "constant":
            continue
        if values.is_leaf(i) or i in values.stored:
            leaves.add(i)
        else:
            members.add(i)
            stack.extend(graph[i].operands)
    large = [i for i in leaves if values.bytes_of(i) * SMALL >= values.bytes_of(node.id)]
    light = all(_is_light(graph[i], node) for i in members)
    summed = any(
        graph[i].op in ("sum", "moments") and isinstance(numel(graph[i].shape), int) for i in leaves
    )
    if len(large) != 1 or not light or not summed:
        return None, 0
    source = graph[large[0]]
    if (source.shape, source.dtype) != (node.shape, node.dtype) or values.base(
        source.id
    ) != source.id:
        return None, 0
    return source.id, sum(OPS[graph[i].op].flops for i in members if graph[i].shape == node.shape)


def _is_light(member: Node, node: Node) -> bool:
    """A map of elements or of channels, or a value of channels that is repeated."""
    kind = OPS[member.op].lowering
    if member.op == "broadcast":
        channels = member["dims"] in ((), (len(node.shape) - 1,))
        return channels or member.shape != node.shape
    if kind == "map":
        return member.shape == node.shape or len(member.shape) <= 1
    return member.op in ("squeeze", "size") or (member.op == "slice" and len(member.shape) == 2)
