"""Pictures with masks: their values, and those that do not belong to their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import image_type, message, noise, save
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.spec.errors import DataError


def pairs(folder: Path, masks: list[np.ndarray], suffix: str = "", kind: str = "png") -> None:
    for index, mask in enumerate(masks):
        save(folder / "in" / f"{index}.png", noise(index, *mask.shape[:2]))
        save(folder / "out" / f"{index}{suffix}.{kind}", mask)


def segmentation(folder: Path, mask: list[Any], **named: Any) -> Dataset:
    types = [image_type(3, named.pop("side", 8)), mask]
    line = data_line(["x", "m"], types, "segmentation", "in", "out", **{"batch": 1, **named})
    return load(line, folder)


BINARY = ["f32", ["B", 1, 8, 8]]
CLASSES = ["i32", ["B", 8, 8]]


def halves(value: int) -> np.ndarray:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = value
    return mask


@pytest.mark.parametrize("cache", [64, 0], ids=["in memory", "from files"])
def test_masks_of_two_values_and_of_classes(tmp_path: Path, cache: int) -> None:
    pairs(tmp_path, [halves(255), halves(1), halves(0)], "_mask")
    data = segmentation(tmp_path, BINARY, suffix="_mask", cache=cache)
    assert data.train["m"][:].mean(axis=(1, 2, 3)).tolist() == [0.5, 0.5, 0]
    grades = np.arange(64).reshape(8, 8).astype(np.uint8) % 3
    save(tmp_path / "out" / "0_mask.png", grades)
    for index in (1, 2):
        save(tmp_path / "out" / f"{index}_mask.png", halves(2))
    classes = segmentation(tmp_path, CLASSES, suffix="_mask", classes=3, cache=cache)
    np.testing.assert_array_equal(classes.train["m"][0], grades)
    coded = segmentation(tmp_path, CLASSES, suffix="_mask", classes=2, values=[0, 2], ignore=1)
    assert set(np.unique(coded.train["m"][0])) == {0, 1, -100}


def test_an_unknown_label_is_named_with_its_pixel(tmp_path: Path) -> None:
    bad = halves(255)
    bad[2, 5] = 128
    pairs(tmp_path, [halves(255), bad])
    text = message(segmentation, tmp_path, BINARY)
    assert "the mask `out/1.png` holds 128 at row 2, column 5, which is no class" in text
    assert "0, and 1 or 255; 1 such pixels" in text
    text = message(segmentation, tmp_path, CLASSES, classes=4)
    assert "`out/0.png` holds 255 at row 0, column 4" in text
    assert "values=[…]" in text
    data = segmentation(tmp_path, CLASSES, classes=4, cache=0, workers=0, shuffle=False)
    with pytest.raises(DataError, match=r"net.weft:3:3: the mask `out/0.png` holds 255"):
        data.batches(0).at(0, 0)


def test_masks_that_do_not_belong_to_their_images(tmp_path: Path) -> None:
    pairs(tmp_path, [halves(255)] * 2)
    save(tmp_path / "out" / "1.png", np.zeros((8, 9), np.uint8))
    text = message(segmentation, tmp_path, BINARY)
    assert "`in/1.png` is 8x8 (height x width), its mask `out/1.png` 8x9" in text
    save(tmp_path / "out" / "1.png", noise(0))
    assert "mode RGB; a mask holds one number a pixel" in message(segmentation, tmp_path, BINARY)
    (tmp_path / "out" / "1.png").unlink()
    text = message(segmentation, tmp_path, BINARY)
    assert "no mask for `in/1.png`: `in` holds 2 images, `out` 1 mask" in text
    (tmp_path / "in" / "1.png").unlink()
    save(tmp_path / "out" / "7.png", halves(1))
    assert "no image for the mask `out/7.png`" in message(segmentation, tmp_path, BINARY)


def test_jpeg_masks_are_explained(tmp_path: Path) -> None:
    steep = halves(255)
    steep[3, 1] = 90
    pairs(tmp_path, [steep], kind="jpg")
    assert "JPEG changes the values of pixels" in message(segmentation, tmp_path, BINARY)


def test_more_classes_than_outputs(tmp_path: Path) -> None:
    pairs(tmp_path, [halves(2)])
    line = data_line(["x", "m"], [image_type(), CLASSES], "segmentation", "in", "out", batch=1,
                     classes=3, cache=0)  # fmt: skip
    with pytest.raises(DataError, match="`m` has 3 classes, the network 2 outputs"):
        load({**line, "ranges": {"m": [0, 2, -100]}}, tmp_path)
    in_memory = {**line, "settings": {**line["settings"], "cache": 64}}
    with pytest.raises(DataError, match=r"holds the label 2 at in/0\.png, outside 0 … 1"):
        load({**in_memory, "ranges": {"m": [0, 2, -100]}}, tmp_path)
