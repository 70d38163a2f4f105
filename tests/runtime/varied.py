"""Data whose pictures are varied, and all batches of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from softmax_engine import data_line

from weft.runtime.data import Dataset, load

PICTURES, MASKS = ["f32", ["B", 2, 6, 8]], ["i32", ["B", 6, 8]]
LABEL = ["i32", ["B"]]


def archive(folder: Path, count: int = 23, **settings: Any) -> Dataset:
    """Pictures, masks that follow from them, and labels; values from 1 on, so that 0 is black."""
    pictures = 1 + np.arange(count * 96, dtype=np.float32).reshape(count, 2, 6, 8)
    masks = (pictures[:, 0] % 3).astype(np.int32)
    np.savez(folder / "d.npz", x=pictures, m=masks, y=np.arange(count) % 5)
    names, types = ["x", "m", "y"], [PICTURES, MASKS, LABEL]
    line = data_line(names, types, "npz", "d.npz", **{"batch": 4, "flip": "both", **settings})
    return load(line, folder)


def everything(data: Dataset, epochs: int = 2, seed: int = 0) -> list[dict[str, np.ndarray]]:
    batches = data.batches(seed)
    found = [
        {name: array.copy() for name, array in batches.at(epoch, index).items()}
        for epoch in range(epochs)
        for index in range(batches.count)
    ]
    data.close()
    return found


def same(ours: list[dict[str, np.ndarray]], theirs: list[dict[str, np.ndarray]]) -> bool:
    return len(ours) == len(theirs) and all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        for a, b in zip(ours, theirs, strict=True)
    )
