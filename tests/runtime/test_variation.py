"""How one picture is varied: where its pixels go, and what becomes of their values."""

from __future__ import annotations

import numpy as np
import pytest

from weft.runtime.data.cut import Box, Cut, centre, nearest, resample
from weft.runtime.data.pictures import Plane
from weft.runtime.data.variation import (
    DRAWS,
    HUE,
    LEFT_RIGHT,
    SHIFT_X,
    SHIFT_Y,
    TURN,
    Variation,
)

SIDE = Plane((2, 6, 8), "f4"), Plane((6, 8), "i4", labels=True, blank=-100)


def at(place: int, value: float) -> np.ndarray:
    found = np.full(DRAWS, 0.5)
    found[place] = value
    return found


def sample() -> tuple[np.ndarray, np.ndarray]:
    """A picture whose every pixel is known by its value, and a mask that follows from it."""
    picture = np.arange(96, dtype=np.float32).reshape(2, 6, 8)
    return picture, (picture[0] % 3).astype(np.int32)


def follows(picture: np.ndarray, mask: np.ndarray, beyond: int = -100) -> bool:
    """Whether every pixel of the mask still belongs to the pixel of the picture."""
    return np.array_equal(mask, np.where(picture[0] < 0, beyond, picture[0] % 3))


# ---- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "both"])
def test_flipping_twice_changes_nothing_and_masks_follow(flip: str) -> None:
    variation, low = Variation(flip=flip), np.zeros(DRAWS)
    once = variation.place(sample(), SIDE, low)
    assert not np.array_equal(once[0], sample()[0])
    assert follows(*once)
    twice = variation.place(once, SIDE, low)
    np.testing.assert_array_equal(twice[0], sample()[0])
    never = variation.place(sample(), SIDE, np.full(DRAWS, 0.9))
    np.testing.assert_array_equal(never[0], sample()[0])
    sides = variation.place(sample(), SIDE, at(LEFT_RIGHT, 0.1))
    assert np.array_equal(sides[0], sample()[0][..., ::-1]) == (flip != "vertical")


def test_a_crop_is_a_window_in_a_frame() -> None:
    kinds = (Plane((2, 6, 8), "f4", blank=-1), SIDE[1])
    framed = np.pad(sample()[0], ((0, 0), (3, 3), (3, 3)), constant_values=-1)
    seen = set()
    for y in range(7):
        for x in range(7):
            numbers = at(SHIFT_Y, (y + 0.5) / 7)
            numbers[SHIFT_X] = (x + 0.5) / 7
            found = Variation(crop=3).place(sample(), kinds, numbers)
            np.testing.assert_array_equal(found[0], framed[:, y : y + 6, x : x + 8])
            assert follows(*found)
            mirrored = Variation(crop=3, padding="reflect").place(sample(), kinds, numbers)
            wanted = np.pad(sample()[0], ((0, 0), (3, 3), (3, 3)), mode="reflect")
            np.testing.assert_array_equal(mirrored[0], wanted[:, y : y + 6, x : x + 8])
            assert follows(*mirrored)
            seen.add(found[0].tobytes())
    assert len(seen) == 49


def test_a_crop_wider_than_the_picture_shows_nothing() -> None:
    kinds = (Plane((2, 6, 8), "f4", blank=-1), SIDE[1])
    found = Variation(crop=20).place(sample(), kinds, np.zeros(DRAWS))
    assert (found[0] == -1).all()
    assert follows(*found)


def test_a_cut_has_the_area_and_the_proportions_it_should() -> None:
    variation = Variation(zoom=(0.2, 0.8), aspect=(0.5, 2))
    random = np.random.default_rng(0)
    for _ in range(300):
        cut = variation.cut(random.random(DRAWS))
        assert cut is not None
        box = cut.box(200, 300)
        assert 0 <= box.top <= 200 - box.height
        assert 0 <= box.left <= 300 - box.width
        assert box.height * box.width / 60000 <= 0.81
        if box.height < 200 and box.width < 300:
            assert box.height * box.width / 60000 == pytest.approx(cut.area, rel=0.03)
            assert box.width / box.height == pytest.approx(cut.aspect, rel=0.05)
    assert Cut(1, 1, 0.5, 0.5).box(7, 7) == (0, 0, 7, 7)
    assert centre(10, 20, (5, 5), 1) == (0, 5, 10, 10)
    assert centre(10, 20, (5, 5), 2) == (2.5, 7.5, 5, 5)


def test_scaling_matches_pillow_and_keeps_constants() -> None:
    image = pytest.importorskip("PIL.Image")
    plane = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    for size in ((17, 50), (40, 30), (80, 11)):
        box = Box(4, 3, 30, 20)
        part = image.fromarray(plane[4:34, 3:23])
        theirs = np.asarray(part.resize(size[::-1], image.Resampling.BILINEAR))
        np.testing.assert_allclose(resample(plane, box, size), theirs, atol=2e-6)
    wanted = plane[4:34, 3:23].repeat(2, 0).repeat(3, 1)
    np.testing.assert_array_equal(nearest(plane, Box(4, 3, 30, 20), (60, 60)), wanted)
    np.testing.assert_array_equal(nearest(wanted, Box(0, 0, 60, 60), (30, 20)), plane[4:34, 3:23])
    np.testing.assert_array_equal(
        resample(np.full((9, 9), 77, np.uint8), Box(0, 0, 9, 9), (5, 20)), 77
    )


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_turns_by_right_angles_move_whole_pixels_and_masks_follow(padding: str) -> None:
    picture = np.arange(98, dtype=np.float32).reshape(2, 7, 7)
    kinds = Plane((2, 7, 7), "f4", blank=-1), Plane((7, 7), "i4", labels=True, blank=-100)
    for degrees, turns in ((90, 1), (180, 2)):
        variation = Variation(rotate=degrees, padding=padding)
        for draw, sign in ((1.0, 1), (0.0, -1)):
            mask = (picture[0] % 3).astype(np.int32)
            found = variation.place((picture, mask), kinds, at(TURN, draw))
            wanted = np.rot90(picture, sign * turns, (1, 2))
            np.testing.assert_allclose(found[0], wanted, atol=1e-4)
            np.testing.assert_array_equal(found[1], np.rot90(mask, sign * turns))
        still = variation.place((picture, mask), kinds, at(TURN, 0.5))
        np.testing.assert_array_equal(still[0], picture)


def test_turned_pictures_are_those_of_pillow() -> None:
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).integers(0, 256, (1, 20, 31), np.uint8)
    kinds = (Plane((1, 20, 31), "u1"),)
    angle = 25.0
    (found,) = Variation(rotate=angle).place((picture,), kinds, at(TURN, 1.0))
    theirs = np.asarray(image.fromarray(picture[0]).rotate(angle, image.Resampling.BILINEAR))
    inside = np.asarray(image.fromarray(np.full((20, 31), 255, np.uint8)).rotate(angle)) == 255
    inner = inside[1:-1, 1:-1] & inside[2:, 1:-1] & inside[:-2, 1:-1] & inside[1:-1, 2:]
    both = (found[0, 1:-1, 1:-1].astype(int), theirs[1:-1, 1:-1].astype(int))
    inner &= inside[1:-1, :-2]
    assert inner.sum() > 200 and np.abs(both[0] - both[1])[inner].max() <= 1
    constant = np.full((1, 20, 31), 77, np.uint8)
    for padding, least in (("zero", 0), ("reflect", 77)):
        (turned,) = Variation(rotate=180, padding=padding).place((constant,), kinds, at(TURN, 0.6))
        assert turned.min() == least and turned.max() == 77


# ---- values --------------------------------------------------------------------------------------


def test_colours_change_within_their_bounds() -> None:
    picture = np.random.default_rng(0).uniform(0.3, 0.6, (3, 5, 5)).astype(np.float32)

    def changed(draw: float, **named: float) -> np.ndarray:
        found = picture.copy()
        Variation(**named).recolour(found, np.full(DRAWS, draw))
        return found

    np.testing.assert_allclose(changed(1.0, brightness=0.5), picture * 1.5, rtol=1e-6)
    np.testing.assert_allclose(changed(0.0, brightness=0.5), picture * 0.5, rtol=1e-6)
    grey = np.tensordot(np.float32([0.299, 0.587, 0.114]), picture, 1)
    np.testing.assert_allclose(changed(0.0, saturation=1.0), np.stack([grey] * 3), rtol=1e-5)
    np.testing.assert_allclose(changed(0.0, contrast=1.0), grey.mean(), rtol=1e-5)
    assert changed(1.0, contrast=1.0).std() == pytest.approx(2 * picture.std(), rel=0.2)
    for name in ("brightness", "contrast", "saturation", "hue"):
        np.testing.assert_allclose(changed(0.5, **{name: 1.0}), picture, rtol=1e-5)


def test_colours_go_round_the_greys() -> None:
    colours = np.random.default_rng(0).uniform(0.4, 0.6, (3, 4, 5)).astype(np.float32)

    def turned(part: float) -> np.ndarray:
        found = colours.copy()
        Variation(hue=0.5).recolour(found, at(HUE, 0.5 + part))
        return found

    np.testing.assert_allclose(turned(1 / 3), colours[[2, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(turned(-1 / 3), colours[[1, 2, 0]], atol=1e-6)
    np.testing.assert_allclose(turned(0.2).sum(0), colours.sum(0), atol=1e-5)
    grey = np.full((3, 2, 2), 0.3, np.float32)
    Variation(hue=0.5).recolour(grey, at(HUE, 0.77))
    np.testing.assert_allclose(grey, 0.3, atol=1e-6)
