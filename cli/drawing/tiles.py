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

SMALL, MANY, LARGE = 96, 64, 2400
"""Tiles are enlarged to about SMALL pixels, or half of that from MANY tiles on, as long as the
sheet stays within LARGE.
"""

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
    columns = columns or math.ceil(math.sqrt(len(tiles) * height / width))
    columns = max(1, min(columns, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    scale = _scale(height, width, rows, columns)
    step_x, step_y = width * scale + GAP, height * scale + GAP
    labelled = bool(_fitting(font, tiles[0].label, step_x - GAP))
    step_y += LINE if labelled else 0
    size = (
        max(2 * MARGIN + columns * step_x, 2 * MARGIN + math.ceil(font.getlength(title))),
        2 * MARGIN + LINE + rows * step_y,
    )
    corners = [
        (MARGIN + k % columns * step_x, MARGIN + LINE + k // columns * step_y)
        for k in range(len(tiles))
    ]
    canvas = np.full((size[1], size[0], 3), PAPER, np.uint8)
    for (x, y), tile in zip(corners, tiles, strict=True):
        canvas[y : y + height * scale, x : x + width * scale] = _pixels(tile, scale)
    image = drawing.fromarray(canvas)
    pen = _pen(image)
    pen.text((MARGIN, MARGIN - 2), title, INK, font=font)
    for (x, y), tile in zip(corners, tiles, strict=True) if labelled else ():
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
    small = SMALL if rows * columns <= MANY else SMALL // 2
    wanted = max(1, math.ceil(small / max(height, width)))
    most = LARGE // max(rows * height, columns * width)
    return max(1, min(wanted, most))


def _pixels(tile: Tile, scale: int) -> Array:
    """Bytes [row, column, 3], each element of the tile a square."""
    levels = np.rint(tile.pixels * 255).astype(np.uint8)
    large = levels.repeat(scale, 0).repeat(scale, 1) if scale > 1 else levels
    return large if large.ndim == 3 else large[..., None]


def _fitting(font: Any, text: str, room: int) -> str:
    """The label, or what stands before its colon, if that fits."""
    return next((t for t in (text, text.partition(":")[0]) if font.getlength(t) <= room), "")


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
