"""digits: the 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from ...spec.errors import DataError
from .raw import Raw, Request


def read_digits(request: Request) -> Raw:
    """Source `digits`."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            "the source `digits` needs scikit-learn, which is not installed",
            hint="pip install scikit-learn",
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    low, high = request.settings["range"]
    images = (low + (high - low) * pixels / 16).astype(np.float32)
    if not request.settings["flat"]:
        images = images.reshape(-1, 1, 8, 8)
    return Raw((images, labels))
