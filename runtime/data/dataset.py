"""From a data line of the spec to arrays: read, check, split, fill, scale."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError, InternalError
from . import normalise
from .arrays import read_npy, read_npz
from .batches import Batches
from .bundle import unpack
from .cifar import read_cifar10, read_cifar100
from .conform import check_finite, check_lengths, check_range, check_symbols, fit
from .curves import read_crowds, read_curves
from .digits import read_digits
from .folders import read_images, read_segmentation
from .function import read_function
from .idx import read_idx, read_mnist
from .image import read_image
from .maker import TEST, TRAIN
from .picture_batches import PictureBatches
from .picture_set import PictureSet, picture_set
from .raw import Raw, Request
from .sequences import read_pairs, read_sequences
from .shard import WHOLE, Shard
from .split import batch_size, draw, parts
from .table import read_table
from .text_files import read_stdlib, read_text_files, read_tokens
from .text_set import TextSet, text_set
from .variation import variation_of
from .windows import WindowBatches
from .wrapped import wrapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

READERS: Mapping[str, Callable[[Request], Raw]] = {
    "csv": read_table,
    "tsv": read_table,
    "npz": read_npz,
    "npy": read_npy,
    "idx": read_idx,
    "mnist": read_mnist,
    "digits": read_digits,
    "function": read_function,
    "image": read_image,
    "images": read_images,
    "segmentation": read_segmentation,
    "cifar10": read_cifar10,
    "cifar100": read_cifar100,
    "curves": read_curves,
    "crowds": read_crowds,
    "text": read_text_files,
    "stdlib": read_stdlib,
    "tokens": read_tokens,
    "pairs": read_pairs,
    "sequences": read_sequences,
}
"""How every source of `spec.sources` is read."""

GENERATED = ("function", "curves", "crowds", "sequences")
"""Sources that read nothing: they make what they give."""


Passes = Batches | PictureBatches | WindowBatches
"""What gives the batches of a part."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The data of one data line, ready for training.

    Shapes: arrays [N, ...] in their declared dtypes.  `statistics` is JSON data: shifts and scales,
    classes, column names, and a checksum of the training part.  `batch` is a number of samples;
    `drop` leaves the last, smaller batch of an epoch out.  Pictures and windows of text are `made`:
    their fields are there when they are looked at.
    """

    names: tuple[str, ...]
    train: Mapping[str, Array]
    test: Mapping[str, Array]
    statistics: Mapping[str, Any]
    batch: int
    shuffle: bool
    drop: bool
    fixed: bool
    place: str
    made: PictureSet | TextSet | None = None

    @property
    def tokens(self) -> int:
        """The tokens of a text in a batch; 0 where it is none."""
        return getattr(self.made, "tokens", 0)

    def batches(self, seed: int, *, drop: bool = False, shard: Shard = WHOLE) -> Passes:
        """The batches of the training part, or a shard of them; with `drop` whole ones only,
        whatever the line says.

        Raises: DataError for fewer batches than shards.
        """
        drop = drop or self.drop
        order: dict[str, Any] = {"shuffle": self.shuffle, "drop": drop, "seed": seed}
        found: Passes
        if self.made is not None:
            found = self.made.batches(TRAIN, self.batch, **order, shard=shard)
        else:
            found = Batches(self.train, self.batch, **order, shard=shard)
        if found.count == 0:
            samples = len(next(iter(self.train.values())))
            raise DataError(
                f"{self.place}: {samples:,} samples are {samples // self.batch:,} whole batches, "
                f"fewer than the {shard.of} shards",
                hint="write a smaller batch, or last=keep",
            )
        return found

    def held_out(self, part: str = "test") -> Passes | None:
        """The batches of a part in its own order, the last one kept unless the batch is fixed."""
        arrays = self.test if part == "test" else self.train
        samples = len(next(iter(arrays.values()))) if arrays else 0
        if samples == 0 or (self.fixed and samples < self.batch):
            return None
        batch = self.batch if self.fixed else min(self.batch, samples)
        if self.batch == len(next(iter(self.train.values()))) and not self.fixed:
            batch = samples
        if self.made is not None:
            return self.made.batches(TEST if part == "test" else TRAIN, batch, drop=self.fixed)
        return Batches(arrays, batch, shuffle=False, drop=self.fixed, seed=0)

    def close(self) -> None:
        """End the processes that make batches, if there are any."""
        if self.made is not None:
            self.made.close()


def load(
    recipe: Mapping[str, Any], root: Path, statistics: Mapping[str, Any] | None = None
) -> Dataset:
    """The data of one data line of the recipe.

    With `statistics` of an earlier load, their classes, shifts and scales are used again.

    Raises: DataError, with the place of the data line.
    """
    try:
        return _load(recipe, root, statistics)
    except DataError as error:
        raise DataError(f"{recipe['place']}: {error.message}", hint=error.hint) from None
    except MemoryError:
        raise DataError(
            f"{recipe['place']}: the data does not fit into memory", hint="limit=N reads N samples"
        ) from None


def read(recipe: Mapping[str, Any], root: Path, facts: Mapping[str, Any] | None = None) -> Raw:
    """What the source of a data line gives, or what a package carries of it.

    `facts` are those of an earlier load.

    Raises: DataError.
    """
    if "bundle" in recipe:
        return unpack(recipe["bundle"])
    if recipe["source"] not in READERS:
        raise InternalError(f"unknown source `{recipe['source']}`")
    dtypes = tuple(dtype for dtype, _ in recipe["types"])
    names, settings = tuple(recipe["names"]), recipe["settings"]
    return READERS[recipe["source"]](Request(settings, names, dtypes, Path(root), facts or {}))


def _load(recipe: Mapping[str, Any], root: Path, statistics: Mapping[str, Any] | None) -> Dataset:
    names, types, settings = tuple(recipe["names"]), recipe["types"], recipe["settings"]
    raw = read(recipe, root, (statistics or {}).get("facts"))
    if raw.pictures is None and variation_of(settings).any:
        raw = wrapped(raw, names, settings.get("range", [0])[0])
    if raw.pictures is not None:
        return _made(recipe, picture_set(recipe, raw, statistics))
    if raw.text is not None:
        return _made(recipe, text_set(recipe, raw))
    fields = _conform(raw.fields, raw.where, raw.gaps, recipe)
    if raw.test is not None:
        test = _conform(raw.test, raw.where_test, raw.gaps, recipe)
        train = fields
    else:
        labels = next((f.reshape(-1) for f in fields[1:] if f.size == len(f)), None)
        train_rows, test_rows = parts(len(fields[0]), settings, labels)
        train = [field[train_rows] if len(test_rows) else field for field in fields]
        test = [field[test_rows] for field in fields]
    if settings["limit"] is not None and settings["limit"] < len(train[0]):
        rows = draw(len(train[0]), settings["limit"], settings["seed"])
        train = [field[rows] for field in train]
    train, test, scales = _scale(names, train, test, settings, raw.gaps, statistics)
    batch, fixed = batch_size(
        settings["batch"], types, len(train[0]), sum(map(len, (train[0], test[0])))
    )
    known = {
        "facts": dict(raw.facts),
        "fields": scales,
        "samples": [len(train[0]), len(test[0])],
        "checksum": _checksum([*train, *test]),
    }
    return Dataset(
        names,
        dict(zip(names, train, strict=True)),
        dict(zip(names, test, strict=True)) if len(test[0]) else {},
        known,
        batch,
        bool(settings["shuffle"]),
        fixed or settings["last"] == "drop",
        fixed,
        recipe["place"],
    )


def _made(recipe: Mapping[str, Any], found: PictureSet | TextSet) -> Dataset:
    settings = recipe["settings"]
    return Dataset(
        tuple(recipe["names"]),
        found.columns(TRAIN),
        found.columns(TEST),
        found.statistics,
        found.batch,
        bool(settings["shuffle"]),
        found.fixed or settings["last"] == "drop",
        found.fixed,
        recipe["place"],
        found,
    )


def _conform(
    fields: Sequence[Array],
    where: Callable[[int], str],
    gaps: bool,
    recipe: Mapping[str, Any],
) -> list[Array]:
    """The fields that the data line binds, checked against their declared types."""
    names, types = recipe["names"], recipe["types"]
    if len(fields) < len(names):
        raise DataError(
            f"`{recipe['source']}` gives {len(fields)} field{'s' * (len(fields) > 1)}, "
            f"the line binds {len(names)}: {', '.join(names)}",
            hint=_FEWER_HINTS.get(recipe["source"], "bind fewer names"),
        )
    check_lengths(names, fields[: len(names)])
    fitted: list[Array] = []
    for index, (name, (dtype, dims)) in enumerate(zip(names, types, strict=True)):
        check_finite(name, fields[index], where, gaps and index == 0)
        fitted.append(fit(name, fields[index], dtype, dims))
        check_finite(name, fitted[index], where, gaps and index == 0)
        if name in (recipe.get("ranges") or {}):
            check_range(name, fitted[index], recipe["ranges"][name], where)
    if len(fitted[0]) == 0:
        raise DataError("there are no samples")
    check_symbols(names, fitted, [dims for _, dims in types])
    return fitted


_FEWER_HINTS = {
    "csv": "name the column of the second field: target=…",
    "tsv": "name the column of the second field: target=…",
    "npy": "give a list with one file for each field",
    "idx": "name the file of labels too",
}


def _scale(
    names: Sequence[str],
    train: list[Array],
    test: list[Array],
    settings: Mapping[str, Any],
    gaps: bool,
    statistics: Mapping[str, Any] | None,
) -> tuple[list[Array], list[Array], dict[str, Any]]:
    """Missing values filled in and fields normalised, by the training part or by `statistics`."""
    known: dict[str, Any] = dict((statistics or {}).get("fields", {}))
    kinds = [settings.get(name, "none") for name in ("normalise", "normalise_target")]
    if settings.get("mean") is not None:
        kinds[0] = "given"
    for index, name in enumerate(names[:2]):
        numbers = known.setdefault(name, {})
        if gaps and index == 0:
            numbers.setdefault("fill", normalise.means(train[0]))
            train[0] = normalise.fill(train[0], numbers["fill"])
            test[0] = normalise.fill(test[0], numbers["fill"])
        if kinds[index] != "none":
            if "shift" not in numbers and kinds[index] == "given":
                numbers.update(normalise.given(settings))
            if "shift" not in numbers:
                numbers.update(normalise.measure(name, train[index], kinds[index]))
            train[index] = normalise.apply(train[index], numbers)
            test[index] = normalise.apply(test[index], numbers)
    if len(names) < 2 and kinds[1] != "none":
        raise DataError("normalise_target scales the second field, and the line binds only one")
    return train, test, {name: numbers for name, numbers in known.items() if numbers}


def _checksum(arrays: Sequence[Array]) -> int:
    """crc32 of the data, so that a resumed training notices when it has changed."""
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, checksum)
    return checksum
