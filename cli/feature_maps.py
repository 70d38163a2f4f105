"""The feature maps of a net for a few inputs, each layer as a sheet of its channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DataError, UsageError
from .drawing.tiles import Tile, grey, save, sheet, span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Entry
    from ..compiler.inner import Inner
    from ..runtime.program import CompiledProgram

    Array = NDArray[Any]


def draw_maps(
    program: CompiledProgram,
    *,
    out: Path,
    layers: Sequence[str],
    most: int = 4,
    common: bool = False,
    values: bool = False,
    **options: Any,
) -> list[Path]:
    """Draw what the layers give for the first `most` inputs; returns the files written.

    `layers`: their paths, or none for all whose values have rows and columns; `common`: one range
    of grey for a layer and not for each channel; `values`: npy files too; `options` are those of
    `runtime.predict.prepare`.  What images are padded with is drawn, too.

    Raises: CheckpointError, DataError, UsageError.
    """
    from ..runtime.predict import blaming, prepare

    entry, _, _, given = prepare(program.engine, program.artifact, **options)
    rows = list(given.rows or (f"row {n}" for n in range(1, given.count + 1)))[:most]
    inner = program.inner(entry.subject)
    chosen = _chosen(inner.chosen(layers or None), entry, bool(layers), values)
    folders = iter(_folders(out, rows))
    written: list[Path] = []
    kept: list[dict[str, Array]] = []
    for piece in given.pieces:
        piece = piece.first(most)
        with blaming(piece, entry):
            found = piece.run(
                entry, lambda each: inner.values(each, chosen, program.engine.parameters)
            )
        pictures = {path: array for path, array in found.items() if array.ndim == 4}
        if not layers:
            fed = {n: a for n, a in piece.inputs.items() if a.ndim == 4 and n not in found}
            pictures = fed | pictures
        written += _draw(pictures, list(islice(folders, len(piece))), common)
        kept += [found] if values else []
        most -= len(piece)
        if not most:
            break
    return written + (_arrays(kept, out) if values else [])


def is_map(inner: Inner, entry: Entry) -> bool:
    """Are the values [batch, channel, row, column]?"""
    first, shape = entry.inputs[0].shape[0], inner.type.shape
    return len(shape) == 4 and str(shape[0]) == str(first) and inner.type.dtype == "f32"


def _chosen(found: Iterable[Inner], entry: Entry, named: bool, values: bool) -> list[Inner]:
    """What can be drawn; of layers that were named, what cannot is refused.

    With `values`, a layer may have any shape that begins with the batch.
    """
    found = list(found)
    first = str(entry.inputs[0].shape[0])
    for inner in found if named else ():
        whole = bool(inner.type.shape) and str(inner.type.shape[0]) == first
        if not (is_map(inner, entry) or (values and whole)):
            hint = "--npy writes the values of any layer" if whole else None
            raise UsageError(
                f"`{inner.path}` gives {inner.type}, which is no picture: "
                "[batch, channel, row, column] is needed",
                hint=hint,
            )
    chosen = found if named else [inner for inner in found if is_map(inner, entry)]
    if not chosen:
        raise UsageError(
            f"no layer of `{entry.subject}` gives [batch, channel, row, column]",
            hint="name layers and give --npy to have their values",
        )
    return chosen


def _draw(
    pictures: Mapping[str, Array], folders: Sequence[tuple[str, Path]], common: bool
) -> list[Path]:
    written = []
    for row, (name, folder) in enumerate(folders):
        for path, array in pictures.items():
            file = folder / f"{path.replace(':', '.')}.png"
            save(_sheet(f"{path}  {name}", array[row], common), file)
            written.append(file)
    return written


def _sheet(title: str, maps: Array, common: bool) -> Any:
    """One tile a channel, black where it is lowest and white where it is highest."""
    low, high = span(maps)
    tiles = []
    for number, each in enumerate(maps):
        own = (low, high) if common else span(each)
        label = f"{number}" if common else f"{number}: {_range(*own)}"
        tiles.append(Tile(grey(each, *own), label))
    count, height, width = maps.shape
    return sheet(f"{title}  {count} x {height} x {width}  {_range(low, high)}", tiles)


def _range(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"


def _folders(out: Path, rows: Sequence[str]) -> list[tuple[str, Path]]:
    """Each input's name and folder: `out` itself where there is only one input."""
    if len(rows) == 1:
        return [(rows[0], out)]
    forms = ([PurePath(row).stem for row in rows], [PurePath(row).name for row in rows], rows)
    short = next((form for form in forms if len(set(form)) == len(rows)), rows)
    flat = (name.replace("/", "_").replace(" ", "_") for name in short)
    return [(row, out / name) for row, name in zip(rows, flat, strict=True)]


def _arrays(parts: Sequence[Mapping[str, Array]], out: Path) -> list[Path]:
    for path, array in parts[0].items():
        other = next((p[path] for p in parts if p[path].shape[1:] != array.shape[1:]), None)
        if other is not None:
            shapes = f"{list(array.shape[1:])} and {list(other.shape[1:])}"
            hint = "--npy writes one array for all inputs, which have one size"
            raise UsageError(f"`{path}` is {shapes} for different inputs", hint=hint)
    found = {path: np.concatenate([part[path] for part in parts]) for path in parts[0]}
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, array in found.items():
            file = out / f"{path.replace(':', '.')}.npy"
            np.save(file, array)
            written.append(file)
    except OSError as error:
        raise DataError(f"`{out}` cannot be written: {error.strerror or error}") from None
    return written
