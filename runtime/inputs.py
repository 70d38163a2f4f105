"""What a net is asked: the rows of a file, or images, a piece at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DataError, UsageError
from .data.arrays import load_npy, load_npz, names_in
from .data.conform import check_finite, fit
from .data.loose import Loose, is_pictures, loose
from .data.normalise import apply, fill
from .data.table import is_number, read_cells, read_features
from .padding import Padding, padding_of
from .predictions import DELIMITERS
from .tiling import Tiles, Tiling, tiling_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Entry, Port

    Array = NDArray[Any]

ELEMENTS = 1 << 22
"""Of an input in one piece at most, so that large images do not fill the memory."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, as the net takes them: an array for each of its inputs.

    `rows`: what they are called, where they are images; `padding`: how their size was made one that
    the net takes; `tiling`: how a single image is taken apart.
    """

    rows: tuple[str, ...]
    inputs: dict[str, Array]
    padding: Padding | None = None
    tiling: Tiling | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def first(self, most: int) -> Piece:
        """At most so many of these rows, with what they were padded with."""
        inputs = {name: array[:most] for name, array in self.inputs.items()}
        return Piece(self.rows[:most], inputs)

    def run(
        self, entry: Entry, call: Callable[[dict[str, Array]], dict[str, Array]]
    ) -> dict[str, Array]:
        """The results for these rows: a fixed batch is filled up with the last of them, and what
        was padded is cut.
        """
        declared = entry.inputs[0].shape[0]

        def answer(given: dict[str, Array]) -> dict[str, Array]:
            rows = len(next(iter(given.values())))
            missing = declared - rows if isinstance(declared, int) else 0
            if missing:
                given = {
                    n: np.concatenate([a, a[-1:].repeat(missing, 0)]) for n, a in given.items()
                }
            found = call({name: np.ascontiguousarray(array) for name, array in given.items()})
            return {name: np.array(array[:rows]) for name, array in found.items()}

        if self.tiling is not None:
            (image,) = self.inputs.values()
            return self.tiling.run(image, answer)
        values = answer(dict(self.inputs))
        return values if self.padding is None else self.padding.cut(values, entry.outputs)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The rows of a file, or images by their names; the pieces can be gone through once."""

    rows: tuple[str, ...]
    count: int
    pieces: Iterator[Piece]


def inputs_of(
    entry: Entry,
    source: Path,
    recipe: Mapping[str, Any],
    known: Mapping[str, Any],
    *,
    whole: bool = False,
    pad: bool = False,
    tiles: Tiles | None = None,
) -> Inputs:
    """The rows of a csv, tsv, npz or npy file, an image, or the images of a folder, laid out,
    filled and scaled as those of the training were; see `predict.answers` for the rest.

    Raises: DataError, UsageError.
    """
    if not source.exists():
        raise DataError(f"there is no file `{source}`")
    fields = _fields(entry, list(recipe["names"]))
    scaled = _Scaled(source, known, fields)
    pad = pad or tiles is not None
    if is_pictures(source):
        port = entry.inputs[0]
        if (whole or pad) and len(port.shape) != 4:
            text = f"`{entry.subject}` takes {list(port.shape[1:])}, not images"
            raise UsageError(text, hint="--whole and --pad are for inputs such as f32[B, 3, H, W]")
        if whole and not pad and any(isinstance(side, int) for side in port.shape[2:]):
            text = f"`{entry.subject}` takes {list(port.shape[1:])}, not images of any size"
            hint = "--whole is for a net whose input is f32[B, 3, H, W]"
            raise UsageError(text, hint=f"{hint}; --pad continues images that are too small")
        images = loose(source, recipe["settings"], port.shape, whole=whole or pad)
        return Inputs(
            images.names, len(images.names), _of_images(entry, images, scaled, pad, tiles)
        )
    if whole or pad:
        raise UsageError(
            f"`{source}` holds no images", hint="--whole, --pad and --tile are for images"
        )
    arrays = {p.name: _read(source, fields[p.name], p, recipe, known) for p in entry.inputs}
    single = next((name for name, array in arrays.items() if array.ndim == 0), None)
    if single is not None:
        raise DataError(f"`{single}` in `{source}` is a single number, not rows of them")
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1:
        raise DataError(f"the inputs in `{source}` have different numbers of rows")
    if counts == {0}:
        raise DataError(f"`{source}` holds no rows")
    return Inputs((), counts.pop(), _of_arrays(entry, arrays, scaled))


def _fields(entry: Entry, names: list[str]) -> dict[str, str]:
    """The field of the data for each input of the net."""
    fields = {p.name: p.name if p.name in names or not names else names[0] for p in entry.inputs}
    for name, field in fields.items():
        if field != name and len(fields) > 1:
            raise UsageError(
                f"`{name}` of `{entry.subject}` is not a field of the data",
                hint=f"the fields are {', '.join(names)}",
            )
    return fields


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Rows of `source` from what was read to what a port takes."""

    source: Path
    known: Mapping[str, Any]
    fields: Mapping[str, str]

    def __call__(self, port: Port, raw: Array, first: int) -> Array:
        numbers = self.known.get("fields", {}).get(self.fields[port.name], {})
        if "fill" in numbers:
            raw = fill(raw, numbers["fill"])
        place = self.source.name
        check_finite(port.name, raw, lambda row: f"row {first + row + 1} of `{place}`")
        dims = [d if isinstance(d, int) else str(d) for d in port.shape]
        array = fit(port.name, raw, port.dtype, dims)
        return apply(array, numbers) if "shift" in numbers else array


def _most(entry: Entry, elements: int) -> int:
    """Rows of a piece, each of them so large."""
    declared = entry.inputs[0].shape[0]
    return declared if isinstance(declared, int) else min(1024, max(1, ELEMENTS // elements))


def _of_images(
    entry: Entry, images: Loose, scaled: _Scaled, pad: bool, tiles: Tiles | None
) -> Iterator[Piece]:
    port = entry.inputs[0]

    def taken(pixels: Array) -> dict[str, Array]:
        return {p.name: scaled(p, pixels, 0) for p in entry.inputs}

    for names, pixels in images.batches(lambda elements: _most(entry, elements)):
        padding = None
        own = pixels.shape[2:]
        if tiles is not None and tiles.needed(*own):
            most = _most(entry, pixels.shape[1] * tiles.side**2)
            tiling = tiling_of(entry, own, tiles, most, taken)
            for row, name in enumerate(names):
                yield Piece((name,), {port.name: pixels[row : row + 1]}, tiling=tiling)
            continue
        if pad:
            padding = padding_of(entry, port, pixels.shape[2:], names[0])
            pixels = padding.pad(pixels)
        yield Piece(names, taken(pixels), padding)


def _of_arrays(entry: Entry, arrays: Mapping[str, Array], scaled: _Scaled) -> Iterator[Piece]:
    count = len(next(iter(arrays.values())))
    most = _most(entry, max(max(1, array[0].size) for array in arrays.values()))
    for begin in range(0, count, most):
        rows = {name: np.array(array[begin : begin + most]) for name, array in arrays.items()}
        yield Piece((), {p.name: scaled(p, rows[p.name], begin) for p in entry.inputs})


def _read(
    source: Path, field: str, port: Port, recipe: Mapping[str, Any], known: Mapping[str, Any]
) -> Array:
    kind = source.suffix.lower()
    if kind in DELIMITERS:
        return _as_declared(_read_table(source, recipe, known), port)
    if kind == ".npy":
        return load_npy(source, source.name, mapped=True)
    if kind == ".npz":
        names = names_in(source, source.name)
        choice = next((n for n in (field, port.name) if n in names), None)
        if choice is None and len(names) == 1:
            choice = names[0]
        return load_npz(source, source.name, [choice or field])[0]
    raise UsageError(f"`{source}` is not a csv, tsv, npz or npy file, and no image")


def _read_table(source: Path, recipe: Mapping[str, Any], known: Mapping[str, Any]) -> Array:
    """The columns that the training used, or all of them where it used no table."""
    delimiter = DELIMITERS[source.suffix.lower()]
    facts = known.get("facts", {})
    if "columns" in facts:
        settings = recipe["settings"]
        if source.suffix.lower() == ".csv" and recipe["source"] == "csv":
            delimiter = settings["delimiter"]
        return read_features(
            source, facts, delimiter, settings["header"], settings["missing"] == "mean"
        )
    with open(source, encoding="utf-8-sig", errors="replace") as file:
        header = not all(map(is_number, file.readline().split(delimiter)))
    table = read_cells(source, source.name, delimiter, header)
    return read_features(source, {"columns": list(table.columns), "words": {}}, delimiter, header)


def _as_declared(table: Array, port: Port) -> Array:
    """Rows of numbers in the shape of the port, where that is known."""
    wanted = [dim for dim in port.shape[1:] if isinstance(dim, int)]
    known = len(wanted) == len(port.shape) - 1 and len(wanted) != 1
    fits = known and math.prod(wanted) == table.shape[1]
    return table.reshape(-1, *wanted) if fits else table
