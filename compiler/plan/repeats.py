"""Products of few channels are made again behind sums over the batch (on a GPU).

    m = f(a @ w, d);  s = sum m;  c = g(m, s)   ->   s = sum f(a @ w, d);  c = g(f(a @ w, d), s)

The sums are known when all of `m` has been made, so what follows them would read `m`, which is
written for that alone.  Made again it is nowhere: `c` reads `d` in its place, and `a`, which is
made of what `c` reads anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from .totals import SMALL
from .windows import CONVOLUTIONS, is_pointwise

DEEPEST = 128  # channels, whose products take less time than an access to memory


def with_repeats(graph: Graph) -> Graph:
    """The graph with such products inserted a second time."""
    found = {late: path for node in graph for late, path in _repeated(graph, node).items()}
    if not found:
        return graph
    b, new = Builder(OPS, {}), dict[int, int]()
    for node in graph:
        with b.like(node):
            path = found.get(node.id, [])
            own = new | _again(b, graph, path, new) if path else new
            new[node.id] = b.repeat(node, [own[o] for o in node.operands])
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def _again(b: Builder, graph: Graph, path: list[int], new: Mapping[int, int]) -> dict[int, int]:
    """The product at the head of a path and the maps behind it, once more."""
    made: dict[int, int] = {}
    for i in path:
        node = graph[i]
        masks = [o for o in node.operands if made and _is_mask(graph, o, i)]
        for o in masks:
            made[o] = _inserted(b, graph[o], [new[x] for x in graph[o].operands], again=True)
        operands = [made.get(o, new[o]) for o in node.operands]
        made[i] = _inserted(b, node, operands, again=not made)
    return made


def _inserted(b: Builder, node: Node, operands: list[int], *, again: bool) -> int:
    """The operation of a node; `again`: beside the value that it is."""
    more = {"again": True} if again else {}
    return b.insert(node.op, operands, node.name, **dict(node.attributes), **more)


def _is_mask(graph: Graph, i: int, reader: int) -> bool:
    """Is it a condition for one map alone?  Two would share it through memory."""
    return graph[i].dtype == "bool" and graph.users(i) == [reader]


def _repeated(graph: Graph, product: Node) -> dict[int, list[int]]:
    """The readers of a map that come after sums of it, each with the path from a product to that
    map; none where the product is not made again.
    """
    if product.op not in CONVOLUTIONS[:2] or not is_pointwise(graph, product):
        return {}
    channels = graph[product.operands[0]].shape[-1]
    if not isinstance(channels, int) or channels > DEEPEST or isinstance(product.shape[0], int):
        return {}
    path = _alone(graph, product.id)
    made = path[-1]
    sums = {s for u in graph.users(made) if (s := _sum_of(graph, u, made)) is not None}
    late = [u for u in graph.users(made) if _sum_of(graph, u, made) is None]
    if len(path) < 2 or not sums or not late or made in graph.outputs.values():
        return {}
    ends = [_alone(graph, u)[-1] for u in late]
    if any(OPS[graph[u].op].lowering != "map" for u in late):
        return {}
    below = [_leaves(graph, end, {made}) for end in ends]
    if not all(sums & leaves for leaves in below):
        return {}
    whole = [graph[i] for i in _leaves(graph, made, {product.id}) | _below(graph, product)]
    read = [n for n in whole if n.shape == product.shape and n.id != product.id]
    fresh = [n for n in read if any(n.id not in leaves for leaves in below)]
    if len(fresh) > 1 or any(_is_added(graph, n) for n in fresh):
        return {}
    return dict.fromkeys(late, path)


def _alone(graph: Graph, i: int) -> list[int]:
    """A value and the maps behind it, each the only reader of the one before."""
    path = [i]
    while len(users := graph.users(path[-1])) == 1 and path[-1] not in graph.outputs.values():
        if OPS[graph[users[0]].op].lowering != "map":
            break
        path.append(users[0])
    return path


def _sum_of(graph: Graph, user: int, made: int) -> int | None:
    """The sum of each channel of a value, or of what it is multiplied with."""
    node = graph[user]
    if node.op == "mul" and len(graph.users(user)) == 1:
        node = graph[graph.users(user)[0]]
    axes = tuple(range(len(graph[made].shape) - 1))
    return node.id if node.op == "sum" and node["axes"] == axes else None


def _leaves(graph: Graph, i: int, ends: set[int]) -> set[int]:
    """What maps and views make a value of, down to `ends`."""
    seen, stack, found = {i}, list(graph[i].operands), set[int]()
    while stack:
        o = stack.pop()
        if o in seen or graph[o].op == "constant":
            continue
        seen.add(o)
        if o in ends or OPS[graph[o].op].lowering not in ("map", "view"):
            found.add(o)
        else:
            stack.extend(graph[o].operands)
    return found


def _below(graph: Graph, product: Node) -> set[int]:
    """What the rows of a product are made of."""
    rows = product.operands[0]
    light = OPS[graph[rows].op].lowering in ("map", "view")
    return _leaves(graph, rows, set()) if light else {rows}


def _is_added(graph: Graph, node: Node) -> bool:
    """Would the value be part of a sum of products, and stored for nobody?"""
    if node.op not in CONVOLUTIONS[:2]:
        return False
    weight = graph[node.operands[1]]
    count = 1
    for extent in weight.shape:
        count *= extent if isinstance(extent, int) else 1
    return count > SMALL
