"""Every example trains; those that make a point make it."""

from __future__ import annotations

import gzip
import math
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import weft

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SPECS = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.weft"))


def _train(path: Path, out: Path, variant: str | None = None, **options) -> weft.Record:
    spec = weft.load(path, variant=variant)
    return weft.train(spec, out=out, target="cpu", progress="quiet", **options)


def _idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def _mnist(folder: Path) -> None:
    """MNIST's four files, small and random: each class is a bright row of its own."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, count in (("train", 600), ("t10k", 200)):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 60, (count, 28, 28))
        images[np.arange(count), 2 * labels + 4, :] = 255
        _idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        _idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_few_steps(spec: Path, tmp_path: Path) -> None:
    """The loss is finite and falls, and the checkpoint is there."""
    path = FOLDER / spec
    if spec.parts[0] == "mnist":
        path = tmp_path / spec.name
        shutil.copy(FOLDER / spec, path)
        _mnist(tmp_path / "files")
    first = _train(path, tmp_path / "first", steps=1)
    record = _train(path, tmp_path / "run", steps=60)
    assert record.step == 60
    assert math.isfinite(record.metrics["train"]["loss"])
    assert record.metrics["train"]["loss"] < first.metrics["train"]["loss"]
    assert record.paths["last"].is_file()


def test_perceptron_finds_its_weights(tmp_path: Path) -> None:
    """y = g(1 + 3 x1 - 2 x2), and g(-6) = 0.0025 at (-1, 2)."""
    program = weft.compile(weft.load(FOLDER / "perceptron" / "perceptron.weft"), target="cpu")
    program.train(tmp_path, progress="quiet")
    state = program.state_dict()
    assert state["perceptron.linear.weight"].numpy() == pytest.approx(np.array([[3, -2]]), abs=1e-3)
    assert state["perceptron.linear.bias"].numpy() == pytest.approx(np.array([1]), abs=1e-3)
    y = program.engine.forward("perceptron", {"x": np.array([[-1, 2]], np.float32)})["y"]
    assert y[0, 0] == pytest.approx(0.0025, abs=5e-5)


def test_digits_reach_97_percent(tmp_path: Path) -> None:
    record = _train(FOLDER / "digits" / "digits.weft", tmp_path)
    assert record.metrics["test"]["accuracy"] >= 0.97


def test_a_line_does_not_bound_the_valley(tmp_path: Path) -> None:
    path = FOLDER / "logistic" / "binary.weft"
    line = _train(path, tmp_path / "line").metrics["test"]["accuracy"]
    curved = _train(path, tmp_path / "curved", "curved").metrics["test"]["accuracy"]
    assert line < 0.85 < 0.95 < curved


def _losses(path: Path, out: Path, variants: list[str | None]) -> list[float]:
    return [
        _train(path, out / str(variant), variant).metrics["train"]["loss"] for variant in variants
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    [("sine", (3e-1, 1e-3, 2e-6)), ("rosenbrock", (6e-1, 8e-2, 3e-2))],
)
def test_two_three_four_nodes(tmp_path: Path, name: str, most: tuple[float, ...]) -> None:
    """Each further node buys an order of magnitude; with four, sin x sin y is all but exact."""
    losses = _losses(FOLDER / "surfaces" / f"{name}.weft", tmp_path, [None, "n3", "n4"])
    assert losses[0] > losses[1] > losses[2]
    assert losses[0] > 0.05
    assert all(loss < limit for loss, limit in zip(losses, most, strict=True)), losses


@pytest.mark.slow
def test_deeper_beats_wider(tmp_path: Path) -> None:
    """At 501 weights two layers beat one, and three layers of fewer weights beat two."""
    path = FOLDER / "image" / "image.weft"
    wide, deep, deeper = _losses(path, tmp_path, [None, "deep2", "deep3_14"])
    assert wide > 3 * deep
    assert deep > deeper


def test_one_network_three_descents(tmp_path: Path) -> None:
    """After 20 passes: the more updates, the further down."""
    path = FOLDER / "descent" / "descent.weft"
    single, mini, full = (
        _train(path, tmp_path / str(variant), variant) for variant in ("single", None, "full")
    )
    assert (single.step, full.step) == (20 * 1438, 20)
    losses = [record.metrics["train"]["loss"] for record in (single, mini, full)]
    assert losses == sorted(losses)
