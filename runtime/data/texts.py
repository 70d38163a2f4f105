"""Which files a text is made of, in the order of their names, and what is in them: UTF-8."""

from __future__ import annotations

import os
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...spec.errors import DataError
from .raw import inside, locate

NOT_THE_LIBRARY = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__")
"""Folders below Python's own that are not its library, or are there on some machines only."""

HELD_OUT = 20
"""One in so many files of the standard library is held out."""

Document = tuple[str, bytes]
"""The name of a file and the bytes in it."""


def documents(root: Path, paths: Sequence[str], suffixes: Sequence[str]) -> list[Document]:
    """The files that are meant: files, folders and patterns with `*`, each file once.

    Raises: DataError for what is not there, cannot be read, is empty or no text.
    """
    found: dict[str, Path] = {}
    for path in paths:
        found |= dict(files_of(root, path, suffixes))
    texts = [(name, read_text(place, name)) for name, place in found.items()]
    kept = [(name, text) for name, text in texts if text]
    if not kept:
        raise DataError(f"{_shown(paths)} holds no text: {_files_of(len(texts))} empty")
    return kept


def standard_library() -> tuple[list[Document], list[Document]]:
    """The files of Python's library, in the order of their names: for training, and held out.

    Which are held out follows from their names alone, so they stay so in other versions of Python.

    Raises: DataError where it is not there as text.
    """
    home = Path(sysconfig.get_paths()["stdlib"])
    parts: tuple[list[Document], list[Document]] = ([], [])
    for name, place in _below(home, ""):
        if not name.endswith(".py") or set(name.split("/")) & {*NOT_THE_LIBRARY}:
            continue
        data = place.read_bytes()
        if data and _fault(data) is None:
            parts[zlib.crc32(name.encode()) % HELD_OUT == 0].append((name, data))
    if not all(parts):
        raise DataError(f"`{home}` does not hold the source of Python's standard library")
    return parts


def read_text(place: Path, name: str) -> bytes:
    """The bytes of a file of UTF-8, without a mark of their order.

    Raises: DataError that says where it is none.
    """
    try:
        data = place.read_bytes()
    except OSError as error:
        raise DataError(f"`{name}` cannot be read: {error.strerror or error}") from None
    fault = _fault(data)
    if fault is not None:
        raise DataError(f"`{name}`, {fault[0]}", hint=fault[1])
    return data.removeprefix(b"\xef\xbb\xbf")


def _fault(data: bytes) -> tuple[str, str] | None:
    """What makes bytes no text, and what to do about it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"no UTF-8 text: {error.reason}, 0x{data[error.start]:02x}"
        hint = "convert it (iconv -f latin1 -t utf-8), or choose the texts by suffix=…"
        return f"{_at(data, error.start)}: {what}", hint
    if (zero := data.find(0)) >= 0:
        hint = "choose the texts of a folder by suffix=…"
        return f"{_at(data, zero)}: a zero byte, which no text has", hint
    return None


def _at(data: bytes, offset: int) -> str:
    line = data.count(b"\n", 0, offset) + 1
    return f"line {line:,} (byte {offset:,})"


def files_of(root: Path, path: str, suffixes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The names and places of the files that one path means."""
    if "*" in path:
        base = inside(root, path.partition("*")[0])
        start = base if path.partition("*")[0].endswith("/") else base.parent
        pattern = os.path.relpath(os.path.join(os.path.abspath(root), path), start)
        found = sorted(place for place in start.glob(pattern) if _plain(place, start))
        if not found:
            raise DataError(f"no file is called like `{path}`")
        yield from ((place.relative_to(root.absolute()).as_posix(), place) for place in found)
        return
    place = inside(root, path)
    if not place.is_dir():
        yield path, locate(root, path)
        return
    every = list(_below(place, path))
    chosen = [each for each in every if not suffixes or each[0].endswith(tuple(suffixes))]
    if not chosen:
        ends = sorted({Path(name).suffix for name, _ in every} - {""})
        hint = f"its files end in {', '.join(ends[:8])}" if ends else "put texts into it"
        wanted = f" that end in {' or '.join(suffixes)}" if suffixes and every else ""
        raise DataError(f"`{path}` holds no files{wanted}", hint=hint)
    yield from chosen


def _below(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """All files in a folder and those below it but hidden ones, in the order of their names.

    Raises: DataError when a folder cannot be read.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"`{name or folder}` cannot be read: {error.strerror}") from None
    for entry in entries:
        called = f"{name}/{entry.name}" if name else entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), called)
        elif entry.is_file():
            yield called, Path(entry.path)


def _plain(place: Path, folder: Path) -> bool:
    """Whether this is a file that is not hidden, nor anything on the way to it."""
    hidden = any(part.startswith(".") for part in place.relative_to(folder).parts)
    return place.is_file() and not hidden


def _shown(paths: Sequence[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _files_of(count: int) -> str:
    return "its file is" if count == 1 else f"its {count:,} files are"
