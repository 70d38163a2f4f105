"""Covered tokens: which, how, and the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft.runtime.data import load
from weft.runtime.data.covering import covering_of
from weft.runtime.data.vocabulary import BEGIN, END, Vocabulary, of_bytes
from weft.spec.errors import DataError

SETTINGS: dict[str, Any] = {
    "length": 50, "vocabulary": "bytes", "size": 8192, "least": 1, "lowercase": False,
    "marks": True, "suffix": None, "test": None, "by": None, "pack": True, "split": 0.5, "batch": 8,
    "shuffle": True, "last": "keep", "limit": None, "seed": 0, "masked": 0.2,
}  # fmt: skip


def opened(folder: Path, **settings: Any) -> Any:
    (folder / "a.txt").write_text("The shuttle flies. " * 400)
    types = [["i32", ["B", 50]]] * 2
    recipe = {
        "names": ["tokens", "covered"],
        "types": types,
        "source": "text",
        "settings": SETTINGS | {"path": "a.txt"} | settings,
        "place": "net.weft:1:1",
    }
    return load(recipe, folder)


def copied(batch: dict[str, Any]) -> tuple[Any, Any]:
    return batch["tokens"].copy(), batch["covered"].copy()


def test_a_fifth_is_covered_and_comes_back(tmp_path: Path) -> None:
    batches = opened(tmp_path).batches(3)
    masks = kept = changed = 0
    for index in range(batches.count):
        tokens, answers = copied(batches.at(0, index))
        chosen = answers != -100
        assert (chosen.sum(axis=1) == 10).all()
        assert (answers[chosen] > BEGIN).all()
        masks += (tokens[chosen] == BEGIN).sum()
        kept += (tokens[chosen] == answers[chosen]).sum()
        changed += ((tokens[chosen] != answers[chosen]) & (tokens[chosen] != BEGIN)).sum()
        assert (tokens[~chosen] != BEGIN).all()
    total = masks + kept + changed
    assert 0.7 < masks / total < 0.9
    assert 0.04 < kept / total < 0.18
    assert 0.04 < changed / total < 0.18


def test_it_follows_from_seed_epoch_and_window(tmp_path: Path) -> None:
    data = opened(tmp_path)
    one, other = data.batches(3), data.batches(3)
    first = copied(one.at(2, 1))
    one.at(0, 0)
    for a, b in zip(first, copied(other.at(2, 1)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (copied(data.batches(4).at(2, 1))[1] != first[1]).any()
    held = data.held_out()
    assert held is not None
    same = [copied(held.at(0, 0)), copied(opened(tmp_path, batch=4).held_out().at(0, 0))]
    np.testing.assert_array_equal(same[0][0][:4], same[1][0])


@pytest.mark.parametrize("length", [1, 2])
def test_one_token_at_least(tmp_path: Path, length: int) -> None:
    covering = covering_of(0.01, of_bytes())
    tokens = np.full((3, length), 70, np.int32)
    tokens[2] = END
    answers = np.zeros_like(tokens)
    covering.cover(tokens, answers, np.arange(3), 0, 0)
    assert ((answers != -100).sum(axis=1) == [1, 1, 0]).all()
    assert (tokens[2] == END).all()


def test_a_vocabulary_without_a_mask() -> None:
    with pytest.raises(DataError, match="no entry to cover tokens with"):
        covering_of(0.15, Vocabulary((b"a", b"b"), None, None, {"added_tokens": []}))
    known = {"added_tokens": [{"content": "<mask>", "id": 1}]}
    found = covering_of(0.15, Vocabulary((b"a", b"", b"b"), None, None, known))
    assert (found.mask, found.first) == (1, 2)
