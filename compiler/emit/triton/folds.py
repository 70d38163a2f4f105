"""Folds of rows that take several tiles: running values lane by lane, folded at the row's end."""

from __future__ import annotations

from ..loops import Fold
from .body import HIGHEST, INTEGERS, LOWEST, Body
from .kernel import ELEMENT_TYPES
from .spelling import literal

LEAST = "-3.4e38"
"""Where the running maximum of a logsumexp begins: finite, so that no difference is NaN."""


def opened(body: Body, f: Fold, shape: str) -> list[str]:
    """The lines before the first tile."""
    t, dtype = f.target, body.kernel.values[f.operand].dtype
    element = ELEMENT_TYPES[dtype if dtype in INTEGERS else "f32"]
    if f.function == "sum":
        return [f"{t}_part = tl.zeros({shape}, {element})"]
    if f.function == "logsumexp":
        top = f"{t}_top = tl.full({shape}, {LEAST}, tl.float32)"
        return [top, f"{t}_part = tl.zeros({shape}, tl.float32)"]
    worst = (LOWEST if f.function in ("max", "argmax") else HIGHEST).get(dtype, float("-inf"))
    lines = [f"{t}_part = tl.full({shape}, {literal(worst, dtype)}, {element})"]
    if f.function in ("argmax", "argmin"):
        lines.append(f"{t}_at = tl.zeros({shape}, tl.int32) + tl.arange(0, COLUMNS)[None, :]")
    return lines


def stepped(body: Body, f: Fold) -> list[str]:
    """The lines of one tile."""
    t, x = f.target, body.guarded(f.operand, over="column", fill=body.fill_of(f))
    if f.function == "sum":
        return [f"{t}_part += {x}"]
    if f.function == "logsumexp":
        return body.assigned(f"{t}_top, {t}_part", f"absorb({t}_top, {t}_part, {x})")
    if f.function in ("max", "min"):
        return [f"{t}_part = {f.function}imum({t}_part, {x})"]
    sign, column = (">" if f.function == "argmax" else "<"), body.any_axis("column")
    return [
        f"{t}_new = {x}",
        f"{t}_wins = {t}_new {sign} {t}_part",
        f"{t}_wins = {t}_wins | (({t}_new != {t}_new) & ({t}_part == {t}_part))",
        f"{t}_part = tl.where({t}_wins, {t}_new, {t}_part)",
        f"{t}_at = tl.where({t}_wins, {column}, {t}_at)",
    ]


def closed(body: Body, f: Fold) -> list[str]:
    """The lines after the last tile: a value for each row, a number where there are no rows."""
    t = f.target
    if f.function == "logsumexp":
        text = f"absorbed({t}_top, {t}_part)"
    elif f.function in ("argmax", "argmin"):
        best = f"row_{f.function[3:]}({t}_part)"
        text = f"row_first(({t}_part == {best}) | ({t}_part != {t}_part), {t}_at)"
    else:
        return [f"{t} = {body.folded(f, f'{t}_part')}"]
    scalar = body.kernel.values[t].kind == "scalar"
    return [f"{t} = {f'tl.sum({text})' if scalar else text}"]
