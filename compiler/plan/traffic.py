"""Modelled bytes against the bound in which contractions touch their operands once and all else
is free.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...spec.dims import evaluate, numel
from ..ir.graph import Node
from .fuse import Fusion
from .launch import PANELS, Launch, Level, Stage
from .memory import Home
from .strips import Strip
from .values import Values

Known: TypeAlias = set[tuple[Hashable, ...]]
"""The products of which pieces were counted, and which of their values."""

CACHED = ("local", "own")
"""Spaces whose values never leave the thread that makes them."""

CACHE = 4 << 20
"""Bytes that a thread finds again in its caches: the second level and its share of the third."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of one graph at the nominal sizes: what products touch, and what the other kernels
    move; a value that never leaves its panel of rows is free for those.

    `memory`: what all of them move if a thread finds again what it touched `CACHE` bytes ago.
    `bound`: what products have to touch; pieces of one product share their weight.
    """

    products: int
    kernels: int
    memory: int
    bound: int

    def report(self, updates: Sequence[Traffic]) -> dict[str, Any]:
        """The step's traffic as plain data; the optimizer's update is reported separately."""
        total, bound = self.products + self.kernels, self.bound
        return {
            "product_bytes": self.products,
            "kernel_bytes": self.kernels,
            "update_bytes": sum(u.kernels for u in updates),
            "traffic_ratio": total / bound if bound else None,
            "memory_ratio": self.memory / bound if bound else None,
        }


def traffic(
    values: Values,
    fusion: Fusion,
    levels: Sequence[Level],
    homes: Mapping[int, Home],
    panels: Mapping[Stage, int],
    strips: Mapping[Stage, Sequence[Strip]],
) -> Traffic:
    """Count the bytes of every launch."""
    counter = _Counter(values, fusion, homes)
    for stage in (stage for level in levels for stage in level):
        counter.stage(stage, panels[stage], strips.get(stage, ()))
    return Traffic(counter.products, counter.kernels, counter.memory, counter.bound)


class _Counter:
    """Goes through the launches in their order."""

    def __init__(self, values: Values, fusion: Fusion, homes: Mapping[int, Home]) -> None:
        self.values, self.fusion, self.homes = values, fusion, homes
        self.products = self.kernels = self.memory = self.bound = 0
        self.known: Known = set()

    def stage(self, stage: Stage, panel: int, strips: Sequence[Strip]) -> None:
        """Count its launches; one finds in cache what its panel or its strip touched shortly
        before.
        """
        walked = stage.mode == PANELS and not isinstance(stage.domain, int)
        recent: dict[int, int] = {}  # bytes of a panel by value, what was touched last at the end
        runs = {launch: strip for strip in strips for launch in strip.launches}
        for launch in (x for x in stage.launches if x.finishes is None):
            touched, strip = self._touched(launch), runs.get(launch)
            if self._is_loop(launch):
                self.kernels += sum(n for i, n in touched.items() if not self._hidden(i))
            else:
                self.products += sum(touched.values())
                self.bound += self._least(launch, touched)
            for i in sorted(touched):
                size, known = touched[i], walked and i in recent
                if known and _since(recent, i) <= CACHE:
                    continue
                written = (
                    2 * size if known else 0
                )  # a panel's own value that had to leave the cache
                self.memory += written if self._hidden(i) else size
            for i in sorted(touched):
                recent.pop(i, None)
                recent[i] = self._block(launch, i, stage, panel, strip)
            if strip is not None and launch is strip.launches[-1]:
                self._leave(strip, recent, stage, panel)

    def _leave(self, strip: Strip, recent: dict[int, int], stage: Stage, panel: int) -> None:
        """After the last strip all of a panel has been touched since the first one began."""
        for launch in strip.launches:
            for i in (launch.reads | launch.writes) & recent.keys() - strip.own.keys():
                recent[i] = self._block(launch, i, stage, panel)

    def _is_loop(self, launch: Launch) -> bool:
        """Is it no product, so that the bound does without it?"""
        moments = launch.heavy is not None and self.values.graph[launch.heavy].op == "moments"
        return moments or (launch.heavy is None and launch.attention is None)

    def _least(self, launch: Launch, touched: Mapping[int, int]) -> int:
        """What a product has to touch."""
        if launch.heavy is None:
            return sum(touched.values())
        node = self.values.graph[launch.heavy]
        return product_bytes(self.values, node, self.known)

    def _hidden(self, i: int) -> bool:
        """Does a value live in the memory of one thread?"""
        return i in self.homes and self.homes[i].space in CACHED

    def _touched(self, launch: Launch) -> dict[int, int]:
        """The values that a launch reads and writes, and the bytes of each."""
        values, base = self.values, self.values.base
        if launch.attention is not None:
            return {i: values.bytes_of(i) for i in launch.reads | launch.writes}
        if launch.heavy is None:
            reads = {base(i) for i in self.fusion.reads(launch.roots)}
            taken = values.taken(launch.roots)
            found = {i: taken.get(i, values.bytes_of(i)) for i in reads}
            return found | {i: values.bytes_of(i) for i in launch.writes}
        touched = launch.reads | (launch.writes if len(launch.writes) == 1 else {launch.heavy})
        return {i: values.bytes_of(i) for i in touched}

    def _block(
        self, launch: Launch, i: int, stage: Stage, panel: int, strip: Strip | None = None
    ) -> int:
        """Bytes of a value that one panel touches, or one strip of it."""
        size = self.values.bytes_of(i)
        if stage.mode != PANELS or launch.dimension(i) is None:
            return size
        domain = max(1, evaluate(stage.domain, self.values.sizes))
        if strip is None:
            return size * panel // domain
        return size * strip.rows // (domain * strip.positions)


def product_bytes(values: Values, node: Node, known: Known) -> int:
    """The bytes of the operands and the result of a heavy node; what pieces of one product share,
    their weight or the sum they make together, counts once.  A plan without folded norms has no
    products of symmetric matrices, and neither has the bound.
    """
    total = 0
    if is_symmetric(values, node) or ("again", True) in node.attributes:
        return 0
    for slot, i in enumerate(dict.fromkeys((*map(values.base, node.operands), node.id))):
        key = (node["spec"] if node.op == "contract" else "", node.scope, node.place, slot)
        whole = isinstance(numel(values.graph[i].shape), int)
        if node.phase and whole and key in known:
            continue
        if node.phase and whole:
            known.add(key)
        total += values.bytes_of(i)
    return total


def is_symmetric(values: Values, node: Node) -> bool:
    """Does a product make x' x, or multiply with d + d', as its derivative does?"""
    graph = values.graph
    if len(node.operands) < 2:
        return False
    if node.operands[0] == node.operands[-1]:
        return True
    added = graph[node.operands[-1]]
    while added.op in ("cast", "broadcast", "squeeze"):
        added = graph[added.operands[0]]
    if added.op != "add":
        return False
    left, right = (graph[o] for o in added.operands)
    if left.op == right.op == "broadcast":
        return left.operands == right.operands and left["dims"] != right["dims"]
    sides = ((left, right), (right, left))
    return any(x.op == "transpose" and x.operands == (y.id,) for x, y in sides)


def _since(recent: Mapping[int, int], i: int) -> int:
    """Bytes from the last touch of a value on, its own among them."""
    values = list(recent)
    return sum(recent[v] for v in values[values.index(i) :])
