"""From the text of a data line to windows of it: checks, parts, batches."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .conform import DTYPES, IGNORED
from .covering import Covering, covering_of
from .maker import TEST, TRAIN
from .picture_set import Column
from .raw import Raw
from .split import batch_size, draw, split
from .vocabulary import vocabulary_of
from .windows import FIELDS, Text, WindowBatches, Windows, across, within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

COUNTED = 1 << 24
"""Numbers of a text that are looked at, at a time."""


LOOKED, MANY = 1 << 14, 256
"""Windows whose tokens are measured, and how many at a time."""


@dataclass(frozen=True, slots=True)
class TextSet:
    """The windows of a data line, for training and held out; None where nothing is.

    `statistics` is JSON data, as that of a `Dataset`; `batch` a number of windows, `fixed` when the
    types say it; `fields` are the names on the data line and their dtypes; `covering` says which
    tokens are to be guessed.
    """

    parts: tuple[Windows, Windows | None]
    fields: Mapping[str, np.dtype[Any]]
    statistics: Mapping[str, Any]
    batch: int
    fixed: bool
    covering: Covering | None = None

    def batches(self, part: int, batch: int, **order: Any) -> WindowBatches:
        """Batches of one part; `order` is the rest of what `WindowBatches` takes."""
        windows = self.parts[part]
        assert windows is not None
        return WindowBatches(windows, self.fields, batch, covering=self.covering, **order)

    @property
    def tokens(self) -> int:
        """Those of a batch."""
        return self.batch * self.parts[0].length

    def columns(self, part: int) -> dict[str, Any]:
        """Every field of a part, to be looked at."""
        windows = self.parts[part]
        if windows is None:
            return {}
        shape = (len(windows), windows.length)
        return {
            name: Column(shape, dtype, partial(_looked, windows, field, dtype))
            for field, (name, dtype) in zip(FIELDS, self.fields.items(), strict=False)
        }

    def close(self) -> None:
        """Nothing is open."""


def text_set(recipe: Mapping[str, Any], raw: Raw) -> TextSet:
    """The windows of a data line.

    Raises: DataError.
    """
    settings, types = recipe["settings"], recipe["types"]
    assert raw.text is not None
    fields = _fields(recipe)
    train_text, test_text = _parts(raw, settings)
    length, size = settings["length"], _size(raw)
    _check_types(recipe, length)
    _check_ranges(recipe, size, [train_text, *([test_text] if test_text else [])])
    moving = bool(settings["shuffle"])
    if settings.get("pack", True):
        train = across(train_text, length, moving=moving)
        test = _held_out(test_text, length)
    else:
        rest = _rest(raw)
        train = within(train_text, length, rest)
        test = within(test_text, length, rest) if test_text else None
    if settings["limit"] is not None and settings["limit"] < len(train):
        train = train.keep(draw(len(train), settings["limit"], settings["seed"]))
    samples = [len(train), len(test) if test else 0]
    batch, fixed = batch_size(settings["batch"], types, samples[0], sum(samples))
    known = {
        "facts": dict(raw.facts),
        "fields": {},
        "samples": samples,
        "tokens": [len(train_text.numbers), len(test_text.numbers) if test_text else 0],
        "checksum": _checksum([train_text, test_text], [train, test]),
    }
    covering = _covering(raw, settings)
    sizes = _bytes(raw, (train, test)) if covering is None else None
    if sizes is not None and len(fields) > 1:
        known["bytes"] = {list(fields)[1]: sizes}
    return TextSet((train, test), fields, known, batch, fixed, covering)


def _parts(raw: Raw, settings: Mapping[str, Any]) -> tuple[Text, Text | None]:
    """What is for training and what is held out: files, or the tail of all of them."""
    text = raw.text
    assert text is not None
    if settings["split"] is None or raw.test_text is not None:
        return text, raw.test_text
    wanted = settings["split"]
    fraction = wanted[0] if isinstance(wanted, list) else wanted
    if fraction == 1:
        return text, None
    files = len(text.starts)
    by = settings.get("by") or ("files" if files > 1 else "tail")
    if by == "files":
        hint = "by=tail divides the text itself, test= names files that are held out"
        train, test = split(files, fraction, settings["seed"], what="file", hint=hint)
        return text.documents(train), text.documents(test)
    cut = round(len(text.numbers) * fraction)
    return text.part(0, cut), text.part(cut, len(text.numbers))


def _held_out(text: Text | None, length: int) -> Windows | None:
    if text is None:
        return None
    try:
        return across(text, length, moving=False)
    except DataError as error:
        raise DataError(f"held out: {error.message}", hint=error.hint) from None


def _fields(recipe: Mapping[str, Any]) -> dict[str, np.dtype[Any]]:
    names = recipe["names"]
    if len(names) > len(FIELDS):
        raise DataError(f"`{recipe['source']}` gives {len(FIELDS)} fields: {', '.join(FIELDS)}")
    dtypes = [np.dtype(DTYPES[dtype]) for dtype, _ in recipe["types"]]
    return dict(zip(names, dtypes, strict=True))


def _check_types(recipe: Mapping[str, Any], length: int) -> None:
    for name, (_, dims) in zip(recipe["names"], recipe["types"], strict=True):
        if len(dims) != 2 or (isinstance(dims[1], int) and dims[1] != length):
            declared = ", ".join(map(str, dims))
            raise DataError(
                f"`{name}` is declared [{declared}], the windows are [B, {length}]",
                hint=f"write length={dims[1]}" if len(dims) == 2 else None,
            )


def _check_ranges(recipe: Mapping[str, Any], size: int | None, texts: Sequence[Text]) -> None:
    """Whether the network knows every token: those of the vocabulary, else those that occur.

    Raises: DataError.
    """
    ranges = recipe.get("ranges") or {}
    found = {name: ranges[name][1] for name in recipe["names"][:2] if name in ranges}
    if not found:
        return
    name, below = min(found.items(), key=lambda item: item[1])
    if size is not None and size > below:
        raise DataError(
            f"the vocabulary has {size:,} entries, and what `{name}` goes to knows {below:,}",
            hint=f"write {size} for the entries of the embedding and the outputs, or more",
        )
    if size is None:
        largest = max(_largest(text.numbers) for text in texts)
        if largest >= below:
            raise DataError(
                f"the text holds the token {largest:,}, and what `{name}` goes to knows {below:,}",
                hint=f"write at least {largest + 1} for the entries of the embedding",
            )


def _largest(numbers: Array) -> int:
    pieces = range(0, len(numbers), COUNTED)
    return max(int(np.max(np.asarray(numbers[begin : begin + COUNTED]))) for begin in pieces)


def _size(raw: Raw) -> int | None:
    known = raw.facts.get("vocabulary")
    return None if known is None else int(known["size"])


def _covering(raw: Raw, settings: Mapping[str, Any]) -> Covering | None:
    share = settings.get("masked")
    if share is None:
        return None
    return covering_of(float(share), vocabulary_of(raw.facts["vocabulary"]))


def _bytes(raw: Raw, parts: Sequence[Windows | None]) -> list[float] | None:
    """The mean number of bytes that a token stands for, in each part, where tokens are byte pairs.

    One that ends a text counts as one byte, as it does where tokens are bytes.
    """
    known = raw.facts.get("vocabulary")
    vocabulary = vocabulary_of(known) if known is not None else None
    if vocabulary is None or vocabulary.kind != "bpe":
        return None
    sizes = np.array([max(1, len(piece)) for piece in vocabulary.pieces], np.int64)
    return [_mean(sizes, windows) if windows is not None else 0.0 for windows in parts]


def _mean(sizes: NDArray[np.int64], windows: Windows) -> float:
    """Over the tokens that follow another; of long texts over windows spread evenly."""
    count = min(len(windows), LOOKED)
    rows = np.linspace(0, len(windows) - 1, count).astype(np.int64)
    total = tokens = 0
    found = np.empty((MANY, windows.length), np.int64)
    for begin in range(0, count, MANY):
        some = rows[begin : begin + MANY]
        windows.look(some, 0, {"next": found})
        counted = found[: len(some)]
        counted = counted[counted != IGNORED]
        total += int(sizes[counted].sum())
        tokens += len(counted)
    return total / tokens


def _rest(raw: Raw) -> int:
    """The token that stands where nothing counts."""
    end = (raw.facts.get("vocabulary") or {}).get("end")
    return 0 if end is None else int(end)


def _looked(windows: Windows, field: str, dtype: np.dtype[Any], rows: NDArray[np.int64]) -> Array:
    found = np.empty((len(rows), windows.length), dtype)
    windows.look(rows, 0, {field: found})
    return found


def _checksum(texts: Sequence[Text | None], parts: Sequence[Windows | None]) -> int:
    """crc32 of the texts and of where their windows begin."""
    checksum = 0
    for text in texts:
        numbers = text.numbers if text is not None else np.empty(0, np.uint8)
        for begin in range(0, len(numbers), COUNTED):
            piece = np.ascontiguousarray(numbers[begin : begin + COUNTED])
            checksum = zlib.crc32(piece.view(np.uint8).data, checksum)
    for windows in parts:
        if windows is not None:
            checksum = zlib.crc32(windows.begins.tobytes(), checksum)
    return checksum


__all__ = ["TEST", "TRAIN", "TextSet", "text_set"]
