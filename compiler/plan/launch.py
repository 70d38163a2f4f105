"""What a launch of a CPU is, and what those of heavy operations walk.

A launch walks a *domain*: the extent of its outermost parallel axis.  A sum over the domain is
partial until a finish of its own adds it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...spec.dims import Dim, evaluate, numel
from ..ir.body import of_samples
from ..ir.graph import Graph, Node
from ..ops.pools import PLACED
from ..ops.products import letters
from ..ops.scans import SCANS, alike
from .attention import Attention
from .fuse import Roots
from .layout import narrow
from .values import Values, lowering
from .windows import WEIGHTS, WINDOWED

SMALL_SUM = 4096  # elements of a product summed over the domain that a stage may hold partially
STRETCH = 48  # rows of a result that are worth sharing between threads
LARGE = 1 << 15  # elements of weights that are worth keeping in one thread's cache
HUGE = 1 << 17  # elements of weights that are worth a wait of all threads
SPLIT = 4  # parts of a sum over the depth of such weights

BATCHED = (*WINDOWED, *SCANS)
"""Heavy operations that treat every sample of a batch by itself."""

WHOLE = {
    "convolve": (1,),
    "convolve_input": (1,),
}
"""Operands that every sample reads as a whole: weights."""


def whole_operands(node: Node) -> tuple[int, ...]:
    """The operands of a heavy node that every sample reads as a whole."""
    if node.op != "scan":
        return WHOLE.get(node.op, ())
    body = node["body"]
    return tuple(k for k, i in enumerate(body.fixed) if not of_samples(body.nodes[i].shape))


PANELS, ONCE, EVERY, SHARED = "panels", "once", "every", "shared"


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """One kernel: the group of `roots`, the heavy node `heavy`, an attention launch, or the finish
    of a partial sum.

    `along` says for every value it touches which dimension lies along the domain, or None: all of
    the value is needed (read) or summed up (written).  `letter` is the index of a contraction that
    runs along the domain.  `mode`: panels dealt out to the threads; once, by one thread; every
    thread for itself; shared, each thread some elements or columns.
    """

    heavy: int | None
    roots: Roots
    reads: frozenset[int]
    writes: frozenset[int]
    domain: Dim
    along: tuple[tuple[int, int | None], ...]
    summed: frozenset[int]
    letter: str = ""
    finishes: int | None = None
    mode: str = PANELS
    phase: int = 0
    attention: Attention | None = None

    @property
    def key(self) -> tuple[int, int, bool]:
        """Launches are ordered by their phase, and by what they make."""
        return self.phase, self.made, self.finishes is not None

    @property
    def made(self) -> int:
        """The value that a launch is known by."""
        if self.finishes is not None:
            return self.finishes
        if self.attention is not None:
            return self.attention.key
        return self.heavy if self.heavy is not None else min(self.roots)

    def dimension(self, value: int) -> int | None:
        return dict(self.along).get(value)


@dataclass(frozen=True, eq=False)
class Stage:
    """Launches of one mode, in order; those in panels walk one domain together."""

    mode: str
    domain: Dim
    launches: tuple[Launch, ...]

    @cached_property
    def writes(self) -> frozenset[int]:
        return frozenset().union(*(launch.writes for launch in self.launches))

    @cached_property
    def crossed(self) -> frozenset[int]:
        """Values whose rows are not those of the domain."""
        sides = (side for launch in self.launches for side in launch.along)
        return frozenset(value for value, dimension in sides if dimension != 0)

    @cached_property
    def summed(self) -> frozenset[int]:
        return frozenset().union(*(launch.summed for launch in self.launches))


Level = tuple[Stage, ...]


# ---- those of heavy operations -------------------------------------------------------------------


def product_launch(values: Values, node: Node, outermost: int) -> Launch:
    """A contraction walks the symbolic dimension of its result; a sum over it stays partial.

    Otherwise threads share the result along its longest dimension, or, if it is large, along the
    one that lies `outermost` in memory, so that each keeps a stretch of it in its cache.
    """
    graph = values.graph
    texts = dict(zip(("a", "b", "c"), letters(node["spec"]), strict=True))
    ids = dict(zip(("a", "b", "c"), (*node.operands, node.id), strict=True))
    extents = {
        letter: graph[ids[side]].shape[place]
        for side in ids
        for place, letter in enumerate(texts[side])
    }
    symbolic = [letter for letter in texts["c"] if not isinstance(extents[letter], int)]
    summed = [
        letter
        for letter in extents
        if letter not in texts["c"] and not isinstance(extents[letter], int)
    ]
    small = values.count(node.id) <= SMALL_SUM
    partial: frozenset[int] = frozenset()
    owned = _stationary(values, node, texts, extents)
    if owned:
        letter, partial = owned, frozenset() if owned in texts["c"] else frozenset({node.id})
    elif symbolic:
        letter = symbolic[0]
    elif summed and small:
        letter, partial = summed[0], frozenset({node.id})
    else:
        letter = max(texts["c"], key=lambda x: _number(extents[x]), default="")
        outer = texts["c"][outermost] if values.count(node.id) >= LARGE else letter
        stretch = max(STRETCH, _number(extents.get(letter, 0)) // 2)
        letter = outer if _number(extents.get(outer, 0)) >= stretch else letter
    along: dict[int, int | None] = {}
    for side, i in ids.items():
        place = texts[side].index(letter) if letter in texts[side] else None
        place = place if place is not None and values.same_axis(i, place) else None
        known = values.base(i) in along and along[values.base(i)] != place
        along[values.base(i)] = None if known else place
    reads = frozenset(values.base(o) for o in node.operands)
    writes = frozenset({node.id})
    domain = extents.get(letter, 1)
    return Launch(
        node.id, frozenset(), reads, writes, domain, tuple(along.items()), partial, letter
    )


def _stationary(
    values: Values, node: Node, texts: Mapping[str, str], extents: Mapping[str, Dim]
) -> str:
    """The rows of large weights in their product with a small batch, else "": they are summed
    over, or the columns of the result where the product is the adjoint of such a one.

    Its parts are shared between the threads, so that each reads, differentiates and updates the
    same rows of the weights in every step: they stay in its cache, and no other thread asks for
    them.
    """
    graph = values.graph
    weight = [i for i in node.operands if graph[i].op == "input" and is_literal(graph[i])]
    summed = [letter for letter in texts["a"] if letter in texts["b"] and letter not in texts["c"]]
    if len(weight) != 1 or len(summed) != 1 or len(texts["c"]) != 2 or texts["c"][1] in summed:
        return ""
    depth, wide = extents[summed[0]], extents[texts["c"][1]]
    batch = extents[texts["c"][0]]
    if isinstance(batch, int) or not isinstance(depth, int) or narrow(node.shape):
        return ""
    least = 2 * SPLIT * evaluate(batch, values.sizes)
    if not isinstance(wide, int) or values.count(weight[0]) < LARGE:
        return ""
    if depth >= least:
        return summed[0]
    return texts["c"][1] if wide >= least and values.count(weight[0]) >= HUGE else ""


def is_literal(node: Node) -> bool:
    """Has a value as many elements whatever the sizes are?"""
    return isinstance(numel(node.shape), int)


def _number(extent: Dim) -> int:
    return extent if isinstance(extent, int) else 0


def scatter_launch(values: Values, node: Node) -> Launch:
    """A scatter has one owner for each column, adding in order."""
    reads = frozenset(values.base(o) for o in node.operands)
    along = tuple((i, None) for i in (*reads, node.id))
    return Launch(node.id, frozenset(), reads, frozenset({node.id}), 1, along, frozenset())


def batched_launch(values: Values, node: Node) -> Launch:
    """Windows and scans are walked sample by sample; the adjoint of a convolution in the
    weight sums over the samples.
    """
    graph, weight = values.graph, node.op in WEIGHTS
    images = [values.base(o) for o in node.operands]
    along: dict[int, int | None] = dict.fromkeys(images, 0)
    along |= {images[slot]: None for slot in whole_operands(node)}
    along |= {i: None for o, i in zip(node.operands, images, strict=True) if _regrouped(values, o)}
    made = frozenset({node.id, *riding(graph, node)})
    along |= dict.fromkeys(made, None if weight else 0)
    domain = node.shape[0] if node.op == "scan" else graph[node.operands[0]].shape[0]
    summed = made if weight else frozenset()
    return Launch(
        node.id, frozenset(), frozenset(images), made, domain, tuple(along.items()), summed
    )


def _regrouped(values: Values, i: int) -> bool:
    """Does an operand lie in memory whose first axis is another one?"""
    shapes = values.graph[i].shape, values.graph[values.base(i)].shape
    return shapes[0][:1] != shapes[1][:1]


def heavy_launch(values: Values, node: Node, outermost: int = 0) -> Launch:
    """The launch of a heavy node; `outermost` is the dimension in which its result jumps
    furthest.
    """
    if node.op == "contract":
        return product_launch(values, node, outermost)
    if node.op in BATCHED:
        return batched_launch(values, node)
    return moments_launch(values, node) if node.op == "moments" else scatter_launch(values, node)


def moments_launch(values: Values, node: Node) -> Launch:
    """The moments of a batch are partial in the stage that makes it."""
    source, made = values.base(node.operands[0]), frozenset({node.id})
    domain = values.graph[node.operands[0]].shape[0]
    along = ((source, 0), (node.id, None))
    return Launch(node.id, frozenset(), frozenset({source}), made, domain, along, made)


def heavy_nodes(graph: Graph) -> list[Node]:
    """The live nodes with templates of their own, apart from those that ride in another's."""
    heavy = [node for node in graph if lowering(node) == "heavy"]
    riders: set[int] = set()
    for node in heavy:
        riders |= set() if node.id in riders else {*riding(graph, node)}
    return [node for node in heavy if node.id not in riders]


def riding(graph: Graph, node: Node) -> list[int]:
    """What the launch of a pool makes on the way, and the other results of a scan."""
    if node.op == "scan":
        others = map(graph.__getitem__, graph.users(node.operands[0]))
        return [o.id for o in others if o.id != node.id and alike(o, node)]
    rider = PLACED.get(node.op)
    if rider is None:
        return []
    users = map(graph.__getitem__, graph.users(node.id))
    wanted = rider, node.id, node.phase
    return [u.id for u in users if (u.op, u.operands[0], u.phase) == wanted]
