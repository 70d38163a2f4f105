"""Words of a text: where they begin and end, which ones a vocabulary has, how they are joined.

A word is a run of letters, digits and `_`, with apostrophes and hyphens inside of it; every other
mark is a word of its own, and so is the end of a line.  With `marks` off words are what stands
between blanks, as in texts that were taken apart already (Marcus et al. 1993, Penn Treebank).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "<unk>"
"""How a text writes a word that nobody knows."""

LINE = "\n"

_MARKS = re.compile(r"<unk>|\n|\d+(?:[.,]\d+)*(?!\w)|(?:(?<!\S)['’])?\w+(?:['’-]\w+)*|[^\w\s]")
_BLANKS = re.compile(r"\n|[^\s]+")

_CLOSING = frozenset(".,;:!?%)]}»”…")
_OPENING = frozenset("([{«“$#@")
_TWICE = "\"'`"
"""Marks that open and close."""

_CLITICS = frozenset(["'s", "'re", "'ve", "'ll", "'d", "'m", "n't"])
"""What texts that were taken apart have cut off its word."""


@dataclass(frozen=True, slots=True)
class Words:
    """A list of words.  `lower`: they are compared in small letters; `marks`: see above."""

    listed: tuple[str, ...] = field(repr=False)
    lower: bool
    marks: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `words_of` reads it."""
        return {"words": list(self.listed), "lower": self.lower, "marks": self.marks}


def words_of(known: Mapping[str, Any]) -> Words:
    """The inverse of `Words.to_json`.

    Raises: KeyError, TypeError for other data.
    """
    listed = tuple(str(word) for word in known["words"])
    return Words(listed, bool(known["lower"]), bool(known["marks"]))


def split(text: str, *, lower: bool, marks: bool) -> list[str]:
    """The words of a text, in order."""
    return (_MARKS if marks else _BLANKS).findall(text.lower() if lower else text)


def learnt(texts: Iterable[str], most: int, least: int, *, lower: bool, marks: bool) -> Words:
    """The most frequent words, at most `most`, that occur `least` times or more.

    Those of one frequency are in the order of their letters.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text, lower=lower, marks=marks))
    counts.pop(UNKNOWN, None)
    found = sorted((-count, word) for word, count in counts.items() if count >= least)
    return Words(tuple(word for _, word in found[:most]), lower, marks)


class Joining:
    """Words to a text, one after the other: where blanks belong between them."""

    def __init__(self) -> None:
        self._before = LINE
        self._open: set[str] = set()

    def feed(self, word: str) -> str:
        """The word, with the blank before it."""
        blank = self._blank(word)
        if word in _TWICE:
            self._open ^= {word}
        if word == LINE:
            self._open.clear()
        self._before = word if word not in self._open else "("
        return f" {word}" if blank else word

    def _blank(self, word: str) -> bool:
        if LINE in (word, self._before) or self._before in _OPENING:
            return False
        if word in _CLOSING or word in self._open:
            return False
        return word.lower().replace("’", "'") not in _CLITICS


def joined(words: Iterable[str]) -> Iterator[str]:
    """The parts of a text."""
    joining = Joining()
    return map(joining.feed, words)
