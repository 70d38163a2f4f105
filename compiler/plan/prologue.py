"""Maps in front of a product, a convolution or a pool that its kernel carries out on what it loads
(on a GPU).

    a = relu(normalise(z)):      convolve(a, w)  ->  convolve(z, w), with a made of each block
    s = relu(x + normalise(z)):  convolve(s, w)  ->  convolve(x, z, w), which writes s on the way
    n = layer_norm(x):           n @ w, n' @ d   ->  x @ w, x' @ d, with n made of each block
    e = back(d, z):   convolve_weight(x, e)      ->  convolve_weight(x, d, z), also where one
                                                     launch makes both adjoints of e

`a` is not stored: whoever else wants it makes it of `z`.  Of several large values only a product of
matrices makes its operand, since it loads every element once for a block of columns, and it stores
what it has made for the others.  Windows that reach over the border read zeros of `a`, not of `z`.
In front of products, maps take numbers of each row too: `n` is made of `x` and two sums of its row.
"""

from __future__ import annotations

from math import prod

from ...spec.dims import evaluate
from ..ir.graph import Node
from ..ops import OPS
from ..ops.products import letters
from .chains import Chain, chain, chain_of_rows
from .values import Ahead, Values
from .windows import geometry, is_pointwise, tiles_image

LIGHT = 32  # operations an element
ACCESS = 80  # operations that take as long as an access to memory
NEAR = 40  # and as one to what another block of columns has just loaded
COLUMNS = 128  # of a block that shares what was loaded
FEW = 16  # channels, from which on a block of them is loaded at a time
SEVERAL = 4  # programs that read the same rows of a cotangent, each for some columns
MOST = 3  # values of which a block is made
PRODUCTS = 4  # accesses that products may spend, each in operations, on what is not stored
POOLS = ("pool_max", "pool_sum", "pool_max_input")


def ahead_of(values: Values, i: int) -> Ahead | None:
    """Can the value be made where products or convolutions load it?"""
    graph, node = values.graph, values.graph[i]
    if OPS[node.op].lowering != "map" or len(node.shape) < 2:
        return None
    readers = [graph[u] for u in values.users[i]]
    stores = [u for u in readers if OPS[u.op].lowering in ("heavy", "alias", "reindex")]
    if not stores:
        return None
    if all(u.op == "contract" for u in stores):
        return _ahead_of_products(values, node, stores)
    if len(node.shape) < 3:
        return None
    found = chain(values, node)
    if found is None:
        return _ahead_of_kept(values, node, stores)
    if not found.by_channel or found.work > LIGHT or not found.large:
        return None
    source = next((x for x in found.large if graph[x].dtype == node.dtype), None)
    if source is None or any(not _lies_alike(values, x, node) for x in found.large):
        return None
    if len(found.large) == 1 and all(_takes(values, u, i) for u in stores):
        loads = sum(_loads(values, u) for u in stores)
        if found.work * loads <= 3 * ACCESS:  # one to write it, two to read it
            return Ahead(tuple(u.id for u in stores), source, written=False, moved=found.moved)
    each = _cotangent_loads(values, i, stores) if len(stores) == len(readers) else []
    if each and _gains(found, each):
        return Ahead(tuple(u.id for u in stores), source, written=False, moved=found.moved)
    writers = [u for u in stores if _writes(values, u, i, found)]
    best = min(writers, key=lambda u: (_loads(values, u), u.id), default=None)
    return None if best is None else Ahead((best.id,), source, written=True, moved=found.moved)


def _ahead_of_kept(values: Values, node: Node, readers: list[Node]) -> Ahead | None:
    """A map of one value that memory holds anyway: to make it saves writing it."""
    found = chain(values, node, waits=False)
    if found is None or not found.by_channel or len(found.large) != 1:
        return None
    source = values.graph[found.large[0]]
    alike = source.dtype == node.dtype and _lies_alike(values, source.id, node)
    if not alike or source.op == "input" or not _is_kept(values, source.id, node.id):
        return None
    if not all(_takes(values, u, node.id) for u in readers):
        return None
    work = found.work * sum(_loads(values, u) for u in readers)
    if work > ACCESS:
        return None
    ids = tuple(u.id for u in readers)
    return Ahead(ids, source.id, written=False, moved=found.moved)


def _ahead_of_products(values: Values, node: Node, readers: list[Node]) -> Ahead | None:
    """A map of one large value that memory holds anyway, for products that load rows of it."""
    loads = sum(_product_loads(values, u, node.id) for u in readers)
    if not loads or any(not _product_loads(values, u, node.id) for u in readers):
        return None
    found = chain_of_rows(values, node)
    if found is None or len(found.large) != 1 or found.work * loads > PRODUCTS * ACCESS:
        return None
    source = values.graph[found.large[0]]
    alike = source.dtype == node.dtype and _lies_alike(values, source.id, node)
    fed = source.op == "input" and all(isinstance(extent, int) for extent in source.shape)
    if not alike or fed or not _is_kept(values, source.id, node.id):
        return None
    return Ahead(tuple(u.id for u in readers), source.id, written=False, moved=found.moved)


def _product_loads(values: Values, reader: Node, i: int) -> int:
    """How often a product loads an element of a value; 0 where its rows are not those of the
    result, or what is summed, one after the other.
    """
    if reader.operands.count(i) != 1 or i not in values.stored:
        return 0
    slot = reader.operands.index(i)
    texts = letters(reader["spec"])
    mine, other, result = texts[slot], texts[1 - slot], texts[2]
    rows, channel = mine[:-1], mine[-1]
    kept = rows in result and channel in other and not set(rows) & set(other)
    summed = rows in other and channel in result and not set(rows) & set(result)
    if kept == summed or values.is_view(reader.operands[1 - slot]):
        return 0
    if (kept and channel in result) or (summed and channel in other):
        return 0
    shapes = (values.graph[o].shape for o in reader.operands)
    count = {
        letter: evaluate(extent, values.sizes)
        for text, shape in zip(texts[:2], shapes, strict=True)
        for letter, extent in zip(text, shape, strict=True)
    }
    across = prod(count[x] for x in other if x not in mine)
    if min(prod(count[x] for x in rows), count[channel], across) < FEW:
        return 0
    return -(-across // COLUMNS)


def _is_kept(values: Values, source: int, i: int) -> bool:
    """Does somebody read the source in memory who does not read it for the sake of the map?"""
    graph = values.graph
    if graph[source].op == "input" or source in values.outputs:
        return True
    seen, stack = {i}, [source]
    while stack:
        for u in values.users[stack.pop()]:
            if u in seen:
                continue
            seen.add(u)
            passing = OPS[graph[u].op].lowering in ("map", "view", "fold")
            if not passing or u in values.outputs:
                return True
            whole = values.bytes_of(u) >= values.bytes_of(source)
            if whole and u in values.stored:
                return True
            stack.append(u)
    return False


def _lies_alike(values: Values, i: int, node: Node) -> bool:
    """Does a value lie in memory as the map would?"""
    return values.graph[i].shape == node.shape and values.base(i) == i


def _takes(values: Values, reader: Node, i: int) -> bool:
    """Is the reader a pool, or a convolution whose kernels load blocks of channels?"""
    if reader.op in POOLS:
        adjoint = reader.op == "pool_max_input"
        whole = not adjoint or not tiles_image(geometry(values.graph, reader))
        return whole and reader.operands[0] == i and i not in reader.operands[1:]
    if reader.op not in ("convolve", "convolve_weight") or reader.operands[0] != i:
        return False
    squared = reader.op == "convolve_weight" and is_pointwise(values.graph, reader)
    return (squared or reader.operands[1] != i) and _in_blocks(values, reader)


def _in_blocks(values: Values, reader: Node) -> bool:
    g = geometry(values.graph, reader)
    whole = g.groups == 1 and g.outputs > 1
    return whole and g.channels >= FEW and (g.channels % FEW == 0 or g.channels >= 2 * FEW)


def _cotangent_loads(values: Values, i: int, readers: list[Node]) -> list[int]:
    """How often each launch that reads a cotangent loads its elements; none where one of them
    cannot make it.
    """
    weights = [u for u in readers if _takes_cotangent(values, u, i)]
    if len(weights) == len(readers):
        return [_column_blocks(values, u) for u in weights]
    others = [u for u in readers if u not in weights]
    if len(weights) != 1 or len(others) != 1:
        return []
    several = _as_one(values, others[0], weights[0])
    return [several] if several and others[0].operands[0] == i else []


def _takes_cotangent(values: Values, reader: Node, i: int) -> bool:
    """Is the reader the adjoint in a weight, whose kernel loads blocks of channels of it?"""
    if reader.op != "convolve_weight" or reader.operands[1] != i or reader.operands[0] == i:
        return False
    g = geometry(values.graph, reader)
    return g.groups == 1 and g.outputs >= FEW


def _as_one(values: Values, reader: Node, weight: Node) -> int:
    """How many programs of a launch that makes both adjoints read the same rows; 0 where there is
    no such launch.
    """
    pointwise = reader.op == "convolve_input" and is_pointwise(values.graph, reader)
    if not pointwise or not _is_weight(values, reader.operands[1]):
        return 0
    g = geometry(values.graph, weight)
    across = columns_kept(g.outputs, g.channels, values.kept)
    return g.channels // across if across else 0


def columns_kept(depth: int, columns: int, kept: int) -> int:
    """The columns of a gradient of depth x columns that a program keeps, of `kept` elements at
    most; 0 where more than a few programs would have to share the same rows.
    """
    fits = (c for c in (COLUMNS, 64, 32, 16) if columns % c == 0 and depth * c <= kept)
    found = next(fits, 0)
    return found if found and columns <= SEVERAL * found else 0


def _gains(found: Chain, loads: list[int]) -> bool:
    """Does it save more to make cotangents in front of all readers than it costs?"""
    large = len(found.large)
    saved = large + 1 + len(loads) - large * len(loads)  # accesses: read, write, and read again
    near = (large - 1) * sum(n - 1 for n in loads)
    return large <= MOST and found.work * (sum(loads) - 1) + NEAR * near <= ACCESS * saved


def _column_blocks(values: Values, reader: Node) -> int:
    """How often the adjoint in a weight loads an element of the cotangent."""
    g = geometry(values.graph, reader)
    taps = g.kernel[0] * g.kernel[1] * g.kernel[2]
    few = g.channels % FEW != 0 and g.channels < 2 * FEW
    return -(-taps * g.channels // COLUMNS) if few else taps * -(-g.channels // COLUMNS)


def _writes(values: Values, reader: Node, i: int, found: Chain) -> bool:
    """Is the reader a product that gains by making its operand, and storing it on the way?"""
    graph, loads = values.graph, 0
    if reader.op not in ("convolve", "convolve_input") or reader.operands[0] != i:
        return False
    alone = is_pointwise(graph, reader) and _is_weight(values, reader.operands[1])
    if not alone or not _in_blocks(values, reader) or len(found.large) > MOST:
        return False
    loads = _loads(values, reader)
    near = len(found.large) * loads - (len(found.large) + loads)  # more than if it were stored
    same_phase = reader.phase == graph[i].phase
    return same_phase and found.work * loads + NEAR * near <= ACCESS + found.work


def _is_weight(values: Values, i: int) -> bool:
    """Is an operand known before the graph begins, but for its type and order?"""
    node = values.graph[i]
    while node.op in ("cast", "transpose", "slice", "copy"):
        node = values.graph[node.operands[0]]
    return node.op == "input"


def _loads(values: Values, reader: Node) -> int:
    """How often an element is loaded."""
    g = geometry(values.graph, reader)
    taps = g.kernel[0] * g.kernel[1] * g.kernel[2]
    windows = max(1, taps // (g.stride[0] * g.stride[1] * g.stride[2]))
    return windows if reader.op in POOLS else windows * -(-g.outputs // COLUMNS)
