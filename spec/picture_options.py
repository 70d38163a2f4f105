"""Settings that sources of pictures share: how they are varied in training, scaled and fed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .signature import Option, Problem
from .source_kinds import COMMON, LABEL_DTYPES, Field, Settings

GEOMETRY = (
    Option(
        "flip",
        "word",
        "none",
        "mirror every second picture, in training",
        ("none", "horizontal", "vertical", "both"),
    ),
    Option("crop", "integer", 0, "a frame so wide, then the size cut out at random", low=0),
    Option("padding", "word", "zero", "what that frame shows", ("zero", "reflect")),
    Option("zoom", "range", None, "cut out so much of the area at random", above=0, high=1),
    Option("aspect", "range", [0.75, 4 / 3], "width to height of what zoom cuts out", above=0),
    Option("rotate", "number", 0, "turn by up to so many degrees", low=0, high=180),
    Option("cutout", "integer", 0, "blacken a square with such a side", low=0),
)
"""Changes of places, for training alone."""

COLOUR = (
    Option("brightness", "number", 0, "by how much it varies", low=0, high=1),
    Option("contrast", "number", 0, "by how much it varies", low=0, high=1),
    Option("saturation", "number", 0, "by how much it varies", low=0, high=1),
    Option("hue", "number", 0, "by how much of the circle of colours", low=0, high=0.5),
)
"""Changes of values, for training alone."""

MIX = (
    Option("mixup", "number", 0, "mix pairs, by Beta(mixup, mixup)", low=0),
    Option("cutmix", "number", 0, "put a part of another in, by Beta(cutmix, cutmix)", low=0),
)
"""Changes that make labels shares of classes, for training alone."""

MOMENTS = (
    Option("mean", "number|numbers", None, "subtract it from each channel"),
    Option("std", "number|numbers", None, "then divide each channel by it", above=0),
)

FEED = (
    Option("workers", "integer", None, "processes that read and vary pictures", low=0, high=64),
    Option("prefetch", "integer", None, "batches made ahead of the training", low=0, high=64),
)

ANY_PICTURES = (*GEOMETRY, *FEED)
"""For arrays that may be pictures."""

COMMON_OF_PICTURES = tuple(option for option in COMMON if option.name != "normalise_target")


def with_defaults(options: tuple[Option, ...], **defaults: Any) -> tuple[Option, ...]:
    """The options with other defaults."""
    return tuple(replace(o, default=defaults[o.name]) if o.name in defaults else o for o in options)


def varied(settings: Settings) -> list[str]:
    """The settings that change pictures in training."""
    return [
        option.name
        for option in (*GEOMETRY, *COLOUR, *MIX)
        if option.name not in ("aspect", "padding")
        and settings.get(option.name) not in (None, "none", 0)
    ]


def picture_problems(settings: Settings, channels: int | None = None) -> list[Problem]:
    """What does not go together."""
    problems = []
    names = varied(settings)
    if settings.get("flat") and names:
        hint = "write flat=false"
        message = f"`{names[0]}` changes pictures, and flat=true makes rows of them"
        problems.append(Problem(message, hint, names[0]))
    for name in ("saturation", "hue"):
        if settings.get(name) and channels == 1:
            problems.append(Problem(f"`{name}` changes colours, and there are none", None, name))
    if settings.get("mixup") and settings.get("cutmix"):
        message = "`mixup` and `cutmix` both mix each picture with another"
        problems.append(Problem(message, "choose one of them", "cutmix"))
    return problems + _moment_problems(settings, channels)


def _moment_problems(settings: Settings, channels: int | None) -> list[Problem]:
    mean, std = settings.get("mean"), settings.get("std")
    if mean is None and std is None:
        return []
    if mean is None or std is None:
        name = "std" if mean is None else "mean"
        return [Problem("`mean` and `std` belong together", None, name)]
    if settings["normalise"] != "none":
        message = "`normalise` measures what `mean` and `std` say"
        return [Problem(message, "leave one of them out", "mean")]
    problems = []
    for name, value in (("mean", mean), ("std", std)):
        count = len(value) if isinstance(value, list) else 1
        if count not in (1, channels or count):
            message = f"`{name}` has {count} numbers for {channels} channels"
            problems.append(Problem(message, None, name))
    return problems


def mixes(settings: Settings) -> bool:
    """Whether pictures are mixed, and labels with them."""
    return bool(settings.get("mixup") or settings.get("cutmix"))


def label(settings: Settings, classes: int | None) -> Field:
    """The class of a picture: an index, or the share of every class where pictures are mixed."""
    if mixes(settings):
        return Field("label", "f32", ("B", classes))
    return Field("label", "i32", ("B",), LABEL_DTYPES)


def pair(value: Any) -> tuple[int | None, int | None]:
    """Height and width that `size` says: one number, or [height, width]."""
    if value is None:
        return None, None
    return (value[0], value[-1]) if isinstance(value, list) else (value, value)


def size_problems(settings: Settings, name: str = "size") -> list[Problem]:
    """A size is one number or two."""
    size = settings[name]
    if isinstance(size, list) and len(size) != 2:
        return [Problem(f"`{name}` is one number, or [height, width]", None, name)]
    return []
