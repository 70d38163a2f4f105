"""The data sources whose targets are pictures too: masks, curves, crowds."""

from __future__ import annotations

from .picture_options import (
    COLOUR,
    COMMON_OF_PICTURES,
    FEED,
    GEOMETRY,
    MOMENTS,
    pair,
    picture_problems,
    with_defaults,
)
from .picture_sources import FITTED, channels, fitted_problems
from .signature import Option, Problem, Signature
from .source_kinds import RANGE, Dims, Field, Settings, Source, two_parts

VARIED = (*MOMENTS, *GEOMETRY, *COLOUR, *FEED)
HELD_OUT = with_defaults(COMMON_OF_PICTURES, split=[0.8, 0.2])
SAMPLES = Option("samples", "integer", 1000, "how many pictures", low=1)


def _segmentation_fields(settings: Settings) -> tuple[Field, ...]:
    size = pair(settings["size"])
    image = Field("image", "f32", ("B", channels(settings), *size))
    if settings["classes"] == 1:
        return (image, Field("mask", "f32", ("B", 1, *size), ("i32", "i64", "bool")))
    return (image, Field("mask", "i32", ("B", *size), ("i64", "f32")))


def _curves_fields(settings: Settings) -> tuple[Field, ...]:
    dims: Dims = ("B", 1, settings["size"], settings["size"])
    image, mask = Field("image", "f32", dims), Field("mask", "f32", dims, ("i32", "i64", "bool"))
    return (image, mask)


def _crowds_fields(settings: Settings) -> tuple[Field, ...]:
    size, side = settings["size"], settings["size"] // settings["stride"]
    image, density = Field("image", "f32", ("B", 1, size, size)), ("B", 1, side, side)
    return (image, Field("density", "f32", density))


def _segmentation_problems(settings: Settings) -> list[Problem]:
    problems = [*two_parts(settings), *fitted_problems(settings)]
    classes, values = settings["classes"], settings["values"]
    if (settings["test_images"] is None) != (settings["test_masks"] is None):
        name = "test_images" if settings["test_masks"] is None else "test_masks"
        hint = "give both `test_images` and `test_masks`, or neither"
        problems.append(Problem("the held-out part is half given", hint, name))
    wanted = max(2, classes)
    if values is not None and (len(values) != wanted or len(set(values)) != wanted):
        message = f"`values` must be {wanted} different pixel values, one for each class"
        problems.append(Problem(message, None, "values"))
    if settings["ignore"] is not None and classes == 1:
        hint = "write classes=2 and a cross entropy"
        problems.append(Problem("`ignore` needs classes, and there is one", hint, "ignore"))
    elif settings["ignore"] is not None and settings["ignore"] in (values or range(classes)):
        problems.append(Problem("`ignore` is the value of a class", None, "ignore"))
    return problems


def _curves_problems(settings: Settings) -> list[Problem]:
    return [*_generated_problems(settings), *_whole(settings, "curves")]


def _crowds_problems(settings: Settings) -> list[Problem]:
    problems = [*_generated_problems(settings), *_whole(settings, "people")]
    stride = settings["stride"]
    if settings["size"] % stride:
        message = f"`size` is {settings['size']}, no multiple of the stride {stride}"
        problems.append(Problem(message, None, "stride"))
    for name in ("crop", "zoom"):
        if settings[name] and stride > 1:
            hint = "flip works with any stride"
            problems.append(Problem(f"`{name}` needs stride=1", hint, name))
    return problems


def _generated_problems(settings: Settings) -> list[Problem]:
    problems = picture_problems(settings, 1)
    pixels = settings["samples"] * settings["size"] ** 2
    if pixels > 1 << 31:
        message = f"{settings['samples']:,} pictures of that size are {pixels:,} pixels"
        problems.append(Problem(message, "make fewer, or smaller ones", "samples"))
    return problems


def _whole(settings: Settings, name: str) -> list[Problem]:
    low, high = settings[name]
    if low != int(low) or high != int(high) or low < 0:
        return [Problem(f"`{name}` goes from one whole number to another", None, name)]
    return []


MASK_SOURCES = (
    Source(
        Signature(
            "segmentation",
            (
                Option("images", "text", None, "the folder of images", required=True),
                Option("masks", "text", None, "the folder of their masks", required=True),
                Option("classes", "integer", 1, "1: one mask; else a class for a pixel", low=1),
                Option("values", "integers", None, "the pixel value of each class", low=0),
                Option("ignore", "integer", None, "the pixel value that counts nowhere", low=0),
                Option("suffix", "text", "", "what names of masks have before the dot"),
                Option("test_images", "text", None, "the folder of held-out images"),
                Option("test_masks", "text", None, "the folder of their masks"),
                *FITTED,
                RANGE,
                *COMMON_OF_PICTURES,
                *VARIED,
            ),
            "images, and for each of them a mask of the same size",
        ),
        _segmentation_fields,
        _segmentation_problems,
    ),
    Source(
        Signature(
            "curves",
            (
                Option("size", "integer", 64, "height and width", low=8, high=2048),
                SAMPLES,
                Option("curves", "range", [2, 5], "how many in a picture"),
                Option("width", "range", [1.5, 4], "of a curve, in pixels", above=0),
                Option("strength", "range", [0.2, 0.45], "of a curve over the background", above=0),
                Option("noise", "number", 0.08, "deviation of the noise", low=0, high=1),
                RANGE,
                *HELD_OUT,
                *VARIED,
            ),
            "generated curves, such as roads and vessels, and their exact masks",
        ),
        _curves_fields,
        _curves_problems,
    ),
    Source(
        Signature(
            "crowds",
            (
                Option("size", "integer", 64, "height and width", low=8, high=2048),
                SAMPLES,
                Option("people", "range", [5, 60], "how many in a picture"),
                Option("spread", "number", 2, "deviation of a person's density", above=0),
                Option("stride", "integer", 8, "pixels for each cell of the density", low=1),
                Option("noise", "number", 0.05, "deviation of the noise", low=0, high=1),
                RANGE,
                *HELD_OUT,
                *VARIED,
            ),
            "generated crowds, and a density that adds up to the number of people",
        ),
        _crowds_fields,
        _crowds_problems,
    ),
)
