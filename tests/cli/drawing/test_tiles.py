"""Sheets of tiles: greys, sizes, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weft.cli.drawing import tiles
from weft.cli.drawing.tiles import Tile, around_zero, grey, save, sheet, span
from weft.spec.errors import DataError

pytest.importorskip("PIL")


def test_greys() -> None:
    values = np.array([[-2.0, 0.0], [1.0, np.nan]])
    assert span(values) == (-2.0, 1.0)
    assert grey(values, -2, 1).tolist() == [[0, pytest.approx(2 / 3)], [1, 0]]
    assert grey(np.full((2, 2), 5.0), 5, 5).tolist() == [[0, 0], [0, 0]]
    assert around_zero(np.array([-2.0, 0, 1]), 2).tolist() == [0, 0.5, 0.75]
    assert around_zero(np.zeros(2), 0).tolist() == [0.5, 0.5]
    assert span(np.array([np.inf, np.nan])) == (0.0, 0.0)


def test_every_pixel_of_a_tile_is_on_the_sheet() -> None:
    random = np.random.default_rng(0)
    pictures = [random.uniform(size=(5, 7)) for _ in range(6)]
    image = sheet("title", [Tile(p, f"{k}") for k, p in enumerate(pictures)], columns=3)
    drawn = np.asarray(image)
    scale = -(-tiles.SMALL // 7)
    for k, wanted in enumerate(pictures):
        x = tiles.MARGIN + k % 3 * (7 * scale + tiles.GAP)
        y = tiles.MARGIN + tiles.LINE + k // 3 * (5 * scale + tiles.GAP + tiles.LINE)
        found = drawn[y : y + 5 * scale : scale, x : x + 7 * scale : scale]
        assert np.array_equal(found[..., 0], np.rint(wanted * 255).astype(int))
        assert np.array_equal(found[..., 0], found[..., 2])


def test_coloured_tiles_stay_coloured() -> None:
    red = np.zeros((4, 4, 3))
    red[..., 0] = 1
    drawn = np.asarray(sheet("red", [Tile(red, "0")]))
    assert drawn[tiles.MARGIN + tiles.LINE + 3, tiles.MARGIN + 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("count", "side"), [(2048, 7), (64, 224), (65536, 3)])
def test_large_sheets_stay_within_bounds(count: int, side: int) -> None:
    tile = Tile(np.zeros((side, side)), "")
    width, height = sheet("many", [tile] * count).size
    most = tiles.LARGE + 2 * tiles.MARGIN + tiles.LINE + tiles.GAP * 256
    assert max(width, height) <= most and min(width, height) > most / 8


def test_labels_that_do_not_fit_are_shortened_or_left_out() -> None:
    class Font:
        def getlength(self, text: str) -> float:
            return 6.0 * len(text)

    assert tiles._fitting(Font(), "3: 0 to 1", 100) == "3: 0 to 1"
    assert tiles._fitting(Font(), "3: 0 to 1", 30) == "3"
    assert tiles._fitting(Font(), "3: 0 to 1", 3) == ""


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    image = sheet("", [Tile(np.zeros((2, 2)), "")])
    with pytest.raises(DataError, match="cannot be written"):
        save(image, tmp_path / "file" / "a.png")
