"""text, stdlib and tokens: what their data lines read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from . import vocabulary as tables
from .arrays import DAMAGE
from .encoded import encoded, vocabulary_for
from .joined import Joined
from .raw import Raw, Request, as_list, inside, locate
from .texts import Document, documents, files_of, standard_library
from .vocabulary import vocabulary_of
from .windows import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES: Mapping[str, np.dtype[Any]] = {"u16": np.dtype("<u2"), "u32": np.dtype("<u4")}


def read_text_files(request: Request) -> Raw:
    """Source `text`."""
    settings = request.settings
    suffixes = as_list(settings["suffix"])
    train = documents(request.root, as_list(settings["path"]), suffixes)
    held = as_list(settings["test"])
    test = documents(request.root, held, suffixes) if held else None
    return _raw(request, train, test)


def read_stdlib(request: Request) -> Raw:
    """Source `stdlib`."""
    train, test = standard_library()
    if request.settings["split"] is not None:
        return _raw(request, sorted([*train, *test]), None)
    return _raw(request, train, test)


def _raw(request: Request, train: list[Document], test: list[Document] | None) -> Raw:
    """Encodings learn from what is for training alone, as far as files say what that is."""
    vocabulary = vocabulary_for(request, train)
    begin = not request.settings["pack"] and request.settings["masked"] is None
    return Raw(
        (),
        facts={"vocabulary": vocabulary.to_json()},
        text=encoded(vocabulary, train, begin=begin),
        test_text=encoded(vocabulary, test, begin=begin) if test else None,
    )


def read_tokens(request: Request) -> Raw:
    """Source `tokens`."""
    settings = request.settings
    facts: Mapping[str, Any] = {}
    if "vocabulary" in request.facts:
        facts = {"vocabulary": request.facts["vocabulary"]}
    elif settings["vocabulary"] is not None:
        path = inside(request.root, settings["vocabulary"])
        facts = {"vocabulary": tables.read(path, settings["vocabulary"]).to_json()}
    end = settings["end"]
    if end is None and facts:
        end = vocabulary_of(facts["vocabulary"]).end
    test = settings["test"]
    return Raw(
        (),
        facts=facts,
        text=_tokens(request.root, as_list(settings["path"]), settings["dtype"], end),
        test_text=_tokens(request.root, as_list(test), settings["dtype"], end) if test else None,
    )


def _tokens(root: Path, paths: list[str], code: str, end: int | None) -> Text:
    """The numbers in files, which stay there, one file after the other; a document begins after
    each `end`.
    """
    names = [name for path in paths for name, _ in files_of(root, path, (".npy", ".bin"))]
    rows = [_row(root, name, code) for name in names]
    starts, offset = [np.zeros(1, np.int64)], 0
    for numbers in rows:
        if end is not None:
            starts.append(np.flatnonzero(numbers == end) + 1 + offset)
        offset += len(numbers)
    found = np.unique(np.concatenate(starts))
    whole: Any = rows[0] if len(rows) == 1 else Joined(rows)
    return Text(whole, found[(found < offset) | (found == 0)])


def _row(root: Path, name: str, code: str) -> NDArray[Any]:
    path = locate(root, name)
    numbers = _npy(path, name) if path.suffix == ".npy" else _bin(path, name, DTYPES[code])
    if numbers.ndim != 1 or numbers.dtype.kind not in "ui":
        raise DataError(
            f"`{name}` holds {numbers.dtype} {list(numbers.shape)}, not a row of tokens",
            hint="one axis, of whole numbers such as uint16",
        )
    return numbers


def _npy(path: Path, name: str) -> NDArray[Any]:
    try:
        found: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGE as error:
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"`{name}` is not a readable npy file: {reason}") from None
    if not isinstance(found, np.ndarray):
        raise DataError(f"`{name}` is an archive of arrays, not a row of tokens")
    return found


def _bin(path: Path, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise DataError(
            f"`{name}` has {size:,} bytes, no multiple of {dtype.itemsize}",
            hint="dtype=u16 or dtype=u32 says how its numbers are written",
        )
    return np.memmap(path, dtype, "r")
