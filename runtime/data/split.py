"""Which samples are for training and which are held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from ..initialise import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rows = NDArray[np.int64]


def split(count: int, fraction: float, seed: int, labels: Array | None = None) -> tuple[Rows, Rows]:
    """The rows for training and for testing, both in their original order.

    `fraction` is the training part; with `labels` every class is split by itself.

    Raises: DataError when one part would be empty.
    """
    if fraction == 1:
        return np.arange(count), np.arange(0)
    random = generator(seed, "split")
    if labels is None:
        held_out = _some(np.arange(count), round(count * (1 - fraction)), random)
    else:
        classes, sizes = np.unique(labels, return_counts=True)
        shares = _shares(sizes, round(count * (1 - fraction)))
        groups = [np.flatnonzero(labels == c) for c in classes]
        pairs = zip(groups, shares, strict=True)
        held_out = np.concatenate([_some(rows, share, random) for rows, share in pairs])
    if not 0 < len(held_out) < count:
        raise DataError(
            f"split={fraction:g} of {count} samples leaves one part empty",
            hint="give more samples or another split",
        )
    mask = np.zeros(count, bool)
    mask[held_out] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def draw(count: int, wanted: int, seed: int) -> Rows:
    """So many of the rows, in their original order."""
    return np.sort(_some(np.arange(count), wanted, generator(seed, "limit")))


def _some(rows: Rows, wanted: int, random: np.random.Generator) -> Rows:
    return random.permutation(rows)[:wanted]


def _shares(sizes: NDArray[np.int64], wanted: int) -> list[int]:
    """Whole shares of the classes that add up to `wanted`: largest remainders get one more."""
    exact = sizes * (wanted / sizes.sum())
    shares = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[: wanted - int(shares.sum())]] += 1
    return [int(share) for share in shares]
