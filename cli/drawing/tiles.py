"""Sheets of small pictures: feature maps and filters side by side, each under a label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SMALL, LARGE = 48, 2400
"""What is smaller than SMALL pixels is enlarged, as long as the sheet stays within LARGE."""

GAP, LINE, MARGIN = 2, 13, 8
PAPER, INK, NOTE = (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True, slots=True)
class Tile:
    """Grey pixels [row, column] or coloured ones [row, column, 3], from 0 to 1, and a label."""

    pixels: Array
    label: str


def grey(values: Array, low: float, high: float) -> Array:
    """Values as parts of the way from `low` to `high`; what is no number is black."""
    if not high > low:
        return np.zeros(values.shape)
    return np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))


def around_zero(values: Array, reach: float) -> Array:
    """Signed values: zero is a middle grey, `reach` white and `-reach` black."""
    return grey(values, -reach, reach) if reach > 0 else np.full(values.shape, 0.5)


def span(values: Array) -> tuple[float, float]:
    """The least and the largest finite value."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def sheet(title: str, tiles: Sequence[Tile], columns: int | None = None) -> Any:
    """All tiles in rows under a title, as a Pillow image.

    `columns` tiles stand in a row, or as many as make the sheet about square.

    Raises: DataError without Pillow.
    """
    drawing, fonts = _pillow()
    font = fonts.load_default()
    height, width = tiles[0].pixels.shape[:2]
    columns = columns or math.ceil(math.sqrt(len(tiles) * (height + LINE) / width))
    columns = max(1, min(columns, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    scale = _scale(height, width, rows, columns)
    step_x, step_y = width * scale + GAP, height * scale + GAP
    labelled = any(font.getlength(tile.label) <= step_x for tile in tiles if tile.label)
    step_y += LINE if labelled else 0
    size = (
        max(2 * MARGIN + columns * step_x, 2 * MARGIN + math.ceil(font.getlength(title))),
        2 * MARGIN + LINE + rows * step_y,
    )
    image = drawing.new("RGB", size, PAPER)
    pen = _pen(image)
    pen.text((MARGIN, MARGIN - 2), title, INK, font=font)
    for number, tile in enumerate(tiles):
        x = MARGIN + number % columns * step_x
        y = MARGIN + LINE + number // columns * step_y
        image.paste(_image(drawing, tile.pixels, scale), (x, y))
        if labelled:
            label = _fitting(font, tile.label, step_x - GAP)
            pen.text((x, y + height * scale), label, NOTE, font=font)
    return image


def save(image: Any, path: Path) -> None:
    """Write a PNG; its folder is made.  Raises: DataError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, format="PNG")
    except OSError as error:
        raise DataError(f"`{path}` cannot be written: {error.strerror or error}") from None


def _scale(height: int, width: int, rows: int, columns: int) -> int:
    """How many pixels one element takes on a side."""
    wanted = max(1, math.ceil(SMALL / max(height, width)))
    most = LARGE // max(rows * height, columns * width)
    return max(1, min(wanted, most))


def _image(drawing: Any, pixels: Array, scale: int) -> Any:
    levels = np.rint(np.asarray(pixels, np.float64) * 255).astype(np.uint8)
    return drawing.fromarray(np.ascontiguousarray(levels.repeat(scale, 0).repeat(scale, 1)))


def _fitting(font: Any, text: str, room: int) -> str:
    """The label, or its first word, if that fits."""
    return next((t for t in (text, text.split(" ")[0]) if font.getlength(t) <= room), "")


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageFont
    except ImportError:
        raise DataError(
            "drawing PNG pictures needs Pillow, which is not installed", hint="pip install pillow"
        ) from None
    return Image, ImageFont


def _pen(image: Any) -> Any:
    from PIL import ImageDraw

    return ImageDraw.Draw(image)
