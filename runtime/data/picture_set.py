"""From what a source of pictures gives to what a training takes: checks, parts, scaling."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from ...spec.picture_options import mixes
from . import normalise
from .conform import DTYPES, check_range, check_symbols, fit
from .image_files import ImageFiles
from .maker import TEST, TRAIN, Job, Maker, Output, byte_values
from .picture_batches import PictureBatches, shares
from .pictures import Pictures, Plane, Stored
from .raw import Raw
from .split import batch_size, draw, parts
from .supply import Supply
from .variation import variation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rows = NDArray[np.int64]
    Numbers = dict[str, Any]

MEASURED = 2000
"""Pictures in files that `normalise` looks at."""


class Column:
    """A field of one part: what is asked for is made, as it is without variation."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], make: Callable[[Rows], Array]
    ) -> None:
        self.shape, self.dtype, self.ndim, self._make = shape, dtype, len(shape), make

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        rows = np.arange(len(self))[key]
        made = self._make(np.atleast_1d(rows))
        return made if np.ndim(rows) else made[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)


@dataclass(frozen=True, slots=True)
class Half:
    """One part of the data: pictures, and the fields beside them.

    `mark` is the checksum of the pictures, whether they lie in memory or in files.
    """

    pictures: Pictures
    beside: Mapping[str, Array]
    mark: int

    def keep(self, rows: Rows) -> Half:
        """These samples only."""
        beside = {name: array[rows] for name, array in self.beside.items()}
        mark = zlib.crc32(rows.tobytes(), self.mark)
        return Half(self.pictures.keep(rows), beside, mark)


@dataclass(frozen=True, slots=True)
class PictureSet:
    """The pictures of a data line and the fields beside them, for training and held out.

    `statistics` is JSON data, as that of a `Dataset`; `batch` a number of samples, `fixed` when the
    types say it; labels in `soft` are given as the shares of so many classes.
    """

    supply: Supply
    planes: tuple[str, ...]
    halves: tuple[Half, Half]
    soft: Mapping[str, int]
    statistics: Mapping[str, Any]
    batch: int
    fixed: bool
    place: str

    def batches(self, part: int, batch: int, **order: Any) -> PictureBatches:
        """Batches of one part; `order` is the rest of what `PictureBatches` takes."""
        beside = self.halves[part].beside
        return PictureBatches(
            self.supply, part, self.planes, beside, self.soft, batch, place=self.place, **order
        )

    def close(self) -> None:
        """End the processes that make batches, if there are any."""
        self.supply.close()

    def columns(self, part: int) -> dict[str, Any]:
        """Every field of a part, to be looked at."""
        maker, half = self.supply.maker, self.halves[part]
        count = len(half.pictures)
        found: dict[str, Any] = {}
        for index, (name, output) in enumerate(zip(self.planes, maker.outputs, strict=True)):
            dtype = np.dtype(DTYPES[output.dtype])
            found[name] = Column((count, *output.shape), dtype, partial(_plane, maker, part, index))
        for name, array in half.beside.items():
            found[name] = array
            if name in self.soft:
                shape = (count, self.soft[name])
                make = partial(_shares, array, self.soft[name])
                found[name] = Column(shape, np.dtype(np.float32), make)
        return found if count else {}


def picture_set(
    recipe: Mapping[str, Any], raw: Raw, statistics: Mapping[str, Any] | None
) -> PictureSet:
    """The pictures of a data line; with `statistics` their shifts and scales are used again.

    Raises: DataError.
    """
    settings, types, names = recipe["settings"], recipe["types"], tuple(recipe["names"])
    assert raw.pictures is not None
    outputs = _outputs(recipe, raw.pictures)
    train, test = _halves(recipe, raw, len(outputs))
    _check_extent(settings, raw.pictures.planes[0].shape[-2:])
    low, high = _values(settings, raw.pictures)
    numbers: dict[str, Any] = dict((statistics or {}).get("fields", {}))
    numbers[names[0]] = _scaling(names[0], settings, numbers, train.pictures, (low, high))
    maker = Maker(
        (train.pictures, test.pictures),
        outputs,
        variation_of(settings),
        low,
        high,
        *_by_channel(numbers[names[0]], train.pictures.planes[0]),
    )
    samples = len(train.pictures), len(test.pictures)
    batch, fixed = batch_size(settings["batch"], types, samples[0], sum(samples))
    supply = Supply(
        maker,
        max(batch, samples[1] if batch == samples[0] else 0),
        settings.get("workers"),
        settings.get("prefetch"),
        files=isinstance(train.pictures, ImageFiles),
    )
    found = {
        "facts": dict(raw.facts),
        "fields": {name: values for name, values in numbers.items() if values},
        "samples": list(samples),
        "checksum": _checksum(train, test),
    }
    soft = _soft(recipe, train, raw.facts) if mixes(settings) else {}
    planes = names[: len(outputs)]
    return PictureSet(supply, planes, (train, test), soft, found, batch, fixed, recipe["place"])


def _check_extent(settings: Mapping[str, Any], sides: Sequence[int]) -> None:
    """Whether something of every picture is left, however it is varied."""
    for name, most in (("crop", min(sides) - 1), ("cutout", min(sides))):
        mirrored = name == "crop" and settings.get("padding") == "reflect"
        if settings.get(name, 0) > most and not mirrored:
            raise DataError(
                f"{name}={settings[name]} is too much for pictures of {sides[0]} x {sides[1]}: "
                "some would be all black",
                hint=f"at most {most} leaves a part of each",
            )


def _outputs(recipe: Mapping[str, Any], pictures: Pictures) -> tuple[Output, ...]:
    """What the planes become that the data line binds, checked against their declared types."""
    bound = list(zip(recipe["names"], recipe["types"], pictures.planes, strict=False))
    found, shapes = [], []
    for index, (name, (dtype, dims), plane) in enumerate(bound):
        if index == 0 and dtype != "f32":
            raise DataError(f"`{name}` holds pictures, which are f32, and is declared {dtype}")
        empty = np.empty((0, *plane.shape), np.float32)
        try:
            fitted = fit(name, empty, "f32", dims)
        except DataError as error:
            hint = _shape_hint(recipe, plane.shape, dims) or error.hint
            raise DataError(error.message, hint=hint) from None
        _check_labels(recipe, name, pictures, index)
        shapes.append(fitted)
        found.append(Output(fitted.shape[1:], dtype))
    names = [name for name, _, _ in bound]
    check_symbols(names, shapes, [dims for _, (_, dims), _ in bound])
    return tuple(found)


def _shape_hint(
    recipe: Mapping[str, Any], shape: tuple[int, ...], dims: Sequence[int | str]
) -> str | None:
    if len(dims) != len(shape) + 1 or "colour" not in recipe["settings"]:
        return None
    if isinstance(dims[1], int) and dims[1] != shape[0] and dims[1] in (1, 3):
        word = "true" if dims[1] == 3 else "false"
        return f"colour={word} makes {dims[1]} channel{'s' * (dims[1] > 1)} of any image"
    return "size=… scales images to one size"


def _check_labels(recipe: Mapping[str, Any], name: str, pictures: Pictures, index: int) -> None:
    """Whether the classes of a mask are those of the network."""
    bounds = (recipe.get("ranges") or {}).get(name)
    if bounds is None:
        return
    count = recipe["settings"].get("classes")
    if isinstance(pictures, Stored):
        check_range(name, pictures.arrays[index], bounds, pictures.where)
    elif count is not None and max(count, 2) > bounds[1]:
        raise DataError(
            f"`{name}` has {max(count, 2)} classes, the network {bounds[1] - bounds[0]} outputs"
        )


def _halves(recipe: Mapping[str, Any], raw: Raw, planes: int) -> tuple[Half, Half]:
    """Training and held-out part."""
    settings = recipe["settings"]
    assert raw.pictures is not None
    beside = _beside(recipe, raw.fields, planes, raw.where)
    whole = Half(raw.pictures, beside, raw.pictures.checksum())
    if not len(raw.pictures):
        raise DataError("there are no samples")
    if raw.test_pictures is not None:
        beside = _beside(recipe, raw.test or (), planes, raw.where_test)
        test = Half(raw.test_pictures, beside, raw.test_pictures.checksum())
        train = whole
    else:
        labels = next((f for f in raw.fields if f.ndim == 1), None)
        if labels is None and recipe["source"] == "images":
            settings = {**settings, "stratify": False}
        train_rows, test_rows = parts(len(raw.pictures), settings, labels)
        train = whole.keep(train_rows) if len(test_rows) else whole
        test = whole.keep(test_rows)
    limit, count = settings["limit"], len(train.pictures)
    if limit is not None and limit < count:
        train = train.keep(draw(count, limit, settings["seed"]))
    return train, test


def _beside(
    recipe: Mapping[str, Any], fields: Sequence[Array], planes: int, where: Callable[[int], str]
) -> dict[str, Array]:
    """The fields after the pictures in their declared types."""
    found = {}
    names, types = recipe["names"][planes:], recipe["types"][planes:]
    if len(fields) < len(names):
        given = planes + len(fields)
        raise DataError(
            f"`{recipe['source']}` gives {given} field{'s' * (given > 1)}, "
            f"the line binds {len(recipe['names'])}: {', '.join(recipe['names'])}"
        )
    for name, (dtype, dims), field in zip(names, types, fields, strict=False):
        if mixes(recipe["settings"]):
            found[name] = fit(name, field, "i32", dims[:1])
            continue
        found[name] = fit(name, field, dtype, dims)
        if name in (recipe.get("ranges") or {}):
            check_range(name, found[name], recipe["ranges"][name], where)
    return found


def _soft(recipe: Mapping[str, Any], train: Half, facts: Mapping[str, Any]) -> dict[str, int]:
    """The number of classes of every field of labels."""
    dims = dict(zip(recipe["names"], (dims for _, dims in recipe["types"]), strict=True))
    found = {}
    for name, labels in train.beside.items():
        declared = dims[name][-1]
        count = int(labels.max()) + 1
        known = len(facts.get("classes", ())) or count
        found[name] = declared if isinstance(declared, int) else known
        if count > found[name]:
            raise DataError(f"`{name}` has {count} classes and is declared with {declared}")
    return found


def _values(settings: Mapping[str, Any], pictures: Pictures) -> tuple[float, float]:
    """What black and white become; numbers of arrays stay what they are."""
    if "range" in settings:
        low, high = settings["range"]
        return float(low), float(high)
    return (0.0, 255.0) if pictures.planes[0].dtype == "u1" else (0.0, 1.0)


def _scaling(
    name: str,
    settings: Mapping[str, Any],
    known: Mapping[str, Any],
    pictures: Pictures,
    span: tuple[float, float],
) -> Numbers:
    """Shift and scale of the pictures: known, given, or measured on the training part."""
    if known.get(name):
        return dict(known[name])
    if settings.get("mean") is not None:
        return normalise.given(settings)
    if settings["normalise"] == "none":
        return {}
    rows: Sequence[int] = range(len(pictures))
    if not isinstance(pictures, Stored) and len(rows) > MEASURED:
        rows = draw(len(rows), MEASURED, settings["seed"]).tolist()
    if pictures.planes[0].dtype != "u1":
        assert isinstance(pictures, Stored)
        return normalise.measure(name, pictures.arrays[0], settings["normalise"])
    counts = np.zeros((pictures.planes[0].shape[0], 256), np.int64)
    for row in rows:
        for count, channel in zip(counts, pictures.read(row)[0], strict=True):
            count += np.bincount(channel.ravel(), minlength=256)
    return normalise.of_counts(counts, byte_values(*span).astype(np.float64), settings["normalise"])


def _by_channel(numbers: Numbers, plane: Plane) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """One shift and one scale for each channel.

    Raises: DataError when there are others.
    """
    if not numbers:
        return (), ()
    found = []
    for word, key in (("mean", "shift"), ("std", "scale")):
        values = np.atleast_1d(np.array(numbers[key], np.float64))
        if values.size not in (1, plane.shape[0]):
            raise DataError(
                f"`{word}` has {values.size} numbers, the pictures {plane.shape[0]} channels"
            )
        found.append(tuple(np.broadcast_to(values, plane.shape[:1]).tolist()))
    return found[0], found[1]


def _checksum(*halves: Half) -> int:
    checksum = 0
    for half in halves:
        checksum = zlib.crc32(half.mark.to_bytes(4, "little"), checksum)
        for array in half.beside.values():
            flat = np.ascontiguousarray(array).reshape(-1)
            checksum = zlib.crc32(flat.view(np.uint8).data, checksum)
    return checksum


def _plane(maker: Maker, part: int, index: int, rows: Rows) -> Array:
    out = [np.empty((len(rows), *o.shape), DTYPES[o.dtype]) for o in maker.outputs]
    maker.fill(Job(part, rows), out)
    return out[index]


def _shares(labels: Array, classes: int, rows: Rows) -> Array:
    return shares(labels[rows], classes, None)


__all__ = ["TEST", "TRAIN", "Column", "PictureSet", "picture_set"]
