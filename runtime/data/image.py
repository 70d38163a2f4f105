"""image: a grey image as a surface, intensity = f(x, y).

x runs from left to right and y from top to bottom, both over the range `coordinates`.  PGM and PPM
are read here, other formats with Pillow where it is installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...spec.errors import DataError
from .raw import Raw, Request, locate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.float64]

LUMA = (0.299, 0.587, 0.114)
"""Source: ITU-R BT.601, the weights that Pillow uses too."""


def read_image(request: Request) -> Raw:
    """Source `image`."""
    settings = request.settings
    picture = load_picture(locate(request.root, settings["path"]), settings["path"])
    size = settings["size"]
    if size is not None:
        width, height = size if isinstance(size, list) else (size, size)
        picture = _overlap(height, picture.shape[0]) @ picture @ _overlap(width, picture.shape[1]).T
    height, width = picture.shape
    first, last = settings["coordinates"]
    y, x = np.meshgrid(
        np.linspace(first, last, height), np.linspace(first, last, width), indexing="ij"
    )
    low, high = settings["range"]
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return Raw((points, (low + (high - low) * picture).reshape(-1, 1)))


def load_picture(path: Path, name: str) -> Picture:
    """The grey values of an image, black 0 and white 1, as [height, width].

    Raises: DataError.
    """
    with open(path, "rb") as file:
        magic = file.read(2)
    if magic in (b"P2", b"P5", b"P3", b"P6"):
        return _portable(path.read_bytes(), name)
    return _pillow(path, name)


def _portable(data: bytes, name: str) -> Picture:
    """PGM and PPM, as text (P2, P3) and as bytes (P5, P6)."""
    head = re.match(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d{1,6})" * 3 + rb"(?:\s|#[^\n]*\n)", data)
    if head is None:
        raise DataError(f"the header of `{name}` is not that of a PGM file")
    kind, width, height, top = (int(part) for part in head.groups())
    if not (0 < width and 0 < height and 0 < top < 65536):
        raise DataError(f"the header of `{name}` asks for {width}x{height}, white {top}")
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    body = data[head.end() :]
    if kind in (5, 6):
        dtype = np.dtype(">u2" if top > 255 else "u1")
        whole = len(body) // dtype.itemsize * dtype.itemsize
        found = np.frombuffer(body[:whole], dtype)[:count]
    else:
        words = re.sub(rb"#[^\n]*", b"", body).split()[:count]
        if not all(word.isdigit() and len(word) < 6 for word in words):
            raise DataError(f"`{name}` holds something that is not a grey value")
        found = np.array([int(word) for word in words], np.int64)
    if found.size < count:
        raise DataError(f"`{name}` should hold {count:,} values and holds {found.size:,}")
    values = found.astype(np.float64).reshape(height, width, channels) / top
    if values.max() > 1:
        raise DataError(f"`{name}` holds values above its white, {top}")
    return values[..., 0] if channels == 1 else values @ np.array(LUMA)


def _pillow(path: Path, name: str) -> Picture:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise DataError(
            f"reading `{name}` needs Pillow, which is not installed",
            hint="pip install pillow, or convert the image to PGM",
        ) from None
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                return np.asarray(image, np.float64) / 65535
            return np.asarray(image.convert("L"), np.float64) / 255
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"`{name}` is not a readable image: {error}") from None


def _overlap(after: int, before: int) -> Picture:
    """The share that every old pixel has in every new one, [after, before]; rows add up to 1."""
    new = np.arange(after + 1)[:, None] * (before / after)
    old = np.arange(before + 1)[None, :]
    left = np.maximum(new[:-1], old[:, :-1])
    right = np.minimum(new[1:], old[:, 1:])
    return np.clip(right - left, 0, None) * (after / before)
