"""npz and npy: arrays as NumPy saves them; never pickled objects."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError, suggest
from .raw import Raw, Request, as_list, locate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    SyntaxError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise for files that are not what they say."""


def read_npz(request: Request) -> Raw:
    """Source `npz`: one array for each field."""
    settings = request.settings
    wanted = settings["fields"] or list(request.names)
    fields = load_npz(locate(request.root, settings["path"]), settings["path"], wanted)
    test = None
    if settings["test"] is not None:
        test = load_npz(locate(request.root, settings["test"]), settings["test"], wanted)
    return Raw(fields, test, where=_of(settings["path"]), where_test=_of(settings["test"]))


def read_npy(request: Request) -> Raw:
    """Source `npy`: one file for each field."""
    settings = request.settings
    fields = tuple(load_npy(locate(request.root, p), p) for p in as_list(settings["path"]))
    test = tuple(load_npy(locate(request.root, p), p) for p in as_list(settings["test"]))
    if test and len(test) != len(fields):
        raise DataError(f"`test` names {len(test)} files, the training part {len(fields)}")
    return Raw(fields, test or None, where=_of(settings["path"]), where_test=_of(settings["test"]))


def _of(paths: str | Sequence[str] | None) -> Callable[[int], str]:
    """Where a sample comes from: `sample 3 of x.npy`."""
    files = ", ".join(f"`{path}`" for path in as_list(paths))
    return lambda row: f"sample {row} of {files}"


def load_npz(path: Path, name: str, wanted: Sequence[str]) -> tuple[Array, ...]:
    """These arrays of an archive.

    Raises: DataError.
    """
    known = names_in(path, name)
    missing = [field for field in wanted if field not in known]
    if missing:
        raise DataError(
            f"`{name}` has no array `{missing[0]}`; it holds {', '.join(known)}",
            hint=suggest(missing[0], known) or "name the arrays with fields=[…]",
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return tuple(archive[field] for field in wanted)
    except DAMAGE as error:
        raise _unreadable(name, "npz", error) from None


def names_in(path: Path, name: str) -> list[str]:
    """The names of the arrays of an archive.

    Raises: DataError.
    """
    try:
        archive: Any = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(archive, np.ndarray):
            raise DataError(f"`{name}` is a single array", hint="read it with npy")
        with archive:
            return list(archive.files)
    except DAMAGE as error:
        raise _unreadable(name, "npz", error) from None


def load_npy(path: Path, name: str, *, mapped: bool = False) -> Array:
    """The array of a file; `mapped`: read where it is looked at, so that it may be larger than the
    memory.

    Raises: DataError.
    """
    try:
        array: Any = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except DAMAGE as error:
        raise _unreadable(name, "npy", error) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"`{name}` is an archive of arrays", hint="read it with npz")
    return array


def _unreadable(name: str, kind: str, error: Exception) -> DataError:
    text = str(error).split("\n")[0]
    reason = "it holds Python objects or is no array at all" if "pickle" in text else text
    return DataError(f"`{name}` is not a readable {kind} file: {reason[:200]}")
