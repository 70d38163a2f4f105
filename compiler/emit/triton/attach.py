"""Which groups ride in a product, and the order of what is left.

z = product; q reads z elementwise        -> one launch; z is stored only for other readers
s = sum of an operand of z over its depth -> rides in the product
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import networkx as nx

from ...plan.schedule import heavy_nodes
from .compose import hosted, sums_of
from .part import Machine, Part, Work


def plan_works(part: Part, machine: Machine, *, keep: bool) -> list[Work]:
    """All work of a part in order; `keep`: every product is stored."""
    works = [_heavy(part, node.id) for node in heavy_nodes(part.graph)]
    works += [_group(part, roots) for roots in part.fusion.groups]
    works = _with_sums(part, _with_epilogues(part, works, machine, keep))
    return list(nx.lexicographical_topological_sort(_network(part, works), key=lambda w: w.key))


def _heavy(part: Part, i: int) -> Work:
    reads = frozenset(part.values.base(o) for o in part.graph[i].operands)
    return Work(i, frozenset(), reads, frozenset({i}))


def _group(part: Part, roots: frozenset[int]) -> Work:
    reads = frozenset(part.values.base(i) for i in part.fusion.reads(roots))
    return Work(None, roots, reads, frozenset(part.fusion.written(roots)))


def _network(part: Part, works: Sequence[Work]) -> nx.DiGraph:
    maker = {value: work for work in works for value in work.writes}
    network = nx.DiGraph()
    network.add_nodes_from(works)
    for work in works:
        for value in work.reads:
            if value in maker and maker[value] is not work:
                network.add_edge(maker[value], work)
    for value, old in part.replaced.items():
        readers = (w for w in works if old in w.reads and w is not maker[value])
        network.add_edges_from((reader, maker[value]) for reader in readers)
    return network


def _with_epilogues(part: Part, works: list[Work], machine: Machine, keep: bool) -> list[Work]:
    """Join each product with the first group that can read it from registers."""
    network = _network(part, works)
    for contraction in [w for w in works if part.is_host(w)]:
        z = contraction.key
        readers = [w for w in network.successors(contraction) if w.heavy is None]
        for group in sorted(readers, key=lambda w: w.key):
            others = [w for w in readers + list(network.successors(contraction)) if w is not group]
            if any(nx.has_path(network, w, group) for w in others):
                continue
            kept = bool(others) or z in part.values.outputs or keep
            writes = group.writes | ({z} if kept else frozenset())
            reads = contraction.reads | (group.reads - {z})
            joined = Work(z, group.roots, reads, writes)
            if _fits(part, joined, machine):
                works = [w for w in works if w not in (contraction, group)] + [joined]
                _join(network, (contraction, group), joined)
                break
    return works


def _join(network: nx.DiGraph, parts: tuple[Work, Work], joined: Work) -> None:
    """Replace two launches by one."""
    before = {w for part in parts for w in network.predecessors(part)} - set(parts)
    after = {w for part in parts for w in network.successors(part)} - set(parts)
    network.remove_nodes_from(parts)
    network.add_node(joined)
    network.add_edges_from((w, joined) for w in before)
    network.add_edges_from((joined, w) for w in after)


def _fits(part: Part, work: Work, machine: Machine) -> bool:
    try:
        return hosted(part, work, machine) is not None
    except LookupError:
        return False


def _with_sums(part: Part, works: list[Work]) -> list[Work]:
    """Groups that only sum an operand of a product over its depth join the product."""
    for group in [w for w in works if w.heavy is None and len(w.roots) == 1]:
        root = min(group.roots)
        if part.graph[root].op != "sum" or part.values.cone(group.roots)[0] != [root]:
            continue
        network = _network(part, works)
        for contraction in [w for w in works if part.is_product(w) and not w.roots]:
            free = contraction.summed is None and group.reads <= contraction.reads
            if not free or sums_of(part, contraction.key, root) is None:
                continue
            if nx.has_path(network, group, contraction):
                continue
            writes = contraction.writes | group.writes
            joined = replace(contraction, writes=writes, summed=root)
            works = [w for w in works if w not in (contraction, group)] + [joined]
            break
    return works
