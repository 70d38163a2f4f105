"""Data that a generated package carries: what a source gave, as one npz file and a few facts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...spec.errors import DataError
from .arrays import load_npz
from .raw import Raw


def pack(raw: Raw) -> tuple[bytes, dict[str, Any]]:
    """The bytes of an npz file, and the JSON data that `unpack` needs beside it.

    Raises: DataError for arrays of Python objects.
    """
    arrays = {f"field_{i}": field for i, field in enumerate(raw.fields)}
    arrays |= {f"test_{i}": field for i, field in enumerate(raw.test or ())}
    if any(array.dtype.hasobject for array in arrays.values()):
        raise DataError("data that is neither numbers nor text cannot be copied into a package")
    file = io.BytesIO()
    named: Any = arrays
    np.savez_compressed(file, **named)
    facts = {"arrays": list(arrays), "facts": dict(raw.facts), "gaps": raw.gaps}
    return file.getvalue(), facts


def unpack(bundle: Mapping[str, Any]) -> Raw:
    """What the source gave; `bundle` is the JSON data of `pack` with the `path` of the file.

    Raises: DataError for a damaged file.
    """
    path = Path(bundle["path"])
    names = bundle["arrays"]
    arrays = dict(zip(names, load_npz(path, path.name, names), strict=True))
    fields = tuple(array for name, array in arrays.items() if name.startswith("field_"))
    test = tuple(array for name, array in arrays.items() if name.startswith("test_"))
    return Raw(fields, test or None, bundle["facts"], gaps=bundle["gaps"])
