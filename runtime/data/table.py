"""csv and tsv: tables of text with a line of column names.

Columns of numbers become features.  Columns of words must be named: as `categorical` features, one
number for each word, or as the target, whose words become classes in sorted order.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError, suggest
from .raw import Raw, Request, locate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""Cells that mean that a value is missing, in lower case."""


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a file by columns; `lines` are the line numbers of the rows."""

    path: str
    columns: Mapping[str, list[str]]
    lines: Sequence[int]

    def where(self, row: int) -> str:
        return f"{self.path}:{self.lines[row]}"

    def keep(self, rows: Sequence[int]) -> Table:
        """The table with these rows only."""
        columns = {name: [cells[r] for r in rows] for name, cells in self.columns.items()}
        return Table(self.path, columns, [self.lines[r] for r in rows])


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns are features and targets, the words of each column, and what a gap means."""

    features: tuple[str, ...]
    targets: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    missing: str

    def facts(self) -> dict[str, Any]:
        """What a later use of the network must know."""
        facts: dict[str, Any] = {
            "columns": list(self.features),
            "targets": list(self.targets),
            "words": {name: list(words) for name, words in self.words.items()},
        }
        if len(self.targets) == 1 and self.targets[0] in self.words:
            facts["classes"] = list(self.words[self.targets[0]])
        return facts


def read_table(request: Request) -> Raw:
    """Source `csv` and `tsv`."""
    settings = request.settings
    table = _open(request, settings["path"])
    layout = _layout(table, request)
    table = _without_gaps(table, layout)
    fields = _fields(table, layout, request)
    test = None
    where_test = table.where
    if settings.get("test") is not None:
        held_out = _without_gaps(_open(request, settings["test"]), layout)
        test, where_test = _fields(held_out, layout, request), held_out.where
    gaps = layout.missing == "mean"
    return Raw(fields, test, layout.facts(), table.where, where_test, gaps)


def read_features(
    path: Path, facts: Mapping[str, Any], delimiter: str, header: bool, gaps: bool = False
) -> Array:
    """The feature columns of a further file, laid out like those the network was trained on.

    With `gaps` a missing value is NaN.

    Raises: DataError.
    """
    table = read_cells(path, path.name, delimiter, header)
    words = {name: tuple(known) for name, known in facts["words"].items()}
    layout = Layout(tuple(facts["columns"]), (), words, "mean" if gaps else "error")
    return _features(_without_gaps(table, layout), layout)


def read_cells(path: Path, name: str, delimiter: str, header: bool) -> Table:
    """All cells of a file as text.

    Raises: DataError for ragged rows, duplicate columns, text that is not UTF-8, and no rows.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            for row in reader:
                if row and not (len(row) == 1 and not row[0].strip()):
                    rows.append(row)
                    lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise DataError(f"`{name}` is not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: {error}") from None
    if not rows:
        raise DataError(f"`{name}` holds no rows")
    names = [cell.strip() for cell in rows[0]] if header else [str(i) for i in range(len(rows[0]))]
    _check_header(name, names, rows[0], header)
    first = 1 if header else 0
    for row, line in zip(rows[first:], lines[first:], strict=True):
        if len(row) != len(names):
            raise DataError(
                f"{name}:{line}: {len(row)} cells where {len(names)} columns are named",
                hint=f"quote cells that contain `{delimiter}`, or mend the line",
            )
    if not rows[first:]:
        raise DataError(f"`{name}` has a line of column names and no rows")
    columns = zip(*rows[first:], strict=True)
    cells = {key: [c.strip() for c in column] for key, column in zip(names, columns, strict=True)}
    return Table(name, cells, lines[first:])


def _check_header(name: str, names: list[str], first: list[str], header: bool) -> None:
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if header and all(is_number(cell) for cell in first):
        raise DataError(
            f"the first line of `{name}` holds numbers, not names of columns",
            hint="write header=false",
        )
    if twice is not None:
        raise DataError(f"`{name}` has two columns `{twice}`")


def _open(request: Request, name: str) -> Table:
    settings = request.settings
    path = locate(request.root, name)
    return read_cells(path, name, settings["delimiter"], settings["header"])


def _layout(table: Table, request: Request) -> Layout:
    settings, known = request.settings, list(table.columns)
    targets = _targets(settings["target"], known)
    features = settings["features"]
    if features is None:
        features = [name for name in known if name not in targets]
    categorical = settings["categorical"] or []
    columns_named(table, (*targets, *features, *categorical))
    both = next((name for name in features if name in targets), None)
    if both is not None:
        raise DataError(f"column `{both}` is both a feature and the target")
    if not features:
        raise DataError(f"`{table.path}` has no column left for the features")
    old = request.facts.get("words", {})
    words: dict[str, tuple[str, ...]] = {}
    for name in (*features, *targets):
        if name in old:
            words[name] = tuple(old[name])
        elif name in categorical or (name in targets and _has_words(table.columns[name])):
            words[name] = _words(table.columns[name])
    if len(targets) > 1 and any(name in words for name in targets):
        raise DataError(f"the targets {', '.join(targets)} must all be numbers")
    return Layout(tuple(features), tuple(targets), words, settings["missing"])


def _targets(target: str | int | Sequence[str] | None, known: list[str]) -> list[str]:
    if target is None:
        return []
    if isinstance(target, int):
        if not -len(known) <= target < len(known):
            raise DataError(f"there is no column {target}: the table has {len(known)}")
        return [known[target]]
    return [target] if isinstance(target, str) else list(target)


def columns_named(table: Table, names: Sequence[str]) -> None:
    """Raises: DataError for a column that the table does not have."""
    for name in names:
        if name not in table.columns:
            known = list(table.columns)
            shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
            raise DataError(
                f"`{table.path}` has no column `{name}`",
                hint=suggest(name, known) or f"its columns are {shown}",
            )


def _without_gaps(table: Table, layout: Layout) -> Table:
    """The table without the rows in which a value is missing that may not be."""
    columns_named(table, (*layout.features, *layout.targets))
    rows = len(table.lines)
    fillable = layout.missing == "mean"
    strict = [
        name
        for name in (*layout.features, *layout.targets)
        if not fillable or name in layout.words or name in layout.targets
    ]
    bad = sorted(
        {r for name in strict for r, cell in enumerate(table.columns[name]) if _is_gap(cell)}
    )
    if not bad:
        return table
    if layout.missing != "drop":
        name = next(n for n in strict if _is_gap(table.columns[n][bad[0]]))
        hint = "missing=drop leaves such rows out"
        if layout.missing == "error":
            hint += "; missing=mean fills in the mean of the column"
        raise DataError(f"{table.where(bad[0])}: column `{name}` has no value", hint=hint)
    gone = set(bad)
    if len(gone) == rows:
        raise DataError(f"every row of `{table.path}` lacks a value")
    return table.keep([r for r in range(rows) if r not in gone])


def _fields(table: Table, layout: Layout, request: Request) -> tuple[Array, ...]:
    features = _features(table, layout)
    if not layout.targets:
        return (features,)
    if len(layout.targets) > 1:
        return (features, np.stack([_numbers(table, n, False) for n in layout.targets], axis=1))
    name = layout.targets[0]
    if name not in layout.words:
        return (features, _numbers(table, name, False))
    declared = request.dtypes[1] if len(request.dtypes) > 1 else "i32"
    if declared.startswith("f") and len(layout.words[name]) > 2:
        raise DataError(
            f"column `{name}` holds {len(layout.words[name])} different words",
            hint="declare the target as i32[B] for classes",
        )
    return (features, _classes(table, name, layout.words[name]))


def _features(table: Table, layout: Layout) -> Array:
    parts: list[Array] = []
    for name in layout.features:
        if name in layout.words:
            classes = _classes(table, name, layout.words[name])
            parts += [classes == index for index in range(len(layout.words[name]))]
        else:
            parts.append(_numbers(table, name, layout.missing == "mean"))
    return np.stack([part.astype(np.float64) for part in parts], axis=1)


def _numbers(table: Table, name: str, gaps: bool) -> NDArray[np.float64]:
    cells = table.columns[name]
    if gaps:
        cells = ["nan" if _is_gap(cell) else cell for cell in cells]
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        row = next(r for r, cell in enumerate(cells) if not is_number(cell))
        raise DataError(
            f'{table.where(row)}: column `{name}` holds "{cells[row][:40]}", which is not a number',
            hint=f'write categorical=["{name}"] for a column of words, or leave it out of features',
        ) from None
    return values


def _classes(table: Table, name: str, words: Sequence[str]) -> NDArray[np.int64]:
    index = {word: i for i, word in enumerate(words)}
    try:
        return np.array([index[cell] for cell in table.columns[name]], np.int64)
    except KeyError as error:
        word = str(error.args[0])
        row = table.columns[name].index(word)
        raise DataError(
            f'{table.where(row)}: column `{name}` holds "{word}", which the training data does not',
            hint=suggest(word, words) or f"known words: {', '.join(words[:12])}",
        ) from None


def _words(cells: Sequence[str]) -> tuple[str, ...]:
    found = {cell for cell in cells if not _is_gap(cell)}
    if all(is_number(word) for word in found):
        return tuple(sorted(found, key=float))
    return tuple(sorted(found))


def _has_words(cells: Sequence[str]) -> bool:
    return any(not is_number(cell) and not _is_gap(cell) for cell in cells)


def _is_gap(cell: str) -> bool:
    return len(cell) < 5 and cell.lower() in MISSING


def is_number(cell: str) -> bool:
    """Whether the cell holds a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
