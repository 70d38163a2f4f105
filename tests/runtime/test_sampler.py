"""Choosing tokens: probabilities, draws, beams, against their definitions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from weft.runtime.sampler import Choice, beam_search, softmax, write
from weft.spec.errors import UsageError

Array = Any
LOGITS = np.array([1.0, 3.0, 2.0, -1.0, 2.5])


class Table:
    """A decoder whose next token depends on the last one alone: row `last` of a table."""

    def __init__(self, table: Array) -> None:
        self.table = np.asarray(table)
        self.rows: Array = np.zeros((0, 0), np.int32)

    @property
    def length(self) -> int:
        return int(self.rows.shape[1])

    def start(self, tokens: Array) -> Array:
        self.rows = np.array(tokens)
        return self.table[self.rows[:, -1]]

    def step(self, tokens: Array) -> Array:
        self.rows = np.concatenate((self.rows, np.asarray(tokens)[:, None]), axis=1)
        return self.table[self.rows[:, -1]]

    def select(self, rows: Sequence[int]) -> None:
        self.rows = self.rows[list(rows)]


def test_probabilities() -> None:
    np.testing.assert_allclose(Choice().probabilities(LOGITS, []), softmax(LOGITS))
    np.testing.assert_allclose(Choice(0.5).probabilities(LOGITS, []), softmax(2 * LOGITS))
    assert Choice(0).probabilities(LOGITS, []).tolist() == [0, 1, 0, 0, 0]
    two = Choice(top_k=2).probabilities(LOGITS, [])
    assert np.flatnonzero(two).tolist() == [1, 4]
    np.testing.assert_allclose(two[[1, 4]], softmax(LOGITS[[1, 4]]))


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    p = softmax(LOGITS)
    for wanted in (1e-9, 0.3, float(p[1]), 0.7, 0.99, 1.0):
        found = Choice(top_p=wanted).probabilities(LOGITS, [])
        kept = np.flatnonzero(found)
        order = np.argsort(-p)[: len(kept)]
        assert set(kept) == set(order)
        assert p[order].sum() >= wanted - 1e-12
        assert len(kept) == 1 or p[order[:-1]].sum() < wanted
        np.testing.assert_allclose(found.sum(), 1)


def test_what_was_written_becomes_less_likely() -> None:
    found = Choice(repetition_penalty=2.0).penalised(LOGITS, [1, 3, 1])
    assert found.tolist() == [1.0, 1.5, 2.0, -2.0, 2.5]
    assert LOGITS[1] == 3.0


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.5},
        {"repetition_penalty": 0},
    ],
)
def test_numbers_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Choice(**settings)


def test_draws_follow_the_probabilities_and_the_seed() -> None:
    table = np.tile(LOGITS, (5, 1))
    prompt = np.zeros((1, 1), np.int32)

    def drawn(seed: int, rows: int = 1, count: int = 4000) -> Array:
        prompts = np.repeat(prompt, rows, axis=0)
        return np.stack(list(write(Table(table), prompts, count, Choice(), seed=seed)))

    first = drawn(1)[:, 0]
    shares = np.bincount(first, minlength=5) / len(first)
    np.testing.assert_allclose(shares, softmax(LOGITS), atol=0.03)
    np.testing.assert_array_equal(first, drawn(1)[:, 0])
    assert (first != drawn(2)[:, 0]).any()
    np.testing.assert_array_equal(drawn(1, 3, 50)[:, 0], first[:50])  # others do not disturb it


def test_a_stop_ends_a_sequence() -> None:
    table = np.full((3, 3), -50.0)
    table[0, 1] = table[1, 2] = table[2, 2] = 50.0
    prompts = np.array([[0], [1]], np.int32)
    found = [row.tolist() for row in write(Table(table), prompts, 9, Choice(0), stop={2})]
    assert found == [[1, 2], [2, -1]]
    assert list(write(Table(table), prompts, 0, Choice(0))) == []


@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_wide_beams_find_the_likeliest_of_all(penalty: float) -> None:
    random = np.random.default_rng(3)
    table = random.normal(size=(4, 4))
    logp = np.log(softmax(table))

    def score(tokens: Sequence[int]) -> float:
        total = sum(logp[a, b] for a, b in itertools.pairwise((0, *tokens)))
        return float(total / ((5 + len(tokens)) / 6) ** penalty)

    every = [
        tokens
        for n in range(1, 5)
        for tokens in itertools.product(range(4), repeat=n)
        if 3 not in tokens[:-1] and (tokens[-1] == 3 or n == 4)
    ]
    best = sorted(every, key=score, reverse=True)
    prompt = np.zeros((1, 1), np.int32)
    found = beam_search(Table(table), prompt, 4, 200, Choice(), stop={3}, length_penalty=penalty)
    assert [each.tokens for each in found[:5]] == best[:5]
    greedy = beam_search(Table(table), prompt, 4, 1, Choice(), stop={3})
    walked, last = [], 0
    while len(walked) < 4 and last != 3:
        last = int(np.argmax(table[last]))
        walked.append(last)
    assert greedy[0].tokens == tuple(walked)
