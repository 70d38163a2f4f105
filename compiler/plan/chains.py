"""Maps that can be made again wherever they are read: few large values and numbers a channel.

    a = relu(gain * (z - mean) + shift)     large: z
    d_z = gain * (d - s - (z - mean) * t)   large: d, z

Both targets look for them (`again.py` on a CPU, `prologue.py` on a GPU), each at its own price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...spec.dims import numel
from ..ir.graph import Node
from ..ops import OPS
from .values import Values

SMALL = 16
"""Times smaller than the map: numbers a channel."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What a map is made of by maps and views alone, from what memory holds anyway.

    `large`: the values that are no numbers of channels, ascending; `bytes`: of all these; `work`:
    operations an element; `by_channel`: everything else is a number, or one for each channel;
    `moved`: small values that are read elsewhere than they lie, or joined.
    """

    large: tuple[int, ...]
    bytes: int
    work: int
    by_channel: bool
    moved: tuple[int, ...] = ()


def chain(values: Values, node: Node, *, waits: bool = True) -> Chain | None:
    """The chain of a map of a batch; None where it is drawn, gathered from elsewhere, or, if it
    `waits`, without a sum over the batch or a value that is joined.

    Where no such sum stands between, a map is better made by the kernel that makes what it reads,
    if that is one, and so it is where nobody else reads that.
    """
    if OPS[node.op].lowering != "map" or not node.shape or isinstance(node.shape[0], int):
        return None
    graph = values.graph
    members, leaves = _below(values, node)
    whole = values.bytes_of(node.id)
    large = sorted(i for i in leaves if values.bytes_of(i) * SMALL >= whole)
    drawn = any(graph[i].op == "random" for i in leaves)
    apart = [i for i in leaves - values.stored if OPS[graph[i].op].lowering in ("reindex", "leaf")]
    away = any(i in large and graph[i].op != "input" for i in apart)
    joined = any(graph[i].op == "concat" for i in large)
    if drawn or away or (waits and not (joined or _reaches_sum(values, leaves))):
        return None
    moved = [i for i in apart if graph[i].op == "concat"]
    if any(OPS[graph[i].op].lowering == "heavy" and members >= {*values.users[i]} for i in large):
        return None
    work = sum(OPS[graph[i].op].flops for i in members if graph[i].shape == node.shape)
    by_channel = all(_by_channel(graph[i], node) for i in members)
    return Chain(tuple(large), sum(map(values.bytes_of, large)), work, by_channel, tuple(moved))


def chain_of_rows(values: Values, node: Node) -> Chain | None:
    """The chain of a map that takes numbers of each row and of each channel beside its large
    values; None where it takes others, or is drawn.
    """
    graph = values.graph
    members, leaves = _below(values, node, counted=True)
    whole = values.bytes_of(node.id)
    large = sorted(i for i in leaves if values.bytes_of(i) * SMALL >= whole)
    moved = sorted(i for i in leaves if OPS[graph[i].op].lowering == "reindex")
    drawn = any(graph[i].op in ("random", "table") for i in leaves)
    if drawn or set(moved) & set(large) or not all(_by_row(graph[i], node) for i in members):
        return None
    work = sum(OPS[graph[i].op].flops for i in members if graph[i].shape == node.shape)
    return Chain(tuple(large), sum(map(values.bytes_of, large)), work, False, tuple(moved))


def _below(values: Values, node: Node, *, counted: bool = False) -> tuple[set[int], set[int]]:
    """The maps and views that a value is made by, and what they start from; `counted`: positions
    and sizes are made, too.
    """
    graph = values.graph
    members, leaves, stack = {node.id}, set[int](), list(node.operands)
    while stack:
        i = stack.pop()
        if i in members or graph[i].op == "constant":
            continue
        light = OPS[graph[i].op].lowering in ("map", "view") and graph[i].op != "copy"
        light = light or (counted and graph[i].op in ("iota", "size"))
        if light and i not in values.stored and not values.is_leaf(i):
            members.add(i)
            stack.extend(graph[i].operands)
        else:
            leaves.add(i)
    return members, leaves


def _reaches_sum(values: Values, leaves: Iterable[int]) -> bool:
    """Are numbers among them that are known when the whole batch has been seen?"""
    graph, seen, stack = values.graph, set[int](), list(leaves)
    while stack:
        node = graph[stack.pop()]
        if node.id in seen or not isinstance(numel(node.shape), int):
            continue
        seen.add(node.id)
        if OPS[node.op].lowering == "fold" or node.op == "moments":
            return True
        if OPS[node.op].lowering in ("map", "view", "reindex"):
            stack.extend(node.operands)
    return False


def _by_channel(member: Node, node: Node) -> bool:
    """A map of elements or of channels, or a value of channels that is repeated."""
    if member.op == "broadcast":
        channels = member["dims"] in ((), (len(node.shape) - 1,))
        return channels or member.shape != node.shape
    if OPS[member.op].lowering == "map":
        return member.shape == node.shape or len(member.shape) <= 1
    return member.op == "squeeze"


def _by_row(member: Node, node: Node) -> bool:
    """A map of elements, of rows or of channels, or what is repeated along the others."""
    last = len(node.shape) - 1
    if member.op == "broadcast":
        across = len(member["dims"]) > 1 and last in member["dims"]
        return member.shape != node.shape or not across
    alone = member.op in ("squeeze", "iota", "size")
    return alone or (OPS[member.op].lowering == "map" and _fits(member, node))


def _fits(member: Node, node: Node) -> bool:
    """Is a map as large as the node, or one of rows or of channels?"""
    return member.shape == node.shape or len(member.shape) < len(node.shape)
