"""Tokens that are covered and have to be guessed: what a masked language model learns from.

Of every window the same share of tokens is chosen at random; four of five of them are covered by a
mask, one of ten is another token, one of ten stays as it is, so that a net must have an opinion
about every place.  Source: Devlin et al. 2018, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from ..initialise import generator
from .conform import IGNORED
from .vocabulary import OTHER, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rows = NDArray[np.int64]

MASKS = ("[MASK]", "<mask>", "<|mask|>")
"""What published encodings call the mask."""

COVERED, CHANGED = 0.8, 0.9
"""Below the first a chosen token is covered, below the second it is changed."""


@dataclass(frozen=True, slots=True)
class Covering:
    """What is covered, and how.

    `share` of a window's tokens, at least one; `mask` covers them; others are drawn from `first` on
    up to `size`.  The tokens `never` are left alone: those round a text.
    """

    share: float
    mask: int
    first: int
    size: int
    never: tuple[int, ...]

    def cover(
        self, tokens: Array, answers: Array, rows: Rows, seed: int | None, epoch: int
    ) -> None:
        """Covers some of `tokens` [windows, length] and writes what they were into `answers`, of
        the same shape, -100 everywhere else.

        What is chosen follows from the seed, the epoch and the number of the window.
        """
        answers[...] = IGNORED
        for row, number in enumerate(rows.tolist()):
            window = tokens[row]
            places = np.flatnonzero(~np.isin(window, self.never))
            if not len(places):
                continue
            random = generator(0 if seed is None else seed, "cover", seed is None, epoch, number)
            count = max(1, round(self.share * len(places)))
            chosen = random.permutation(places)[:count]
            answers[row, chosen] = window[chosen]
            how = random.random(count)
            drawn = random.integers(self.first, self.size, count)
            changed = np.where(how < CHANGED, drawn, window[chosen])
            window[chosen] = np.where(how < COVERED, self.mask, changed)


def covering_of(share: float, vocabulary: Vocabulary) -> Covering:
    """The covering for a vocabulary: its own mask, or the entry that begins a text.

    Raises: DataError where it has neither.
    """
    mask = _mask(vocabulary.model)
    mask = vocabulary.begin if mask is None else mask
    if mask is None:
        raise DataError(
            "the vocabulary has no entry to cover tokens with",
            hint=f"it needs {' or '.join(MASKS)}, or one that begins a text; "
            "vocabulary=bytes, bpe and words do",
        )
    never = tuple({number for number in (vocabulary.end, mask) if number is not None})
    special = [*never, *([OTHER] if vocabulary.words is not None else [])]
    first = max(special) + 1 if max(special) <= OTHER else 0
    return Covering(share, mask, first, vocabulary.size, never)


def _mask(model: Mapping[str, Any] | None) -> int | None:
    added = {
        entry["content"]: int(entry["id"]) for entry in (model or {}).get("added_tokens") or ()
    }
    return next((added[name] for name in MASKS if name in added), None)
