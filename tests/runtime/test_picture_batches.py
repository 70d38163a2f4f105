"""Batches of varied pictures: the same whoever makes them, with their own masks and labels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import data_line
from varied import LABEL, archive, everything, same

from weft.runtime.data import load
from weft.runtime.data.picture_batches import PictureBatches
from weft.spec.errors import DataError


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
