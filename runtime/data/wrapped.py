"""Arrays that are to be varied in training: the first field becomes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .conform import check_finite, check_lengths
from .pictures import Stored, stored
from .raw import Raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def wrapped(raw: Raw, names: Sequence[str], blank: float) -> Raw:
    """The first field as pictures, with the fields after it that have its height and width.

    `blank` is the value of black.

    Raises: DataError when the first field holds no pictures.
    """
    bound = raw.fields[: len(names)]
    for part in (bound, raw.test or ()):
        check_lengths(names, part[: len(names)])
    first = bound[0]
    if first.ndim != 4 or first.dtype.kind not in "fu":
        shape = ", ".join(map(str, first.shape[1:]))
        raise DataError(
            f"`{names[0]}` is [B, {shape}] of {first.dtype}, which cannot be varied as pictures",
            hint="pictures are numbers [B, channels, height, width]",
        )
    same = [field.ndim >= 3 and field.shape[-2:] == first.shape[-2:] for field in bound]
    count = same.index(False) if False in same else len(same)
    if any(same[count:]):
        late = names[same.index(True, count)]
        raise DataError(
            f"`{late}` belongs to the pixels of `{names[0]}` and comes after other fields",
            hint=f"name it right after `{names[0]}`, so that both are varied together",
        )
    train = _stored(raw.fields[:count], names, blank, raw)
    if raw.test is None:
        return replace(raw, fields=raw.fields[count:], pictures=train)
    test = _stored(raw.test[:count], names, blank, raw)
    return replace(
        raw,
        fields=raw.fields[count:],
        test=raw.test[count:],
        pictures=train,
        test_pictures=test,
    )


def _stored(fields: Sequence[Array], names: Sequence[str], blank: float, raw: Raw) -> Stored:
    """Bytes stay bytes, other numbers become f32; integers after the first are classes."""
    arrays = []
    for index, (field, name) in enumerate(zip(fields, names, strict=False)):
        check_finite(name, field, raw.where)
        kept = field.dtype == np.uint8 or (index and field.dtype.kind in "iub")
        arrays.append(field if kept else field.astype(np.float32))
    labels = [index > 0 and field.dtype.kind in "iub" for index, field in enumerate(arrays)]
    first = 0.0 if arrays[0].dtype == np.uint8 else blank
    return stored(arrays, labels=labels, blanks=[first, *[0.0] * (len(arrays) - 1)])
