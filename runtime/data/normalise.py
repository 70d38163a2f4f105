"""Scaling of fields by what the training part looks like; the numbers go into the checkpoint.

Shapes: a field [N] has one shift and scale, [N, C] and [N, C, ...] one for each of C.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Array = NDArray[Any]

CHUNK = 1 << 16
"""Rows scaled at a time, so that float64 copies stay small."""


def measure(name: str, array: Array, kind: str) -> dict[str, Any]:
    """Shift and scale of a field.

    (x - shift) / scale has mean 0 and deviation 1 (standard), or runs from 0 to 1 (minmax).  A
    channel that never changes keeps scale 1.

    Raises: DataError for a field of integers.
    """
    if array.dtype.kind != "f":
        raise DataError(f"`{name}` holds integers, which cannot be normalised")
    axes = (0, *range(2, array.ndim))
    if kind == "standard":
        shift = np.mean(array, axis=axes, dtype=np.float64)
        scale = np.std(array, axis=axes, dtype=np.float64)
    else:
        shift = np.min(array, axis=axes).astype(np.float64)
        scale = np.max(array, axis=axes).astype(np.float64) - shift
    level = np.maximum(np.abs(shift), 1e-30)
    scale = np.where(scale > 1e-7 * level, scale, 1.0)
    return {"kind": kind, "shift": _plain(shift), "scale": _plain(scale)}


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Shift and scale as the settings `mean` and `std` say."""
    return {"kind": "given", "shift": _plain(settings["mean"]), "scale": _plain(settings["std"])}


def of_counts(counts: Array, values: Array, kind: str) -> dict[str, Any]:
    """Shift and scale of channels that hold every one of the `values` so many times.

    Shapes: `counts` [C, V], `values` [V].
    """
    if kind == "standard":
        total = counts.sum(axis=1)
        shift = counts @ values / total
        scale = np.sqrt((counts * (values - shift[:, None]) ** 2).sum(axis=1) / total)
    else:
        shift = np.array([values[count > 0].min() for count in counts])
        scale = np.array([values[count > 0].max() for count in counts]) - shift
    scale = np.where(scale > 1e-7 * np.maximum(np.abs(shift), 1e-30), scale, 1.0)
    return {"kind": kind, "shift": _plain(shift), "scale": _plain(scale)}


def apply(array: Array, numbers: Mapping[str, Any]) -> Array:
    """The scaled field."""
    shift, scale = _broadcast(array, numbers)
    scaled = np.empty_like(array)
    for begin in range(0, len(array), CHUNK):
        rows = slice(begin, begin + CHUNK)
        scaled[rows] = (array[rows].astype(np.float64) - shift) / scale
    return scaled


def undo(array: Array, numbers: Mapping[str, Any]) -> Array:
    """The field in its own units again."""
    shift, scale = _broadcast(array, numbers)
    return (array.astype(np.float64) * scale + shift).astype(array.dtype)


def means(array: Array) -> list[float]:
    """The mean of every column, missing values left out."""
    counts = np.count_nonzero(~np.isnan(array.astype(np.float64)), axis=0)
    sums = np.nansum(array, axis=0, dtype=np.float64)
    return [float(value) for value in sums / np.maximum(counts, 1)]


def fill(array: Array, values: list[float]) -> Array:
    """The field with its missing values filled in by column."""
    return np.where(np.isnan(array.astype(np.float64)), np.array(values), array).astype(array.dtype)


def _broadcast(array: Array, numbers: Mapping[str, Any]) -> tuple[Floats, Floats]:
    shift = np.asarray(numbers["shift"], np.float64)
    scale = np.asarray(numbers["scale"], np.float64)
    tail = (1,) * (array.ndim - 2) if shift.ndim else ()
    return shift.reshape((*shift.shape, *tail)), scale.reshape((*scale.shape, *tail))


def _plain(values: Any) -> Any:
    return np.asarray(values, np.float64).tolist()
