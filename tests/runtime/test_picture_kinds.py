"""Pictures of CIFAR, of digits, and generated ones: curves and crowds; given moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import LABEL, Image, image_type, images, message, write_classes
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.runtime.data.curves import crowd, curves
from weft.runtime.initialise import generator
from weft.spec.signature import bind
from weft.spec.sources import SOURCES

# ---- CIFAR ---------------------------------------------------------------------------------------


def write_cifar(folder: Path, head: int, labels: int, each: int = 4) -> np.ndarray:
    folder.mkdir()
    random = np.random.default_rng(0)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    if head == 2:
        names = ["train.bin", "test.bin"]
    rows = random.integers(0, 256, (len(names), each, head + 3072)).astype(np.uint8)
    rows[..., :head] %= labels
    for name, data in zip(names, rows, strict=True):
        data.tofile(folder / name)
    return rows


def test_cifar10(tmp_path: Path) -> None:
    rows = write_cifar(tmp_path / "cifar-10-batches-bin", 1, 10)
    words = [f"word{i}" for i in range(10)]
    (tmp_path / "cifar-10-batches-bin" / "batches.meta.txt").write_text("\n".join(words) + "\n\n")
    types = [image_type(3, 32), LABEL]
    data = load(data_line(["x", "y"], types, "cifar10", batch=2), tmp_path)
    assert data.train["y"].tolist() == rows[:5, :, 0].ravel().tolist()
    wanted = rows[:5, :, 1:].reshape(20, 3, 32, 32) / np.float32(255)
    np.testing.assert_allclose(data.train["x"][:], wanted, rtol=1e-6)
    assert len(data.test["x"]) == 4
    assert data.statistics["facts"]["classes"] == words
    split = load(data_line(["x", "y"], types, "cifar10", batch=2, split=0.5), tmp_path)
    assert len(split.test["x"]) == 10


def test_cifar100_has_labels_of_two_kinds(tmp_path: Path) -> None:
    rows = write_cifar(tmp_path / "c", 2, 20)
    types = [image_type(3, 32), LABEL]
    for place, labels in enumerate(("coarse", "fine")):
        line = data_line(["x", "y"], types, "cifar100", "c", labels=labels, batch=1)
        assert load(line, tmp_path).train["y"].tolist() == rows[0, :, place].tolist()


def test_bad_cifar_files(tmp_path: Path) -> None:
    line = data_line(["x", "y"], [image_type(3, 32), LABEL], "cifar10", "c", batch=1)
    assert "there is no folder `c`" in message(load, line, tmp_path)
    write_cifar(tmp_path / "c", 1, 10)
    second = tmp_path / "c" / "data_batch_2.bin"
    second.write_bytes(second.read_bytes()[:-1])
    text = message(load, line, tmp_path)
    assert "`c/data_batch_2.bin` holds 12,291 bytes, no whole number of images of 3,073" in text
    second.write_bytes(bytes([200]) + bytes(3072))
    assert "image 0 of `c/data_batch_2.bin` has the label 200" in message(load, line, tmp_path)
    second.unlink()
    assert "no `data_batch_2.bin` in `c`" in message(load, line, tmp_path)


# ---- generated -----------------------------------------------------------------------------------


def settings_of(source: str, **named: Any) -> dict[str, Any]:
    return bind(SOURCES[source].signature, [], named)[0]


def test_curves_are_exact_and_follow_their_number() -> None:
    settings = settings_of("curves", noise=0, strength=[0.4, 0.41], curves=[1, 1])
    picture, mask = curves(generator(0, "curves", 3), 64, settings)
    assert (picture.dtype, mask.dtype, set(np.unique(mask))) == (np.uint8, np.uint8, {0, 1})
    inside, outside = picture[mask == 1].astype(float), picture[mask == 0].astype(float)
    assert abs(inside.mean() - outside.mean()) > 50
    again, _ = curves(generator(0, "curves", 3), 64, settings)
    np.testing.assert_array_equal(again, picture)
    types = [image_type(1, 64), ["f32", ["B", 1, 64, 64]]]

    def generated(**named: Any) -> Dataset:
        return load(data_line(["x", "m"], types, "curves", split=1, **named), Path())

    few, many = generated(samples=70), generated(samples=90)
    np.testing.assert_array_equal(many.train["x"][:70], few.train["x"][:])
    share = many.train["m"][:].mean()
    assert 0.05 < share < 0.35
    assert not np.array_equal(generated(samples=70, seed=1).train["x"][:], few.train["x"][:])


def test_the_width_of_curves_is_that_of_the_setting() -> None:
    areas = []
    for width in (2.0, 6.0):
        settings = settings_of("curves", curves=[1, 1], width=[width, width + 1e-9])
        masks = [curves(generator(0, "c", i), 64, settings)[1].sum() for i in range(20)]
        areas.append(np.mean(masks))
    assert areas[1] / areas[0] == pytest.approx(3, rel=0.25)


def test_the_density_of_a_crowd_adds_up_to_its_people() -> None:
    settings = settings_of("crowds", people=[7, 7])
    picture, density = crowd(generator(0, "crowds", 0), 64, settings)
    assert (picture.shape, density.shape) == ((64, 64), (8, 8))
    assert density.sum() == pytest.approx(7, rel=1e-5)
    assert density.min() >= 0


# ---- digits --------------------------------------------------------------------------------------


def test_digits_can_be_images_of_any_size() -> None:
    pytest.importorskip("sklearn")
    small = load(data_line(["x"], [image_type(1, 8)], "digits", flat=False), Path()).train["x"]
    line = data_line(["x"], [image_type(1, 32)], "digits", flat=False, size=32)
    large = load(line, Path()).train["x"]
    assert large.shape == (1438, 1, 32, 32)
    for row in range(5):
        theirs = Image.fromarray(small[row, 0]).resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(large[row, 0], np.asarray(theirs), atol=1e-6)
    flat = load(data_line(["x"], [["f32", ["B", 1024]]], "digits", size=32), Path()).train["x"]
    np.testing.assert_array_equal(flat, large.reshape(-1, 1024))


def test_given_moments(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    plain = load(data_line(["x"], [image_type(1, 8)], "digits", flat=False), Path())
    line = data_line(["x"], [image_type(1, 8)], "digits", flat=False, mean=0.25, std=[0.5])
    data = load(line, Path())
    np.testing.assert_allclose(data.train["x"], (plain.train["x"] - 0.25) / 0.5, rtol=1e-6)
    assert data.statistics["fields"]["x"] == {"kind": "given", "shift": 0.25, "scale": [0.5]}
    write_classes(tmp_path / "set", {"a": 4})
    plain = images(tmp_path).train["x"][:]
    shift, scale = np.reshape([0.1, 0.2, 0.3], (3, 1, 1)), np.reshape([0.5, 0.6, 0.7], (3, 1, 1))
    for cache in (64, 0):
        data = images(tmp_path, cache=cache, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
        np.testing.assert_allclose(
            data.train["x"][:], (plain - shift) / scale, rtol=1e-5, atol=1e-6
        )
        data = images(tmp_path, cache=cache, normalise="standard")
        assert abs(data.train["x"][:].mean(axis=(0, 2, 3))).max() < 1e-5
        assert data.train["x"][:].std(axis=(0, 2, 3)) == pytest.approx(np.ones(3), rel=1e-5)
        again = images(tmp_path, cache=cache, normalise="minmax")
        assert (again.train["x"][:].min(), again.train["x"][:].max()) == (0, 1)
    text = message(images, tmp_path, mean=[0.1, 0.2], std=1)
    assert "`mean` has 2 numbers, the pictures 3 channels" in text
