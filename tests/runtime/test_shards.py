"""Shards of the data: apart, together all of it, the same number of batches, exact to resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.runtime import checkpoint
from weft.runtime.data.batches import Batches
from weft.runtime.data.shard import Shard, shard_of
from weft.spec.errors import CheckpointError, UsageError

SPEC = """
net line {
  in x: f32[B, 1]
  x -> linear(1)
}
train {
  epochs = 3
  data x, y = function("y = 3*x + 1", x=[-1, 1], samples=90, batch=10, last=%s)
  step main updates line {
    optimizer = sgd(lr=0.1)
    loss = x -> line -> mse(y)
  }
}
"""


def drawn(samples: int, batch: int, shard: Shard, *, drop: bool) -> list[list[int]]:
    arrays = {"x": np.arange(samples)}
    found = Batches(arrays, batch, shuffle=True, drop=drop, seed=5, shard=shard)
    assert [found.size(k) for k in range(found.count)] == [
        len(found.at(2, k)["x"]) for k in range(found.count)
    ]
    return [found.at(2, k)["x"].tolist() for k in range(found.count)]


@pytest.mark.parametrize(
    ("samples", "batch", "of"), [(90, 10, 4), (83, 10, 3), (7, 3, 1), (20, 5, 9)]
)
def test_shards_are_apart_and_complete(samples: int, batch: int, of: int) -> None:
    whole = drawn(samples, batch, Shard(), drop=False)
    shards = [drawn(samples, batch, Shard(k, of), drop=False) for k in range(of)]
    assert len({len(shard) for shard in shards}) == 1
    turns = [batch for turn in zip(*shards, strict=True) for batch in turn]
    assert turns[: len(whole)] == whole  # side by side they take one epoch, in its own order
    assert turns[len(whole) :] == (whole * of)[: len(turns) - len(whole)]
    dropped = [drawn(samples, batch, Shard(k, of), drop=True) for k in range(of)]
    every = [x for shard in dropped for batch in shard for x in batch]
    assert len(set(every)) == len(every) == samples // batch // of * of * batch


def test_a_resumed_shard_goes_on_with_its_own(tmp_path: Path) -> None:
    def program() -> Any:
        return weft.compile(weft.load_text(SPEC % "keep", "line.weft"), target="cpu")

    def ending(record: Any) -> Any:
        return checkpoint.load(record.paths["last"]).tensors["line.linear.weight"]

    whole = program().train(tmp_path / "a", shard=(1, 4), progress="quiet")
    assert whole.step == 9  # nine batches are three for each of four
    program().train(tmp_path / "b", shard=(1, 4), steps=4, progress="quiet")
    again = program().train(tmp_path / "b", resume=True, progress="quiet")
    np.testing.assert_array_equal(ending(whole), ending(again))
    other = program().train(tmp_path / "c", shard=(2, 4), progress="quiet")
    assert (ending(other) != ending(whole)).any()
    with pytest.raises(CheckpointError, match="was trained with shard 1/4"):
        program().train(tmp_path / "b", resume=True, shard=(0, 4), progress="quiet")


def test_what_is_no_shard(tmp_path: Path, weft: Any) -> None:
    assert shard_of("3/4") == Shard(3, 4)
    for text, message in (
        ("4/4", "there are 0 to 3"),
        ("1", "K/N is expected"),
        ("0/0", "at least"),
    ):
        with pytest.raises(UsageError, match=message):
            shard_of(text)
    spec = tmp_path / "line.weft"
    spec.write_text(SPEC % "drop")
    answer = weft("train", spec, "--out", tmp_path / "o", "--shard", "0/12", "--target", "cpu")
    assert answer.code == 1
    assert "90 samples are 9 whole batches, fewer than the 12 shards" in answer.err
    assert "line.weft:8:8" in answer.err
