"""Numbers that depend on the update, in double precision: rates, corrections of moments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...artifact import Expression, Scalar

LEARNING_RATE, UPDATE = "learning_rate", "update"
NAMES = {"rate": LEARNING_RATE, "step": UPDATE}

CALLS = {
    "//": "floor({0} / {1})",
    "**": "pow({0}, {1})",
    "sqrt": "sqrt({0})",
    "min": "fmin({0}, {1})",
    "max": "fmax({0}, {1})",
}


def c_scalar(expression: Expression, *, tight: bool = False) -> str:
    """An expression of `rate` and `step` in C; `tight` puts parentheses round an operator.

    Raises: KeyError for an operator that no optimizer uses.
    """
    if isinstance(expression, str):
        return NAMES[expression]
    if not isinstance(expression, tuple):
        return repr(float(expression))
    operator, *operands = expression
    if operator in CALLS:
        return CALLS[operator].format(*(c_scalar(o, tight=operator == "//") for o in operands))
    if operator not in ("+", "-", "*", "/"):
        raise KeyError(operator)
    text = f" {operator} ".join(c_scalar(o, tight=True) for o in operands)
    return f"({text})" if tight else text


def c_scalars(scalars: Sequence[Scalar], names: Mapping[str, str]) -> list[str]:
    """The declarations of the scalars that a function uses; `names` are their names in C."""
    texts = [
        f"const float {names[s.name]} = {c_scalar(s.value)};" for s in scalars if s.name in names
    ]
    words = set(re.findall(r"\w+", " ".join(texts)))
    lines = []
    if LEARNING_RATE in words:
        lines.append(f"const double {LEARNING_RATE} = call->rate;")
    if UPDATE in words:
        lines.append(f"const double {UPDATE} = call->step + 1.0;  /* the host counts from 0 */")
    return lines + texts
