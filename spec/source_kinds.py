"""What the table of data sources is made of: fields, sources, and settings that many share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .signature import Option, Problem, Signature

Settings = Mapping[str, Any]
Dims = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a source gives.

    Shapes: `dims` starts with "B"; None stands for what only the file knows.  `also` lists further
    dtypes in which the field may be declared.  Tokens have so many `entries` in their vocabulary.
    """

    name: str
    dtype: str | None
    dims: Dims | None
    also: tuple[str, ...] = ()
    entries: int | None = None

    @property
    def known(self) -> bool:
        """Whether the field can be bound without a declared type."""
        return self.dtype is not None and self.dims is not None and None not in self.dims


@dataclass(frozen=True, slots=True)
class Source:
    """A source: its settings, its fields, and what its settings demand of each other."""

    signature: Signature
    fields: Callable[[Settings], tuple[Field, ...] | None]
    problems: Callable[[Settings], list[Problem]]


def mismatch(field: Field, dtype: str, dims: Sequence[object]) -> str | None:
    """Why a field cannot be declared with this type, or None when it can.

    `dims` holds ints where they are known and anything else where they are symbols.
    """
    if field.dtype is not None and dtype != field.dtype and dtype not in field.also:
        return f"it is {field.dtype}"
    if field.dims is None:
        return None
    have, want = list(field.dims), list(dims)
    if have in (["B"], ["B", 1]) and (len(want) == 1 or (len(want) == 2 and want[1] == 1)):
        return None
    fits = len(have) == len(want) and all(
        not (isinstance(h, int) and isinstance(w, int)) or h == w
        for h, w in zip(have, want, strict=True)
    )
    shown = ", ".join("?" if h is None else str(h) for h in have)
    return None if fits else f"its shape is [{shown}]"


COMMON = (
    Option("batch", "integer|word", 64, "samples in a batch, or full", ("full",), low=1),
    Option("shuffle", "boolean", True, "a new order in each epoch"),
    Option("split", "split", None, "the parts for training and for testing"),
    Option("stratify", "boolean", False, "the same mix of classes in both parts"),
    Option(
        "normalise",
        "word",
        "none",
        "scale the first field, by the training part",
        ("none", "standard", "minmax"),
    ),
    Option(
        "normalise_target",
        "word",
        "none",
        "scale the second field, by the training part",
        ("none", "standard", "minmax"),
    ),
    Option("last", "word", "keep", "the last, smaller batch of an epoch", ("keep", "drop")),
    Option("limit", "integer", None, "use only so many samples for training", low=1),
    Option("seed", "integer", 0, "for the split and for sampling", low=0),
    Option("fold", "fold", None, "hold out one of so many equal parts, in place of split"),
)
"""Settings of every source."""

PATH = Option("path", "text", None, "the file, relative to the spec's folder", required=True)
FLAT = Option("flat", "boolean", False, "a row of pixels instead of [1, height, width]")
RANGE = Option("range", "range", [0, 1], "the values of black and white")
LABEL_DTYPES = ("i64", "f32")


def two_parts(settings: Settings) -> list[Problem]:
    """A file for testing and a split or fold exclude each other."""
    names = ("test", "test_images", "test_labels")
    given = [name for name in names if settings.get(name) is not None]
    return [
        Problem(
            f"`{given[0]}` and `{divided}` both say what is held out",
            "leave one of them out",
            divided,
        )
        for divided in ("split", "fold")
        if given and settings.get(divided) is not None
    ]
