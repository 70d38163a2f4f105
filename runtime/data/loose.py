"""Images of which nothing is known, for a network that was trained on pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .decode import SUFFIXES, head
from .image_files import image_files, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN = {"size": None, "fit": "crop", "resize": None, "colour": None, "upright": False}
"""Settings of sources that read no images."""


def is_pictures(source: Path) -> bool:
    """Whether this is an image or a folder."""
    return source.is_dir() or source.suffix.lower() in SUFFIXES


def picture_names(source: Path) -> list[str]:
    """The images that are meant, in the order of their names.

    Raises: DataError when there is none.
    """
    place = source.resolve()
    names = listed(place, place.name) if place.is_dir() else [place.name]
    if not names:
        raise DataError(f"`{source}` holds no images")
    return names


def alike(source: Path, settings: Mapping[str, Any], shape: Sequence[Any]) -> list[list[str]]:
    """The images that are meant, those that become one size together.

    Raises: DataError.
    """
    names = picture_names(source)
    if _chosen(settings, shape)["size"] is not None:
        return [names]
    groups: dict[tuple[int, int], list[str]] = {}
    for name in names:
        upright = bool(settings.get("upright"))
        height, width, _ = head(source.resolve().parent / name, name, upright)
        groups.setdefault((height, width), []).append(name)
    return list(groups.values())


def load_pictures(
    source: Path, settings: Mapping[str, Any], shape: Sequence[Any], names: Sequence[str] = ()
) -> NDArray[np.float32]:
    """The images [N, C, H, W], fitted as in training to the shape that the network takes.

    Raises: DataError.
    """
    chosen = _chosen(settings, shape)
    wanted = list(names) or picture_names(source)
    pictures = image_files(source.resolve().parent, wanted, chosen)
    low, high = settings.get("range", (0, 1))
    scale = np.float32((high - low) / 255)
    rows = [pictures.read(row)[0] * scale for row in range(len(pictures))]
    return np.stack(rows).astype(np.float32) + np.float32(low)


def _chosen(settings: Mapping[str, Any], shape: Sequence[Any]) -> dict[str, Any]:
    """How images are fitted to what the network takes."""
    chosen = {name: settings.get(name, value) for name, value in PLAIN.items()}
    if len(shape) == 4 and isinstance(shape[1], int):
        chosen["colour"] = shape[1] == 3
    if len(shape) == 4 and all(isinstance(side, int) for side in shape[2:]):
        chosen["size"] = list(shape[2:])
    return chosen
