"""How far apart results are, and what is said where that is too far."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from weft.compiler.artifact import Artifact
from weft.compiler.artifact import evaluate as value_of

SLIGHT = 1e-2
"""What norms behind norms of numbers that are alike make of that, at most."""


class Wrong(AssertionError):
    """What a network showed; `where` names the way through the compiler; not `plainly`: numbers
    are off by so little that it may be rounding.
    """

    def __init__(self, where: str, what: str, *, plainly: bool = True) -> None:
        super().__init__(f"{where}: {what}")
        self.where, self.plainly = where, plainly


def programs(artifact: Artifact, sizes: Mapping[str, int]) -> int:
    """How many programs of kernels a net and its gradients are."""
    return sum(
        prod(value_of(extent, sizes) for extent in launch.grid)
        for entry in artifact.entries
        if entry.kind in ("forward", "gradient")
        for launch in entry.launches
    )


def size(x: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0


def error(got: Any, want: Any, floor: float = 0.0) -> float:
    """Root mean square of the difference, relative to that of what is wanted."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return np.inf
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return np.inf
    fine = np.isfinite(want)
    return size((got - want)[fine]) / max(size(want[fine]), floor, 1e-3)


def agree(where: str, name: str, got: Any, want: Any, limit: float, floor: float = 0.0) -> None:
    found = error(got, want, floor)
    if not found <= limit:
        raise Wrong(where, f"{name} is off by {found:.1e}", plainly=not found <= SLIGHT)
