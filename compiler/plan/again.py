"""Normalisation and activation in front of a convolution: made where they are read, not stored.

    a = relu(normalise(z)):  convolve(a, w), convolve_weight(a, d)
    ->  convolve(copy_1(a), w), convolve_weight(copy_2(a), d), and nobody stores a

A copy is made in the panel of its reader and never leaves the cache.  So `z` is all that memory
holds between the forward and the backward pass, and the mask of the activation is read off `z`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...spec.dims import evaluate, numel
from ..artifact import ITEM_BYTES
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from .windows import WINDOWED

LIGHT = 32  # operations an element that take no longer than writing it and reading it back
FORWARD = ("convolve", "pool_max", "pool_sum")
"""Readers of the forward pass; their adjoints read in another stage."""


def made_again(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph in which readers of windows make what `chains` finds for themselves."""
    found = chains(graph, sizes)
    if not found:
        return graph
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    count = dict.fromkeys(found, 0)
    for node in graph:
        with b.like(node):
            operands = [new[o] for o in node.operands]
            for slot, o in enumerate(node.operands if node.op in WINDOWED else ()):
                if o in found:
                    count[o] += node.op not in FORWARD
                    number = 0 if node.op in FORWARD else count[o]
                    operands[slot] = b.insert("again", (new[o],), graph[o].name, number=number)
            new[node.id] = b.repeat(node, operands)
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def waits(graph: Graph) -> dict[int, frozenset[int]]:
    """What is made before each copy for the backward pass: what its reader reads beside it.

    Otherwise it would join that of the forward pass, since both read the same.
    """
    found = {}
    for node in graph:
        if node.op == "again" and node["number"]:
            others = {o for u in graph.users(node.id) for o in graph[u].operands}
            found[node.id] = frozenset(others - {node.id})
    return found


def chains(graph: Graph, sizes: Mapping[str, int]) -> frozenset[int]:
    """Maps that windows read in both passes and that follow quickly from one large value and from
    sums over the batch.

    Only such sums keep the readers of a map from sharing a stage with it.
    """
    outputs = frozenset(graph.outputs.values())
    windows = [node for node in graph if node.op in WINDOWED]
    forward = {o for node in windows if node.op in FORWARD for o in node.operands}
    backward = {o for node in windows if node.op not in FORWARD for o in node.operands}
    both = (forward & backward) - outputs
    stored = _stored(graph, sizes) if both else frozenset()
    return frozenset(i for i in both if _is_chain(graph, graph[i], sizes, stored))


def _stored(graph: Graph, sizes: Mapping[str, int]) -> frozenset[int]:
    """Sums along a stream of residuals, which memory holds anyway: the sweep of `Values`."""
    found: set[int] = set()
    for node in graph:
        if OPS[node.op].lowering == "map" and len(node.shape) > 1 and len(graph.users(node.id)) > 1:
            leaves = _below(graph, node, found)[1]
            if sum(_bytes(graph[i], sizes) for i in leaves) >= 2 * _bytes(node, sizes):
                found.add(node.id)
    return frozenset(found)


def _is_chain(graph: Graph, node: Node, sizes: Mapping[str, int], stored: Collection[int]) -> bool:
    if OPS[node.op].lowering != "map" or not node.shape or isinstance(node.shape[0], int):
        return False
    if any(graph[u].op not in WINDOWED and _stores(graph[u]) for u in graph.users(node.id)):
        return False
    return node.id not in stored and _follows(graph, node, sizes, stored)


def _stores(node: Node) -> bool:
    """Does a reader want its operand in memory?"""
    return OPS[node.op].lowering in ("heavy", "alias", "reindex")


def _follows(graph: Graph, node: Node, sizes: Mapping[str, int], stored: Collection[int]) -> bool:
    """Is there one large leaf, and little work from there on?"""
    members, leaves = _below(graph, node, stored)
    whole = _bytes(node, sizes)
    work = sum(OPS[graph[i].op].flops for i in members if graph[i].shape == node.shape)
    large = [i for i in leaves if _bytes(graph[i], sizes) * 16 >= whole]
    summed = any(
        OPS[graph[i].op].lowering == "fold" and isinstance(numel(graph[i].shape), int)
        for i in leaves
    )
    drawn = any(graph[i].op == "random" for i in leaves)
    joined = any(OPS[graph[i].op].lowering == "reindex" for i in large)
    fits = sum(_bytes(graph[i], sizes) for i in large) <= whole
    return summed and not drawn and not joined and work <= LIGHT and fits


def _below(graph: Graph, node: Node, stored: Collection[int]) -> tuple[set[int], set[int]]:
    """The maps and views that a value is made by, and what they start from."""
    members, leaves, stack = {node.id}, set[int](), list(node.operands)
    while stack:
        i = stack.pop()
        if i in members or graph[i].op == "constant":
            continue
        light = OPS[graph[i].op].lowering in ("map", "view") and graph[i].op != "copy"
        if light and i not in stored:
            members.add(i)
            stack.extend(graph[i].operands)
        else:
            leaves.add(i)
    return members, leaves


def _bytes(node: Node, sizes: Mapping[str, int]) -> int:
    return ITEM_BYTES[node.dtype] * evaluate(numel(node.shape), sizes)
