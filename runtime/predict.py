"""A trained network in use: its metrics on a part of the data, and its outputs for new inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..spec.errors import DataError, UsageError
from . import checkpoint as files
from .averaged import use_average
from .data import load
from .evaluation import evaluate as evaluate_part
from .evaluation import per_byte
from .inputs import Inputs, Piece, inputs_of
from .nets import named_net
from .prediction_files import write
from .predictions import Answers, Predictions
from .recipe import recipe_of
from .snapshot import restore_parameters
from .stream import part_of
from .tally import tallied
from .tiling import tiles_of

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact, Entry
    from .data import Dataset
    from .engine import Engine
    from .stream import Part

PAD = "--pad continues images to sizes that the net takes, and cuts the answers"
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
    out: Path,
    progress: bool = False,
    **options: Any,
) -> int:
    """Run a net on the rows of a file or on images, write its outputs, return their number.

    `out` is a csv, tsv or npz file, or a folder for masks and images; with `progress` the error
    stream says how far it is; the other `options` are those of `prepare`.

    Raises: CheckpointError, DataError, UsageError.
    """
    _check_apart(out, options["source"])
    found = answers(engine, artifact, **options)
    if not progress:
        write(out, found)
        return found.count
    told = tallied(found.pieces, found.count, title="predict", unit="rows", length=len)
    with closing(told) as pieces:
        write(out, replace(found, pieces=pieces))
    return found.count


def _check_apart(out: Path, source: Path) -> None:
    """Whether what is written leaves the inputs alone.  Raises: UsageError."""
    there, place = out.resolve(), source.resolve()
    if there == place or (there / place.name).with_suffix(".png") == place:
        raise UsageError(
            f"`{out}` would take the place of the input `{source}`", hint="-o names another place"
        )


class Asked(NamedTuple):
    """A net with the parameters of a checkpoint, and what it is asked.

    `data`: the line of the data whose fields the net takes; `known`: its statistics.
    """

    entry: Entry
    data: Mapping[str, Any]
    known: Mapping[str, Any]
    inputs: Inputs


def prepare(
    engine: Engine,
    artifact: Artifact,
    *,
    checkpoint: Path | None,
    source: Path,
    net: str | None = None,
    ema: bool | None = None,
    whole: bool = False,
    pad: bool = False,
    tile: int | None = None,
    overlap: int | None = None,
) -> Asked:
    """The parameters of a checkpoint into the engine, and the rows of a file or images, laid out,
    filled and scaled as those of the training were.

    The file is a csv, tsv, npz or npy file, an image, or a folder of images; a net without
    parameters needs no checkpoint.

    `ema`: with the average of the weights; without it, where the checkpoint has one.  `whole`:
    images in their own sizes, by a net that takes any; `pad`: the same by a net that takes some,
    images continued by their reflection and answers cut; `tile`: the same, larger images in tiles
    of so many rows and columns, of which neighbours share `overlap`, answers blended.

    Raises: CheckpointError, DataError, UsageError; while pieces are asked for, too.
    """
    nets = {entry.subject: entry for entry in artifact.entries if entry.kind == "forward"}
    entry = nets[named_net(nets, net)]
    data, known = _restored(engine, artifact, checkpoint, entry, ema)
    tiles = tiles_of(tile, overlap)
    inputs = inputs_of(entry, source, data, known, whole=whole, pad=pad, tiles=tiles)
    return Asked(entry, data, known, inputs)


def answers(engine: Engine, artifact: Artifact, **options: Any) -> Answers:
    """The outputs of a net for new inputs, computed a piece at a time; takes what `prepare` does.

    Raises: CheckpointError, DataError, UsageError; while pieces are asked for, too.
    """
    entry, data, known, given = prepare(engine, artifact, **options)
    compared = _compared(artifact, entry.subject)
    call = partial(engine.forward, entry.subject)

    def pieces() -> Iterator[Predictions]:
        for piece in given.pieces:
            with blaming(piece, entry):
                values = piece.run(entry, call)
            yield Predictions(piece.rows, values, data, known, compared)

    return Answers(given.rows, given.count, pieces())


@contextmanager
def blaming(piece: Piece, entry: Entry) -> Iterator[None]:
    """Says of which image a net cannot take the size."""
    try:
        yield
    except DataError as error:
        if not piece.rows:
            raise
        hint = error.hint or (PAD if entry.needs else None)
        raise DataError(f"`{piece.rows[0]}`: {error.message}", hint=hint) from None


def _compared(artifact: Artifact, net: str) -> tuple[str, str] | None:
    """The field that the output of a net stands for in the training, and what compares them."""
    for step in (artifact.train or {}).get("step") or []:
        if net in step.get("answers", {}):
            field, block = step["answers"][net]
            return field, block
    return None


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
