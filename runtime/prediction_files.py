"""The files that predictions are written into, piece by piece: tables, archives, pictures."""

from __future__ import annotations

import csv
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DataError, UsageError
from .prediction_pictures import save_pictures
from .predictions import DELIMITERS, Answers, alike, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def write(out: Path, answers: Answers) -> None:
    """A csv, tsv or npz file, which is there when all rows are in it; a folder of pictures, or the
    picture of the only row.

    Raises: DataError, UsageError.
    """
    kind = out.suffix.lower()
    try:
        if kind == ".npz":
            _archive(out, answers)
        elif kind in DELIMITERS:
            _table(out, answers, DELIMITERS[kind])
        elif kind == ".png" and not out.is_dir():
            if answers.count > 1:
                text = f"`{out}` would be one picture, there are {answers.count:,} inputs"
                raise UsageError(text, hint="a name without a dot is a folder, for pictures")
            save_pictures(out.parent, answers, name=out.stem)
        elif kind and not out.is_dir():
            hint = "a name without a dot is a folder, for pictures; one picture is a .png"
            raise UsageError(f"`{out}` is not a csv, tsv, npz or png file", hint=hint)
        else:
            save_pictures(out, answers)
    except OSError as error:
        raise DataError(f"`{out}` cannot be written: {error.strerror or error}") from None


def _table(out: Path, answers: Answers, delimiter: str) -> None:
    with _whole(out) as path, open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        for number, piece in enumerate(alike(answers.pieces)):
            head, *rows = table_of(piece.columns())
            writer.writerows(rows if number else [head, *rows])


def _archive(out: Path, answers: Answers) -> None:
    """Each column is a mapped file of its own until all rows are there."""
    with _whole(out) as path, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        columns: dict[str, Array] = {}
        begin = 0
        for piece in alike(answers.pieces):
            for name, array in piece.columns().items():
                if name not in columns:
                    dtype = np.array(answers.rows).dtype if name == "name" else array.dtype
                    shape = (answers.count, *array.shape[1:])
                    file = f"{folder}/{len(columns)}.npy"
                    columns[name] = np.lib.format.open_memmap(file, "w+", dtype, shape)
                columns[name][begin : begin + len(piece)] = array
            begin += len(piece)
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(list(columns)):
                del columns[name]  # writes what is left of it
                archive.write(f"{folder}/{number}.npy", f"{name}.npy")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A file beside `out` that takes its place once it was written."""
    path = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        yield path
        os.replace(path, out)
    finally:
        path.unlink(missing_ok=True)
