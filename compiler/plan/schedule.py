"""Launches, the stages they share, and the levels between which everybody waits.

A launch walks a *domain* (the extent of its outermost parallel axis).  Launches over one domain that
hand rows to each other one for one share a stage: a single loop over panels of rows, in which a
panel stays in cache from the first kernel to the last.  Sums over the domain are partial until the
level ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from ...spec.dims import Dim
from ..ir.graph import Graph, Node
from ..ops.products import letters
from .fuse import Fusion, Roots
from .values import Values, lowering

SMALL_SUM = 4096  # elements of a product summed over the domain that a stage may hold partially


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel: the group of `roots`, or the heavy node `heavy`.

    `along` says for every value it touches which dimension lies along the domain, or None: all of the
    value is needed (read) or summed up (written).  `letter` is the index of a contraction that runs
    along the domain.
    """

    heavy: int | None
    roots: Roots
    reads: frozenset[int]
    writes: frozenset[int]
    domain: Dim
    along: tuple[tuple[int, int | None], ...]
    summed: frozenset[int]
    letter: str = ""

    @property
    def key(self) -> int:
        return self.heavy if self.heavy is not None else min(self.roots)

    def dimension(self, value: int) -> int | None:
        return dict(self.along).get(value)


@dataclass(frozen=True, slots=True)
class Stage:
    """Launches over one domain, in order."""

    domain: Dim
    launches: tuple[Launch, ...]

    @property
    def writes(self) -> frozenset[int]:
        return frozenset().union(*(launch.writes for launch in self.launches))

    @property
    def summed(self) -> frozenset[int]:
        return frozenset().union(*(launch.summed for launch in self.launches))


Level = tuple[Stage, ...]


def product_launch(values: Values, node: Node) -> Launch:
    """A contraction walks the symbolic dimension of its result; a sum over it stays partial."""
    graph = values.graph
    texts = dict(zip(("a", "b", "c"), letters(node["spec"]), strict=True))
    ids = dict(zip(("a", "b", "c"), (*node.operands, node.id), strict=True))
    extents = {
        letter: graph[ids[side]].shape[place] for side in ids for place, letter in enumerate(texts[side])
    }
    symbolic = [letter for letter in texts["c"] if not isinstance(extents[letter], int)]
    summed = [letter for letter in extents if letter not in texts["c"] and not isinstance(extents[letter], int)]
    small = values.count(node.id) <= SMALL_SUM
    partial: frozenset[int] = frozenset()
    if symbolic:
        letter = symbolic[0]
    elif summed and small:
        letter, partial = summed[0], frozenset({node.id})
    else:
        letter = max(texts["c"], key=lambda x: _number(extents[x]), default="")
    along: dict[int, int | None] = {}
    for side, i in ids.items():
        place = texts[side].index(letter) if letter in texts[side] else None
        place = place if place is not None and values.same_axis(i, place) else None
        known = values.base(i) in along and along[values.base(i)] != place
        along[values.base(i)] = None if known else place
    reads = frozenset(values.base(o) for o in node.operands)
    return Launch(node.id, frozenset(), reads, frozenset({node.id}), extents.get(letter, 1), tuple(along.items()), partial, letter)


def _number(extent: Dim) -> int:
    return extent if isinstance(extent, int) else 0


def scatter_launch(values: Values, node: Node) -> Launch:
    """A scatter is one owner adding in order."""
    reads = frozenset(values.base(o) for o in node.operands)
    along = tuple((i, None) for i in (*reads, node.id))
    return Launch(node.id, frozenset(), reads, frozenset({node.id}), 1, along, frozenset())


def order(graph: Graph, launches: list[Launch]) -> list[Launch]:
    """Launches such that each comes after those it reads; ties by node id."""
    return list(nx.lexicographical_topological_sort(_dependencies(launches), key=lambda x: x.key))


def _dependencies(launches: list[Launch]) -> nx.DiGraph:
    maker = {value: launch for launch in launches for value in launch.writes}
    network = nx.DiGraph()
    network.add_nodes_from(launches)
    for launch in launches:
        for value in launch.reads:
            if value in maker and maker[value] is not launch:
                network.add_edge(maker[value], launch)
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


def levels(graph: Graph, launches: list[Launch]) -> list[Level]:
    """Stages between barriers: as late as possible, but sums right after what they add up."""
    network = _dependencies(launches)
    sequence = list(nx.lexicographical_topological_sort(network, key=lambda x: x.key))
    level: dict[Launch, int] = {}
    for launch in sequence:
        level[launch] = max(
            (level[m] + (not together(m, launch)) for m in network.predecessors(launch)), default=0
        )
    for launch in reversed(sequence):
        readers = list(network.successors(launch))
        if readers:
            level[launch] = min(level[r] - (not together(launch, r)) for r in readers)
    found: list[Level] = []
    for number in range(max(level.values(), default=-1) + 1):
        mine = [launch for launch in sequence if level[launch] == number]
        found.append(tuple(_stages(mine)))
    return [stages for stages in found if stages]


def _stages(launches: list[Launch]) -> list[Stage]:
    """Launches over one symbolic domain share a stage; others stand alone."""
    shared: dict[Dim, list[Launch]] = {}
    stages: list[Stage] = []
    for launch in launches:
        if isinstance(launch.domain, int):
            stages.append(Stage(launch.domain, (launch,)))
        else:
            shared.setdefault(launch.domain, []).append(launch)
    return [*(Stage(domain, tuple(members)) for domain, members in shared.items()), *stages]


def heavy_launch(values: Values, node: Node) -> Launch:
    """The launch of a heavy node."""
    return product_launch(values, node) if node.op == "contract" else scatter_launch(values, node)


def heavy_nodes(graph: Graph) -> list[Node]:
    """The live nodes with templates of their own."""
    return [node for node in graph if lowering(node) == "heavy"]
