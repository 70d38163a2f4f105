"""Modelled bytes against the bound in which contractions touch their operands once and all else
is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .fuse import Fusion
from .memory import Home
from .schedule import Level
from .values import Values

CACHED = ("local", "own")
"""Spaces whose values never leave the cache of the thread that makes them."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of one graph at the nominal sizes: what products touch, and what the other kernels
    move.

    A value that never leaves its panel of rows is in cache when a loop kernel reads it.
    """

    products: int
    kernels: int

    def report(self, updates: Sequence[Traffic]) -> dict[str, Any]:
        """The step's traffic as plain data; the optimizer's update is reported separately."""
        total = self.products + self.kernels
        return {
            "product_bytes": self.products,
            "kernel_bytes": self.kernels,
            "update_bytes": sum(u.kernels for u in updates),
            "traffic_ratio": total / self.products if self.products else None,
        }


def traffic(
    values: Values, fusion: Fusion, levels: Sequence[Level], homes: Mapping[int, Home]
) -> Traffic:
    """Count the bytes of every launch."""
    products = kernels = 0
    for level in levels:
        for stage in level:
            for launch in stage.launches:
                if launch.finishes is not None:
                    continue
                if launch.attention is not None:
                    products += sum(map(values.bytes_of, launch.reads | launch.writes))
                elif launch.heavy is not None:
                    touched = {
                        launch.heavy,
                        *(values.base(o) for o in values.graph[launch.heavy].operands),
                    }
                    products += sum(map(values.bytes_of, touched))
                else:
                    moved = {values.base(i) for i in fusion.reads(launch.roots)} | launch.writes
                    kernels += sum(
                        values.bytes_of(i) for i in moved if homes[i].space not in CACHED
                    )
    return Traffic(products, kernels)
