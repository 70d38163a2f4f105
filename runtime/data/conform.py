"""Whether what was read is what the data line declares: dtype, shape, finite values, labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.counted import counted
from ...spec.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

DTYPES = {"f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "bool": "bool"}
"""The dtypes that data may be declared in."""

IGNORED = -100
"""The label that losses and metrics leave out."""


def fit(name: str, array: Array, dtype: str, dims: Sequence[int | str]) -> Array:
    """The array in its declared dtype and shape, axes of length 1 added or removed.

    Raises: DataError.
    """
    if dtype not in DTYPES:
        raise DataError(f"`{name}` is declared as {dtype}, data can be {', '.join(DTYPES)}")
    if array.dtype.kind not in "fiub":
        raise DataError(f"`{name}` holds {array.dtype}, not numbers")
    if array.ndim == 0:
        raise DataError(f"`{name}` is a single number, not a row of samples")
    return _cast(name, _reshape(name, array, dims), dtype)


def check_lengths(names: Sequence[str], fields: Sequence[Array]) -> None:
    """Whether all fields have as many samples.

    Raises: DataError.
    """
    lengths = {len(field) if field.ndim else 1 for field in fields}
    if len(lengths) > 1:
        counts = ", ".join(f"{n}: {len(f)}" for n, f in zip(names, fields, strict=False) if f.ndim)
        raise DataError(f"the fields have different numbers of samples ({counts})")


def check_symbols(
    names: Sequence[str], arrays: Sequence[Array], dims: Sequence[Sequence[int | str]]
) -> None:
    """Whether every symbol stands for one length throughout the data line; B is the batch.

    Raises: DataError.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, array, shape in zip(names, arrays, dims, strict=True):
        for symbol, length in zip(shape[1:], array.shape[1:], strict=False):
            if not isinstance(symbol, str) or not symbol.isidentifier():
                continue
            before, first = lengths.setdefault(symbol, (length, name))
            if before != length:
                raise DataError(f"{symbol} is {before} in `{first}` and {length} in `{name}`")


def check_finite(name: str, array: Array, where: Callable[[int], str], gaps: bool = False) -> None:
    """Whether there is no NaN and no infinity; with `gaps` NaN is allowed.

    Raises: DataError.
    """
    if array.dtype.kind != "f":
        return
    fine = np.isfinite(array)
    if gaps:
        fine |= np.isnan(array)
    if fine.all():
        return
    position = np.unravel_index(int(np.argmin(fine)), array.shape)
    value = array[position]
    at = f", position {list(map(int, position[1:]))}" if array.ndim > 1 else ""
    count = int(array.size - np.count_nonzero(fine))
    raise DataError(
        f"`{name}` holds {value} at {where(int(position[0]))}{at} ({counted(count, 'such value')})",
        hint="leave such samples out, or mend them",
    )


def check_range(
    name: str, array: Array, bounds: Sequence[int], where: Callable[[int], str]
) -> None:
    """Whether all labels lie in [low, high), or are the ignored value `bounds[2]`, if given.

    Raises: DataError.
    """
    low, high = bounds[0], bounds[1]
    wrong = (array < low) | (array >= high)
    if len(bounds) > 2:
        wrong &= array != bounds[2]
    if not wrong.any():
        return
    position = np.unravel_index(int(np.argmax(wrong)), array.shape)
    value = array[position]
    raise DataError(
        f"`{name}` holds the label {value:g} at {where(int(position[0]))}, "
        f"outside {low} … {high - 1}",
        hint=_range_hint(array, low, high),
    )


def _range_hint(array: Array, low: int, high: int) -> str:
    classes = np.unique(array)
    if len(classes) <= high - low:
        return "number the classes from 0: categorical=[…] does it for a column of a csv file"
    return f"the network has {high - low} outputs for {len(classes)} different labels"


def _reshape(name: str, array: Array, dims: Sequence[int | str]) -> Array:
    if "..." in dims:
        return array
    have = array.shape[1:]
    if len(have) == len(dims) - 1 and _fits(have, dims[1:]):
        return array
    bare = [length for length in have if length != 1]
    wanted = [dim for dim in dims[1:] if dim != 1]
    if len(bare) == len(wanted) and _fits(bare, wanted):
        left = iter(bare)
        return array.reshape(len(array), *(1 if dim == 1 else next(left) for dim in dims[1:]))
    shown = ", ".join(["B", *map(str, have)])
    declared = ", ".join(map(str, dims))
    raise DataError(
        f"`{name}` is declared [{declared}], the data is [{shown}]",
        hint=_shape_hint(have, dims),
    )


def _fits(have: Sequence[int], dims: Sequence[int | str]) -> bool:
    return all(
        not isinstance(dim, int) or dim == length for length, dim in zip(have, dims, strict=True)
    )


def _shape_hint(have: Sequence[int], dims: Sequence[int | str]) -> str | None:
    if len(have) == len(dims) - 1 == 3 and _fits((have[2], *have[:2]), dims[1:]):
        return "channels come first here: save it as x.transpose(0, 3, 1, 2)"
    numbers = [dim for dim in dims[1:] if isinstance(dim, int)]
    if len(numbers) == len(dims) - 1 and math.prod(numbers) == math.prod(have):
        return "flat=true or flat=false chooses between rows of pixels and images"
    return f"declare [{', '.join(['B', *map(str, have)])}], and give the net that input"


def _cast(name: str, array: Array, dtype: str) -> Array:
    target = np.dtype(DTYPES[dtype])
    if array.dtype == target:
        return array
    if target.kind == "i":
        return _integers(name, array, target)
    with np.errstate(over="ignore"):
        return array.astype(target)


def _integers(name: str, array: Array, target: np.dtype[np.generic]) -> Array:
    if array.dtype.kind == "f":
        broken = np.flatnonzero(array.reshape(-1) != np.floor(array.reshape(-1)))
        if broken.size:
            value = array.reshape(-1)[broken[0]]
            raise DataError(
                f"`{name}` is declared {_code(target)} and holds {value:g}",
                hint="declare it f32 for values, or give whole numbers for classes",
            )
    limits = np.iinfo(target.name)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise DataError(f"`{name}` holds {array.max():g}, too large for {_code(target)}")
    return array.astype(target)


def _code(dtype: np.dtype[np.generic]) -> str:
    return next(code for code, known in DTYPES.items() if known == dtype.name)
