"""Data that a generated package carries: what a source gave, as one npz file and a few facts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...spec.errors import DataError
from .arrays import load_npz
from .pictures import Pictures, Plane, Stored, collected
from .raw import Raw
from .windows import Text


def pack(raw: Raw) -> tuple[bytes, dict[str, Any]]:
    """The bytes of an npz file, and the JSON data that `unpack` needs beside it.

    Raises: DataError for arrays of Python objects.
    """
    arrays = {f"field_{i}": field for i, field in enumerate(raw.fields)}
    arrays |= {f"test_{i}": field for i, field in enumerate(raw.test or ())}
    pictures, held = _in_memory(raw.pictures), _in_memory(raw.test_pictures)
    arrays |= {f"plane_{i}": array for i, array in enumerate(pictures.arrays if pictures else ())}
    arrays |= {f"held_{i}": array for i, array in enumerate(held.arrays if held else ())}
    for lead, text in (("text", raw.text), ("held_text", raw.test_text)):
        if text is not None:
            arrays |= {lead: np.asarray(text.numbers), f"{lead}_starts": text.starts}
    if any(array.dtype.hasobject for array in arrays.values()):
        raise DataError("data that is neither numbers nor text cannot be copied into a package")
    file = io.BytesIO()
    named: Any = arrays
    np.savez_compressed(file, **named)
    facts = {"arrays": list(arrays), "facts": dict(raw.facts), "gaps": raw.gaps}
    if pictures:
        facts["planes"] = [[list(p.shape), p.dtype, p.labels, p.blank] for p in pictures.planes]
        facts["marks"] = [pictures.mark, held.mark if held else None]
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
    if "planes" not in bundle:
        text, test_text = (
            Text(arrays[lead], arrays[f"{lead}_starts"]) if lead in arrays else None
            for lead in ("text", "held_text")
        )
        return Raw(
            fields,
            test or None,
            bundle["facts"],
            gaps=bundle["gaps"],
            text=text,
            test_text=test_text,
        )
    pictures, held = (
        tuple(array for name, array in arrays.items() if name.startswith(lead))
        for lead in ("plane_", "held_")
    )
    planes = tuple(Plane(tuple(shape), *rest) for shape, *rest in bundle["planes"])
    marks = bundle["marks"]
    return Raw(
        fields,
        test if held else None,
        bundle["facts"],
        pictures=Stored(planes, pictures, mark=marks[0]),
        test_pictures=Stored(planes, held, mark=marks[1]) if held else None,
    )


def _in_memory(pictures: Pictures | None) -> Stored | None:
    """The pictures as arrays."""
    if pictures is None or isinstance(pictures, Stored):
        return pictures
    return collected(pictures)
