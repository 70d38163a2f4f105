"""Flows: pieces joined by arrows, and the structures that stand only there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ...spec import static
from ...spec.dims import Polynomial
from ...spec.expressions import Call, Expr, Name
from ...spec.place import Place
from ...spec.tree import NOBODY, Branch, Flow, For, If, Repeat, Residual, Structure, is_structure
from ..ir.op import ShapeError
from . import calls, expressions
from .elaboration import Elaboration
from .faults import Fault, Faults, Silent, fault
from .messages import origins, shape_fault, shortcut
from .names import names_in
from .outline import Part, ids
from .request import agree
from .scope import Scope
from .untaken import check_names
from .values import BROKEN, Layer, Operation, Origin, Tensor, Value, Values, show

MOST_TURNS = 10_000  # of one loop
SIZES_KEPT = "pad=same keeps the sizes at stride 1"
T = TypeVar("T")


def flow(
    e: Elaboration, text: Flow, scope: Scope, label: str | None = None, path: str | None = None
) -> Values:
    """The values at the end of a flow.

    `label` names its last stage; `path`, from a loop round a single call, is that call's path.
    """
    current: Values | None = None
    for index, piece in enumerate(text.pieces):
        last = index == len(text.pieces) - 1
        own = (
            piece.names[0] if len(piece.names) == 1 else label if last and not piece.names else None
        )
        whole = path if len(text.pieces) == 1 else None
        stage = piece.stage
        if is_structure(stage):
            source = scope.take_inputs() if index == 0 else current
            current = structure(e, stage, scope, source, own, whole)
        elif index == 0:
            current = _head(e, stage, scope, own, whole)
        else:
            current = calls.stage(e, stage, scope, current, label=own, path=whole)
        if piece.names:
            current = give_names(e, piece.names, piece.places, current, scope, piece.place, "tap")
    assert current is not None
    return current


def give_names(
    e: Elaboration,
    names: Sequence[str],
    places: Sequence[Place],
    found: Values,
    scope: Scope,
    place: Place,
    kind: str,
) -> Values:
    """Bind one name to each value."""
    if len(names) != len(found):
        what = f"{len(names)} name{'s' if len(names) > 1 else ''} for {len(found)} value"
        hint = "take a tensor apart: `a, b = x -> split(2)`" if len(found) == 1 else None
        hint = hint or "give every value a name"
        text = f"{what}{'s' if len(found) > 1 else ''}"
        raise fault("E309", text, places[0] if places else place, hint)
    renamed = []
    for name, where, value in zip(names, places or [place] * len(names), found, strict=True):
        expressions.needs_value(value, place)
        if name != NOBODY:
            value = e.rename(value, name)
            scope.define(name, value, where, kind)
        renamed.append(value)
    return tuple(renamed)


def single(text: Flow) -> bool:
    """Is the flow one call, perhaps behind an `if`?"""
    if len(text.pieces) != 1 or text.pieces[0].names:
        return False
    stage = text.pieces[0].stage
    if isinstance(stage, If):
        return single(stage.then) and (stage.otherwise is None or single(stage.otherwise))
    return isinstance(stage, (Name, Call))


def _head(e: Elaboration, stage: Expr, scope: Scope, label: str | None, path: str | None) -> Values:
    """What opens a flow: a value, or a stage that takes the input of the body or arm."""
    stage = expressions.chosen(e, stage, scope)
    if isinstance(stage, Call):
        return calls.stage(e, stage, scope, None, head=True, label=label, path=path)
    found = expressions.values(e, stage, scope)
    if len(found) == 1 and isinstance(found[0], (Operation, Layer)) and isinstance(stage, Name):
        return calls.stage(e, stage, scope, None, head=True, label=label, path=path)
    return tuple(expressions.needs_value(v, stage.place) for v in found)


# ---- structures ------------------------------------------------------------------------------


def structure(
    e: Elaboration,
    text: Structure,
    scope: Scope,
    source: Values | None,
    label: str | None,
    path: str | None,
) -> Values:
    """The values of `residual`, `branch`, `repeat`, `for` or `if`."""
    match text:
        case If():
            return _if(e, text, scope, source, label, path)
        case Branch(arms):
            runs = [_arm(e, arm, scope, source) for arm in arms]
            return tuple(v for results in together(runs) for v in results)
        case Residual():
            return (_residual(e, text, scope, _needed(source, "residual", text.place)),)
        case Repeat(count, index, body, place):
            turns = range(_count(e, count, scope))
            return _loop(
                e, turns, index, body, scope, _needed(source, "repeat", place), label, path
            )
        case For(name, values, body, place):
            listed = expressions.known(e, values, scope, "the list of a loop")
            if not isinstance(listed, tuple):
                raise fault("E311", f"`for` needs a list, not {show(listed)}", values.place)
            return _loop(e, listed, name, body, scope, _needed(source, "for", place), label, path)
    raise AssertionError(text)


def together(runs: Sequence[Callable[[], T]]) -> list[T]:
    """All results; what is wrong in any of them is told at once."""
    results: list[T] = []
    faults: list[Fault] = []
    silent = False
    for run in runs:
        try:
            results.append(run())
        except Faults as found:
            if found.fatal:
                raise
            faults += found.faults
        except Silent:
            silent = True
    if faults:
        raise Faults(faults)
    if silent:
        raise Silent
    return results


def _arm(e: Elaboration, text: Flow, scope: Scope, source: Values | None) -> Callable[[], Values]:
    return lambda: flow(e, text, scope.arm(source))


def _needed(source: Values | None, what: str, place: Place) -> Values:
    if source is None:
        raise fault("E306", f"this `{what}` has no input", place, f"write `x -> {what} …`")
    return source


def _residual(e: Elaboration, text: Residual, scope: Scope, source: Values) -> Value:
    runs = [_arm(e, text.main, scope, source)]
    runs.append(_arm(e, text.shortcut, scope, source) if text.shortcut else lambda: source)
    main, short = together(runs)
    for side in (main, short):
        if len(side) != 1 or not isinstance(side[0], Tensor):
            raise fault(
                "E309",
                f"each side of `residual` is one tensor, this is {len(side)} values",
                text.place,
            )
    left, right = main[0], short[0]
    assert isinstance(left, Tensor) and isinstance(right, Tensor)
    same = left.type.rank == right.type.rank and not any(
        agree(a, b) for a, b in zip(left.type.shape, right.type.shape, strict=True)
    )
    if not same:
        message = f"the two sides of `residual` differ: {left} and {right}"
        way = shortcut(left, right)
        hint = f"give the other side: `residual {{ f | {way} }}`" if way else SIZES_KEPT
        if text.shortcut is not None:
            hint = origins(e, [left, right], text.place, None) or hint
        raise fault("E404", message, text.place, hint)
    with e.b.at(None if scope.library else text.place, None if scope.library else scope.path):
        try:
            id = e.b.elementwise("add", left.id, right.id)
        except ShapeError as error:
            raise shape_fault(e, error, (left, right), text.place, "residual") from None
    if not scope.library:
        e.outline.operator("+", (left, right), id, text.place, scope.path)
    return e.tensor(id, Origin("residual", text.place), (left, right))


def _if(
    e: Elaboration,
    text: If,
    scope: Scope,
    source: Values | None,
    label: str | None,
    path: str | None,
) -> Values:
    found = expressions.condition(e, text.condition, scope)
    taken, other = (text.then, text.otherwise) if found else (text.otherwise, text.then)
    scope.mark(names_in(other))

    def run() -> Values:
        if taken is None:
            return _needed(source, "if", text.place)
        return flow(e, taken, scope.arm(source), label, path)

    def look() -> Values:
        check_names(e, other, scope)
        return ()

    return together([run, look])[0]


def _count(e: Elaboration, count: Expr, scope: Scope) -> int:
    found = expressions.known(e, count, scope, "the count of a loop")
    if isinstance(found, Polynomial):
        text = f"the count of a loop must be a number, not the size {found}"
        raise fault("E310", text, count.place, f"give {found} a number in the type of the input")
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise fault(
            "E311", f"`repeat` needs a whole number of at least 0, not {show(found)}", count.place
        )
    return found


def _loop(
    e: Elaboration,
    turns: Sequence[static.Value],
    index: str | None,
    body: Flow,
    scope: Scope,
    source: Values,
    label: str | None,
    path: str | None,
) -> Values:
    """The body once a turn, one after the other; each turn has its number in the path."""
    if len(turns) > MOST_TURNS:
        raise fault(
            "E319", f"a loop of {len(turns):,} turns", body.place, f"the most is {MOST_TURNS:,}"
        )
    base = path or scope.below(label or scope.segment("repeat"))
    if not turns:
        scope.mark(names_in(body))
        check_names(e, body, scope.turn(base, source), *([index] if index else []))
    for number, turn in enumerate(turns):
        inner = scope.turn(f"{base}.{number}", source)
        if index is not None:
            inner.define(index, turn, body.place, "index")
        turn_path = inner.path if single(body) else None
        if scope.library:
            source = flow(e, body, inner, path=turn_path)
            continue
        part = Part("turn", base.rpartition(".")[2], inner.path, body.place, ids(source))
        with e.outline.inside(part):
            source = flow(e, body, inner, path=turn_path)
        part.results = ids(source)
    return source
