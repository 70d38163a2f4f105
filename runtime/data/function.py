"""function: a formula such as `z = 100*(y - x**2)**2 + (1 - x)**2`, sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from ...spec.formula import Expression, Formula, FormulaError, parse
from ..initialise import generator
from .raw import Raw, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

OPERATORS: Mapping[str, Callable[..., Any]] = {
    "+": np.add,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "not": np.logical_not,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "min": np.minimum,
    "max": np.maximum,
    "where": np.where,
    "and": lambda *parts: np.logical_and.reduce(np.broadcast_arrays(*parts)),
    "or": lambda *parts: np.logical_or.reduce(np.broadcast_arrays(*parts)),
}
"""What every operator and function of `spec.formula` computes."""


def read_function(request: Request) -> Raw:
    """Source `function`."""
    settings = request.settings
    ranges: dict[str, tuple[float, float]] = {
        name: (low, high) for name, (low, high) in settings["variables"].items()
    }
    try:
        formulas = parse(settings["formula"], list(ranges))
    except FormulaError as error:
        raise DataError(str(error), hint=error.hint) from None
    random = generator(settings["seed"], "function", settings["formula"])
    points = _points(ranges, settings, random)
    columns = dict(zip(ranges, points.T, strict=True))
    targets = np.stack([_values(f, columns, len(points)) for f in formulas], axis=1)
    if len(formulas) == 1 and formulas[0].is_class:
        return Raw((points, targets[:, 0].astype(np.int64)))
    if settings["noise"]:
        targets = targets + settings["noise"] * random.standard_normal(targets.shape)
    return Raw((points, targets))


def evaluate(expression: Expression, columns: Mapping[str, Values]) -> Any:
    """The values of an expression where its variables have these values."""
    if isinstance(expression, str):
        return columns[expression]
    if not isinstance(expression, tuple):
        return np.float64(expression)
    operator, *parts = expression
    operands = [evaluate(part, columns) for part in parts]
    if operator == "-":
        return np.negative(*operands) if len(operands) == 1 else np.subtract(*operands)
    return OPERATORS[operator](*operands)


def _points(
    ranges: Mapping[str, tuple[float, float]],
    settings: Mapping[str, Any],
    random: np.random.Generator,
) -> Values:
    if settings["samples"] is not None:
        low, high = np.array(list(ranges.values()), np.float64).T
        return low + (high - low) * random.random((settings["samples"], len(ranges)))
    grid = settings["grid"]
    sides = grid if isinstance(grid, list) else [grid] * len(ranges)
    axes = [np.linspace(*ends, side) for ends, side in zip(ranges.values(), sides, strict=True)]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def _values(formula: Formula, columns: Mapping[str, Values], count: int) -> Values:
    with np.errstate(all="ignore"):
        found = evaluate(formula.expression, columns)
        values = np.broadcast_to(np.asarray(found, np.float64), (count,))
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        point = ", ".join(f"{name} = {column[bad[0]]:g}" for name, column in columns.items())
        raise DataError(
            f"`{formula.name}` is not finite at {point} ({bad.size} of {count} points)",
            hint="choose ranges in which the formula is defined",
        )
    return values
