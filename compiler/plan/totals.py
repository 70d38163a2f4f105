"""Products that are only added to each other become one: its sum runs over all of their depths
(on a GPU).

    d = dq @ wq + dk @ wk + dv @ wv  ->  one launch with three loops, which writes d alone
    y = convolve(a, v) + convolve(b, w)  ->  the same, for convolutions of single elements
    d_t = x + scatter_add(i, d)      ->  one launch, which adds rows to those of x
"""

from __future__ import annotations

from ...spec.dims import evaluate
from ..ir.graph import Node
from .layout import row_major
from .product import Product, pointwise, product_of
from .values import Values
from .windows import CONVOLUTIONS, is_pointwise

LEAST = 16  # rows, columns and depth of a product that has a loop over blocks
SMALL = 1 << 14  # elements of a weight both adjoints of which are one launch


def totals(values: Values) -> dict[int, tuple[int, ...]]:
    """The products that each sum of products adds, the first of them with the loop that leads."""
    found, inner = dict[int, tuple[int, ...]](), set[int]()
    for node in reversed(list(values.graph)):
        if node.op != "add" or node.id in values.outputs:
            continue
        if _is_inner(values, node) and values.users[node.id][0] in found.keys() | inner:
            inner.add(node.id)
            continue
        terms = _terms(values, node)
        if len(terms) > 1 and _alike(values, terms):
            found[node.id] = tuple(sorted(terms))
    return found


def onto(values: Values) -> dict[int, tuple[int, int]]:
    """What is scattered onto rows of another value: their sum, and that value, by the scatter."""
    graph, found = values.graph, dict[int, tuple[int, int]]()
    for node in graph:
        if node.op != "add" or node.dtype != "f32" or len(node.shape) != 2:
            continue
        for s, x in (node.operands, node.operands[::-1]):
            alone = graph[s].op == "scatter_add" and values.users[s] == [node.id]
            real = graph[x].shape == node.shape and graph[x].op != "scatter_add"
            if alone and real and s not in values.outputs and graph[s].phase == node.phase:
                found[s] = node.id, x
    return found


def _is_inner(values: Values, node: Node) -> bool:
    """Is a sum read by one other sum only, and not wanted itself?"""
    users = values.users[node.id]
    alone = len(users) == 1 and values.graph[users[0]].op == "add"
    return alone and node.id not in values.outputs and node.id not in values.stored


def _terms(values: Values, node: Node) -> list[int]:
    """The products that a sum adds; none if it adds something else, too."""
    graph, found, stack = values.graph, list[int](), list(node.operands)
    while stack:
        term = graph[stack.pop()]
        if term.op == "add" and term.phase == node.phase and _is_inner(values, term):
            stack.extend(term.operands)
            continue
        product = term.op == "contract" or _is_pointwise(values, term)
        alone = product and len(values.users[term.id]) == 1
        if not alone or term.phase != node.phase or term.id in values.outputs:
            return []
        found.append(term.id)
    return found if len(set(found)) == len(found) else []


def _is_pointwise(values: Values, term: Node) -> bool:
    """Is it a convolution of single elements whose launch has no better use?

    With a small weight that may make the adjoint in it, too.
    """
    graph = values.graph
    if term.op not in CONVOLUTIONS[:2] or not is_pointwise(graph, term):
        return False
    d, weight = term.operands
    beside = [graph[u].operands for u in values.users[d] if graph[u].op == "convolve_weight"]
    return values.count(weight) > SMALL or not any(x != d == y for x, y in beside)


def _alike(values: Values, terms: list[int]) -> bool:
    """Do the products have the same rows and columns, and no block that somebody stores?"""
    graph = values.graph
    operands = [(i, o) for i in terms for o in graph[i].operands]
    if not all(_is_loaded(values, graph[i], o) for i, o in operands):
        return False
    if len({graph[o].dtype for _, o in operands}) != 1 or len({graph[i].type for i in terms}) != 1:
        return False
    products = [_product(values, graph[i]) for i in terms]
    first = products[0]
    return all(
        not p.outer
        and (p.m.extent, p.m.c, p.n.extent, p.n.c) == (first.m.extent, first.m.c, first.n.extent, 1)
        and _is_large(values, p)
        for p in products
    )


def _is_loaded(values: Values, term: Node, i: int) -> bool:
    """Does a product load an operand as it lies, or make it of what it loads, for itself alone?"""
    if term.op == "contract":
        return not values.is_view(i) and i not in values.ahead
    if i == term.operands[1]:
        return i not in values.ahead
    ahead = values.ahead.get(i)
    made = ahead is None or (term.id in ahead.readers and not ahead.written)
    return made and not values.is_view(i)


def _product(values: Values, node: Node) -> Product:
    read = product_of if node.op == "contract" else pointwise
    return read(values.graph, node, lambda o: row_major(values.graph[o].shape))


def _is_large(values: Values, p: Product) -> bool:
    """Are there blocks along each of its loops?"""
    return min(evaluate(i.extent, values.sizes) for i in (p.m, p.n, p.k)) >= LEAST
