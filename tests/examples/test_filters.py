"""Sobel's and Prewitt's filters: the numbers are SciPy's, the pictures those of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft as api
from weft.spec.load import load

from .counts import FOLDER

EDGES = FOLDER / "filters" / "edges.weft"
BOAT = FOLDER / "image" / "boat.pgm"


def boat() -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(BOAT), np.float32)[None, None] / np.float32(255)


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("variant", ["sobel", "prewitt"])
def test_the_filters_are_those_of_scipy(variant: str, target: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    filter = getattr(ndimage, variant)
    x = boat()
    program = api.compile(load(str(EDGES), variant=variant), target=target)
    assert not program.artifact.parameters
    found = program.activations("edges", {"image": x}, ["slope", "strength"])
    exact = x[0, 0].astype(np.float64)
    slopes = [filter(exact, axis=axis, mode="nearest") for axis in (1, 0)]
    np.testing.assert_allclose(found["slope"][0], slopes, atol=1e-6)
    np.testing.assert_allclose(found["strength"][0, 0], np.hypot(*slopes), atol=1e-6)
    assert np.hypot(*slopes).max() > 1  # there are edges to find


def test_filters_are_folded_into_one_list_of_numbers() -> None:
    program = api.compile(load(str(EDGES)), target="reference")
    (kernels,) = (n for n in program.lowered.entry("forward", "edges").graph if n.op == "table")
    assert kernels["values"] == (-1, 0, 1, -2, 0, 2, -1, 0, 1, -1, -2, -1, 0, 0, 0, 1, 2, 1)


def test_the_pictures_of_the_page(weft: Any, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    options = ("--activations", "slope", "strength", "-o", tmp_path)
    answer = weft("predict", EDGES, "--input", BOAT, "--target", "reference", *options)
    assert answer.code == 0, answer.err
    for name in ("slope", "strength"):
        drawn, kept = (image.open(folder / f"{name}.png") for folder in (tmp_path, EDGES.parent))
        assert drawn.size[0] > 51 and drawn.size[1] > 51
        tile = (8, 21, 8 + 102, 21 + 102)  # text may look otherwise elsewhere
        got, want = (np.asarray(p.crop(tile), int) for p in (drawn, kept))
        assert np.abs(got - want).max() <= 1 and want.max() == 255 and want.min() == 0
