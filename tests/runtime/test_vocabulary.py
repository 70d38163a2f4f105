"""Vocabularies: there and back, a number at a time, and what is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from weft.runtime.data import vocabulary
from weft.runtime.data.vocabulary import Vocabulary, of_bytes, trained, vocabulary_of
from weft.spec.errors import DataError

TEXT = "naïve: 🧵 weft — Kette und Schuß\n\tif x:  return 0\n" * 20


@pytest.fixture(scope="module")
def pairs() -> Vocabulary:
    pytest.importorskip("tokenizers")
    return trained([TEXT], 300)


def test_bytes_are_utf8() -> None:
    found = of_bytes()
    assert found.encode("aß") == [97, 0xC3, 0x9F]
    assert (found.size, found.kind, found.end) == (256, "bytes", 0)
    assert found.decode([*found.encode(TEXT), 0]) == TEXT
    assert found.decode([0xC3, 97]) == "\ufffda"


def test_pairs_of_bytes(pairs: Vocabulary) -> None:
    numbers = pairs.encode(TEXT)
    assert pairs.decode(numbers) == TEXT
    assert 256 < pairs.size <= 300 and max(numbers) < pairs.size
    assert len(numbers) < len(TEXT.encode()) / 2
    for unseen in ("日本", "<|end|>", "a<|begin|>"):
        assert pairs.decode(pairs.encode(unseen)) == unseen
    assert pairs.decode([pairs.end or 0, *pairs.encode("x"), pairs.begin or 1]) == "x"


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_a_number_at_a_time(kind: str, request: pytest.FixtureRequest) -> None:
    found = of_bytes() if kind == "bytes" else request.getfixturevalue("pairs")
    decoder = found.decoder()
    shown = [decoder.feed(number) for number in found.encode(TEXT)]
    assert "".join(shown) + decoder.finish() == TEXT
    assert not any("\ufffd" in text for text in shown)


def test_a_character_that_was_begun() -> None:
    decoder = of_bytes().decoder()
    assert [decoder.feed(number) for number in (0xF0, 0x9F)] == ["", ""]
    assert decoder.finish() == "\ufffd"


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_json_and_files(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = of_bytes() if kind == "bytes" else request.getfixturevalue("pairs")
    path = vocabulary.write(tmp_path, found.to_json())
    assert path.name == "vocabulary.json" and json.loads(path.read_text())["kind"] == kind
    again = vocabulary.read(path)
    assert again.encode(TEXT) == found.encode(TEXT)
    assert (again.pieces, again.end, again.begin) == (found.pieces, found.end, found.begin)
    assert vocabulary.in_state({"data": [{}, {"facts": {"vocabulary": found.to_json()}}]}) == again


def test_a_published_encoding(pairs: Vocabulary, tmp_path: Path) -> None:
    """A `tokenizer.json` names its own end."""
    assert pairs.model is not None
    renamed = json.loads(json.dumps(dict(pairs.model)).replace("<|end|>", "<|endoftext|>"))
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(renamed))
    found = vocabulary.read(path)
    assert found.end == 0 and found.encode(TEXT) == pairs.encode(TEXT)


def test_pairs_are_the_same_in_every_training(pairs: Vocabulary) -> None:
    assert trained([TEXT], 300) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no vocabulary"),
        ('{"kind": "words"}', "is no vocabulary"),
        ('{"model": {"type": "BPE"}}', "is no vocabulary"),
        ('{"model": {"type": "Unigram", "vocab": [["a", 0]]}}', "of the kind Unigram"),
    ],
)
def test_no_vocabulary(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(DataError, match=message):
        vocabulary.read(tmp_path / "v.json")
    with pytest.raises(DataError, match="there is no vocabulary"):
        vocabulary.read(tmp_path / "missing.json")


def test_numbers_beyond_the_vocabulary() -> None:
    with pytest.raises(DataError, match="no number 256: it goes from 0 to 255"):
        of_bytes().decode([256])


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"need the library tokenizers[\s\S]*vocabulary=bytes"):
        trained([TEXT], 300)


def test_special_numbers_are_no_text(pairs: Vocabulary) -> None:
    assert vocabulary_of(pairs.to_json()).decode([0, 1]) == ""
