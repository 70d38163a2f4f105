"""digits: the 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .cut import Box, resample
from .raw import Raw, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def read_digits(request: Request) -> Raw:
    """Source `digits`."""
    pixels, labels = _pixels_and_labels()
    low, high = request.settings["range"]
    images = (low + (high - low) * pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    size = request.settings.get("size", 8)
    if size != 8:
        images = resample(images, Box(0, 0, 8, 8), (size, size))
    return Raw((images.reshape(len(images), -1) if request.settings["flat"] else images, labels))


def _pixels_and_labels() -> tuple[Array, Array]:
    """The file itself where it can be found: importing scikit-learn takes most of a second.

    Raises: DataError when scikit-learn is not installed.
    """
    found = importlib.util.find_spec("sklearn") if "sklearn" not in sys.modules else None
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            "the source `digits` needs scikit-learn, which is not installed",
            hint="pip install scikit-learn",
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    return pixels, labels
