"""Words of texts: taken apart, counted, joined again."""

from __future__ import annotations

import pytest

from weft.runtime.data.vocabulary import of_words, vocabulary_of
from weft.runtime.data.words import Words, joined, learnt, split
from weft.spec.errors import DataError

TEXT = "He said: \"It isn't 3.5 or 1,000 (well-known), no?\"\nThe dog's tail.\n"


def test_marks_and_lines_are_words() -> None:
    assert split(TEXT, lower=False, marks=True)[:9] == [
        "He", "said", ":", '"', "It", "isn't", "3.5", "or", "1,000",
    ]  # fmt: skip
    assert split("a, <unk>\nB", lower=True, marks=True) == ["a", ",", "<unk>", "\n", "b"]
    assert split("N.Y. said\nno.", lower=False, marks=False) == ["N.Y.", "said", "\n", "no."]


@pytest.mark.parametrize("marks", [True, False])
def test_a_text_comes_back(marks: bool) -> None:
    vocabulary = of_words(learnt([TEXT], 100, 1, lower=False, marks=marks))
    numbers = vocabulary.encode(TEXT)
    assert vocabulary.decode(numbers) == TEXT
    decoder = vocabulary.decoder()
    assert "".join(map(decoder.feed, numbers)) + decoder.finish() == TEXT
    assert vocabulary_of(vocabulary.to_json()) == vocabulary


def test_what_was_taken_apart_is_joined() -> None:
    words = ["the", "company", "'s", "shares", "did", "n't", "fall", ",", "it", "said", "."]
    assert "".join(joined(words)) == "the company's shares didn't fall, it said."


def test_the_frequent_words_are_known() -> None:
    found = learnt(["b a b c\n", "b a d <unk>"], 3, 1, lower=False, marks=True)
    assert found.listed == ("b", "a", "\n")
    assert learnt(["b a b c", "b a D d"], 9, 2, lower=True, marks=True).listed == ("b", "a", "d")
    vocabulary = of_words(found)
    assert (vocabulary.kind, vocabulary.size, vocabulary.end, vocabulary.begin) == (
        "words",
        6,
        0,
        1,
    )
    assert vocabulary.encode("b z <unk> a") == [3, 2, 2, 4]
    assert vocabulary.decode([3, 2, 0]) == "b <unk>"
    assert vocabulary.encode_all(["a", "b"]).__next__() == [4]


def test_damage_is_named() -> None:
    known = of_words(Words(("a",), False, True)).to_json()
    del known["words"]
    with pytest.raises(DataError, match=r"`v\.json` is no vocabulary"):
        vocabulary_of(known, "v.json")
