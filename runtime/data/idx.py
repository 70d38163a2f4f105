"""idx: the format of MNIST, packed with gzip or not.

Source: http://yann.lecun.com/exdb/mnist/ (the section on the file format).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ...spec.errors import DataError
from .raw import Raw, Request, inside, locate
from .split import divided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LARGEST = 1 << 34
"""Bytes of an array that a header may announce."""

MNIST = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx(request: Request) -> Raw:
    """Source `idx`: a file of images and perhaps one of labels."""
    settings = request.settings
    train = _pair(request, settings["images"], settings["labels"])
    test = None
    if settings["test_images"] is not None:
        test = _pair(request, settings["test_images"], settings["test_labels"])
    return Raw(train, test)


def read_mnist(request: Request) -> Raw:
    """Source `mnist`: the four files under their usual names."""
    folder = request.settings["folder"]
    paths = [_find(request.root, folder, name) for name in MNIST]
    train = _pair(request, paths[0], paths[1])
    own_split = divided(request.settings)
    test = None if own_split else _pair(request, paths[2], paths[3])
    return Raw(train, test)


def load_idx(path: Path, name: str) -> Array:
    """The array of a file.

    Raises: DataError when it is not in this format, or shorter or longer than its header says.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        opener: Any = gzip.open if packed else open
        with opener(path, "rb") as file:
            return _parse(cast(BinaryIO, file), name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"`{name}` cannot be read: {error}") from None


def _parse(file: BinaryIO, name: str) -> Array:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in DTYPES:
        raise DataError(f"`{name}` is not an idx file", hint="its first two bytes must be zero")
    raw_dims = file.read(4 * head[3])
    if len(raw_dims) < 4 * head[3]:
        raise DataError(f"`{name}` ends in its header")
    shape = struct.unpack(f">{head[3]}I", raw_dims)
    dtype = np.dtype(DTYPES[head[2]])
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > LARGEST:
        raise DataError(f"the header of `{name}` announces {wanted:,} bytes")
    data = file.read(wanted + 1)
    if len(data) != wanted:
        word = "more" if len(data) > wanted else f"only {len(data):,}"
        raise DataError(
            f"`{name}` should hold {wanted:,} bytes after its header and holds {word}",
            hint="the file was cut off or is damaged; fetch it again",
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _find(root: Path, folder: str, name: str) -> str:
    """The file under this name, packed or not; some mirrors write `.` before `idx`."""
    there = inside(root, folder)
    variants = (name, name.replace("-idx", ".idx"))
    for variant in (v + ending for v in variants for ending in ("", ".gz")):
        if (there / variant).is_file():
            return f"{folder}/{variant}"
    raise DataError(
        f"there is no `{name}` or `{name}.gz` in `{folder}`",
        hint=f"put the four files of MNIST into `{folder}` beside the spec",
    )


def _pair(request: Request, images: str, labels: str | None) -> tuple[Array, ...]:
    settings = request.settings
    pixels = load_idx(locate(request.root, images), images)
    if pixels.ndim != 3:
        raise DataError(f"`{images}` holds {pixels.ndim} axes, images have 3")
    fields = (_picture(pixels, images, settings),)
    if labels is None:
        return fields
    classes = load_idx(locate(request.root, labels), labels)
    if classes.ndim != 1:
        raise DataError(f"`{labels}` holds {classes.ndim} axes, labels have 1")
    if len(classes) != len(pixels):
        raise DataError(
            f"`{images}` holds {len(pixels)} images, `{labels}` {len(classes)} labels",
            hint="the two files do not belong together",
        )
    return (*fields, classes)


def _picture(pixels: Array, name: str, settings: Mapping[str, Any]) -> Array:
    """Scaled to the range, framed to the size, as rows or as [N, 1, H, W]."""
    low, high = settings["range"]
    size = settings["size"]
    scale = (high - low) / 255 if pixels.dtype == np.uint8 else 1.0
    shift = low if pixels.dtype == np.uint8 else 0.0
    values = (pixels * np.float32(scale)).astype(np.float32) + np.float32(shift)
    height, width = values.shape[1:]
    if size is not None and size < max(height, width):
        raise DataError(
            f"the images of `{name}` are {height}x{width}, more than size={size}",
            hint="size adds a frame and never shrinks",
        )
    if size is not None:
        top, left = (size - height) // 2, (size - width) // 2
        frame = ((0, 0), (top, size - height - top), (left, size - width - left))
        values = np.pad(values, frame, constant_values=np.float32(shift))
    count, height, width = values.shape
    return values.reshape((count, -1) if settings["flat"] else (count, 1, height, width))
