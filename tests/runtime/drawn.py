"""Pictures in files for the tests, and what their sources say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.spec.errors import DataError

Image = pytest.importorskip("PIL.Image")

LABEL = ["i32", ["B"]]


def image_type(channels: int | str = 3, height: int = 8, width: int | None = None) -> list[Any]:
    return ["f32", ["B", channels, height, width or height]]


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return values.astype(np.uint8)[..., 0] if channels == 1 else values.astype(np.uint8)


def save(path: Path, values: np.ndarray, **more: Any) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **more)
    return values


def write_classes(folder: Path, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Folders of 8x8 PNG images, a class each."""
    found = {}
    for word, count in counts.items():
        for index in range(count):
            name = f"{word}/{index:03}.png"
            found[name] = save(folder / name, noise(len(found)))
    return found


def images(folder: Path, name: str = "set", **named: Any) -> Dataset:
    types = named.pop("types", [image_type(), LABEL])
    fields = ["x", "y"][: len(types)]
    return load(data_line(fields, types, "images", name, **{"batch": 1, **named}), folder)


def message(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **named)
    text = str(caught.value)
    assert text.startswith("net.weft:3:3: ")
    return text
