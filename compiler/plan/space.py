"""The iteration space of a kernel: axes found by unifying the dimensions of all its values.

Dimensions are joined along maps, broadcasts, transpositions and reductions inside the kernel.
Axes that are folded inside it are the *columns*; the others are the *rows*, walked in parallel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...spec.dims import Dim, bounds, evaluate
from ..ir.graph import Node
from .attention import Attention
from .crossings import Classes, Key, operand_key
from .values import Values, lowering

ALONE = 4096  # points that one thread folds faster than several agree on


class Refused(Exception):
    """Two sets of roots cannot share an iteration space."""


@dataclass(frozen=True, slots=True)
class Space:
    """Rows and columns, outermost first, as axis classes; `axis[value, dimension]` finds the class.

    An axis of extent 1 is no axis: its class is None.
    """

    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    extents: dict[Key, Dim]
    axis: dict[Key, Key | None]

    def of(self, node: Node) -> tuple[Key | None, ...]:
        """The axis of every dimension of a member."""
        return tuple(self.axis[node.id, d] for d in range(len(node.shape)))

    def folded(self, node: Node) -> tuple[Key, ...]:
        """The axes a reduction folds."""
        found = (self.axis[-1 - node.id, d] for d in node["axes"])
        return tuple(a for a in found if a is not None)


def space(values: Values, roots: Iterable[int]) -> Space:
    """The common iteration space of the kernel that makes `roots`.

    Raises: Refused when there is none.
    """
    roots = frozenset(roots)
    if roots not in values.spaces:
        values.spaces[roots] = _by_form(values, roots)
    found = values.spaces[roots]
    if isinstance(found, str):
        raise Refused(found)
    assert isinstance(found, Space)
    return found


def _by_form(values: Values, roots: frozenset[int]) -> Space | str:
    """What was found for roots of this form, with the values at hand; or why there is none."""
    form = values.form(values.cone(roots)[0], named=False)
    ranks = form.ranks()
    key = form.key, tuple(sorted(ranks[r] for r in roots))
    known = values.plans.spaces
    found: Space | str | None = known.get(key)
    if found is None:
        found = _found_or_refused(values, roots)
        known[key] = found if isinstance(found, str) else _renumbered(found, ranks)
        return found
    return found if isinstance(found, str) else _renumbered(found, form.ids)


def _renumbered(found: Space, new: Mapping[int, int] | Sequence[int]) -> Space:
    """The space with other numbers for the values."""

    def key(old: Key) -> Key:
        i, dim = old
        return (new[i] if i >= 0 else -1 - new[-1 - i]), dim

    return Space(
        tuple(map(key, found.rows)),
        tuple(map(key, found.columns)),
        {key(k): extent for k, extent in found.extents.items()},
        {key(k): None if axis is None else key(axis) for k, axis in found.axis.items()},
    )


def channel_sums(values: Values, roots: frozenset[int]) -> list[int]:
    """The folds of a kernel over all its columns whose results lie along the innermost axis."""
    found, graph = space(values, roots), values.graph
    sums = []
    for fold in (graph[r] for r in sorted(roots) if lowering(graph[r]) == "fold"):
        inner = found.axis.get((fold.id, len(fold.shape) - 1))
        last = len(graph[fold.operands[0]].shape) - 1
        whole = set(found.folded(fold)) == set(found.columns)
        if inner in found.rows and whole and last not in fold["axes"]:
            sums.append(fold.id)
    return sums


def _found_or_refused(values: Values, roots: frozenset[int]) -> Space | str:
    """A leaf is read once, along the same axes by all its readers, unless they cross."""
    try:
        return _space(values, roots, read_once=True)
    except Refused:
        pass
    try:
        return _space(values, roots, read_once=False)
    except Refused as refused:
        return str(refused)


def _space(values: Values, roots: frozenset[int], *, read_once: bool) -> Space:
    members, _ = values.cone(roots)
    classes, extents = _unified(values, members, read_once=read_once)
    _join_siblings(values, members, roots, classes, extents)
    axis = {key: None if extent == 1 else classes.find(key) for key, extent in extents.items()}
    _no_meeting(values, members, axis)
    size = {found: extents[key] for key, found in axis.items() if found is not None}
    return _split(values, members, roots, axis, size)


def _unified(
    values: Values, members: list[int], *, read_once: bool
) -> tuple[Classes, dict[Key, Dim]]:
    """The dimensions that members share along dataflow, and the extent of each."""
    nodes, inside = values.graph.nodes, set(members)
    classes = Classes()
    extents: dict[Key, Dim] = {}
    for i in members:
        node = nodes[i]
        for d, extent in enumerate(node.type.shape):
            extents[i, d] = extent
        for o, keys in zip(node.operands, _operand_keys(values, node), strict=True):
            linked = o in inside or (read_once and nodes[o].op != "constant")
            for d, key in enumerate(keys):
                if key is None:
                    continue
                if key[0] < 0:
                    extents[key] = nodes[o].shape[d]
                if linked:
                    classes.join((o, d), key)
    return classes, extents


def _operand_keys(values: Values, node: Node) -> list[list[Key | None]]:
    """Where each dimension of each operand stands; nodes are looked at for many kernels."""
    found = values.keys.get(node.id)
    if found is None:
        operands = [values.graph[o] for o in node.operands]
        found = values.keys[node.id] = [
            [operand_key(node, slot, d, operand) for d in range(len(operand.shape))]
            for slot, operand in enumerate(operands)
        ]
    return found


def streamed_space(values: Values, launch: Attention) -> Space:
    """The space of what an attention launch streams: what it owns as rows, what it walks as
    columns; further axes are told apart by programs or repeated.
    """
    members = [i for i in values.cone_of(launch)[0] if i not in launch.results]
    classes, extents = _unified(values, members, read_once=False)
    first, *rest = launch.streamed
    for i in rest:
        for d in range(len(values.graph[i].shape)):
            classes.join((i, d), (first, d))
    axis = {key: None if extent == 1 else classes.find(key) for key, extent in extents.items()}
    _no_meeting(values, members, axis)
    size = {found: extents[key] for key, found in axis.items() if found is not None}
    owned, walked = axis[first, launch.owned], axis[first, launch.walked]
    assert owned is not None and walked is not None
    return Space((owned,), (walked,), size, axis)


def _join_siblings(
    values: Values,
    members: list[int],
    roots: frozenset[int],
    classes: Classes,
    extents: dict[Key, Dim],
) -> None:
    """Axes that no dataflow links are the same where their extents agree, from the left; nobody
    walks an axis that the widest does not have, or all others would be made once for each place
    along it.
    """
    widest: list[Key] = []
    for root in sorted(roots, key=lambda r: (-_full_rank(values, r), r)):
        mine = [k for k in _full_keys(values, root) if extents[k] != 1]
        if not widest:
            widest = mine
            continue
        own, common = {classes.find(k) for k in mine}, {classes.find(k) for k in widest}
        free = [k for k in widest if classes.find(k) not in own]
        for key in (k for k in mine if classes.find(k) not in common):
            match = next((k for k in free if extents[k] == extents[key]), None)
            if match is None:
                raise Refused("siblings of different extents")
            free.remove(match)
            classes.join(key, match)
    if any(_may_be_empty(extents[k]) for k in widest):
        _no_bystanders(values, roots, widest, classes, extents)


def _no_bystanders(
    values: Values,
    roots: frozenset[int],
    widest: list[Key],
    classes: Classes,
    extents: dict[Key, Dim],
) -> None:
    """A value beside an axis that may be empty walks it, or nobody might make it."""
    hollow = {classes.find(k) for k in widest if _may_be_empty(extents[k])}
    for root in roots:
        if not hollow <= {classes.find(k) for k in _full_keys(values, root)}:
            raise Refused("an axis that may be empty, and a value that does not walk it")


def _may_be_empty(extent: Dim) -> bool:
    """Such as T - 1, but not H//2: what has no pixels left is no image."""
    if isinstance(extent, int):
        return extent == 0
    low = bounds(extent)[0]
    return any(c < 0 for _, c in extent.terms) and (low is None or low < 1)


def _full_keys(values: Values, root: int) -> list[Key]:
    """The dimensions a root walks: its own, and those it folds."""
    node = values.graph[root]
    if lowering(node) != "fold":
        return [(root, d) for d in range(len(node.shape))]
    return [k for k in _operand_keys(values, node)[0] if k is not None]


def _full_rank(values: Values, root: int) -> int:
    return len(_full_keys(values, root))


def _no_meeting(values: Values, members: list[int], axis: dict[Key, Key | None]) -> None:
    for i in members:
        found = [a for d in range(len(values.graph[i].shape)) if (a := axis[i, d]) is not None]
        if len(set(found)) < len(found):
            raise Refused("two dimensions of one value meet")


def _split(
    values: Values,
    members: list[int],
    roots: frozenset[int],
    axis: dict[Key, Key | None],
    size: dict[Key, Dim],
) -> Space:
    """Tell rows from columns."""
    graph, inside = values.graph, set(members)
    whole = frozenset(size)
    inner: set[frozenset[Key]] = set()
    sums: list[tuple[Node, frozenset[Key]]] = []
    for i in members:
        node = graph[i]
        if lowering(node) != "fold":
            continue
        folded = frozenset(a for d in node["axes"] if (a := axis[-1 - i, d]) is not None)
        read_inside = any(user in inside for user in values.users[i])
        if read_inside or node.op != "sum":
            inner.add(folded)
        else:
            sums.append((node, folded))
    inner.discard(frozenset())
    order = _memory_order(values, members, axis)
    if len(inner) > 1:
        raise Refused("reductions along different axes feed the kernel")
    if inner:
        columns = next(iter(inner))
        crowded = columns == whole and len(roots) > 1
        if crowded and (_spreads(values, members, axis, whole) or _extent(values, size) > ALONE):
            raise Refused("no parallel axis left")
    elif sums and len(whole) > 1:
        columns = _columns_of_sums(sums, order, whole)
    else:
        columns = frozenset(order[-1:]) if len(whole) > 1 else frozenset()
    for node, folded in sums:
        if folded and folded not in (columns, whole - columns, whole):
            raise Refused("a sum over part of the rows")
        kept = {a for d in range(len(node.shape)) if (a := axis[node.id, d]) is not None}
        if folded and folded != columns and kept and kept != columns:
            raise Refused("a sum over the rows of what several columns repeat")
    rows = tuple(a for a in order if a not in columns)
    return Space(rows, tuple(a for a in order if a in columns), size, axis)


def _extent(values: Values, size: dict[Key, Dim]) -> int:
    """Points of an iteration space, at the nominal sizes."""
    total = 1
    for extent in size.values():
        total *= evaluate(extent, values.sizes)
    return total


def _spreads(
    values: Values, members: list[int], axis: dict[Key, Key | None], whole: frozenset[Key]
) -> bool:
    """Does a member that walks every axis depend on a fold over all of them?"""
    tainted: set[int] = set()
    for i in members:
        node = values.graph[i]
        if lowering(node) == "fold" and all(
            d in node["axes"] for d in range(len(values.graph[node.operands[0]].shape))
        ):
            tainted.add(i)
        elif any(o in tainted for o in node.operands):
            tainted.add(i)
            if any(axis[i, d] is not None for d in range(len(node.shape))):
                return True
    return False


def _columns_of_sums(
    sums: list[tuple[Node, frozenset[Key]]], order: list[Key], whole: frozenset[Key]
) -> frozenset[Key]:
    """Fold along columns when the innermost axis is summed, else gather over rows."""
    partial = [folded for _, folded in sums if folded and folded != whole]
    if not partial:
        return frozenset(order[-1:])
    return partial[0] if order[-1] in partial[0] else whole - partial[0]


def _memory_order(values: Values, members: list[int], axis: dict[Key, Key | None]) -> list[Key]:
    """All axes, outermost first, as the largest values lie in memory."""
    graph = values.graph
    ranked: list[tuple[int, int, list[Key]]] = []
    for i in members:
        node = graph[i]
        own = [axis[i, d] for d in range(len(node.shape))]
        ranked.append((-len([a for a in own if a]), i, [a for a in own if a is not None]))
        if lowering(node) == "fold":
            keys = _operand_keys(values, node)[0]
            wide = [a for k in keys if k is not None and (a := axis[k]) is not None]
            ranked.append((-len(wide), i, wide))
    ranked.sort()
    order: list[Key] = []
    for _, _, axes in ranked:
        for position, a in enumerate(axes):
            if a not in order:
                before = [order.index(x) for x in axes[position + 1 :] if x in order]
                order.insert(min(before), a) if before else order.append(a)
    return order
