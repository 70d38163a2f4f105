"""Values that a kernel would read along two axes at once, where it makes them as it needs them.

    a = tanh(x), a + transpose(a)         ->  a is stored: an element of the sum needs two of a, and
    a[:, None] * tanh(a)[None, :]             a kernel makes a value at one place for each point

A value that lies in memory is read anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.graph import Graph, Node
from ..ops import OPS

Key = tuple[int, int]  # (value, dimension); a folded dimension is (-1 - reduction, dimension)


class Classes:
    """Union-find over dimensions."""

    def __init__(self) -> None:
        self.parent: dict[Key, Key] = {}

    def find(self, key: Key) -> Key:
        root = key
        while self.parent.setdefault(root, root) != root:
            root = self.parent[root]
        while self.parent[key] != root:
            self.parent[key], key = root, self.parent[key]
        return root

    def join(self, a: Key, b: Key) -> None:
        self.parent[self.find(a)] = self.find(b)


def operand_key(node: Node, slot: int, dim: int, operand: Node) -> Key | None:
    """Where dimension `dim` of an operand stands in `node`'s own dimensions (None: nowhere)."""
    if node.op == "broadcast":
        return node.id, node["dims"][dim]
    if node.op == "transpose":
        return node.id, node["order"].index(dim)
    if node.op == "squeeze":
        kept = [d for d in range(len(operand.shape)) if d not in node["axes"]]
        return (node.id, kept.index(dim)) if dim in kept else None
    lowering = OPS[node.op].lowering
    if lowering == "fold":
        if dim in node["axes"]:
            return -1 - node.id, dim
        kept = [d for d in range(len(operand.shape)) if d not in node["axes"]]
        return node.id, kept.index(dim)
    if node.op == "take":
        return (node.id, dim) if slot == 1 else None
    if lowering == "map":
        return node.id, dim
    return None


def crossings(graph: Graph, lies: Callable[[int], bool]) -> set[int]:
    """What has to be stored besides what `lies` in memory, so that no value meets itself."""
    found: set[int] = set()
    candidates = _meeting(graph, lies, found)
    while candidates:
        for chosen in candidates:  # the first that parts all others, or the last
            left = _meeting(graph, lies, found | {chosen})
            if not left:
                break
        found.add(chosen)
        candidates = left
    return found


def _meeting(graph: Graph, lies: Callable[[int], bool], found: set[int]) -> list[int]:
    """The values with several readers that take part where two axes of one value are the same axis,
    the nearest first; what was `found` lies in memory too.
    """
    classes = Classes()
    for node in graph:
        for slot, o in enumerate(node.operands):
            for d in range(0 if lies(o) or o in found else len(graph[o].shape)):
                key = operand_key(node, slot, d, graph[o])
                if key is not None:
                    classes.join((o, d), key)
    for node in graph:
        axes = [classes.find((node.id, d)) for d, extent in enumerate(node.shape) if extent != 1]
        twice = next((a for a in axes if axes.count(a) > 1), None)
        if twice is not None:
            return [
                other.id
                for other in reversed(list(graph))
                if len(graph.users(other.id)) > 1
                and not (lies(other.id) or other.id in found)
                and any(classes.find((other.id, d)) == twice for d in range(len(other.shape)))
            ]
    return []
