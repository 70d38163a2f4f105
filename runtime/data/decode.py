"""Image files as arrays of bytes, with Pillow where it is installed."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .cut import Box, Cut, centre, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm")
)
"""Files that are taken for images."""

DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's names for grey values of more than eight bits."""

ORIENTATION = 0x0112
"""Where a camera notes how it was held: from 1, as it is, to 8; from 5 on sides are exchanged."""

GREY = ("1", "L", "LA", "La", *DEEP)


def pillow(name: str) -> Any:
    """Pillow's module `Image`.

    Raises: DataError when it is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            f"reading `{name}` needs Pillow, which is not installed", hint="pip install pillow"
        ) from None
    return Image


def head(path: Path, name: str, upright: bool = False) -> tuple[int, int, bool]:
    """Height and width of an image and whether it is grey; its pixels are not read.

    Raises: DataError.
    """
    with _Opened(path, name) as image:
        sides = image.height, image.width
        if upright and image.getexif().get(ORIENTATION, 1) > 4:
            sides = image.width, image.height
        return *sides, image.mode in GREY


def picture(
    path: Path,
    name: str,
    channels: int,
    size: tuple[int, int] | None,
    *,
    stretch: bool = False,
    margin: float = 1.0,
    cut: Cut | None = None,
    upright: bool = False,
) -> Array:
    """An image as bytes [channels, height, width].

    With a `size`, the middle of the image (or all of it with `stretch`, or the `cut`) is scaled.
    `upright`: turned as the camera notes.

    Raises: DataError.
    """
    module = pillow(name)
    with _Opened(path, name) as image:
        if upright and image.getexif().get(ORIENTATION, 1) > 1:
            image = _turned(image)
        box = _box(image.height, image.width, size, stretch, margin, cut)
        if size is not None:
            box = _drafted(image, box, size)
        image = _in_mode(module, image, name, channels)
        if size is not None and (image.size != size[::-1] or box != (0, 0, *size)):
            corners = (box.left, box.top, box.left + box.width, box.top + box.height)
            image = image.resize(size[::-1], module.Resampling.BILINEAR, corners, 2.0)
        values = np.asarray(image, np.uint8)
    return values[None] if channels == 1 else values.transpose(2, 0, 1)


def _turned(image: Any) -> Any:
    """The image as it was seen."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def mask(
    path: Path,
    name: str,
    size: tuple[int, int] | None,
    *,
    stretch: bool = False,
    margin: float = 1.0,
    cut: Cut | None = None,
) -> tuple[Array, Array]:
    """The pixel values of a mask [height, width]: all of them, and those of the part shown.

    Raises: DataError for an image in colours: the numbers of a palette are values.
    """
    with _Opened(path, name) as image:
        if image.mode not in ("1", "L", "P", *DEEP):
            raise DataError(
                f"`{name}` is an image of mode {image.mode}; a mask holds one number a pixel",
                hint="save it as a grey image or with a palette",
            )
        values = np.asarray(image)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if size is None:
        return values, values
    height, width = values.shape
    box = _box(height, width, size, stretch, margin, cut)
    return values, nearest(values, box, size)


def _box(
    height: int,
    width: int,
    size: tuple[int, int] | None,
    stretch: bool,
    margin: float,
    cut: Cut | None,
) -> Box:
    if cut is not None:
        return cut.box(height, width)
    if size is None or stretch:
        return Box(0, 0, height, width)
    return centre(height, width, size, margin)


def _drafted(image: Any, box: Box, size: tuple[int, int]) -> Box:
    """A JPEG that is much too large is decoded at a half, a quarter or an eighth of its size."""
    if image.format != "JPEG":
        return box
    before = image.size
    wanted = (
        math.ceil(size[1] * before[0] / box.width),
        math.ceil(size[0] * before[1] / box.height),
    )
    image.draft(None, wanted)
    y, x = image.size[1] / before[1], image.size[0] / before[0]
    return Box(box.top * y, box.left * x, box.height * y, box.width * x)


def _in_mode(module: Any, image: Any, name: str, channels: int) -> Any:
    mode = "L" if channels == 1 else "RGB"
    if image.mode in DEEP:
        deep = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        image = module.fromarray(deep)
    if image.mode == "F":
        raise DataError(f"`{name}` holds floating-point values", hint="keep such data in an npz")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == mode:
        image.load()
        return image
    return image.convert(mode)


class _Opened:
    """An open image; whatever goes wrong while it is read names the file.

    Raises: DataError.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name

    def __enter__(self) -> Any:
        module = pillow(self._name)
        self._image: Any = None
        try:
            self._image = module.open(self._path)
        except BaseException as error:
            self._judge(error)
            raise
        return self._image

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._image is not None:
            self._image.close()
        if error is not None:
            self._judge(error)

    def _judge(self, error: BaseException) -> None:
        """Raises: DataError for what damaged files lead to."""
        module = pillow(self._name)
        if isinstance(error, module.DecompressionBombError):
            raise DataError(f"`{self._name}` is too large: {error}") from None
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"`{self._name}` cannot be read: {error.strerror}") from None
        if isinstance(error, DAMAGE):
            reason = " ".join(str(error).split())[:200].replace(str(self._path), self._name)
            raise DataError(
                f"`{self._name}` is not a readable image: {reason}",
                hint="the file is damaged or was cut off; mend it or take it away",
            ) from None


DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error)
"""What Pillow raises for files that are not what they say; its own errors are OSErrors."""
