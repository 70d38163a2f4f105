"""Vocabularies: what the numbers of a text stand for, and back; JSON data that a run keeps.

`bytes` is UTF-8 as it is: 256 numbers, of which no text uses 0 and 1; they end and begin documents.
`bpe` is a byte-pair encoding of bytes, the JSON of the `tokenizers` library: reading numbers needs
this file alone, making them from text needs that library.  `words` are the frequent words of a
text; 2 stands for all others.

Source: Sennrich et al. 2016; Radford et al. 2019, section 2.2 (pairs of bytes).
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...spec.errors import DataError, suggest
from .words import UNKNOWN, Joining, Words, split, words_of

FILE = "vocabulary.json"
"""What a vocabulary is called in the folder of a run."""

END, BEGIN = 0, 1
"""The numbers that end and begin a document, where weft makes the vocabulary."""

OTHER = 2
"""The number of all words that a vocabulary of words does not have."""

SPECIAL = ("<|end|>", "<|begin|>")
"""How a trained byte-pair encoding calls them."""

ENDS = ("<|end|>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
BEGINS = ("<|begin|>", "<|begin_of_text|>", "<s>", "<bos>", "[CLS]")
"""What published encodings call them."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A table of byte strings, one for each number; special numbers stand for no bytes at all.

    `end` and `begin` are the numbers round a document, where there are such.  `model` is the JSON
    data of the `tokenizers` library, `words` what a vocabulary of words knows; plain bytes have
    neither.
    """

    pieces: Sequence[bytes] = field(repr=False)
    end: int | None = END
    begin: int | None = BEGIN
    model: Mapping[str, Any] | None = field(default=None, repr=False)
    words: Words | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """`bytes`, `bpe` or `words`."""
        return "words" if self.words is not None else "bytes" if self.model is None else "bpe"

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text, without ends.

        Raises: DataError where the library for it is missing.
        """
        if self.words is not None:
            numbers = _numbers_of(self.words)
            found = split(text, lower=self.words.lower, marks=self.words.marks)
            return [numbers.get(word, OTHER) for word in found]
        if self.model is None:
            return list(text.encode("utf-8", "surrogatepass"))
        return list(self._tokenizer().encode(text, add_special_tokens=False).ids)

    def encode_all(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The numbers of several texts, on all cores.

        Raises: DataError where the library for it is missing.
        """
        if self.model is None:
            yield from map(self.encode, texts)
        else:
            for found in self._tokenizer().encode_batch(texts, add_special_tokens=False):
                yield list(found.ids)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some numbers; bytes that are no UTF-8 become U+FFFD.

        Raises: DataError for a number that is not of the vocabulary.
        """
        decoder = self.decoder()
        return "".join([*map(decoder.feed, numbers), decoder.finish()])

    def decoder(self) -> Decoder:
        """One that takes a number at a time."""
        return Decoder(self)

    def piece(self, number: int) -> bytes:
        """The bytes that a number stands for.

        Raises: DataError for a number that is not of the vocabulary.
        """
        if not 0 <= number < len(self.pieces):
            raise DataError(
                f"the vocabulary has no number {number}: it goes from 0 to {self.size - 1}",
                hint="the network has more outputs than the vocabulary has entries",
            )
        return self.pieces[number]

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `vocabulary_of` reads it."""
        known: dict[str, Any] = {"kind": self.kind, "size": self.size}
        known |= {"end": self.end, "begin": self.begin}
        if self.words is not None:
            return known | self.words.to_json()
        return known if self.model is None else {**known, "tokenizer": dict(self.model)}

    def _tokenizer(self) -> Any:
        return _library_tokenizer(json.dumps(self.model, sort_keys=True))


class Decoder:
    """Text from numbers one at a time: a character appears with its last byte, a word with the
    blank before it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._joining = Joining() if vocabulary.words is not None else None
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, number: int) -> str:
        """The text that is known now and was not before.

        Raises: DataError for a number that is not of the vocabulary.
        """
        piece = self._vocabulary.piece(number)
        if self._joining is not None:
            return self._joining.feed(piece.decode()) if piece else ""
        return self._bytes.decode(piece)

    def finish(self) -> str:
        """What is left: U+FFFD for a character that was begun, mostly nothing."""
        return self._bytes.decode(b"", final=True)


@cache
def of_bytes() -> Vocabulary:
    """UTF-8 as it is."""
    pieces = [bytes([number]) for number in range(256)]
    pieces[END] = pieces[BEGIN] = b""
    return Vocabulary(tuple(pieces))


def of_words(words: Words) -> Vocabulary:
    """Words, after the numbers that end and begin a document and stand for other words."""
    pieces = (b"", b"", UNKNOWN.encode(), *(word.encode() for word in words.listed))
    return Vocabulary(pieces, words=words)


def trained(texts: Iterable[str], size: int) -> Vocabulary:
    """A byte-pair encoding of at most `size` entries, learnt from texts.

    Raises: DataError where the library for it is missing.
    """
    library = tokenizers()
    learner = library.Tokenizer(library.models.BPE())
    learner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return of_tokenizer(json.loads(learner.to_str()), "the trained encoding")


def vocabulary_of(known: Mapping[str, Any], name: str = FILE) -> Vocabulary:
    """The vocabulary that `Vocabulary.to_json` wrote, or that of a `tokenizer.json`.

    Raises: DataError for data that is neither, naming it `name`.
    """
    if not isinstance(known, Mapping):
        raise _foreign(name)
    if known.get("kind") == "bytes":
        return of_bytes()
    if known.get("kind") == "words":
        try:
            return of_words(words_of(known))
        except (KeyError, TypeError):
            raise _foreign(name) from None
    if known.get("kind") == "bpe" and isinstance(known.get("tokenizer"), Mapping):
        return of_tokenizer(known["tokenizer"], name)
    if isinstance(known.get("model"), Mapping):
        return of_tokenizer(known, name)
    raise _foreign(name)


def read(path: Path, name: str | None = None) -> Vocabulary:
    """The vocabulary in a file: a `vocabulary.json` of a run, or a `tokenizer.json`.

    Raises: DataError.
    """
    called = name or str(path)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = [entry.name for entry in path.parent.glob("*.json")]
        hint = suggest(path.name, there) or "a run with texts keeps its own in its folder"
        raise DataError(f"there is no vocabulary `{called}`", hint=hint) from None
    except OSError as error:
        raise DataError(f"`{called}` cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise DataError(f"`{called}` is not JSON, and so no vocabulary") from None
    return vocabulary_of(known, called)


def write(folder: Path, known: Mapping[str, Any]) -> Path:
    """Put a vocabulary into the folder of a run, whole or not at all.

    Raises: DataError where that cannot be written.
    """
    path = folder / FILE
    temporary = path.with_name(f".{FILE}.{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(known, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"`{path}` cannot be written: {error.strerror or error}") from None
    return path


def in_state(state: Mapping[str, Any]) -> Vocabulary | None:
    """The vocabulary in the state of a checkpoint: that of its first data line which has one."""
    for line in state.get("data") or ():
        known = line.get("facts", {}).get("vocabulary")
        if known is not None:
            return vocabulary_of(known, "the checkpoint")
    return None


@cache
def _numbers_of(words: Words) -> Mapping[str, int]:
    return {word: number for number, word in enumerate(words.listed, OTHER + 1)}


# ---- byte-pair encodings -------------------------------------------------------------------------


def of_tokenizer(model: Mapping[str, Any], name: str) -> Vocabulary:
    """The vocabulary of a `tokenizer.json`.

    Raises: DataError for one that is no byte-pair encoding of bytes.
    """
    try:
        kind, numbers = model["model"].get("type", "BPE"), model["model"]["vocab"]
        added = {entry["content"]: int(entry["id"]) for entry in model.get("added_tokens") or ()}
        byte_level = kind == "BPE" and '"ByteLevel"' in json.dumps(model.get("decoder"))
        if byte_level:
            return _byte_level(model, {str(k): int(v) for k, v in numbers.items()}, added)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _foreign(name) from None
    raise DataError(
        f"`{name}` is an encoding of the kind {kind}, not byte pairs of bytes",
        hint="encodings like those of GPT-2 and Llama 3 can be read, or train one: vocabulary=bpe",
    )


def _byte_level(
    model: Mapping[str, Any], numbers: Mapping[str, int], added: Mapping[str, int]
) -> Vocabulary:
    letters = byte_letters()
    pieces = [b""] * (1 + max([*numbers.values(), *added.values()]))
    for text, number in numbers.items():
        if text not in added:
            pieces[number] = bytes(letters[letter] for letter in text)
    special = {entry["content"] for entry in model.get("added_tokens") or () if entry["special"]}
    for text, number in added.items():
        pieces[number] = b"" if text in special else text.encode()
    end, begin = (
        next((added[name] for name in names if name in added), None) for names in (ENDS, BEGINS)
    )
    return Vocabulary(tuple(pieces), end, begin, model)


@cache
def byte_letters() -> Mapping[str, int]:
    """The letter by which such encodings write each byte: itself where it can be seen.

    Source: Radford et al. 2019, their published encoder.
    """
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [number for number in range(256) if number not in seen]
    letters = {chr(number): number for number in seen}
    return letters | {chr(256 + index): number for index, number in enumerate(hidden)}


@cache
def _library_tokenizer(model: str) -> Any:
    try:
        found = tokenizers().Tokenizer.from_str(model)
        found.encode_special_tokens = True  # `<|end|>` in a text is text
        return found
    except DataError:
        raise
    except Exception as error:  # the library raises bare exceptions
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"the byte-pair encoding cannot be used: {reason}") from None


def tokenizers() -> Any:
    """The library.

    Raises: DataError where it is missing.
    """
    try:
        import tokenizers as library
    except ImportError:
        raise DataError(
            "byte-pair encodings need the library tokenizers, which is not installed",
            hint='pip install "tokenizers>=0.15", or write vocabulary=bytes or words',
        ) from None
    return library


def _foreign(name: str) -> DataError:
    return DataError(
        f"`{name}` is no vocabulary",
        hint="give the vocabulary.json of a run, or the tokenizer.json of an encoding",
    )
