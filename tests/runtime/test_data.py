"""What happens to data after it was read: types, splits, scaling, batches, and the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import data_line

from weft.runtime.data import Batches, Dataset, load
from weft.runtime.data import normalise as scaling
from weft.runtime.data.dataset import READERS
from weft.runtime.data.split import fold, split
from weft.spec.errors import DataError
from weft.spec.sources import SOURCES

XY = [["f32", ["B", 64]], ["i32", ["B"]]]


def digits(**settings: Any) -> Dataset:
    return load(data_line(["x", "y"], XY, "digits", **settings), Path())


def archive(
    folder: Path, x: Any, y: Any, types: list[Any], ranges: Any = None, **settings: Any
) -> Dataset:
    np.savez(folder / "d.npz", x=x, y=y)
    line = data_line(["x", "y"], types, "npz", "d.npz", **settings)
    return load({**line, "ranges": ranges} if ranges else line, folder)


def test_every_source_of_the_language_can_be_read() -> None:
    assert set(READERS) == set(SOURCES)


# splits


def test_a_split_is_a_partition_that_the_training_seed_does_not_touch() -> None:
    data = digits()
    assert (len(data.train["x"]), len(data.test["x"])) == (1438, 359)
    whole = digits(split=1.0)
    rows = {row.tobytes() for row in whole.train["x"]}
    assert rows == {row.tobytes() for part in (data.train, data.test) for row in part["x"]}
    np.testing.assert_array_equal(digits().test["x"], data.test["x"])
    assert not np.array_equal(digits(seed=1).test["y"], data.test["y"])


def test_a_stratified_split_keeps_the_mix() -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    train, test = split(100, 0.8, 0, labels)
    assert np.bincount(labels[test]).tolist() == [14, 4, 2]
    assert sorted([*train, *test]) == list(range(100))
    data = digits(stratify=True)
    whole = np.bincount(np.concatenate([data.train["y"], data.test["y"]]))
    assert np.abs(np.bincount(data.test["y"]) - whole * 359 / 1797).max() <= 1


def test_a_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="leaves one part empty"):
        split(2, 0.9, 0)


@pytest.mark.parametrize("stratify", [False, True])
def test_every_sample_is_held_out_by_one_fold(stratify: bool) -> None:
    folds = [digits(fold=[k, 5], stratify=stratify) for k in range(1, 6)]
    whole = digits(split=1.0)
    rows = sorted(row.tobytes() for row in whole.train["x"])
    assert sorted(row.tobytes() for data in folds for row in data.test["x"]) == rows
    for data in folds:
        assert len(data.test["x"]) in (359, 360)
        held = sorted(row.tobytes() for part in (data.train, data.test) for row in part["x"])
        assert held == rows
    if stratify:
        mixes = np.array([np.bincount(data.test["y"], minlength=10) for data in folds])
        assert np.ptp(mixes, axis=0).max() <= 1


def test_folds_that_cannot_be() -> None:
    with pytest.raises(DataError, match="3 samples are no 4 parts"):
        fold(3, 1, 4, 0)
    assert [len(fold(3, k, 3, 0)[1]) for k in (1, 2, 3)] == [1, 1, 1]


def test_limit_draws_from_the_whole_training_part() -> None:
    data = digits(limit=100)
    assert len(data.train["x"]) == 100
    assert len(data.test["x"]) == 359
    assert len(np.unique(data.train["y"])) == 10
    assert digits(limit=5000).train["x"].shape == (1438, 64)


# batches


def all_batches(batches: Batches, epoch: int) -> list[Any]:
    return [batches.at(epoch, i)["n"].copy() for i in range(batches.count)]


def numbers(count: int, batch: int, *, seed: int = 0, drop: bool = False) -> Batches:
    arrays = {"n": np.arange(count, dtype=np.float32), "m": -np.arange(count, dtype=np.int32)}
    return Batches(arrays, batch, shuffle=True, drop=drop, seed=seed)


def test_an_epoch_holds_every_sample_once_in_an_order_of_its_own() -> None:
    batches = numbers(103, 10)
    first, second = (np.concatenate(all_batches(batches, epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(103))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.concatenate(all_batches(numbers(103, 10, seed=1), 0)))
    assert batches.count == 11
    assert batches.size(10) == 3
    assert numbers(103, 10, drop=True).count == 10


def test_any_batch_can_be_had_at_once() -> None:
    walked = {}
    batches = numbers(50, 8)
    for epoch in range(4):
        for index in range(batches.count):
            batch = batches.at(epoch, index)
            np.testing.assert_array_equal(batch["n"], -batch["m"])
            walked[epoch, index] = batch["n"].copy()
    fresh = numbers(50, 8)
    for key in ((3, 2), (0, 6), (1, 0), (3, 6)):
        np.testing.assert_array_equal(fresh.at(*key)["n"], walked[key])


def test_batches_are_aligned_and_reuse_their_memory() -> None:
    batches = digits().batches(0)
    first = batches.at(0, 0)["x"]
    assert first is batches.at(0, 1)["x"]
    assert first.flags.c_contiguous
    assert first.ctypes.data % 64 == 0
    assert first.dtype == np.float32
    assert batches.at(0, 0)["y"].dtype == np.int32


def test_a_full_batch_is_the_data_itself() -> None:
    data = digits(batch="full")
    batches = data.batches(0)
    assert batches.count == 1
    assert batches.at(0, 0)["x"] is batches.at(7, 0)["x"]
    np.testing.assert_array_equal(batches.at(3, 0)["x"], data.train["x"])
    held_out = data.held_out()
    assert held_out is not None
    assert (held_out.count, held_out.size(0)) == (1, 359)


def test_without_shuffling_the_order_is_that_of_the_file() -> None:
    data = digits(shuffle=False, last="drop")
    batches = data.batches(0)
    assert batches.count == 22
    np.testing.assert_array_equal(batches.at(5, 1)["x"], data.train["x"][64:128])


def test_a_fixed_batch_drops_what_does_not_fill_it() -> None:
    line = data_line(["x", "y"], [["f32", [64, 64]], ["i32", [64]]], "digits")
    data = load(line, Path())
    assert data.batches(0).count == 22
    held_out = data.held_out()
    assert held_out is not None
    assert [held_out.size(i) for i in range(held_out.count)] == [64] * 5
    with pytest.raises(DataError, match="batches of 64, the source gives 32"):
        load({**line, "settings": {**line["settings"], "batch": 32}}, Path())


def test_a_batch_larger_than_the_data_is_refused_with_the_place() -> None:
    with pytest.raises(DataError) as caught:
        digits(batch=2000)
    text = str(caught.value)
    assert "net.weft:3:3: batch=2000 is larger than the 1,438 samples for training" in text
    assert "(359 more are held out)" in text
    assert "batch=full" in text


# scaling


def test_standard_scaling_is_measured_on_the_training_part(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([3, -100, 7], [2, 0.01, 0], (500, 3))
    y = np.random.default_rng(1).normal(50, 9, 500)
    types = [["f32", ["B", 3]], ["f32", ["B"]]]
    data = archive(
        tmp_path, x, y, types, split=0.7, normalise="standard", normalise_target="minmax"
    )
    assert np.abs(data.train["x"].mean(axis=0, dtype=np.float64)).max() < 1e-4
    assert data.train["x"].std(axis=0) == pytest.approx([1, 1, 0], abs=1e-3)
    assert (data.train["y"].min(), data.train["y"].max()) == (0, 1)
    assert 0.001 < abs(data.test["x"].mean()) < 0.5
    again = scaling.undo(data.train["y"], data.statistics["fields"]["y"])
    assert again.min() == pytest.approx(y.min(), abs=15)


def test_images_are_scaled_by_channel(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 5)).astype(np.uint8)
    types = [["f32", ["B", 3, 4, 5]], ["i32", ["B"]]]
    data = archive(tmp_path, x, np.zeros(40), types, normalise="minmax", batch=8)
    assert np.shape(data.statistics["fields"]["x"]["shift"]) == (3,)
    assert data.train["x"].max() == 1


def test_statistics_of_an_earlier_load_bind_the_next(tmp_path: Path) -> None:
    types = [["f32", ["B", 2]], ["f32", ["B"]]]
    first = archive(tmp_path, np.eye(2), np.ones(2), types, normalise="standard", batch=1)
    np.savez(tmp_path / "d.npz", x=100 * np.eye(2), y=np.ones(2))
    line = data_line(["x", "y"], types, "npz", "d.npz", normalise="standard", batch=1)
    second = load(line, tmp_path, first.statistics)
    assert second.statistics["fields"] == first.statistics["fields"]
    np.testing.assert_allclose(second.train["x"], [[199, -1], [-1, 199]])
    assert second.statistics["checksum"] != first.statistics["checksum"]


def test_integers_are_not_scaled() -> None:
    with pytest.raises(DataError, match="`y` holds integers"):
        digits(normalise_target="standard")


# types


def test_labels_may_be_declared_as_numbers_and_gain_an_axis() -> None:
    line = data_line(["x", "y"], [["f32", ["B", 64]], ["f32", ["B", 1]]], "digits")
    data = load(line, Path())
    assert data.train["y"].shape == (1438, 1)
    assert data.train["y"].dtype == np.float32


def test_fewer_names_than_fields_are_fine() -> None:
    assert list(load(data_line(["x"], XY[:1], "digits"), Path()).train) == ["x"]


@pytest.mark.parametrize(
    ("x", "y", "types", "message"),
    [
        (np.ones((4, 3)), np.ones(4), [["f32", ["B", 4]], ["f32", ["B"]]], "declared [B, 4]"),
        (np.ones((4, 3)), np.ones(5), [["f32", ["B", 3]], ["f32", ["B"]]], "x: 4, y: 5"),
        (np.ones((4, 3)), np.ones(4) / 3, [["f32", ["B", 3]], ["i32", ["B"]]], "i32 and holds 0.3"),
        (np.full((4, 3), 1e39), np.ones(4), [["f32", ["B", 3]], ["f32", ["B"]]], "holds inf"),
        (np.ones((4, 3)), np.full(4, 2**40), [["f32", ["B", 3]], ["i32", ["B"]]], "too large"),
        (np.array(["a"] * 4), np.ones(4), [["f32", ["B"]], ["f32", ["B"]]], "not numbers"),
        (np.float32(3), np.ones(4), [["f32", ["B"]], ["f32", ["B"]]], ""),
        (np.ones((0, 3)), np.ones(0), [["f32", ["B", 3]], ["f32", ["B"]]], "no samples"),
        (
            np.ones((4, 3)),
            np.ones((4, 2)),
            [["f32", ["B", "C"]], ["f32", ["B", "C"]]],
            "C is 3 in `x` and 2 in `y`",
        ),
        (np.ones((4, 3)), np.ones(4), [["bf16", ["B", 3]], ["f32", ["B"]]], "declared as bf16"),
    ],
)
def test_data_that_is_not_what_was_declared(
    tmp_path: Path, x: Any, y: Any, types: list[Any], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        archive(tmp_path, x, y, types, batch=1)
    assert message in str(caught.value)
    assert str(caught.value).startswith("net.weft:3:3: ")


def test_nan_is_found_where_it_is(tmp_path: Path) -> None:
    x = np.ones((9, 2, 3))
    x[4, 1, 2] = np.nan
    with pytest.raises(
        DataError, match=r"nan at sample 4 of `d.npz`, position \[1, 2\] \(1 such value\)"
    ):
        archive(tmp_path, x, np.ones(9), [["f32", ["B", 2, 3]], ["f32", ["B"]]], batch=1)


def test_labels_out_of_range(tmp_path: Path) -> None:
    types = [["f32", ["B", 2]], ["i32", ["B"]]]
    x = np.ones((6, 2))

    def labels(*values: int) -> Dataset:
        return archive(tmp_path, x, np.array(values), types, {"y": [0, 3, -100]}, batch=2)

    assert labels(0, 1, 2, 2, 1, -100).batch == 2
    with pytest.raises(
        DataError, match=r"the label 3 at sample 2 of `d.npz`, outside 0 … 2"
    ) as caught:
        labels(1, 2, 3, 1, 2, 3)
    assert "number the classes from 0" in str(caught.value)
    with pytest.raises(DataError, match="3 outputs for 4 different labels"):
        labels(0, 1, 2, 3, 3, 3)
    with pytest.raises(DataError, match="the label -1 at sample 0"):
        labels(-1, 1, 1, 1, 1, 1)


def test_too_many_names() -> None:
    line = data_line(["x", "y", "z"], [*XY, ["i32", ["B"]]], "digits")
    with pytest.raises(DataError, match="`digits` gives 2 fields, the line binds 3: x, y, z"):
        load(line, Path())


def test_a_missing_optional_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="needs scikit-learn") as caught:
        digits()
    assert "pip install scikit-learn" in str(caught.value)
