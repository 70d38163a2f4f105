"""Modelled bytes against the bound in which contractions touch their operands once and all else
is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...spec.dims import evaluate
from .fuse import Fusion
from .memory import Home
from .schedule import PANELS, Launch, Level, Stage
from .values import Values

CACHED = ("local", "own")
"""Spaces whose values never leave the thread that makes them."""

CACHE = 4 << 20
"""Bytes that a thread finds again in its caches: the second level and its share of the third."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of one graph at the nominal sizes.

    `bound`: every product touches its operands and its result once.  `products` and `kernels`: what
    products and the other launches move between memory and caches.
    """

    bound: int
    products: int
    kernels: int

    def report(self, updates: Sequence[Traffic]) -> dict[str, Any]:
        """The step's traffic as plain data; the optimizer's update is reported separately."""
        total = self.products + self.kernels
        return {
            "product_bytes": self.products,
            "kernel_bytes": self.kernels,
            "update_bytes": sum(u.kernels for u in updates),
            "traffic_ratio": total / self.bound if self.bound else None,
        }


def traffic(
    values: Values,
    fusion: Fusion,
    levels: Sequence[Level],
    homes: Mapping[int, Home],
    panels: Mapping[Stage, int],
) -> Traffic:
    """Count the bytes of every launch."""
    counter = _Counter(values, fusion, homes)
    for stage in (stage for level in levels for stage in level):
        counter.stage(stage, panels[stage])
    return Traffic(counter.bound, counter.products, counter.kernels)


class _Counter:
    """Goes through the launches in their order."""

    def __init__(self, values: Values, fusion: Fusion, homes: Mapping[int, Home]) -> None:
        self.values, self.fusion, self.homes = values, fusion, homes
        self.bound = self.products = self.kernels = 0

    def stage(self, stage: Stage, panel: int) -> None:
        """In a panel a launch finds in cache what was touched shortly before; without panels it
        finds nothing but what its thread made for itself.
        """
        walked = stage.mode == PANELS and not isinstance(stage.domain, int)
        recent: dict[int, int] = {}  # bytes of a panel by value, what was touched last at the end
        for launch in (x for x in stage.launches if x.finishes is None):
            reads, writes = self._touched(launch)
            moved = 0
            for i in sorted(reads | writes):
                home = self.homes.get(i)
                size, hidden = self.values.bytes_of(i), home is not None and home.space in CACHED
                if walked and i in recent and _since(recent, i) <= CACHE:
                    continue
                evicted = walked and hidden and i in recent
                moved += 2 * size if evicted else 0 if hidden else size
            for i in sorted(reads | writes):
                recent.pop(i, None)
                recent[i] = self._block(launch, i, stage, panel)
            if launch.heavy is None and launch.attention is None:
                self.kernels += moved
            else:
                self.bound += sum(map(self.values.bytes_of, reads | writes))
                self.products += moved

    def _touched(self, launch: Launch) -> tuple[set[int], set[int]]:
        base = self.values.base
        if launch.attention is not None:
            return set(launch.reads), set(launch.writes)
        if launch.heavy is None:
            return {base(i) for i in self.fusion.reads(launch.roots)}, set(launch.writes)
        return {base(o) for o in self.values.graph[launch.heavy].operands}, {launch.heavy}

    def _block(self, launch: Launch, i: int, stage: Stage, panel: int) -> int:
        """Bytes of a value that one panel touches."""
        size = self.values.bytes_of(i)
        if stage.mode != PANELS or launch.dimension(i) is None:
            return size
        return size * panel // max(1, evaluate(stage.domain, self.values.sizes))


def _since(recent: Mapping[int, int], i: int) -> int:
    """Bytes from the last touch of a value on, its own among them."""
    values = list(recent)
    return sum(recent[v] for v in values[values.index(i) :])
