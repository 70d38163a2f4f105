"""Made-up files in place of MNIST's."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from .counts import FOLDER

ON_MNIST = ("gan", "mnist", "vae")
"""The folders whose specs read MNIST's files."""


def _idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The specs for MNIST beside made-up files: each class is a bright row of its own."""
    folder = tmp_path_factory.mktemp("mnist")
    (folder / "files").mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 600), ("t10k", 200)):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 60, (count, 28, 28))
        images[np.arange(count), 2 * labels + 4, :] = 255
        _idx(folder / "files" / f"{part}-images-idx3-ubyte.gz", images)
        _idx(folder / "files" / f"{part}-labels-idx1-ubyte.gz", labels)
    for name in ON_MNIST:
        for spec in (FOLDER / name).glob("*.weft"):
            shutil.copy(spec, folder)
    return folder
