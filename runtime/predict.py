"""A trained network in use: its metrics on a part of the data, and its outputs for new inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DataError, UsageError
from . import checkpoint as files
from .averaged import use_average
from .data import load
from .data.arrays import load_npy, load_npz, names_in
from .data.conform import check_finite, fit
from .data.loose import alike, is_pictures, load_pictures, picture_names
from .data.normalise import apply, fill
from .data.table import is_number, read_cells, read_features
from .evaluation import evaluate as evaluate_part
from .evaluation import per_byte
from .nets import named_net
from .predictions import DELIMITERS, Predictions, joined, write
from .recipe import recipe_of
from .snapshot import restore_parameters
from .stream import part_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Entry, Port
    from .data import Dataset
    from .engine import Engine
    from .stream import Part

    Array = NDArray[Any]

ELEMENTS = 1 << 22
"""Of an input in one batch at most, so that large images do not fill the memory."""
NO_DATA: Mapping[str, Any] = {"names": [], "types": [], "source": "", "settings": {}}


def evaluate(
    engine: Engine,
    artifact: Artifact,
    *,
    root: Path,
    checkpoint: Path,
    part: str = "test",
    ema: bool | None = None,
) -> dict[str, float]:
    """The loss and the metrics of a checkpoint on the part `test` or `train` of the spec's data.

    `ema`: of the average of the weights; without it, where the checkpoint has one.

    Raises: CheckpointError, DataError, UsageError when there is no such part.
    """
    with opened(engine, artifact, root, checkpoint, part, ema) as (datasets, found, seed):
        recipe = recipe_of(artifact, datasets[0].batches(0).count, seed=seed)
        values = evaluate_part(engine, recipe, found)
        return values | per_byte(recipe, datasets, part, values)


@contextmanager
def opened(
    engine: Engine,
    artifact: Artifact,
    root: Path,
    checkpoint: Path,
    part: str = "test",
    ema: bool | None = None,
) -> Iterator[tuple[Sequence[Dataset], Part, int]]:
    """The parameters of a checkpoint in the engine; the data, a part of it, and the seed.

    Raises: CheckpointError, DataError, UsageError when there is no such part.
    """
    loaded = files.load(checkpoint)
    restore_parameters(engine, loaded, checkpoint)
    use_average(engine, loaded.tensors, ema)
    recipes = (artifact.train or {}).get("data") or []
    known = loaded.state["data"] or [None] * len(recipes)  # imported weights know no data
    pairs = zip(recipes, known, strict=True)
    datasets = [load(recipe, root, statistics) for recipe, statistics in pairs]
    found = part_of(datasets, part)
    if found is None:
        raise UsageError(
            f"the data has no part `{part}`",
            hint="hold some of it out with split=[0.8, 0.2], or use the part `train`",
        )
    try:
        yield datasets, found, loaded.state["seed"]
    finally:
        for dataset in datasets:
            dataset.close()


def predict(
    engine: Engine,
    artifact: Artifact,
    *,
    checkpoint: Path | None,
    source: Path,
    out: Path,
    net: str | None = None,
    ema: bool | None = None,
    whole: bool = False,
) -> int:
    """Run a net on the rows of a file or on images, write its outputs, return their number.

    `out` is a csv, tsv or npz file, or a folder for masks and images; the rest is as in
    `predicted`.

    Raises: CheckpointError, DataError, UsageError.
    """
    found = predicted(
        engine, artifact, checkpoint=checkpoint, source=source, net=net, ema=ema, whole=whole
    )
    write(out, found)
    return sum(map(len, found))


def predicted(
    engine: Engine,
    artifact: Artifact,
    *,
    checkpoint: Path | None,
    source: Path,
    net: str | None = None,
    ema: bool | None = None,
    whole: bool = False,
) -> list[Predictions]:
    """The outputs of a net for the rows of a file or for images: those of one shape together.

    The file is a csv, tsv, npz or npy file, an image, or a folder of images; a net without
    parameters needs no checkpoint.

    `ema`: with the average of the weights; without it, where the checkpoint has one.  `whole`:
    images in their own sizes, by a net that takes any.

    The inputs are laid out, filled and scaled as those of the training were.

    Raises: CheckpointError, DataError, UsageError.
    """
    entry = _entry(artifact, net)
    recipe, known = _restored(engine, artifact, checkpoint, entry, ema)
    shape = entry.inputs[0].shape
    if whole:
        if any(isinstance(side, int) for side in shape[2:]) or len(shape) != 4:
            text = f"`{entry.subject}` takes {list(shape[1:])}, not images of any size"
            raise UsageError(text, hint="--whole is for a net whose input is f32[B, 3, H, W]")
        recipe = {**recipe, "settings": {**recipe["settings"], "size": None, "resize": None}}
    groups = alike(source, recipe["settings"], shape) if is_pictures(source) else [[]]
    found = []
    for names in groups:
        inputs = _inputs(entry, source, recipe, known, names)
        with _blaming(names):
            values = in_batches(entry, inputs, partial(engine.forward, entry.subject))
        compared = _compared(artifact, entry.subject)
        found.append(Predictions(tuple(names), values, recipe, known, compared))
    return joined(found)


@contextmanager
def _blaming(names: Sequence[str]) -> Iterator[None]:
    """Says of which image a net cannot take the size."""
    try:
        yield
    except DataError as error:
        if not names:
            raise
        raise DataError(f"`{names[0]}`: {error.message}", hint=error.hint) from None


def _compared(artifact: Artifact, net: str) -> tuple[str, str] | None:
    """The field that the output of a net stands for in the training, and what compares them."""
    for step in (artifact.train or {}).get("step") or []:
        if net in step.get("answers", {}):
            field, block = step["answers"][net]
            return field, block
    return None


def prepare(
    engine: Engine,
    artifact: Artifact,
    *,
    checkpoint: Path | None,
    source: Path,
    net: str | None = None,
) -> tuple[Entry, dict[str, Array], list[str]]:
    """The parameters of a checkpoint into the engine: the entry of the net, its inputs, and what
    each of their rows is called.

    Raises: CheckpointError, DataError, UsageError.
    """
    entry = _entry(artifact, net)
    inputs = _inputs(entry, source, *_restored(engine, artifact, checkpoint, entry))
    count = len(next(iter(inputs.values())))
    rows = [f"row {number}" for number in range(1, count + 1)]
    return entry, inputs, picture_names(source) if is_pictures(source) else rows


def _restored(
    engine: Engine,
    artifact: Artifact,
    checkpoint: Path | None,
    entry: Entry,
    ema: bool | None = None,
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The data line whose fields the net takes, and what the checkpoint knows of it."""
    if checkpoint is None:
        if artifact.parameters:
            raise UsageError("a checkpoint is needed: the spec has parameters")
        return _training_data(artifact, [], entry)
    loaded = files.load(checkpoint)
    restore_parameters(engine, loaded, checkpoint)
    use_average(engine, loaded.tensors, ema)
    return _training_data(artifact, loaded.state["data"], entry)


def _entry(artifact: Artifact, net: str | None) -> Entry:
    nets = {entry.subject: entry for entry in artifact.entries if entry.kind == "forward"}
    return nets[named_net(nets, net)]


def _training_data(
    artifact: Artifact, known: Sequence[Mapping[str, Any]], entry: Entry
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The data line whose fields the net takes, and its statistics."""
    recipes = (artifact.train or {}).get("data") or [] if known else []
    names = {port.name for port in entry.inputs}
    for recipe, statistics in zip(recipes, known, strict=False):
        if names & set(recipe["names"]):
            return recipe, statistics
    return (recipes[0], known[0]) if recipes else (NO_DATA, {})


def _inputs(
    entry: Entry,
    source: Path,
    recipe: Mapping[str, Any],
    known: Mapping[str, Any],
    pictures: Sequence[str] = (),
) -> dict[str, Array]:
    """The arrays for the ports of the net; of a folder of images these, or all."""
    if not source.exists():
        raise DataError(f"there is no file `{source}`")
    names: list[str] = list(recipe["names"])
    inputs: dict[str, Array] = {}
    for port in entry.inputs:
        field = port.name if port.name in names or not names else names[0]
        if field != port.name and len(entry.inputs) > 1:
            raise UsageError(
                f"`{port.name}` of `{entry.subject}` is not a field of the data",
                hint=f"the fields are {', '.join(names)}",
            )
        if is_pictures(source):
            raw = load_pictures(source, recipe["settings"], port.shape, pictures)
        else:
            raw = _read(source, field, port, recipe, known)
        numbers = known.get("fields", {}).get(field, {})
        if "fill" in numbers:
            raw = fill(raw, numbers["fill"])
        check_finite(port.name, raw, lambda row: f"row {row + 1} of `{source.name}`")
        dims = [d if isinstance(d, int) else str(d) for d in port.shape]
        array = fit(port.name, raw, port.dtype, dims)
        inputs[port.name] = apply(array, numbers) if "shift" in numbers else array
    if len({len(array) for array in inputs.values()}) != 1:
        raise DataError(f"the inputs in `{source}` have different numbers of rows")
    return inputs


def _read(
    source: Path, field: str, port: Port, recipe: Mapping[str, Any], known: Mapping[str, Any]
) -> Array:
    kind = source.suffix.lower()
    if kind in DELIMITERS:
        return _as_declared(_read_table(source, recipe, known), port)
    if kind == ".npy":
        return load_npy(source, source.name)
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


def in_batches(
    entry: Entry, inputs: Mapping[str, Array], run: Callable[[dict[str, Array]], dict[str, Array]]
) -> dict[str, Array]:
    """The results for all rows, a batch at a time; a fixed batch is filled up with its last row."""
    count = len(next(iter(inputs.values())))
    declared = entry.inputs[0].shape[0]
    row = max(array[0].size for array in inputs.values())
    most = min(1024, max(1, ELEMENTS // row))
    batch = declared if isinstance(declared, int) else min(count, most)
    parts: dict[str, list[Array]] = {}
    for begin in range(0, count, batch):
        rows = min(batch, count - begin)
        piece = {name: array[begin : begin + rows] for name, array in inputs.items()}
        if isinstance(declared, int) and rows < batch:
            piece = {
                n: np.concatenate([a, a[-1:].repeat(batch - rows, 0)]) for n, a in piece.items()
            }
        piece = {name: np.ascontiguousarray(array) for name, array in piece.items()}
        for name, array in run(piece).items():
            parts.setdefault(name, []).append(np.array(array[:rows]))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
