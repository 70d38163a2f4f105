"""Networks for images learn in a few epochs what a broken layer would keep them from."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.runtime.predict import predict

from .counts import FOLDER


def _script(name: str) -> Any:
    """A script of the examples as a module."""
    found = importlib.util.spec_from_file_location(Path(name).stem, FOLDER / name)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _train(spec: str | Path, out: Path, variant: str = "", **options: Any) -> dict[str, Any]:
    params = options.pop("params", None)
    loaded = weft.load(FOLDER / spec, variant=variant or None, params=params)
    return weft.compile(loaded, target="cpu").train(out, progress="quiet", **options).metrics


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the metrics of a short training of LeNet."""
    out = tmp_path_factory.mktemp("lenet")
    return out, _train("lenet5/digits.weft", out, epochs=5)


def test_lenet(lenet: tuple[Path, dict[str, Any]]) -> None:
    """Five of thirty epochs gave 98.9 % and 99.2 %."""
    assert lenet[1]["test"]["accuracy"] >= 0.975


def test_adversarial_digits(lenet: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """A step along the gradient's sign costs most of the accuracy, one at random hardly any."""
    fgsm = _script("adversarial/fgsm.py")
    program = fgsm.trained(lenet[0])
    digits = fgsm.held_out(program)
    rows = {epsilon: pair for epsilon, *pair in fgsm.table(program, digits)}
    assert rows[0.0][0] == rows[0.0][1] == lenet[1]["test"]["accuracy"]
    assert rows[0.1][0] < 0.7 < 0.95 < rows[0.1][1]
    assert rows[0.2][0] < 0.25 < 0.8 < rows[0.2][1]
    fgsm.draw(program, digits, tmp_path / "digits.png")
    image = pytest.importorskip("PIL.Image").open(tmp_path / "digits.png")
    assert image.size == (10 * 28 * 2, 3 * 28 * 2)


def test_unet_beats_thresholds(weft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of pictures of 48x48: 0.90, and 0.79 for the best threshold of each picture."""
    pytest.importorskip("PIL.Image")
    spec, run = FOLDER / "unet" / "curves.weft", tmp_path / "run"
    size, held_out, found = "--set=size=48", tmp_path / "held_out.npz", tmp_path / "found.npz"
    answer = weft("train", spec, size, "--out", run, "--epochs=2", "--target=cpu", "--quiet")
    assert answer.code == 0, answer.err
    picture = _script("unet/picture.py")
    picture.write(held_out, {"size": 48})
    answer = weft("predict", spec, size, "--input", held_out, "-o", found, "--checkpoint", run)
    assert answer.code == 0, answer.err
    reached = picture.draw(held_out, found, tmp_path / "curves.png")
    thresholds = [dice for name, dice in reached.items() if name != "U-Net"]
    assert reached["U-Net"] > 0.87
    assert len(thresholds) == 3 and max(thresholds) < 0.82
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_super_resolution_beats_bicubic(tmp_path: Path) -> None:
    """Of half the size, 25 of 120 epochs: decibels more than the cubic of the same pixels."""
    found = _train("espcn/espcn.weft", tmp_path, "x2", epochs=25)["test"]
    assert 20 < found["bicubic"] < found["psnr"] - 0.7


SMALLER = {"resnet": {"n": 3}, "densenet": {"layers": 5}}


@pytest.fixture(scope="module")
def skips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Three epochs of networks with and without ways round their layers, less deep ones."""
    runs, found = tmp_path_factory.mktemp("skips"), {}
    for name in ("resnet", "resnet-plain", "densenet", "densenet-plain"):
        net, _, variant = name.partition("-")
        spec, params = f"skips/{net}.weft", SMALLER[net]
        found[name] = _train(spec, runs / name, variant, params=params, epochs=3)
    return runs, found


@pytest.mark.parametrize("net", ["resnet", "densenet"])
def test_deep_networks_need_skips(skips: tuple[Path, dict[str, dict[str, Any]]], net: str) -> None:
    """0.10 and 0.11 with skips, 0.79 and 1.05 without."""
    own, plain = skips[1][net], skips[1][f"{net}-plain"]
    assert own["train"]["loss"] < 0.35
    assert plain["train"]["loss"] > 2 * own["train"]["loss"] + 0.2
    assert own["test"]["accuracy"] > 0.9


def test_the_curves_are_drawn(skips: tuple[Path, Any], tmp_path: Path) -> None:
    plot = _script("skips/plot.py")
    epochs, losses = plot.curve(skips[0] / "resnet")
    assert epochs == [1, 2, 3] and losses[2] < losses[0]
    pytest.importorskip("matplotlib")
    plot.plot(skips[0], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


@cache
def _digits() -> dict[str, np.ndarray]:
    """Made-up images of 28x28: each class is a bright row of its own."""
    rng = np.random.default_rng(0)
    made = {}
    for part, count in (("train", 600), ("t10k", 200)):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 60, (count, 28, 28))
        images[np.arange(count), 2 * labels + 4, :] = 255
        made[f"{part}-images-idx3-ubyte.gz"] = images
        made[f"{part}-labels-idx1-ubyte.gz"] = labels
    return made


@pytest.mark.parametrize(
    ("name", "variant", "least"),
    [
        ("original", "", 0.25),
        ("no_pooling", "pool", 0.95),
        ("no_pooling", "stride", 0.95),
        ("no_pooling", "conv", 0.95),
    ],
)
def test_nets_for_mnist(name: str, variant: str, least: float, tmp_path: Path) -> None:
    """300 steps on rows in place of digits: 50 % for the original, a slow one, and 100 %."""
    spec = Path(shutil.copy(FOLDER / "lenet5" / f"{name}.weft", tmp_path))
    (tmp_path / "files").mkdir()
    for file, array in _digits().items():
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        packed = gzip.compress(header + array.astype(np.uint8).tobytes(), 1)
        (tmp_path / "files" / file).write_bytes(packed)
    metrics = _train(spec, tmp_path / "run", variant, steps=300)
    assert metrics["test"]["accuracy"] > least


@pytest.mark.slow
def test_a_detector_finds_shapes(tmp_path: Path) -> None:
    """A hundred steps gave a mean of 0.49, 600 on four times as many pictures 0.97."""
    pytest.importorskip("PIL.Image")
    shapes = _script("detector/shapes.py")
    shapes.make(tmp_path / "shapes", count=200, held=20)
    shutil.copy(FOLDER / "detector" / "detector.weft", tmp_path)
    program = weft.compile(weft.load(tmp_path / "detector.weft"), target="cpu")
    best = program.train(tmp_path / "run", epochs=10, progress="quiet").paths["best"]
    out = tmp_path / "found.npz"
    source = tmp_path / "shapes" / "test"
    predict(program.engine, program.artifact, out=out, source=source, checkpoint=best)
    found = shapes.score(out, tmp_path / "shapes" / "test.npz")
    assert set(found) == {"disc", "square", "cross"}
    assert np.mean(list(found.values())) > 0.25


def test_boxes_are_counted_once() -> None:
    shapes = _script("detector/shapes.py")
    assert shapes.overlap((5, 5, 4, 4), (5, 5, 4, 4)) == 1
    assert shapes.overlap((5, 5, 4, 4), (7, 5, 4, 4)) == pytest.approx(1 / 3)
    picture, boxes = shapes.picture(np.random.default_rng(1))
    assert picture.shape == (64, 64, 3) and boxes
    told = shapes.targets(boxes)
    assert sum(told[level].sum() for level in shapes.LEVELS) == len(boxes)
    found = {}
    for level in shapes.LEVELS:  # what is told, found with certainty
        found |= {f"kind_{level}": told[level][None] * 40 - 20}
        found |= {f"box_{level}": told[f"{level}_box"][None]}
    rows = shapes.detections(found)
    truth = np.array([(0, *box) for box in boxes])
    assert len(rows) == len(boxes)
    kinds = {kind for kind, *_ in boxes}
    assert [shapes.average_precision(rows, truth, kind) for kind in kinds] == [1.0] * len(kinds)
    assert shapes.average_precision(rows[:0], truth, boxes[0][0]) == 0
    twice = np.concatenate([rows, rows])
    assert shapes.average_precision(twice, truth, boxes[0][0]) == 1  # more of them come behind
