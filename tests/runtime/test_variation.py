"""How pictures are varied in training, and how batches of them are made beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact

from weft.compiler.artifact import Artifact
from weft.runtime.checkpoint import load as load_checkpoint
from weft.runtime.data import Dataset, load
from weft.runtime.data.cut import Box, Cut, centre, nearest, resample
from weft.runtime.data.picture_batches import PictureBatches
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
from weft.runtime.progress import Quiet
from weft.runtime.trainer import train
from weft.spec.errors import DataError

PICTURES, MASKS = ["f32", ["B", 2, 6, 8]], ["i32", ["B", 6, 8]]
LABEL = ["i32", ["B"]]
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


# ---- batches -------------------------------------------------------------------------------------


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


def test_masks_and_labels_stay_with_their_pictures(tmp_path: Path) -> None:
    batches = everything(archive(tmp_path, crop=2, padding="reflect"))
    assert [len(batch["x"]) for batch in batches[:6]] == [4, 4, 4, 4, 4, 3]
    rows = []
    for batch in batches:
        np.testing.assert_array_equal(batch["m"], batch["x"][:, 0] % 3)
        row = (batch["x"][:, 0, 3, 3].astype(np.int64) - 1) // 96
        np.testing.assert_array_equal(batch["y"], row % 5)
        rows += row.tolist()
    assert sorted(rows[:23]) == sorted(rows[23:]) == list(range(23))
    assert rows[:23] != rows[23:]


VARIED: dict[str, Any] = {"crop": 2, "zoom": [0.3, 1], "cutout": 3}


def test_batches_do_not_depend_on_who_makes_them(tmp_path: Path) -> None:
    wanted = everything(archive(tmp_path, workers=0, prefetch=0, **VARIED))
    for workers, prefetch in ((0, 3), (1, 0), (1, 2), (2, None), (3, 7)):
        ahead = {} if prefetch is None else {"prefetch": prefetch}
        found = everything(archive(tmp_path, workers=workers, **ahead, **VARIED))
        assert same(found, wanted), (workers, prefetch)
    assert not same(everything(archive(tmp_path, **VARIED), seed=1), wanted)
    assert not same(wanted[:6], wanted[6:])


def test_any_batch_can_be_had_at_once(tmp_path: Path) -> None:
    wanted = everything(archive(tmp_path, workers=0, prefetch=0, **VARIED), epochs=3)
    for workers in (0, 1):
        data = archive(tmp_path, workers=workers, **VARIED)
        batches = data.batches(0)
        for number in (13, 14, 2, 2, 3, 17, 0, 1, 16):
            assert same([batches.at(*divmod(number, 6))], [wanted[number]])
        data.close()
        assert same([batches.at(0, 4)], [wanted[4]])
        data.close()


def test_a_batch_is_valid_until_the_next_and_memory_is_used_again(tmp_path: Path) -> None:
    data = archive(tmp_path, workers=0)
    batches = data.batches(0)
    places = set()
    for epoch in range(5):
        for index in range(5):
            batch = batches.at(epoch, index)
            kept = batch["x"].copy()
            time.sleep(0.001)
            np.testing.assert_array_equal(batch["x"], kept)
            assert batch["x"].ctypes.data % 64 == 0
            assert batch["y"].ctypes.data % 64 == 0
            places.add(batch["x"].ctypes.data)
    assert len(places) <= 3
    data.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_batches_are_made_without_being_asked_for(tmp_path: Path, workers: int) -> None:
    data = archive(tmp_path, workers=workers, prefetch=3)
    data.batches(0).at(0, 0)
    made: Any = data.made
    feeder: Any = made.supply.feeder
    for _ in range(200):
        if workers:
            connection = feeder._workers[0].connection
            while connection.poll(0):
                feeder._hear(feeder._workers[0])
            made = len(feeder._done)
        else:
            made = sum(future.done() for future in feeder._futures.values())
        if made == 3:
            break
        time.sleep(0.05)
    assert made == 3
    data.close()


def test_evaluation_sees_pictures_as_they_are(tmp_path: Path) -> None:
    data = archive(tmp_path, split=0.6, **VARIED)
    plain = archive(tmp_path, split=0.6, flip="none")
    assert not isinstance(plain.batches(0), PictureBatches)
    for part in ("test", "train"):
        ours, theirs = data.held_out(part), plain.held_out(part)
        assert ours is not None
        assert theirs is not None
        assert ours.count == theirs.count
        for index in range(ours.count):
            assert same([ours.at(0, index)], [theirs.at(0, index)])
    np.testing.assert_array_equal(data.test["x"], plain.test["x"])
    data.close()


def test_bytes_and_numbers_are_varied_alike(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 3, 6, 8))
    found = []
    for dtype in (np.uint8, np.float32):
        np.savez(tmp_path / "d.npz", x=values.astype(dtype))
        line = data_line(["x"], [["f32", ["B", 3, 6, 8]]], "npz", "d.npz", batch=3, crop=2,
                         cutout=2, flip="both", normalise="standard")  # fmt: skip
        found.append(everything(load(line, tmp_path)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours["x"], theirs["x"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", ["path", "test"])
def test_pictures_and_labels_are_as_many(tmp_path: Path, part: str) -> None:
    for name in ("d.npz", "t.npz"):
        short = name == ("d.npz" if part == "path" else "t.npz")
        np.savez(tmp_path / name, x=np.zeros((9, 3, 6, 8), np.uint8), y=np.zeros(9 - 2 * short))
    line = data_line(["x", "y"], [["f32", ["B", 3, 6, 8]], LABEL], "npz", "d.npz", test="t.npz",
                     batch=3, flip="both")  # fmt: skip
    with pytest.raises(DataError, match=r"different numbers of samples \(x: 9, y: 7\)"):
        load(line, tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop": 6}, "crop=6 is too much for pictures of 6 x 8"),
        ({"cutout": 7}, "cutout=7 is too much for pictures of 6 x 8"),
        ({"crop": 5, "cutout": 6}, None),
        ({"crop": 9, "padding": "reflect"}, None),
    ],
)
def test_something_of_every_picture_is_left(
    tmp_path: Path, settings: dict[str, Any], said: str | None
) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((9, 3, 6, 8), np.uint8))
    line = data_line(["x"], [["f32", ["B", 3, 6, 8]]], "npz", "d.npz", batch=3, **settings)
    if said is None:
        load(line, tmp_path).close()
        return
    with pytest.raises(DataError, match=said):
        load(line, tmp_path)


def test_grey_sources_are_varied_in_their_range() -> None:
    pytest.importorskip("sklearn")
    types = [["f32", ["B", 1, 12, 12]], LABEL]
    line = data_line(["x", "y"], types, "digits", flat=False, size=12, range=[-1, 1], crop=3,
                     brightness=0.5, flip="horizontal")  # fmt: skip
    plain = data_line(["x", "y"], types, "digits", flat=False, size=12, range=[-1, 1])
    ours, theirs = everything(load(line, Path()), 1), everything(load(plain, Path()), 1)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one["y"], other["y"])
        assert -1 <= one["x"].min() <= one["x"].max() <= 1
        assert not np.array_equal(one["x"], other["x"])
    assert (ours[0]["x"][:, 0, 0] == -1).mean() > (theirs[0]["x"][:, 0, 0] == -1).mean()


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


def test_a_hole_is_black_and_as_large_as_it_should_be(tmp_path: Path) -> None:
    black = [
        (sample == 0).sum()
        for batch in everything(archive(tmp_path, flip="none", cutout=3))
        for sample in batch["x"]
    ]
    assert max(black) == 2 * 9
    assert min(black) >= 2 * 2
    assert 10 < np.mean(black) < 18


def test_without_shuffling_the_order_is_that_of_the_data(tmp_path: Path) -> None:
    data = archive(tmp_path, shuffle=False, last="drop", crop=0)
    assert [batch["y"].tolist() for batch in everything(data, 1)][:2] == [
        [0, 1, 2, 3],
        [4, 0, 1, 2],
    ]
    whole = archive(tmp_path, batch="full", crop=1)
    first, second = everything(whole)
    assert first["y"].tolist() == second["y"].tolist() == (np.arange(23) % 5).tolist()
    assert not np.array_equal(first["x"], second["x"])


def test_arrays_that_cannot_be_varied(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((9, 5)), y=np.ones((9, 1, 6, 8)), m=np.ones((9, 6, 8)))

    def read(names: list[str], types: list[Any]) -> str:
        line = data_line(names, types, "npz", "d.npz", flip="both", batch=2)
        with pytest.raises(DataError) as caught:
            load(line, tmp_path)
        return str(caught.value)

    assert "cannot be varied as pictures" in read(["x"], [["f32", ["B", 5]]])
    one = ["f32", ["B", 1, 6, 8]]
    text = read(["y", "x", "m"], [one, ["f32", ["B", 5]], ["f32", ["B", 6, 8]]])
    assert "`m` belongs to the pixels of `y`" in text


# ---- mixup ---------------------------------------------------------------------------------------


def test_mixed_labels_are_the_shares_of_what_is_mixed(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    types = [["f32", ["B", 1, 8, 8]], ["f32", ["B", 10]]]
    line = data_line(["x", "y"], types, "digits", flat=False, mixup=1, batch=50, shuffle=False)
    data = load(line, Path())
    batch = data.batches(0).at(0, 0)
    originals, labels = data.train["x"][:50], data.train["y"][:50]
    assert labels.shape == (50, 10)
    np.testing.assert_allclose(batch["y"].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(batch["y"].argmax(axis=1), labels.argmax(axis=1))
    mixed = 0
    for row in range(50):
        share = batch["y"][row].max()
        rest = (batch["x"][row] - share * originals[row]) / max(1 - share, 1e-6)
        if share < 0.95:
            nearest_one = abs(originals - rest).max(axis=(1, 2, 3)).argmin()
            np.testing.assert_allclose(originals[nearest_one], rest, atol=1e-4)
            assert batch["y"][row][labels[nearest_one].argmax()] == pytest.approx(
                1 - share, abs=1e-6
            )
            mixed += 1
    assert mixed > 20
    held_out = data.held_out()
    assert held_out is not None
    assert set(np.unique(held_out.at(0, 0)["y"])) == {0, 1}
    data.close()
    few = {**line, "types": [types[0], ["f32", ["B", 7]]]}
    with pytest.raises(DataError, match="`y` has 10 classes and is declared with 7"):
        load(few, Path())


def test_a_part_of_another_has_its_share_of_the_label() -> None:
    pytest.importorskip("sklearn")
    types = [["f32", ["B", 1, 8, 8]], ["f32", ["B", 10]]]
    line = data_line(["x", "y"], types, "digits", flat=False, cutmix=1, batch=40, shuffle=False)
    data = load(line, Path())
    originals, labels = data.train["x"][:40], data.train["y"][:40].argmax(axis=1)
    batch = data.batches(0).at(0, 0)
    mixed = 0
    for row in range(40):
        shares, places = batch["y"][row], np.argwhere(batch["x"][row, 0] != originals[row, 0])
        assert shares.sum() == pytest.approx(1, abs=1e-6)
        if not len(places):
            continue
        (top, left), (bottom, right) = places.min(0), places.max(0) + 1
        part = (0, slice(top, bottom), slice(left, right))
        taken = [k for k in range(40) if np.array_equal(batch["x"][row][part], originals[k][part])]
        assert any(shares[labels[k]] >= (bottom - top) * (right - left) / 64 - 1e-6 for k in taken)
        mixed += 1
    assert mixed > 20
    data.close()


def test_patches_are_as_large_as_what_is_left_says() -> None:
    draws = np.random.default_rng(0).random((200, DRAWS))
    wanted = draws[:, 0].astype(np.float32)
    patches, share = Variation(cutmix=1).patches(90, 120, wanted, draws)
    top, bottom, left, right = patches.T
    assert (0 <= top).all() and (top <= bottom).all() and (bottom <= 90).all()
    assert (0 <= left).all() and (left <= right).all() and (right <= 120).all()
    np.testing.assert_allclose(share, 1 - (bottom - top) * (right - left) / 10800, rtol=1e-6)
    whole = (top > 0) & (left > 0) & (bottom < 90) & (right < 120)
    assert whole.sum() > 20 and abs(share - wanted)[whole].max() < 0.02
    assert (share >= wanted - 0.02).all()


# ---- training ------------------------------------------------------------------------------------


def varied_artifact(folder: Path, **settings: Any) -> Artifact:
    """Softmax regression on rows [B, 12] of pictures [B, 1, 1, 12] that are flipped and cut."""
    random = np.random.default_rng(0)
    np.savez(folder / "d.npz", x=random.random((57, 1, 2, 6)), y=np.arange(57) % 3)
    types = [["f32", ["B", 1, 2, 6]], LABEL]
    named = {"flip": "both", "crop": 1, "batch": 8, "split": 0.7, **settings}
    return softmax_artifact(data_line(["x", "y"], types, "npz", "d.npz", **named), 12, 3, epochs=3)


class Rows(SoftmaxEngine):
    """Takes pictures as rows."""

    def _loss(self, x: np.ndarray, y: np.ndarray) -> Any:
        return super()._loss(x.reshape(len(x), -1), y)

    def gradient(self, step: str, inputs: Any, **more: Any) -> Any:
        flat = {**inputs, "x": inputs["x"].reshape(len(inputs["x"]), -1)}
        return super().gradient(step, flat, **more)


class StopAt(Quiet):
    def __init__(self, step: int) -> None:
        self.stop = step

    def step(self, step: int) -> None:
        if step == self.stop:
            os.kill(os.getpid(), signal.SIGINT)


def go(artifact: Artifact, out: Path, **named: Any) -> tuple[Any, SoftmaxEngine]:
    engine = Rows(artifact)
    return train(
        engine, artifact, root=out.parent, out=out, **{"progress": "quiet", **named}
    ), engine


@pytest.mark.parametrize("workers", [0, 1])
def test_resume_in_the_middle_of_an_epoch_gives_the_same_bits(tmp_path: Path, workers: int) -> None:
    artifact = varied_artifact(tmp_path, workers=workers, normalise="standard")
    whole, engine = go(artifact, tmp_path / "whole")
    assert (
        load_checkpoint(whole.paths["last"]).state["data"][0]["fields"]["x"]["kind"] == "standard"
    )
    for stop in (1, 7, 11):
        out = tmp_path / f"stop{stop}"
        first, _ = go(artifact, out, progress=StopAt(stop))
        assert (first.interrupted, first.step) == (True, stop)
        second, resumed = go(varied_artifact(tmp_path, workers=1 - workers), out, resume=True)
        np.testing.assert_array_equal(resumed.parameters, engine.parameters)
        assert second.metrics == whole.metrics


def test_a_worker_that_was_killed_is_an_error_of_one_screen(tmp_path: Path) -> None:
    data = archive(tmp_path, workers=1)
    batches = data.batches(0)
    batches.at(0, 0)
    made: Any = data.made
    feeder: Any = made.supply.feeder
    feeder._workers[0].process.kill()
    with pytest.raises(
        DataError, match="a process that reads pictures was ended by signal 9"
    ) as caught:
        for index in range(1, 6):
            batches.at(0, index)
    assert "workers=0" in str(caught.value)
    data.close()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from softmax_engine import data_line
from weft.runtime.data import load
types = [["f32", ["B", 2, 6, 8]], ["i32", ["B", 6, 8]], ["i32", ["B"]]]
line = data_line(["x", "m", "y"], types, "npz", "d.npz", batch=4, flip="both", workers=2)
data = load(line, Path(sys.argv[1]))
batches = data.batches(0)
print(batches.at(0, 0)["x"].sum(), flush=True)
print(*[w.process.pid for w in data.made.supply.feeder._workers], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "ended"])
def test_workers_end_with_the_training_and_need_no_guard(tmp_path: Path, how: Any) -> None:
    """A script without `if __name__ == "__main__"` works, and leaves nothing behind."""
    archive(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        assert script.stdin is not None
        assert float(script.stdout.readline()) > 0
        workers = [int(number) for number in script.stdout.readline().split()]
        assert len(workers) == 2
        script.stdin.close() if how is None else script.send_signal(how)
        script.wait(20)
    for _ in range(100):
        if not any(alive(worker) for worker in workers):
            return
        time.sleep(0.1)
    raise AssertionError("workers are still there")


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
