"""Which token comes next: greedy, at random, or the best of several continuations.

Sources: top-k, Fan et al. 2018; top-p, Holtzman et al. 2020; repetition penalty, Keskar et al.
2019; beam search with a length penalty, Wu et al. 2016.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..spec.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Decoder(Protocol):
    """Gives logits [N, entries] for the token after N sequences of one length, and goes on."""

    @property
    def length(self) -> int:
        """Positions so far."""

    def start(self, tokens: Array) -> Array:
        """Begin with prompts i32 [N, t], t > 0."""

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence: i32 [N]."""

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences instead, each where it is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a token is chosen.

    `temperature` divides the logits; 0 takes the likeliest.  `top_k` keeps so many, `top_p` the
    fewest whose probabilities reach it.  `repetition_penalty` above 1 makes what has been written
    less likely.

    Raises: UsageError for numbers that mean nothing.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UsageError(f"temperature {self.temperature:g}: 0 or more", hint="0 is greedy")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top-k {self.top_k}: at least 1 token is kept")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top-p {self.top_p:g}: above 0 and at most 1")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise UsageError(f"repetition penalty {self.repetition_penalty:g}: more than 0")

    def probabilities(self, logits: Array, written: Sequence[int]) -> Array:
        """Of every token, float64 [entries], for one sequence."""
        x = self.penalised(np.asarray(logits, np.float64), written)
        if self.temperature == 0:
            found = np.zeros(len(x))
            found[int(np.argmax(x))] = 1.0
            return found
        order = np.argsort(-x, kind="stable")
        p = softmax(x / self.temperature)
        if self.top_k is not None:
            p[order[self.top_k :]] = 0.0
            p /= p.sum()
        if self.top_p is not None:
            before = np.cumsum(p[order]) - p[order]
            p[order[before >= self.top_p]] = 0.0
            p /= p.sum()
        return p

    def penalised(self, x: Array, written: Sequence[int]) -> Array:
        """The logits with those of written tokens pulled down."""
        if self.repetition_penalty != 1 and written:
            seen = np.unique(np.asarray(written))
            x = x.copy()
            raw = x[seen]
            x[seen] = np.where(
                raw > 0, raw / self.repetition_penalty, raw * self.repetition_penalty
            )
        return x


def softmax(x: Array) -> Array:
    """e^x over its sum, along the last axis, without overflow."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def write(
    decoder: Decoder,
    prompts: Array,
    length: int,
    choice: Choice,
    *,
    seed: int = 0,
    stop: Collection[int] = (),
) -> Iterator[Array]:
    """Continue prompts i32 [N, t] by at most `length` tokens: one i32 [N] after the other.

    A sequence that has written a token of `stop` goes on with -1; when all have, it ends.  Each
    sequence draws from a generator of its own, so the first of several is what one would be.
    """
    chance = [np.random.default_rng([seed, row]) for row in range(len(prompts))]
    written = [list(map(int, row)) for row in prompts]
    done = np.zeros(len(prompts), bool)
    logits = decoder.start(prompts) if length > 0 else None
    for count in range(length):
        assert logits is not None
        chosen = np.full(len(prompts), -1, np.int32)
        for row, generator in enumerate(chance):
            if not done[row]:
                p = choice.probabilities(logits[row], written[row])
                chosen[row] = _draw(p, generator, greedy=choice.temperature == 0)
                written[row].append(int(chosen[row]))
                done[row] = int(chosen[row]) in stop
        yield chosen
        if done.all():
            return
        if count + 1 < length:
            logits = decoder.step(np.where(chosen < 0, 0, chosen).astype(np.int32))


def _draw(p: Array, generator: np.random.Generator, *, greedy: bool) -> int:
    if greedy:
        return int(np.argmax(p))
    place = np.searchsorted(np.cumsum(p), generator.random() * p.sum(), side="right")
    return int(min(place, np.flatnonzero(p)[-1]))


@dataclass(frozen=True, slots=True)
class Found:
    """A continuation of beam search: its tokens, and its log probability."""

    tokens: tuple[int, ...]
    score: float


def beam_search(
    decoder: Decoder,
    prompt: Array,
    length: int,
    beams: int,
    choice: Choice,
    *,
    stop: Collection[int] = (),
    length_penalty: float = 0.0,
) -> list[Found]:
    """The likeliest continuations of one prompt i32 [1, t], the best first.

    Scores are log probabilities over ((5 + length)/6)^length_penalty.

    Raises: UsageError for fewer than one beam.
    """
    if beams < 1:
        raise UsageError(f"{beams} beams: at least 1")
    open_beams = [Found((), 0.0)]
    ended: list[Found] = []
    logits = decoder.start(prompt)
    before = list(map(int, prompt[0]))
    for count in range(length):
        ways: list[tuple[float, int, int]] = []
        for row, found in enumerate(open_beams):
            x = choice.penalised(np.asarray(logits[row], np.float64), [*before, *found.tokens])
            x = x / (choice.temperature or 1.0)
            logp = x - x.max() - np.log(np.exp(x - x.max()).sum())
            best = np.argsort(-logp, kind="stable")[: 2 * beams]
            ways += [(found.score + float(logp[token]), row, int(token)) for token in best]
        ways.sort(key=lambda way: (-way[0], way[1], way[2]))
        kept: list[tuple[Found, int]] = []
        for score, row, token in ways:
            found = Found((*open_beams[row].tokens, token), score)
            if token in stop:
                ended.append(found)
            else:
                kept.append((found, row))
            if len(kept) == beams:
                break
        open_beams = [found for found, _ in kept]
        if not kept or _decided(ended, open_beams, beams, length_penalty):
            break
        if count + 1 < length:
            decoder.select([row for _, row in kept])
            logits = decoder.step(np.array([f.tokens[-1] for f in open_beams], np.int32))
    every = sorted([*ended, *open_beams], key=lambda f: -_scaled(f, length_penalty))
    return every[:beams]


def _scaled(found: Found, penalty: float) -> float:
    return found.score / float(((5 + len(found.tokens)) / 6) ** penalty)


def _decided(ended: list[Found], running: list[Found], beams: int, penalty: float) -> bool:
    """Enough have ended, and what still runs is worse already."""
    if len(ended) < beams:
        return False
    worst = sorted((_scaled(f, penalty) for f in ended), reverse=True)[beams - 1]
    return max(_scaled(f, penalty) for f in running) < worst
