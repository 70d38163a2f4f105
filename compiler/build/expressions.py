"""Expressions: compile-time values and operations on tensors, by the same operators."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec import static
from ...spec.dims import Polynomial
from ...spec.errors import SpecError, suggest
from ...spec.expressions import (
    Attribute,
    Binary,
    Boolean,
    Call,
    Choice,
    Dots,
    Expr,
    Index,
    ListOf,
    Name,
    Number,
    Pipe,
    Slice,
    Text,
    TupleOf,
    Unary,
)
from ...spec.place import Place
from ..ir.op import ShapeError
from . import calls, untaken
from .elaboration import TRAINING, Elaboration, is_operand
from .elsewhere import belongs
from .faults import Faults, Silent, fault, found_in
from .messages import shape_fault
from .names import names_in
from .request import elementwise
from .scope import Scope
from .subscripts import index_tensor
from .values import BROKEN, Inner, Layer, Operation, Origin, Tensor, Value, Values, is_number, show

MOST_LISTED = 8  # names in a hint
FUNCTIONS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "and": "and",
    "or": "or",
}


def value(e: Elaboration, expr: Expr, scope: Scope, words: Sequence[str] = ()) -> Value:
    """The one value of an expression; a name among `words` is just that word."""
    expr = chosen(e, expr, scope, words)
    if isinstance(expr, Name) and expr.id in words:
        return expr.id
    found = values(e, expr, scope)
    if len(found) == 1:
        return found[0]
    if all(static.is_value(v) for v in found):
        return found  # type: ignore[return-value]  # a static list
    hint = "name them first, `a, b = …`, and use one"
    raise fault("E309", f"{len(found)} values where one is needed", expr.place, hint)


def values(e: Elaboration, expr: Expr, scope: Scope) -> Values:
    """The values of an expression; a tuple, or a call with several results, has more."""
    try:
        return _values(e, chosen(e, expr, scope), scope)
    except SpecError as error:
        raise found_in(error) from None


def _values(e: Elaboration, expr: Expr, scope: Scope) -> Values:
    match expr:
        case Number():
            return (static.evaluate(expr, {}),)
        case Text(text) | Boolean(text):
            return (text,)
        case Name(name, place):
            return (named(e, name, scope, place),)
        case ListOf(items):
            return (tuple(_entry(e, item, scope) for item in items),)
        case TupleOf(items):
            return tuple(v for item in items for v in values(e, item, scope))
        case Unary(operator, operand, place):
            return (_unary(e, operator, value(e, operand, scope), place, scope),)
        case Binary():
            return (_binary(e, expr, scope),)
        case Index(inner, subscripts, place):
            return (_index(e, value(e, inner, scope), subscripts, place, scope),)
        case Attribute():
            return (_attribute(e, expr, scope),)
        case Call(name, positional, settings, place):
            return calls.call(e, name, positional, settings, place, scope)
        case Pipe(stages):
            return _pipe(e, stages, scope)
    raise fault("E116", "`:` and `...` stand only between the brackets of an index", expr.place)


def chosen(e: Elaboration, expr: Expr, scope: Scope, words: Sequence[str] = ()) -> Expr:
    """The side of `a if c else b` that counts; of the other its names are checked.

    Raises: Faults E310, E311 for a condition that is not true or false at compile time.
    """
    while isinstance(expr, Choice):
        holds = condition(e, expr.condition, scope)
        expr, other = (expr.then, expr.otherwise) if holds else (expr.otherwise, expr.then)
        scope.mark(names_in(other))
        untaken.check_names(e, other, scope, *words)
    return expr


def condition(e: Elaboration, expr: Expr, scope: Scope) -> bool:
    """Whether a condition holds, at compile time.  Raises: Faults E310, E311 if it is none."""
    found = exists(value(e, expr, scope))
    if found is BROKEN:
        raise Silent
    if isinstance(found, bool):
        return found
    if static.is_value(found):
        text = f"a condition is true or false, not {show(found)}"
        raise fault("E311", text, expr.place, "compare it: `n > 0`")
    text = f"`if` needs a condition known at compile time, this is {show(found)}"
    raise fault("E310", text, expr.place, "use where(condition, a, b)")


def known(e: Elaboration, expr: Expr, scope: Scope, what: str) -> static.Value:
    """The value of an expression that must be known at compile time."""
    found = value(e, expr, scope)
    if found is BROKEN:
        raise Silent
    if not static.is_value(found):
        hint = "use where(condition, a, b)" if what == "a condition" else None
        raise fault(
            "E310", f"{what} must be known at compile time; this is {show(found)}", expr.place, hint
        )
    return found


def named(e: Elaboration, name: str, scope: Scope, place: Place) -> Value:
    """What a name stands for where a value is expected."""
    if scope.has(name):
        found = scope.get(name)
        if found is BROKEN:
            raise Silent
        return found
    if name == TRAINING:
        e.asked = True
        return e.training
    if e.catalogue.find(name, scope.library) is not None:
        return Operation(name)
    raise unknown_name(e, name, scope, place)


def unknown_name(e: Elaboration, name: str, scope: Scope, place: Place) -> Faults:
    """The finding for a name that nothing has."""
    spec = e.catalogue.spec
    if name in static.SPELT:
        hint: str | None = f"it is written `{static.SPELT[name]}`"
    elif name in spec.constants and place.file != spec.path:
        hint = f"`{name}` is a param of {spec.path}; imported blocks take it as an argument"
    elif name.isupper() and len(name) <= 2:
        hint = "a size is bound by the first `in` that mentions it"
    else:
        visible = scope.visible()
        listed = f"known here: {', '.join(visible[:MOST_LISTED])}" if visible else None
        known = [*visible, *e.catalogue.operations()]
        hint = belongs(name) or suggest(name, known) or listed
    return fault("E301", f"unknown name `{name}`", place, hint)


def needs_value(found: Value, place: Place) -> Value:
    """Raises: Faults E306 for an operation that was not called, E303 for a layer."""
    if isinstance(found, Operation):
        hint = f"write `{found.name}(x, …)`, or `(x -> {found.name})`"
        raise fault("E306", f"`{found.name}` has no input here", place, hint)
    if isinstance(found, (Layer, Inner)):
        name = found.name if isinstance(found, Layer) else found.layer.name
        raise fault("E306", f"the layer `{name}` has no input here", place, f"write `{name}(x)`")
    return found


def _entry(e: Elaboration, item: Expr, scope: Scope) -> static.Value:
    found = value(e, item, scope)
    if isinstance(found, Tensor):
        raise fault(
            "E310",
            "a list holds compile-time values, not tensors",
            item.place,
            "use stack(a, b, axis=0)",
        )
    needs_value(found, item.place)
    return found  # type: ignore[return-value]


def _pipe(e: Elaboration, stages: Sequence[Expr], scope: Scope) -> Values:
    first, *rest = stages
    current = tuple(needs_value(v, first.place) for v in values(e, first, scope))
    for stage in rest:
        current = calls.stage(e, stage, scope, current)
    return current


# ---- operators -------------------------------------------------------------------------------


def _unary(e: Elaboration, operator: str, operand: Value, place: Place, scope: Scope) -> Value:
    needs_value(operand, place)
    if not isinstance(operand, Tensor):
        return static.unary(operator, operand, place)  # type: ignore[arg-type]
    if operator == "not" and exists(operand) is True:
        return False
    function = "not" if operator == "not" else "neg"
    return _apply(e, function, operator, (operand,), place, scope)


def _binary(e: Elaboration, expr: Binary, scope: Scope) -> Value:
    try:
        left = needs_value(value(e, expr.left, scope), expr.left.place)
    except Silent:
        value(e, expr.right, scope)  # for what is wrong there
        raise
    if expr.operator in ("and", "or"):
        left = exists(left)
        if isinstance(left, bool) and left == (expr.operator == "or"):
            return left
    right = needs_value(value(e, expr.right, scope), expr.right.place)
    if expr.operator in ("and", "or"):
        right = exists(right)
    if _is_static(expr.operator, left, right):
        return static.binary(expr.operator, left, right, expr.place)  # type: ignore[arg-type]
    for operand, side in ((left, expr.left), (right, expr.right)):
        if not is_operand(operand):
            raise fault("E311", f"`{expr.operator}` does not take {show(operand)}", side.place)
    return _apply(e, FUNCTIONS[expr.operator], expr.operator, (left, right), expr.place, scope)


def exists(found: Value) -> Value:
    """A weight, or a tensor given for a setting, as a condition asks whether it exists."""
    return True if isinstance(found, Tensor) and (found.weight or found.given) else found


def _is_static(operator: str, left: Value, right: Value) -> bool:
    """Is the result a compile-time value?  A size in a quotient or beside a fraction is not."""
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return False
    symbolic = isinstance(left, Polynomial) or isinstance(right, Polynomial)
    if symbolic and operator in "+-*/" and is_number(left) and is_number(right):
        return operator != "/" and not isinstance(left, float) and not isinstance(right, float)
    return True


def _apply(
    e: Elaboration, function: str, operator: str, operands: Values, place: Place, scope: Scope
) -> Value:
    """A scalar function of operands that broadcast."""
    ids = e.operands(operands)
    with e.b.at(None if scope.library else place):
        try:
            if function in ("and", "or", "not"):
                for i in ids:
                    if e.b[i].dtype != "bool":
                        raise ShapeError(
                            "E414", f"`{operator}` needs booleans, got {e.b[i].type}", ()
                        )
            id = elementwise(e.b, function, ids)
        except ShapeError as error:
            raise shape_fault(e, error, operands, place, f"`{operator}`") from None
    if not scope.library:
        e.outline.operator(operator, operands, id, place, scope.path)
    return e.tensor(id, Origin(f"`{operator}`", place, "expression"), operands)


# ---- postfix ---------------------------------------------------------------------------------


def _index(
    e: Elaboration, found: Value, subscripts: Sequence[Expr], place: Place, scope: Scope
) -> Value:
    needs_value(found, place)
    if isinstance(found, Tensor):
        parts = [_subscript(e, s, scope) for s in subscripts]
        with e.b.at(None if scope.library else place):
            try:
                id = index_tensor(e.b, found.id, parts)
            except ShapeError as error:
                raise shape_fault(e, error, (found,), place, "") from None
        if not scope.library:
            e.outline.operator("[…]", (found,), id, place, scope.path)
        return e.tensor(id, Origin("an index", place, "expression"), (found,))
    numbers = []
    for each in subscripts:
        if isinstance(each, Dots):
            raise fault("E311", "`...` stands for axes of a tensor; this is no tensor", each.place)
        part = _subscript(e, each, scope)
        if isinstance(part, Tensor):
            raise fault(
                "E310", "a list is indexed by a compile-time value, not by a tensor", each.place
            )
        numbers.append(part)
    return static.index(found, numbers, place)  # type: ignore[arg-type]


def _subscript(e: Elaboration, expr: Expr, scope: Scope) -> object:
    if isinstance(expr, Dots):
        return ...
    if isinstance(expr, Slice):
        ends = [
            None if end is None else known(e, end, scope, "a slice")
            for end in (expr.start, expr.stop)
        ]
        for end in ends:
            if end is not None and (
                isinstance(end, bool) or not isinstance(end, (int, Polynomial))
            ):
                raise fault("E311", f"a slice takes whole numbers, not {show(end)}", expr.place)
        return slice(*ends)
    found = needs_value(value(e, expr, scope), expr.place)
    if not isinstance(found, (int, Polynomial, Tensor)) or isinstance(found, bool):
        raise fault(
            "E311", f"an index is a whole number or a tensor of them, not {show(found)}", expr.place
        )
    return found


def _attribute(e: Elaboration, expr: Attribute, scope: Scope) -> Value:
    """`wte.weight`: a weight of a layer made by `let`."""
    found = value(e, expr.value, scope)
    if isinstance(found, Layer):
        layer, path = found, f"{found.path}.{expr.name}"
    elif isinstance(found, Inner):
        layer, path = found.layer, f"{found.path}.{expr.name}"
    else:
        hint = "make the layer first: `let table = embedding(…)`, then `table.weight`"
        raise fault(
            "E303", f"`.{expr.name}`: only a layer made by `let` has parameters", expr.place, hint
        )
    if path in e.parameters:
        return e.parameters[path]
    below = [name for name in e.parameters if name.startswith(f"{path}.")]
    if below:
        return Inner(layer, path)
    if not layer.uses:
        hint = "its weights are made at its first use; use it above this line"
        raise fault("E303", f"the layer `{layer.name}` is not used yet", expr.place, hint)
    own = [
        name.removeprefix(f"{layer.path}.")
        for name in e.parameters
        if name.startswith(f"{layer.path}.")
    ]
    hint = suggest(expr.name, own) or (
        f"it has {', '.join(own)}" if own else "it has no parameters"
    )
    raise fault(
        "E303", f"the layer `{layer.name}` has no parameter `{expr.name}`", expr.place, hint
    )
