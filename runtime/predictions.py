"""What a net gives for new inputs, in the words of its data, and the files for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import UsageError
from ..spec.picture_options import mixes
from .data.normalise import undo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

DELIMITERS = {".csv": ",", ".tsv": "\t"}

LOGITS = ("bce", "focal", "dice_loss")
"""Blocks that take the logit of a probability."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The outputs of a net for some rows of a file.

    `rows`: what the rows are called, where they are pictures; `data`: the line of the data whose
    fields the net takes; `known`: its statistics; `compared`: the field that the output stands for,
    and the block that compares them, where the training says so.
    """

    rows: tuple[str, ...]
    values: Mapping[str, Array]
    data: Mapping[str, Any]
    known: Mapping[str, Any]
    compared: tuple[str, str] | None

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def field(self) -> int | None:
        """The place of the field that the only output stands for, as far as is known."""
        names = self.data["names"]
        if len(self.values) != 1:
            return None
        if self.compared is not None and self.compared[0] in names:
            return int(names.index(self.compared[0]))
        return 1 if len(names) > 1 else None

    @property
    def block(self) -> str | None:
        """What compares the output with its field."""
        return self.compared[1] if self.compared else None

    def in_units(self) -> dict[str, Array]:
        """The outputs, in the units of the data where they stand for a scaled field."""
        if self.field is None:
            return dict(self.values)
        ((name, array),) = self.values.items()
        numbers = self.known.get("fields", {}).get(self.data["names"][self.field], {})
        same = array.ndim == len(self.data["types"][self.field][1])
        return {name: undo(array, numbers) if "shift" in numbers and same else array}

    def columns(self) -> dict[str, Array]:
        """The outputs, behind them the class and its probability, before them names of pictures."""
        found = self.in_units()
        if self.field == 1:
            found |= self._classes(next(iter(self.values.values())))
        return {"name": np.array(self.rows), **found} if self.rows else found

    def _classes(self, array: Array) -> dict[str, Array]:
        words = self.known.get("facts", {}).get("classes")
        dtype = self.data["types"][1][0]
        shares = mixes(self.data["settings"])
        if (shares or dtype in ("i32", "i64")) and array.ndim == 2 and array.shape[1] > 1:
            best = array.argmax(axis=1)
            found = {"class": np.array(words)[best] if words else best}
            if self.block == "cross_entropy":
                parts = np.exp(array - array.max(axis=1, keepdims=True))
                found["probability"] = parts.max(axis=1) / parts.sum(axis=1)
            return found
        if self.block in LOGITS and array.size == len(array) and len(words or "01") == 2:
            score = array.reshape(-1)
            best = (score > 0).astype(np.int64)
            probability = 1 / (1 + np.exp(-np.abs(score)))
            return {"class": np.array(words)[best] if words else best, "probability": probability}
        return {}


@dataclass(frozen=True, slots=True)
class Answers:
    """The outputs of a net for `count` rows, made a piece at a time; to be gone through once.

    `rows`: what they are called, where they are pictures.
    """

    rows: tuple[str, ...]
    count: int
    pieces: Iterator[Predictions]

    def columns(self, most: int | None = None) -> dict[str, Array]:
        """The columns of a table of all rows, or of the first `most`.

        Raises: UsageError where rows differ in what they hold.
        """
        found: list[dict[str, Array]] = []
        for piece in alike(self.pieces):
            found.append(piece.columns())
            if most is not None and sum(len(_first(each)) for each in found) >= most:
                break
        return {name: np.concatenate([each[name] for each in found])[:most] for name in found[0]}


def alike(pieces: Iterable[Predictions]) -> Iterator[Predictions]:
    """The pieces, whose outputs have one shape.  Raises: UsageError at the first that differs."""
    before: Predictions | None = None
    for piece in pieces:
        before = before or piece
        for name, array in piece.values.items():
            first = before.values[name]
            if array.shape[1:] != first.shape[1:]:
                raise UsageError(
                    f"`{name}` is {list(first.shape[1:])} for `{before.rows[0]}` and "
                    f"{list(array.shape[1:])} for `{piece.rows[0]}`: rows of a table are alike",
                    hint="-o FOLDER draws masks and images",
                )
        yield piece


def table_of(outputs: Mapping[str, Array]) -> list[list[str]]:
    """The names of the columns, and a row for each input; an array has a column for each number."""
    columns: dict[str, Array] = {}
    for name, array in outputs.items():
        flat = array.reshape(len(array), -1)
        if flat.shape[1] == 1:
            columns[name] = flat[:, 0]
        else:
            columns |= {f"{name}_{i}": flat[:, i] for i in range(flat.shape[1])}
    rows = zip(*(_cells(column) for column in columns.values()), strict=True)
    return [list(columns), *map(list, rows)]


def _first(columns: Mapping[str, Array]) -> Array:
    return next(iter(columns.values()))


def _cells(column: Array) -> list[str]:
    """Shortest text that reads back as the same number."""
    if column.dtype.kind == "f":
        return [str(value) for value in column]
    return [str(value) for value in column.tolist()]
