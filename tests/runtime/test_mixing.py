"""Pictures that are mixed with others, and their labels: mixup and cutmix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from softmax_engine import data_line

from weft.runtime.data import load
from weft.runtime.data.variation import (
    DRAWS,
    Variation,
)
from weft.spec.errors import DataError


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
