"""images with a table that names the files and what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError, suggest
from .decode import SUFFIXES
from .image_files import ImageFiles, image_files, kept, listed
from .raw import Raw, Request, inside, locate
from .table import Table, columns_named, is_number, read_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_listed(request: Request) -> Raw:
    """Source `images` with `labels`.

    Raises: DataError.
    """
    settings = request.settings
    table = _table(request, settings["labels"])
    targets = _targets(table, settings)
    words = request.facts.get("classes") or _classes(table, targets, request)
    facts = {"classes": list(words)} if words else {}
    pictures, fields = _part(request, table, targets, words)
    if settings["test_labels"] is None:
        return Raw(fields, facts=facts, pictures=kept(pictures, settings), where=pictures.where)
    other = _table(request, settings["test_labels"])
    held, held_fields = _part(request, other, targets, words, like=pictures)
    return Raw(
        fields,
        held_fields,
        facts,
        pictures.where,
        held.where,
        pictures=kept(pictures, settings),
        test_pictures=kept(held, settings),
    )


def _table(request: Request, name: str) -> Table:
    delimiter = DELIMITERS.get(Path(name).suffix.lower())
    if delimiter is None:
        raise DataError(f"`{name}` is not a csv or tsv file")
    return read_cells(locate(request.root, name), name, delimiter, True)


def _file_column(table: Table, request: Request) -> str:
    """The column of the names of the files."""
    return request.settings["file"] or next(iter(table.columns))


def _targets(table: Table, settings: Any) -> list[str]:
    """The columns that say what an image is: those named, or the only one beside the files."""
    named = settings["target"]
    if named is not None:
        return [named] if isinstance(named, str) else list(named)
    file = settings["file"] or next(iter(table.columns))
    rest = [name for name in table.columns if name != file]
    if len(rest) == 1:
        return rest
    hint = 'a line such as "a.jpg,cat" names a file and its class'
    if rest:
        hint = f"there are {', '.join(rest[:12])}"
    raise DataError(f"which column of `{table.path}` is the target? write target=…", hint=hint)


def _classes(table: Table, targets: Sequence[str], request: Request) -> list[str]:
    """The words of the only target, in order; none where it holds values or counts from 0."""
    columns_named(table, [_file_column(table, request), *targets])
    if len(targets) != 1:
        return []
    cells = set(table.columns[targets[0]])
    declared = request.dtypes[1] if len(request.dtypes) > 1 else "i32"
    if not all(map(is_number, cells)):
        return sorted(cells)
    if declared.startswith("f"):
        return []
    words = sorted(cells, key=float)
    return [] if words == [str(number) for number in range(len(words))] else words


def _part(
    request: Request,
    table: Table,
    targets: Sequence[str],
    words: Sequence[str],
    like: ImageFiles | None = None,
) -> tuple[ImageFiles, tuple[Array, ...]]:
    """The images of a table, and what they are."""
    file = _file_column(table, request)
    columns_named(table, [file, *targets])
    names = _names(request, table, file)
    pictures = image_files(request.root, names, request.settings, like=like)
    columns = [_numbers(table, name, words) for name in targets]
    if words:
        return pictures, (columns[0].astype(np.int64),)
    declared = request.dtypes[1] if len(request.dtypes) > 1 else "i32"
    whole = len(targets) == 1 and not declared.startswith("f")
    return pictures, (columns[0] if whole else np.stack(columns, axis=1),)


def _names(request: Request, table: Table, file: str) -> list[str]:
    """The files below the folder; where the table leaves suffixes out they are found."""
    folder = request.settings["folder"]
    place = inside(request.root, folder)
    if not place.is_dir():
        raise DataError(f"there is no folder `{folder}`")
    known: dict[str, str] = {}
    names = []
    for row, cell in enumerate(table.columns[file]):
        name = f"{folder}/{PurePosixPath(cell)}"
        if PurePosixPath(cell).suffix.lower() not in SUFFIXES:
            known = known or {each.rpartition(".")[0]: each for each in listed(place, folder)}
            name = known.get(name, name)
        if not inside(request.root, name).is_file():
            there = [PurePosixPath(each).name for each in listed(place, folder)[:5000]]
            hint = suggest(PurePosixPath(cell).name, there) or f"`{folder}` holds no such file"
            raise DataError(f"{table.where(row)}: there is no image `{name}`", hint=hint)
        names.append(name)
    return names


def _numbers(table: Table, name: str, words: Sequence[str]) -> Array:
    """A column as values, or as places of its words."""
    places = {word: place for place, word in enumerate(words)}
    found = []
    for row, cell in enumerate(table.columns[name]):
        if words and cell not in places:
            hint = suggest(cell, words) or f"its classes are {', '.join(words[:12])}"
            raise DataError(
                f'{table.where(row)}: "{cell[:40]}" is no class of the training data', hint=hint
            )
        if not words and not is_number(cell):
            text = f'{table.where(row)}: column `{name}` holds "{cell[:40]}", not a number'
            raise DataError(text)
        found.append(places[cell] if words else float(cell))
    return np.array(found)
