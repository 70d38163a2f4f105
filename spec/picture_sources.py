"""The data sources of pictures with classes: digits, MNIST, CIFAR, folders of images."""

from __future__ import annotations

from .picture_options import (
    COLOUR,
    COMMON_OF_PICTURES,
    FEED,
    GEOMETRY,
    MIX,
    MOMENTS,
    label,
    mixes,
    pair,
    picture_problems,
    size_problems,
    with_defaults,
)
from .signature import Option, Problem, Signature
from .source_kinds import COMMON, FLAT, RANGE, Dims, Field, Settings, Source, two_parts

VARIED = (*MOMENTS, *GEOMETRY, *COLOUR, *MIX, *FEED)
SIZE = Option("size", "integer|integers", None, "height and width; one number for both", low=1)
FITTED = (
    SIZE,
    Option("fit", "word", "crop", "how other shapes become that size", ("crop", "stretch")),
    Option("resize", "integer", None, "scale the shorter side to this before the crop", low=1),
    Option("colour", "boolean", None, "make all pictures colour, or all grey"),
    Option("upright", "boolean", False, "turn pictures as the camera notes"),
    Option("cache", "integer", 64, "MiB of small pictures kept in memory", low=0),
)
"""How pictures that lie in files of their own become arrays."""


def fitted_problems(settings: Settings) -> list[Problem]:
    """What the settings of pictures in files demand of each other."""
    problems = [*size_problems(settings), *picture_problems(settings, channels(settings))]
    size, resize = settings["size"], settings["resize"]
    for name in ("resize", "zoom"):
        if settings[name] is not None and size is None:
            problems.append(Problem(f"`{name}` needs a `size`", "write size=224", name))
    if resize is not None and size is not None:
        if settings["fit"] == "stretch":
            problems.append(Problem("`resize` does nothing with fit=stretch", None, "resize"))
        elif not problems and resize < max(pair(size)):  # type: ignore[type-var]
            problems.append(Problem("`resize` is smaller than `size`", None, "resize"))
    return problems


def channels(settings: Settings) -> int | None:
    """The channels of pictures in files, where the settings say so."""
    return {None: None, True: 3, False: 1}[settings["colour"]]


def _idx_fields(settings: Settings) -> tuple[Field, ...]:
    size = settings["size"]
    dims: Dims = ("B", None) if settings["flat"] else ("B", 1, None, None)
    if size is not None:
        dims = ("B", size * size) if settings["flat"] else ("B", 1, size, size)
    image = Field("image", "f32", dims)
    return (image,) if settings["labels"] is None else (image, label(settings, None))


def _mnist_fields(settings: Settings) -> tuple[Field, ...]:
    size = settings["size"]
    dims: Dims = ("B", size * size) if settings["flat"] else ("B", 1, size, size)
    return (Field("image", "f32", dims), label(settings, None))


def _digits_fields(settings: Settings) -> tuple[Field, ...]:
    size = settings["size"]
    dims: Dims = ("B", size * size) if settings["flat"] else ("B", 1, size, size)
    return (Field("image", "f32", dims), label(settings, 10))


def _cifar_fields(classes: int, settings: Settings) -> tuple[Field, ...]:
    return (Field("image", "f32", ("B", 3, 32, 32)), label(settings, classes))


def _cifar100_fields(settings: Settings) -> tuple[Field, ...]:
    return _cifar_fields(100 if settings["labels"] == "fine" else 20, settings)


def _images_fields(settings: Settings) -> tuple[Field, ...]:
    dims: Dims = ("B", channels(settings), *pair(settings["size"]))
    several = settings["target"] if isinstance(settings["target"], list) else []
    if len(several) > 1:
        return (Field("image", "f32", dims), Field("values", "f32", ("B", len(several))))
    return (Field("image", "f32", dims), label(settings, None))


def _idx_problems(settings: Settings) -> list[Problem]:
    problems = [*two_parts(settings), *_grey_problems(settings)]
    for name in ("mixup", "cutmix"):
        if settings["labels"] is None and settings[name]:
            problems.append(Problem(f"`{name}` without `labels`", None, name))
    if (settings["labels"] is None) and settings["test_labels"] is not None:
        problems.append(Problem("`test_labels` without `labels`", None, "test_labels"))
    test = (settings["test_images"], settings["test_labels"])
    if settings["labels"] is not None and (test[0] is None) != (test[1] is None):
        name = "test_images" if test[1] is None else "test_labels"
        hint = "give both `test_images` and `test_labels`, or neither"
        problems.append(Problem("the held-out part is half given", hint, name))
    return problems


def _grey_problems(settings: Settings) -> list[Problem]:
    return picture_problems(settings, 1)


def _cifar_problems(settings: Settings) -> list[Problem]:
    return picture_problems(settings, 3)


def _images_problems(settings: Settings) -> list[Problem]:
    problems = [*two_parts(settings), *fitted_problems(settings)]
    for name in ("file", "target", "test_labels"):
        if settings[name] is not None and settings["labels"] is None:
            hint = 'labels="train.csv" names the table of the files and what they are'
            problems.append(Problem(f"`{name}` without `labels`", hint, name))
    if settings["labels"] is not None and settings["test"] is not None:
        hint = "test_labels=… names the table of what is held out"
        problems.append(Problem("`test` is for folders of classes", hint, "test"))
    if mixes(settings) and isinstance(settings["target"], list):
        problems.append(Problem("only classes can be mixed", None, "target"))
    return problems


PICTURE_SOURCES = (
    Source(
        Signature(
            "idx",
            (
                Option("images", "text", None, "the file of images", required=True),
                Option("labels", "text", None, "the file of labels"),
                Option("test_images", "text", None, "held-out images"),
                Option("test_labels", "text", None, "held-out labels"),
                Option("size", "integer", None, "side; smaller images get a frame", low=1),
                FLAT,
                RANGE,
                *COMMON,
                *VARIED,
            ),
            "files in MNIST's format, packed with gzip or not",
        ),
        _idx_fields,
        _idx_problems,
    ),
    Source(
        Signature(
            "mnist",
            (
                Option("folder", "text", "mnist", "where the four files lie"),
                Option("size", "integer", 28, "side; more than 28 adds a frame", low=28),
                FLAT,
                RANGE,
                *COMMON,
                *VARIED,
            ),
            "the four files of MNIST, Fashion-MNIST and their like, with their own test part",
        ),
        _mnist_fields,
        _grey_problems,
    ),
    Source(
        Signature(
            "digits",
            (
                Option("flat", "boolean", True, "64 pixels in a row, or [1, 8, 8]"),
                RANGE,
                *with_defaults(COMMON, split=[0.8, 0.2]),
                Option("size", "integer", 8, "side; more than 8 enlarges them", low=8, high=512),
                *VARIED,
            ),
            "the 1,797 handwritten digits that come with scikit-learn",
        ),
        _digits_fields,
        _grey_problems,
    ),
    Source(
        Signature(
            "cifar10",
            (
                Option("folder", "text", "cifar-10-batches-bin", "where the binary files lie"),
                RANGE,
                *COMMON_OF_PICTURES,
                *VARIED,
            ),
            "the binary files of CIFAR-10, with their own test part",
        ),
        lambda settings: _cifar_fields(10, settings),
        _cifar_problems,
    ),
    Source(
        Signature(
            "cifar100",
            (
                Option("folder", "text", "cifar-100-binary", "where the binary files lie"),
                Option("labels", "word", "fine", "100 classes or 20", ("fine", "coarse")),
                RANGE,
                *COMMON_OF_PICTURES,
                *VARIED,
            ),
            "the binary files of CIFAR-100, with their own test part",
        ),
        _cifar100_fields,
        _cifar_problems,
    ),
    Source(
        Signature(
            "images",
            (
                Option("folder", "text", None, "a subfolder for each class", required=True),
                *FITTED,
                Option("labels", "text", None, "a csv or tsv of files and what they are"),
                Option("test_labels", "text", None, "the same for what is held out"),
                Option("file", "text", None, "the column of `labels` that names files"),
                Option("target", "text|texts", None, "the column that says what they are"),
                Option("test", "text", None, "the subfolder of `folder` that is held out"),
                RANGE,
                *with_defaults(COMMON_OF_PICTURES, stratify=True),
                *VARIED,
            ),
            "a folder of image files with a subfolder for each class",
        ),
        _images_fields,
        _images_problems,
    ),
)
