"""The data sources a spec may name: their settings, and the fields they give.

`data x: f32[B, 64], label: i32[B] = digits(batch=64)` binds the fields of a source in order.  This
table says what is known without opening a file; `runtime.data` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import formula
from .signature import Option, Problem, Signature

Settings = Mapping[str, Any]
Dims = tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a source gives.

    Shapes: `dims` starts with "B"; None stands for what only the file knows.  `also` lists further
    dtypes in which the field may be declared.
    """

    name: str
    dtype: str | None
    dims: Dims | None
    also: tuple[str, ...] = ()

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


_COMMON = (
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
)

_PATH = Option("path", "text", None, "the file, relative to the spec's folder", required=True)
_FLAT = Option("flat", "boolean", False, "a row of pixels instead of [1, height, width]")
_RANGE = Option("range", "range", [0, 1], "the values of black and white")
_LABEL_DTYPES = ("i64", "f32")


def _table_options(delimiter: str) -> tuple[Option, ...]:
    return (
        _PATH,
        Option("target", "text|integer|texts", None, "column of the second field"),
        Option("features", "texts", None, "columns of the first field; all others by default"),
        Option("categorical", "texts", None, "columns of words, one number for each word"),
        Option("missing", "word", "error", "what an empty cell means", ("error", "drop", "mean")),
        Option("test", "text", None, "a file with the held-out part"),
        Option("header", "boolean", True, "the first line names the columns"),
        Option("delimiter", "text", delimiter, "what separates the cells"),
    )


def _table_fields(settings: Settings) -> tuple[Field, ...]:
    known = settings["features"] is not None and settings["categorical"] is None
    width = len(settings["features"]) if known else None
    features = Field("features", "f32", ("B", width))
    target = settings["target"]
    if target is None:
        return (features,)
    if isinstance(target, list) and len(target) > 1:
        return (features, Field("target", "f32", ("B", len(target))))
    return (features, Field("target", None, ("B",)))


def _idx_fields(settings: Settings) -> tuple[Field, ...]:
    size = settings["size"]
    dims: Dims = ("B", None) if settings["flat"] else ("B", 1, None, None)
    if size is not None:
        dims = ("B", size * size) if settings["flat"] else ("B", 1, size, size)
    image = Field("image", "f32", dims)
    if settings["labels"] is None:
        return (image,)
    return (image, Field("label", "i32", ("B",), _LABEL_DTYPES))


def _mnist_fields(settings: Settings) -> tuple[Field, ...]:
    size = settings["size"]
    dims: Dims = ("B", size * size) if settings["flat"] else ("B", 1, size, size)
    return (Field("image", "f32", dims), Field("label", "i32", ("B",), _LABEL_DTYPES))


def _digits_fields(settings: Settings) -> tuple[Field, ...]:
    dims: Dims = ("B", 64) if settings["flat"] else ("B", 1, 8, 8)
    return (Field("image", "f32", dims), Field("label", "i32", ("B",), _LABEL_DTYPES))


def _function_fields(settings: Settings) -> tuple[Field, ...] | None:
    try:
        equations = formula.parse(settings["formula"], list(settings["variables"]))
    except formula.FormulaError:
        return None
    points = Field("point", "f32", ("B", len(settings["variables"])))
    if len(equations) == 1 and equations[0].is_class:
        return (points, Field(equations[0].name, "i32", ("B",), _LABEL_DTYPES))
    dims: Dims = ("B", len(equations))
    return (points, Field(equations[0].name, "f32", dims, ("i32", "i64")))


def _image_fields(settings: Settings) -> tuple[Field, ...]:
    return (Field("point", "f32", ("B", 2)), Field("intensity", "f32", ("B", 1)))


def _unknown_fields(settings: Settings) -> None:
    return None


def _two_parts(settings: Settings) -> list[Problem]:
    """A file for testing and a split exclude each other."""
    given = [name for name in ("test", "test_images") if settings.get(name) is not None]
    if given and settings["split"] is not None:
        return [
            Problem(
                f"`{given[0]}` and `split` both say what is held out",
                "leave one of them out",
                "split",
            )
        ]
    return []


def _table_problems(settings: Settings) -> list[Problem]:
    problems = _two_parts(settings)
    if len(settings["delimiter"]) != 1:
        problems.append(Problem("`delimiter` must be one character", None, "delimiter"))
    return problems


def _idx_problems(settings: Settings) -> list[Problem]:
    problems = _two_parts(settings)
    if (settings["labels"] is None) and settings["test_labels"] is not None:
        problems.append(Problem("`test_labels` without `labels`", None, "test_labels"))
    test = (settings["test_images"], settings["test_labels"])
    if settings["labels"] is not None and (test[0] is None) != (test[1] is None):
        name = "test_images" if test[1] is None else "test_labels"
        hint = "give both `test_images` and `test_labels`, or neither"
        problems.append(Problem("the held-out part is half given", hint, name))
    return problems


def _function_problems(settings: Settings) -> list[Problem]:
    variables = settings["variables"]
    if not variables:
        hint = 'write function("z = x*y", x=[-1, 1], y=[-1, 1])'
        return [Problem("`function` needs the range of each variable", hint)]
    problems = [
        Problem(f"`{name}` already means something in a formula", "rename the variable", name)
        for name in variables
        if name in formula.FUNCTIONS or name in formula.CONSTANTS
    ]
    try:
        equations = formula.parse(settings["formula"], list(variables))
    except formula.FormulaError as error:
        return [*problems, Problem(str(error), error.hint, "formula")]
    problems += [
        Problem(f"the formula does not use `{name}`", "leave its range out", name)
        for name in formula.unused(equations, list(variables))
    ]
    return problems + _sampling_problems(settings, len(variables))


def _sampling_problems(settings: Settings, count: int) -> list[Problem]:
    grid, samples = settings["grid"], settings["samples"]
    if (grid is None) == (samples is None):
        hint = "grid=51 for a regular grid, samples=2000 for random points"
        return [Problem("`function` needs either `grid` or `samples`", hint)]
    if isinstance(grid, list) and len(grid) != count:
        return [
            Problem(f"`grid` has {len(grid)} sides, the formula {count} variables", None, "grid")
        ]
    points = 1
    for side in grid if isinstance(grid, list) else [grid or 1] * count:
        points *= side
    if points > 50_000_000:
        return [Problem(f"the grid has {points:,} points", "make it coarser", "grid")]
    return []


def _image_problems(settings: Settings) -> list[Problem]:
    size = settings["size"]
    if isinstance(size, list) and len(size) != 2:
        return [Problem("`size` is one number, or [width, height]", None, "size")]
    return []


_TABLE = (
    Source(
        Signature("csv", (*_table_options(","), *_COMMON), "a table of text, comma-separated"),
        _table_fields,
        _table_problems,
    ),
    Source(
        Signature("tsv", (*_table_options("\t"), *_COMMON), "a table of text, tab-separated"),
        _table_fields,
        _table_problems,
    ),
    Source(
        Signature(
            "npz",
            (
                _PATH,
                Option("fields", "texts", None, "the arrays to read; those of the data line"),
                Option("test", "text", None, "a file with the held-out part"),
                *_COMMON,
            ),
            "a NumPy archive, one array for each field",
        ),
        _unknown_fields,
        _two_parts,
    ),
    Source(
        Signature(
            "npy",
            (
                Option("path", "text|texts", None, "a file for each field", required=True),
                Option("test", "text|texts", None, "files with the held-out part"),
                *_COMMON,
            ),
            "NumPy arrays, one file for each field",
        ),
        _unknown_fields,
        _two_parts,
    ),
    Source(
        Signature(
            "idx",
            (
                Option("images", "text", None, "the file of images", required=True),
                Option("labels", "text", None, "the file of labels"),
                Option("test_images", "text", None, "held-out images"),
                Option("test_labels", "text", None, "held-out labels"),
                Option("size", "integer", None, "side; smaller images get a frame", low=1),
                _FLAT,
                _RANGE,
                *_COMMON,
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
                _FLAT,
                _RANGE,
                *_COMMON,
            ),
            "the four files of MNIST, Fashion-MNIST and their like, with their own test part",
        ),
        _mnist_fields,
        _two_parts,
    ),
    Source(
        Signature(
            "digits",
            (
                Option("flat", "boolean", True, "64 pixels in a row, or [1, 8, 8]"),
                _RANGE,
                *(
                    Option(o.name, o.kind, [0.8, 0.2], o.doc) if o.name == "split" else o
                    for o in _COMMON
                ),
            ),
            "the 1,797 handwritten digits that come with scikit-learn",
        ),
        _digits_fields,
        _two_parts,
    ),
    Source(
        Signature(
            "function",
            (
                Option("formula", "text", None, "such as z = x*y", required=True),
                Option("grid", "integer|integers", None, "points along each variable", low=2),
                Option("samples", "integer", None, "points drawn at random", low=1),
                Option("noise", "number", 0, "standard deviation of added noise", low=0),
                *_COMMON,
            ),
            "a formula, sampled on a grid or at random",
            extra=Option("variables", "range", None, "from where to where the variable goes"),
        ),
        _function_fields,
        _function_problems,
    ),
    Source(
        Signature(
            "image",
            (
                _PATH,
                Option("size", "integer|integers", None, "scale it to this many pixels", low=2),
                Option("coordinates", "range", [-1, 1], "x and y of the outermost pixels"),
                _RANGE,
                *_COMMON,
            ),
            "a grey image as a surface: intensity = f(x, y)",
        ),
        _image_fields,
        _image_problems,
    ),
)

SOURCES: Mapping[str, Source] = {source.signature.name: source for source in _TABLE}
"""Every source by name."""
