"""Texts as numbers: the vocabulary that a data line asks for, and a cache of what took long.

What is kept in `$XDG_CACHE_HOME/weft/texts` is named by everything it follows from, so that it is
never out of date; without a folder that can be written everything is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import vocabulary as tables
from .raw import Request, inside
from .texts import Document
from .vocabulary import Vocabulary, of_bytes, of_words, trained, vocabulary_of
from .windows import Text
from .words import learnt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

KEPT = 32
"""Files in the cache; the least recently used go first."""

SPECIAL = 3
"""Entries of a vocabulary of words that are none: the end, the beginning, all other words."""

PIECE = 1 << 16
"""Bytes of text, about, that an encoding learns from or works on at a time."""


def vocabulary_for(request: Request, documents: Sequence[Document]) -> Vocabulary:
    """The vocabulary of an earlier load, or the one that the data line asks for.

    Raises: DataError.
    """
    if "vocabulary" in request.facts:
        return vocabulary_of(request.facts["vocabulary"], "the checkpoint")
    chosen = request.settings["vocabulary"]
    if chosen == "bytes":
        return of_bytes()
    if chosen not in ("bpe", "words"):
        return tables.read(inside(request.root, chosen), chosen)
    settings = request.settings
    size, least, lower, marks = (settings[n] for n in ("size", "least", "lowercase", "marks"))
    how = [least, lower, marks] if chosen == "words" else []
    path = _cached([chosen, size, *how, *_digests(documents)], ".json")
    with contextlib.suppress(OSError, ValueError):
        found = vocabulary_of(json.loads(path.read_text(encoding="utf-8")))
        os.utime(path)
        return found
    pieces = (piece for _, data in documents for piece in _pieces(data))
    if chosen == "words":
        found = of_words(learnt(pieces, size - SPECIAL, least, lower=lower, marks=marks))
    else:
        found = trained(pieces, size)
    _keep(path, json.dumps(found.to_json()).encode())
    return found


def encoded(vocabulary: Vocabulary, documents: Sequence[Document], *, begin: bool) -> Text:
    """The documents one after the other, each followed by the vocabulary's end.

    With `begin` each is also preceded by its beginning, where it has one.

    Raises: DataError where a library for it is missing.
    """
    if vocabulary.kind == "bytes":
        return _joined((np.frombuffer(d, np.uint8) for _, d in documents), vocabulary, begin=begin)
    model = hashlib.sha256(json.dumps(vocabulary.to_json(), sort_keys=True).encode()).hexdigest()
    path = _cached(["text", model, begin, *_digests(documents)], ".npz")
    with contextlib.suppress(OSError, ValueError, KeyError):
        with np.load(path) as kept:
            found = Text(kept["numbers"], kept["starts"])
        os.utime(path)
        return found
    found = _joined((_numbers(vocabulary, d) for _, d in documents), vocabulary, begin=begin)
    _keep(path, (found.numbers, found.starts))
    return found


def _numbers(vocabulary: Vocabulary, data: bytes) -> Numbers:
    pieces = list(vocabulary.encode_all(list(_pieces(data))))
    return np.concatenate([np.array(piece, np.uint32) for piece in pieces])


def _joined(parts: Iterator[Numbers], vocabulary: Vocabulary, *, begin: bool) -> Text:
    dtype = np.dtype(np.uint8 if vocabulary.size <= 256 else np.uint16)
    dtype = dtype if vocabulary.size <= 1 << 16 else np.dtype(np.uint32)
    before = [vocabulary.begin] if begin and vocabulary.begin is not None else []
    after = [vocabulary.end] if vocabulary.end is not None else []
    found: list[Numbers] = []
    starts, position = [], 0
    for part in parts:
        whole = np.concatenate(
            [np.array(before, dtype), part.astype(dtype), np.array(after, dtype)]
        )
        starts.append(position)
        position += len(whole)
        found.append(whole)
    return Text(np.concatenate(found), np.array(starts, np.int64))


def _pieces(data: bytes) -> Iterator[str]:
    """A text in parts that end with lines; an encoding joins nothing across the end of a line but
    blanks, so the numbers hardly depend on it."""
    lines = data.decode("utf-8").splitlines(keepends=True)
    begin, size = 0, 0
    for index, line in enumerate(lines):
        size += len(line)
        if size >= PIECE:
            yield "".join(lines[begin : index + 1])
            begin, size = index + 1, 0
    if begin < len(lines):
        yield "".join(lines[begin:])


# ---- the cache -----------------------------------------------------------------------------------


def _digests(documents: Sequence[Document]) -> list[str]:
    return [hashlib.sha256(data).hexdigest() for _, data in documents]


def _cached(facts: Sequence[Any], suffix: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    key = hashlib.sha256(json.dumps([1, *facts]).encode()).hexdigest()[:32]
    return home / "weft" / "texts" / f"{key}{suffix}"


def _keep(path: Path, content: bytes | tuple[Numbers, Numbers]) -> None:
    """Write a file of the cache at once or not at all, and let old ones go."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                np.savez(file, numbers=content[0], starts=content[1])
        os.replace(temporary, path)
        kept = sorted(path.parent.glob("[0-9a-f]*"), key=lambda each: each.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)
