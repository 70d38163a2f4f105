"""The data sources a spec may name: their settings, and the fields they give.

`data x: f32[B, 64], label: i32[B] = digits(batch=64)` binds the fields of a source in order.  This
table says what is known without opening a file; `runtime.data` reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import formula
from .mask_sources import MASK_SOURCES
from .picture_options import ANY_PICTURES
from .picture_sources import PICTURE_SOURCES
from .signature import Option, Problem, Signature
from .source_kinds import (
    COMMON,
    LABEL_DTYPES,
    PATH,
    RANGE,
    Dims,
    Field,
    Settings,
    Source,
    mismatch,
    two_parts,
)
from .text_sources import TEXT_SOURCES

__all__ = ["SOURCES", "Field", "Source", "mismatch"]


def _table_options(delimiter: str) -> tuple[Option, ...]:
    return (
        PATH,
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


def _function_fields(settings: Settings) -> tuple[Field, ...] | None:
    try:
        equations = formula.parse(settings["formula"], list(settings["variables"]))
    except formula.FormulaError:
        return None
    points = Field("point", "f32", ("B", len(settings["variables"])))
    if len(equations) == 1 and equations[0].is_class:
        return (points, Field(equations[0].name, "i32", ("B",), LABEL_DTYPES))
    dims: Dims = ("B", len(equations))
    return (points, Field(equations[0].name, "f32", dims, ("i32", "i64")))


def _image_fields(settings: Settings) -> tuple[Field, ...]:
    return (Field("point", "f32", ("B", 2)), Field("intensity", "f32", ("B", 1)))


def _unknown_fields(settings: Settings) -> None:
    return None


def _table_problems(settings: Settings) -> list[Problem]:
    problems = two_parts(settings)
    if len(settings["delimiter"]) != 1:
        problems.append(Problem("`delimiter` must be one character", None, "delimiter"))
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
        Signature("csv", (*_table_options(","), *COMMON), "a table of text, comma-separated"),
        _table_fields,
        _table_problems,
    ),
    Source(
        Signature("tsv", (*_table_options("\t"), *COMMON), "a table of text, tab-separated"),
        _table_fields,
        _table_problems,
    ),
    Source(
        Signature(
            "npz",
            (
                PATH,
                Option("fields", "texts", None, "the arrays to read; those of the data line"),
                Option("test", "text", None, "a file with the held-out part"),
                *COMMON,
                *ANY_PICTURES,
            ),
            "a NumPy archive, one array for each field",
        ),
        _unknown_fields,
        two_parts,
    ),
    Source(
        Signature(
            "npy",
            (
                Option("path", "text|texts", None, "a file for each field", required=True),
                Option("test", "text|texts", None, "files with the held-out part"),
                *COMMON,
                *ANY_PICTURES,
            ),
            "NumPy arrays, one file for each field",
        ),
        _unknown_fields,
        two_parts,
    ),
    Source(
        Signature(
            "function",
            (
                Option("formula", "text", None, "such as z = x*y", required=True),
                Option("grid", "integer|integers", None, "points along each variable", low=2),
                Option("samples", "integer", None, "points drawn at random", low=1),
                Option("noise", "number", 0, "standard deviation of added noise", low=0),
                *COMMON,
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
                PATH,
                Option("size", "integer|integers", None, "scale it to this many pixels", low=2),
                Option("coordinates", "range", [-1, 1], "x and y of the outermost pixels"),
                RANGE,
                *COMMON,
            ),
            "a grey image as a surface: intensity = f(x, y)",
        ),
        _image_fields,
        _image_problems,
    ),
)

SOURCES: Mapping[str, Source] = {
    source.signature.name: source
    for source in (*_TABLE, *PICTURE_SOURCES, *MASK_SOURCES, *TEXT_SOURCES)
}
"""Every source by name."""
