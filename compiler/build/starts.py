"""Initialisers: `normal(std=0.02)` where a setting says how a weight begins."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec import signature as table
from ...spec.dims import numel
from ...spec.errors import suggest
from ...spec.expressions import Call, Expr, Name
from ...spec.initialisers import INITIALISERS
from ...spec.place import Place
from ...spec.static import SPELT
from ..artifact import Initialiser
from . import expressions
from .elaboration import TRAINING, Elaboration
from .faults import Faults, fault
from .scope import Scope
from .values import Start, show

BUFFER = "buffer"
"""The initialiser of tensors that no gradient trains: running statistics."""


def start(e: Elaboration, expr: Expr, scope: Scope) -> Start:
    """The initialiser that an expression names; a number means that number everywhere."""
    expr = expressions.chosen(e, expr, scope, tuple(INITIALISERS))
    if (isinstance(expr, Name) and not scope.has(expr.id)) or isinstance(expr, Call):
        name = expr.id if isinstance(expr, Name) else expr.name
        if name not in INITIALISERS:
            hint = suggest(name, INITIALISERS) or f"there are {', '.join(INITIALISERS)}"
            raise fault("E302", f"unknown initialiser `{name}`", expr.place.first(len(name)), hint)
        settings = bind_table(e, INITIALISERS[name], expr, scope)
        return Start(name, tuple(sorted(settings.items())))
    found = expressions.value(e, expr, scope)
    if isinstance(found, Start):
        return found
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return Start("constant", (("value", found),))
    raise fault(
        "E311", f"an initialiser such as normal(std=0.02) is needed, not {show(found)}", expr.place
    )


def fans(shape: Sequence[int], before: tuple[int, int] | None) -> tuple[int, int]:
    """Fan in and out of a weight in PyTorch's layout; a vector takes those of the one before."""
    if len(shape) < 2:
        return before or (max(1, *shape, 1), max(1, *shape, 1))
    field = numel(shape[2:])
    assert isinstance(field, int)
    return shape[1] * field, shape[0] * field


def initialiser(found: Start, fan: tuple[int, int]) -> Initialiser:
    """The record that the runtime reads; a buffer begins as one number everywhere."""
    if found.kind == BUFFER:
        return Initialiser("constant", found.settings, *fan)
    return Initialiser(found.kind, found.settings, *fan)


# ---- calls of what a table describes ---------------------------------------------------------


def bind_table(
    e: Elaboration, signature: table.Signature, expr: Call | Name, scope: Scope
) -> dict[str, object]:
    """The settings of a source, schedule, optimizer or initialiser, with all defaults filled in.

    Raises: Faults for every problem that the table finds.
    """
    positional = expr.positional if isinstance(expr, Call) else ()
    named = expr.named if isinstance(expr, Call) else ()
    every = tuple({w for option in signature.options for w in option.words})
    values = [plain(e, each, scope, every) for each in positional]
    settings = {}
    for each in named:
        option = signature.option(each.name) or signature.extra
        settings[each.name] = plain(e, each.value, scope, option.words if option else every)
    result, problems = table.bind(signature, values, settings)
    if problems:
        raise Faults(f for p in problems for f in problem(signature, p, expr).faults)
    return result


def plain(e: Elaboration, expr: Expr, scope: Scope, words: Sequence[str]) -> object:
    """A compile-time value as plain data, with lists as lists."""
    expr = expressions.chosen(e, expr, scope, words)
    if isinstance(expr, Name) and expr.id in words:
        return expr.id
    if isinstance(expr, Name) and words and not scope.has(expr.id) and _unknown(e, expr.id, scope):
        hint = suggest(expr.id, [*words, *scope.visible()]) or f"a word: {', '.join(words)}"
        raise fault("E301", f"unknown name `{expr.id}`", expr.place, hint)
    return as_data(expressions.known(e, expr, scope, "a setting"), expr.place)


def _unknown(e: Elaboration, name: str, scope: Scope) -> bool:
    """Is it neither an operation nor a word that is spelt otherwise here?"""
    return name != TRAINING and name not in SPELT and e.catalogue.find(name, scope.library) is None


def as_data(value: object, place: Place) -> object:
    """Tuples as lists; a size that is not a number cannot be data."""
    if isinstance(value, tuple):
        return [as_data(v, place) for v in value]
    if isinstance(value, (bool, int, float, str)):
        return value
    raise fault("E310", f"this must be a number, not the size {value}", place)


def problem(signature: table.Signature, found: table.Problem, expr: Call | Name) -> Faults:
    """A problem of the table at the setting or value that it is about."""
    positional = expr.positional if isinstance(expr, Call) else ()
    named = {s.name: s for s in expr.named} if isinstance(expr, Call) else {}
    place, code = expr.place, "E311"
    if found.position is not None:
        place = positional[found.position].place
        code = "E305" if found.position >= len(signature.options) else code
    elif found.name in named:
        setting = named[found.name]
        unknown = signature.option(found.name) is None and signature.extra is None
        place = setting.place if unknown else setting.value.place
        code = "E304" if unknown else code
    elif found.name is not None:
        names = [o.name for o in signature.options if o.name not in named]
        index = names.index(found.name) if found.name in names else len(positional)
        place = positional[index].place if index < len(positional) else place
    elif found.message.startswith(f"`{signature.name}` needs `"):
        code = "E307"
    return fault(code, found.message, place, found.hint)
