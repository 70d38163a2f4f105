"""Launches, the stages they share, and the levels between which everybody waits.

A launch walks a *domain* (the extent of its outermost parallel axis).  Launches over one domain
that hand rows to each other one for one share a stage: a single loop over panels of rows, in which
a panel stays in cache from the first kernel to the last.  Sums over the domain are partial until a
finish of their own adds them up.  What takes less time than waiting for somebody else to do it is
done by every thread for itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from ...spec.dims import Dim, evaluate, numel
from ..ir.body import of_samples
from ..ir.graph import Graph, Node
from ..ops.pools import PLACED
from ..ops.products import letters
from ..ops.scans import SCANS, alike
from .attention import Attention
from .fuse import Roots
from .layout import LANES, narrow
from .values import Values, lowering
from .windows import WEIGHTS, WINDOWED

SMALL_SUM = 4096  # elements of a product summed over the domain that a stage may hold partially
LIGHT = 1024  # elements that every thread may just as well work through for itself
WIDE = 4096  # elements that are worth sharing between threads
STRETCH = 48  # rows of a result that are worth sharing between threads
LARGE = 1 << 15  # elements of weights that are worth keeping in one thread's cache
HUGE = 1 << 17  # elements of weights that are worth a wait of all threads
SPLIT = 4  # parts of a sum over the depth of such weights
PARTS = 8  # shares of a sum over the batch; results never depend on the number of threads

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


# ---- launches ------------------------------------------------------------------------------------


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
    weight = [i for i in node.operands if graph[i].op == "input" and _literal(graph[i])]
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


def _literal(node: Node) -> bool:
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


# ---- modes ---------------------------------------------------------------------------------------


def arrange(values: Values, launches: Iterable[Launch], fixed: frozenset[int]) -> list[Launch]:
    """The launches with their modes, and the finish of every partial sum.

    `fixed` values are updated in place, so that they must be written exactly once.
    """
    found: list[Launch] = []
    known = {node.id for node in values.graph.inputs()}
    graph = values.graph
    phases = [(launch, graph[launch.made].phase) for launch in launches]
    launches = [x if x.phase == phase else replace(x, phase=phase) for x, phase in phases]
    read = frozenset().union(*(launch.reads for launch in launches))
    for launch in order(launches):
        mode = _mode(values, launch, known, fixed)
        if mode == EVERY:
            known |= launch.writes
        found.append(launch if launch.mode == mode else replace(launch, mode=mode))
        if mode == PANELS:
            sums = [_finish(values, launch, i, i in read) for i in sorted(launch.summed)]
            found += [replace(finish, phase=launch.phase) for finish in sums]
    return found


def in_order(launches: Iterable[Launch]) -> list[Launch]:
    """The launches one after the other, each as a whole: one thread does all of it."""
    return [replace(launch, mode=ONCE) for launch in order(launches)]


def work(values: Values, launch: Launch) -> int:
    """About how many elements a launch works through, at the nominal sizes."""
    if launch.heavy is not None and values.graph[launch.heavy].op == "contract":
        return -(-multiplications(values, launch.heavy) // LANES)
    if launch.attention is not None:
        products = len(launch.attention.products) + len(launch.attention.results)
        return products * values.count(launch.attention.streamed[0])
    return sum(map(values.count, launch.reads | launch.writes))


def multiplications(values: Values, i: int) -> int:
    """The scalar products in a contraction, at the nominal sizes."""
    node = values.graph[i]
    extents: dict[str, Dim] = {}
    for text, operand in zip(letters(node["spec"])[:2], node.operands, strict=True):
        extents |= zip(text, values.graph[operand].shape, strict=True)
    return math.prod(evaluate(extent, values.sizes) for extent in extents.values())


def _mode(values: Values, launch: Launch, known: set[int], fixed: frozenset[int]) -> str:
    size = work(values, launch)
    literal = all(_literal(values.graph[i]) for i in launch.writes)
    light = size <= LIGHT and literal and not launch.writes & fixed
    if not isinstance(launch.domain, int):
        ready = launch.reads <= known and launch.writes == launch.summed
        return EVERY if light and ready else PANELS
    if light:
        return EVERY
    if launch.heavy is not None and values.graph[launch.heavy].op == "scatter_add":
        return SHARED if size >= WIDE else ONCE
    return PANELS if size >= WIDE and launch.domain > 1 else ONCE


def _finish(values: Values, launch: Launch, value: int, read: bool) -> Launch:
    """The launch that adds up the parts of a sum: row by row, or at once where others wait."""
    node, made = values.graph[value], frozenset({value})
    if node.op == "contract" and not _literal(node):
        rows, along = node.shape[0], ((value, 0),)
        none: frozenset[int] = frozenset()
        return Launch(None, none, none, made, rows, along, none, "", value, PANELS)
    few = PARTS * values.count(value) <= LIGHT and _literal(node)
    mode = EVERY if few and read else SHARED
    return Launch(None, frozenset(), frozenset(), made, 1, (), frozenset(), "", value, mode)


# ---- order ---------------------------------------------------------------------------------------


def order(launches: Iterable[Launch]) -> list[Launch]:
    """Launches such that each comes after those it reads; ties by node id."""
    network = _dependencies(list(launches))
    return list(nx.lexicographical_topological_sort(network, key=lambda x: x.key))


def _dependencies(launches: Sequence[Launch]) -> nx.DiGraph:
    makers = [launch for launch in launches if launch.finishes is None]
    maker = {value: launch for launch in makers for value in launch.writes}
    adder = {launch.finishes: launch for launch in launches if launch.finishes is not None}
    network = nx.DiGraph()
    network.add_nodes_from(launches)
    for launch in launches:
        for value in launch.reads:
            if value in maker and maker[value] is not launch:
                network.add_edge(adder.get(value, maker[value]), launch)
        for value in launch.summed & adder.keys():
            network.add_edge(launch, adder[value])
    return network


def together(maker: Launch, reader: Launch) -> bool:
    """May the reader take every row right after the maker made it?"""
    if maker.domain != reader.domain or isinstance(maker.domain, int):
        return False
    for value in maker.writes & reader.reads:
        mine, theirs = maker.dimension(value), reader.dimension(value)
        if value in maker.summed or mine is None or mine != theirs:
            return False
    return True


def joined(maker: Launch, reader: Launch) -> bool:
    """Does the reader find what it needs without waiting for other threads?"""
    if maker.mode == EVERY or maker.mode == reader.mode == ONCE:
        return True
    both = maker.mode == reader.mode == PANELS
    return both and reader.finishes is None and together(maker, reader)


def levels(launches: Sequence[Launch]) -> list[Level]:
    """Stages between barriers, phase by phase."""
    phases = sorted({launch.phase for launch in launches})
    return [
        level for phase in phases for level in _levels([x for x in launches if x.phase == phase])
    ]


def _levels(launches: Sequence[Launch]) -> list[Level]:
    """The levels of one phase: as late as possible, but sums right after what they add up."""
    network = _dependencies(launches)
    sequence = list(nx.lexicographical_topological_sort(network, key=lambda x: x.key))
    level: dict[Launch, int] = {}
    for launch in sequence:
        makers = network.predecessors(launch)
        level[launch] = max((level[m] + (not joined(m, launch)) for m in makers), default=0)
    for launch in reversed(sequence):
        readers = list(network.successors(launch))
        if readers and not launch.summed and launch.finishes is None:
            level[launch] = min(level[r] - (not joined(launch, r)) for r in readers)
    found = []
    for number in range(max(level.values(), default=-1) + 1):
        found.append(tuple(_stages([launch for launch in sequence if level[launch] == number])))
    return [stages for stages in found if stages]


def _stages(launches: Sequence[Launch]) -> list[Stage]:
    """What every thread does comes first; launches over one symbolic domain share a stage."""
    stages: list[Stage] = []
    for mode in (EVERY, SHARED, ONCE):
        members = tuple(launch for launch in launches if launch.mode == mode)
        if members:
            stages.append(Stage(mode, 1, members))
    shared: dict[Dim, list[Launch]] = {}
    walked = [launch for launch in launches if launch.mode == PANELS]
    for launch in walked:
        if not isinstance(launch.domain, int):
            shared.setdefault(launch.domain, []).append(launch)
    stages += [Stage(PANELS, domain, tuple(members)) for domain, members in shared.items()]
    stages += [Stage(PANELS, x.domain, (x,)) for x in walked if isinstance(x.domain, int)]
    return stages
