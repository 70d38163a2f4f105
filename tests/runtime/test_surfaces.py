"""Functions of two numbers as data: formulas, and one grey image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_files import GREY, LABEL, X2
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.runtime.data.image import load_picture
from weft.spec.errors import DataError

# function


def surface(text: str, target: list[Any], **named: Any) -> Dataset:
    named = {"x": [-2, 2], "y": [-1, 3], "batch": "full", **named}
    return load(data_line(["p", "t"], [X2, target], "function", text, **named), Path())


COLUMN = ["f32", ["B", 1]]


def test_rosenbrock_on_a_grid() -> None:
    data = surface("z = 100*(y - x**2)**2 + (1 - x)**2", COLUMN, grid=[5, 9])
    x, y = data.train["p"].T.astype(np.float64)
    assert len(x) == 45
    assert sorted(set(x)) == [-2, -1, 0, 1, 2]
    np.testing.assert_allclose(
        data.train["t"][:, 0], 100 * (y - x**2) ** 2 + (1 - x) ** 2, rtol=1e-6
    )
    assert data.train["t"][(x == 1) & (y == 1)] == 0


def test_random_points_are_the_same_every_time() -> None:
    first = surface("z = x*y", COLUMN, samples=1000, noise=0.1)
    again = surface("z = x*y", COLUMN, samples=1000, noise=0.1)
    np.testing.assert_array_equal(first.train["t"], again.train["t"])
    noise = first.train["t"][:, 0] - first.train["p"].prod(axis=1)
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    other = surface("z = x*y", COLUMN, samples=1000, seed=1)
    assert not np.array_equal(first.train["p"], other.train["p"])
    assert first.train["p"].min(axis=0) == pytest.approx([-2, -1], abs=0.02)
    assert first.train["p"].max(axis=0) == pytest.approx([2, 3], abs=0.02)


def test_a_comparison_is_a_class() -> None:
    data = surface("inside = x**2 + y**2 < 1 and not x > 0", LABEL, grid=17)
    x, y = data.train["p"].T
    np.testing.assert_array_equal(data.train["t"], (x**2 + y**2 < 1) & (x <= 0))
    as_number = surface("inside = x**2 + y**2 < 1", COLUMN, grid=21)
    assert set(as_number.train["t"].ravel()) == {0, 1}
    three = surface("c = (x > 0) + 2*(y > 1)", LABEL, grid=4)
    assert set(three.train["t"]) == {0, 1, 2, 3}


def test_several_equations_are_several_columns() -> None:
    data = surface("u = x + y; v = max(x, y) - min(x, y)", X2, grid=3)
    x, y = data.train["p"].T
    np.testing.assert_allclose(data.train["t"], np.stack([x + y, abs(x - y)], axis=1))


def test_every_function_of_formulas_computes() -> None:
    from weft.runtime.data.function import OPERATORS, evaluate
    from weft.spec.formula import FUNCTIONS

    columns = {"x": np.array([0.25, 0.5])}
    for name, count in FUNCTIONS.items():
        assert name in OPERATORS
        assert np.isfinite(evaluate((name, *["x"] * count), columns)).all(), name
    assert evaluate(("//", 7.0, 2.0), columns) == 3
    assert evaluate(("%", 7.0, 4.0), columns) == 3
    assert evaluate(("-", 7.0), columns) == -7
    assert evaluate(("where", ("<", "x", 0.3), 1.0, 2.0), columns).tolist() == [1, 2]


def test_a_formula_that_is_not_finite_somewhere() -> None:
    with pytest.raises(DataError, match=r"`z` is not finite at x = -2, y = -1 \(20 of 25 points\)"):
        surface("z = log(y)*x", COLUMN, grid=5, y=[-1, 0.25])
    assert surface("z = 3 + 0*x*y", COLUMN, grid=3).train["t"].tolist() == [[3]] * 9


# image


def test_a_grey_image_is_a_surface(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 # a comment\n3 2\n255\n" + GREY.tobytes())
    line = data_line(["p", "i"], [X2, COLUMN], "image", "a.pgm", batch="full")
    data = load(line, tmp_path)
    np.testing.assert_allclose(data.train["i"][:, 0], GREY.ravel() / 255, rtol=1e-6)
    assert data.train["p"].tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 1], [0, 1], [1, 1]]


def test_all_formats_agree(tmp_path: Path) -> None:
    from PIL import Image

    text = b"P2\n3 2 255\n# c\n0 64 128\n255 200 10"
    wide = b"P5\n3 2\n65535\n" + (GREY.astype(">u2") * 257).tobytes()
    colour = b"P6 3 2 255\n" + np.repeat(GREY, 3).tobytes()
    for name, data in (("t.pgm", text), ("w.pgm", wide), ("c.ppm", colour)):
        (tmp_path / name).write_bytes(data)
    Image.fromarray(GREY).save(tmp_path / "p.png")
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "w.png")
    for path in tmp_path.iterdir():
        np.testing.assert_allclose(load_picture(path, path.name), GREY / 255, atol=1e-9)


def test_scaling_keeps_the_mean(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 90)).astype(np.uint8)
    (tmp_path / "a.pgm").write_bytes(b"P5\n90 120\n255\n" + picture.tobytes())
    line = data_line(["p", "i"], [X2, COLUMN], "image", "a.pgm", size=[51, 37], batch="full")
    data = load(line, tmp_path)
    assert data.train["i"].shape == (51 * 37, 1)
    assert data.train["i"].mean() == pytest.approx(picture.mean() / 255, abs=1e-6)
    assert data.train["i"].std() < picture.std() / 255 / 1.5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pgm", b"P5\n3 2\n255\n12345", "should hold 6 values and holds 5"),
        ("a.pgm", b"P5\n3 x\n255\n", "header of `a.pgm` is not"),
        ("a.pgm", b"P5\n0 2\n255\n", "asks for 0x2"),
        ("a.pgm", b"P2\n2 1\n255\n1 cat", "not a grey value"),
        ("a.pgm", b"P2\n2 1\n9\n1 10", "above its white, 9"),
        ("a.png", b"\x89PNG\r\n\x1a\nxxxx", "not a readable image"),
        ("a.png", b"hello", "not a readable image"),
    ],
)
def test_bad_images(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(data_line(["p", "i"], [X2, COLUMN], "image", name, batch=1), tmp_path)
    assert message in str(caught.value)
