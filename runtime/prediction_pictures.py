"""Outputs of a net as pictures: masks as those that it learnt from, or images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import UsageError
from .data.decode import pillow
from .predictions import LOGITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .predictions import Answers, Predictions

    Array = NDArray[Any]


def save_pictures(folder: Path, answers: Answers, *, name: str | None = None) -> list[Path]:
    """A PNG for each input and each output that is a picture; returns their paths.  `name`: what
    that of the only input is called.

    Classes of pixels are written as the values that they have in masks of the data, with a colour
    for each; scores that learnt from masks of one class are 0 or 255; everything else is an image.

    Raises: DataError without Pillow, UsageError where no output is a picture.
    """
    stems = iter(_stems(answers) if name is None else [name])
    return [file for piece in answers.pieces for file in _save(folder, piece, stems)]


def _save(folder: Path, found: Predictions, stems: Iterator[str]) -> list[Path]:
    module = pillow("PNG")
    pictures = _pictures(found)
    if not pictures:
        listed = ", ".join(f"`{n}` {list(a.shape[1:])}" for n, a in found.values.items())
        raise UsageError(
            f"no output is a picture or a mask: {listed}",
            hint=f"`{folder}` would be a folder of pictures; -o FILE.csv or FILE.npz has numbers",
        )
    written = []
    for row, stem in zip(range(len(found)), stems, strict=False):
        for name, pixels in pictures.items():
            file = folder / f"{stem}.png" if len(pictures) == 1 else folder / f"{stem}_{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = module.fromarray(pixels[row])
            if _classes(found):
                image.putpalette(_colours())
            image.save(file)
            written.append(file)
    return written


def _pictures(found: Predictions) -> dict[str, Array]:
    drawn = {n: _drawn(a, found) for n, a in found.in_units().items() if a.ndim == 4}
    return {name: pixels for name, pixels in drawn.items() if pixels is not None}


def _classes(found: Predictions) -> bool:
    """Does the only output say the class of each pixel?"""
    if found.field != 1:
        return False
    dtype, dims = found.data["types"][1]
    return dtype in ("i32", "i64") and len(dims) == 3


def _drawn(array: Array, found: Predictions) -> Array | None:
    """Bytes [row, height, width] or [row, height, width, 3]; none for what is no picture."""
    settings = found.data["settings"]
    if _classes(found):
        values = settings.get("values") or range(array.shape[1])
        return np.array(list(values), np.uint8)[array.argmax(axis=1)]
    if array.shape[1] not in (1, 3):
        return None
    if found.field == 1 and found.block in LOGITS and array.shape[1] == 1:
        return np.where(array[:, 0] > 0, 255, 0).astype(np.uint8)
    if found.block in LOGITS:
        array = 1 / (1 + np.exp(-array))
    low, high = settings.get("range") or (0, 1)
    pixels = np.rint(np.clip((array - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)


def _stems(answers: Answers) -> list[str]:
    """What the files are called: as the pictures, below the folder that they come from."""
    rows = answers.rows
    if not rows:
        return [f"row_{number}" for number in range(1, answers.count + 1)]
    paths = [PurePosixPath(row) for row in rows]
    inner = [path.relative_to(path.parts[0]) if len(path.parts) > 1 else path for path in paths]
    stems = [str(path.with_suffix("")) for path in inner]
    if len(set(stems)) < len(stems):
        stems = [str(path) for path in inner]
    return stems


def _colours() -> list[int]:
    """A colour for each value: black for 0, then as far apart as bits make them (as in VOC)."""
    found = []
    for value in range(256):
        for channel in range(3):
            bits = (value >> (3 * level + channel) & 1 for level in range(8))
            found.append(sum(bit << (7 - level) for level, bit in enumerate(bits)))
    return found
