"""Calls: of intrinsics, blocks, nets, and layers made by `let`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...spec import static
from ...spec.dims import Polynomial
from ...spec.errors import SpecError, suggest
from ...spec.place import Place
from ...spec.tree import Block, Call, Expr, Name, Net
from ...spec.tree import Setting as Argument
from ..ir.op import ShapeError
from . import bodies, expressions
from .binding import Bound, Given, Site, bind, check_setting, evaluate_setting
from .elaboration import DEEPEST, Callee, Elaboration, Row
from .faults import Faults, Silent, fault, found_in
from .intrinsics import INTRINSICS, Intrinsic
from .messages import shape_fault
from .names import calls_in, names_in
from .request import Known, Request
from .scope import Scope
from .signature import REQUIRED, Signature, of_block
from .values import BROKEN, Layer, Origin, Tensor, Value, Values

LIFTED = ("sqrt", "exp", "log", "round", "floor", "abs")  # static functions that tensors have too


UNCHANGED = ("identity", "bounded", "require")  # intrinsics that give back what they take


def call(
    e: Elaboration,
    name: str,
    positional: Sequence[Expr],
    named: Sequence[Argument],
    place: Place,
    scope: Scope,
    *,
    piped: Values | None = None,
    head: bool = False,
    label: str | None = None,
    path: str | None = None,
) -> Values:
    """The results of a call.

    `piped`: what the arrow brings; `head`: the call opens a flow; `label`: the name given by `as` or
    `=`; `path`: the whole path, where a loop decides it.
    """
    if piped is None:
        known = _static(e, name, positional, named, place, scope)
        if known is not None:
            return known
    layer = _layer(scope, name, place)
    if layer is not None:
        return _apply_layer(e, layer, Site(name, place, scope, piped, head), positional, named)
    callee, library = _find(e, name, place, scope)
    e.count_call(place)
    signature = signature_of(callee)
    bound = bind(e, signature, positional, named, Site(name, place, scope, piped, head))
    if path is None:
        path = name if isinstance(callee, Net) else scope.below(label or scope.segment(name))
    return invoke(e, callee, library, bound, place, scope, path, scope.shared)


def stage(
    e: Elaboration,
    expr: Expr,
    scope: Scope,
    piped: Values | None,
    *,
    head: bool = False,
    label: str | None = None,
    path: str | None = None,
) -> Values:
    """A piece of a flow that is called: a name, or a call with settings."""
    if isinstance(expr, Name):
        return call(e, expr.id, (), (), expr.place, scope, piped=piped, head=head, label=label, path=path)
    if isinstance(expr, Call):
        name, positional, named, place = expr.name, expr.positional, expr.named, expr.place
        return call(e, name, positional, named, place, scope, piped=piped, head=head, label=label, path=path)
    raise fault("E317", "only operations, blocks, nets and layers can follow `->`", expr.place)


def invoke(
    e: Elaboration,
    callee: Callee,
    library: bool,
    bound: Bound,
    place: Place,
    scope: Scope,
    path: str,
    shared: bool,
) -> Values:
    """Run a callee with its arguments; what it makes carries the place of the user's call."""
    first, before, made = len(e.b.nodes), e.maker, len(e.parameters)
    origin = Origin(callee.name, place)
    if library and not scope.library:
        e.maker = origin
    try:
        with e.b.at(*((None, None) if scope.library else (place, path))):
            if isinstance(callee, Intrinsic):
                results = _intrinsic(e, callee, bound, place, scope)
            else:
                results = _body(e, callee, library, bound, place, scope, path, shared)
    finally:
        e.maker = before
    results = _seen_from_outside(e, callee, results, first, origin)
    outputs = tuple(v.type for v in results if isinstance(v, Tensor))
    if library and not scope.library and outputs and not _is_known(callee):
        parameters = tuple(e.parameters)[made:]
        e.rows.append(Row(path, callee.name, outputs, range(first, len(e.b.nodes)), parameters, place))
    return results


def setting_values(
    e: Elaboration, callee: Callee, signature: Signature, bound: Bound, site: Site, inner: Scope
) -> dict[str, Given]:
    """Every setting: given in the call, else by a `default` line, else by the signature.

    The default of a signature may use the settings before it.
    """
    result: dict[str, Given] = {}
    lines: dict[str, Given] = {}
    for default, home in () if site.scope.library else site.scope.settings(signature.name):
        for argument in default.settings:
            setting = signature.setting(argument.name)
            if setting is not None and argument.name not in lines and argument.name not in bound.settings:
                found = evaluate_setting(e, setting, argument.value, home)
                check_setting(setting, found, argument.value.place, signature.name)
                lines[argument.name] = Given(found, argument.value.place)
    for setting in signature.settings:
        given = bound.settings.get(setting.name) or lines.get(setting.name)
        if given is None and setting.default is REQUIRED:
            hint = f"its settings are {', '.join(s.name for s in signature.settings)}"
            raise fault("E307", f"`{site.name}` needs `{setting.name}`", site.place, hint)
        if given is None and isinstance(callee, Intrinsic):
            given = Given(setting.default, site.place)
        elif given is None:
            given = Given(evaluate_setting(e, setting, setting.default, inner), site.place)
        result[setting.name] = given
        inner.define(setting.name, given.value, site.place, "setting")
    for name, given in bound.settings.items():
        result.setdefault(name, given)
    return result


# ---- what is called --------------------------------------------------------------------------------


def _static(
    e: Elaboration,
    name: str,
    positional: Sequence[Expr],
    named: Sequence[Argument],
    place: Place,
    scope: Scope,
) -> Values | None:
    """A function of compile-time values, unless an argument is a tensor."""
    if name not in static.FUNCTIONS or not positional or named or name in e.catalogue.spec.blocks.own:
        return None
    if name in INTRINSICS and not all(_only_static(p, scope) for p in positional):
        return None
    found = [expressions.value(e, p, scope) for p in positional]
    if not all(static.is_value(v) for v in found):
        if name in INTRINSICS:
            return None
        wrong = next(i for i, v in enumerate(found) if not static.is_value(v))
        raise fault("E310", f"`{name}` takes compile-time values only", positional[wrong].place)
    if name in LIFTED and any(isinstance(v, Polynomial) for v in found):
        return None
    try:
        return (static.apply(name, found, place),)  # type: ignore[arg-type]
    except SpecError as error:
        raise found_in(error) from None


def _only_static(expr: Expr, scope: Scope) -> bool:
    """Does the expression hold compile-time values only?  It is not elaborated to find out."""
    return all(
        name in static.FUNCTIONS or not scope.has(name) or static.is_value(scope.get(name))
        for name in names_in(expr)
    ) and calls_in(expr) <= static.FUNCTIONS.keys()


def _layer(scope: Scope, name: str, place: Place) -> Layer | None:
    """The layer of that name.  Raises: Faults E302 for a name that cannot be called."""
    if not scope.has(name):
        return None
    found = scope.get(name)
    if isinstance(found, Layer):
        return found
    if found is BROKEN:
        raise Silent
    what = "a value" if isinstance(found, Tensor) else "a compile-time value"
    raise fault("E302", f"`{name}` is {what}, not an operation", place.first(len(name)))


def _find(e: Elaboration, name: str, place: Place, scope: Scope) -> tuple[Callee, bool]:
    found = e.catalogue.find(name, scope.library)
    if found is None:
        layers = [n for s in scope.chain() for n, x in s.entries.items() if isinstance(x.value, Layer)]
        hint = suggest(name, [*layers, *e.catalogue.operations(scope.library)])
        raise fault("E302", f"unknown operation `{name}`", place.first(len(name)), hint)
    return found


def signature_of(callee: Callee) -> Signature:
    if isinstance(callee, Intrinsic):
        return callee.signature
    if isinstance(callee, Block):
        return of_block(callee)
    return Signature(callee.name, tuple(i.name for i in callee.body.inputs), ())


def _is_known(callee: Callee) -> bool:
    return isinstance(callee, Intrinsic) and callee.name in UNCHANGED


def _seen_from_outside(
    e: Elaboration, callee: Callee, results: Values, first: int, origin: Origin
) -> Values:
    """Names made inside stay inside; an unnamed result is called like the block."""
    if isinstance(callee, Intrinsic):
        return results
    seen: list[Value] = []
    for found in results:
        if isinstance(found, Tensor) and found.id >= first:
            e.depth += 1
            found = e.rename(found, callee.name)
            e.depth -= 1
            assert isinstance(found, Tensor)
            found = replace(found, name="", origin=e.maker or origin)
        seen.append(found)
    return tuple(seen)


def _apply_layer(
    e: Elaboration, layer: Layer, site: Site, positional: Sequence[Expr], named: Sequence[Argument]
) -> Values:
    """Another use of a `let`: its own settings, the inputs of this place, the same weights."""
    node = layer.node
    if not isinstance(node, (Name, Call)):
        hint = "write `let name = operation(settings)`"
        raise fault("E303", "a layer is an operation or a block without its input", node.place, hint)
    name = node.id if isinstance(node, Name) else node.name
    callee, library = _find(e, name, node.place, layer.scope)
    e.count_call(site.place)
    signature = signature_of(callee)
    fixed = {s.name for s in node.named} if isinstance(node, Call) else set()
    inputs = tuple(name for name in signature.inputs if name not in fixed)
    uses = replace(signature, inputs=inputs, settings=(), by_name=(), extra=False)
    bound = bind(e, uses, positional, named, site)
    if isinstance(node, Call):
        made = Site(name, node.place, layer.scope, tuple(bound.inputs), False)
        bound = bind(e, signature, node.positional, node.named, made)
    shared = layer.uses > 0
    layer.uses += 1
    return invoke(e, callee, library, bound, site.place, layer.scope, layer.path, shared)


# ---- running it ------------------------------------------------------------------------------------


def _intrinsic(
    e: Elaboration, callee: Intrinsic, bound: Bound, place: Place, scope: Scope
) -> Values:
    site = Site(callee.name, place, scope, None, False)
    given = setting_values(e, callee, callee.signature, bound, site, Scope("", None))
    values: list[Value] = [*bound.inputs, *(g.value for g in bound.named.values())]
    ids = e.operands(values)
    count = len(bound.inputs)
    named = dict(zip(bound.named, ids[count:], strict=True))
    settings = {name: g.value for name, g in given.items()}
    request = Request(e.b, tuple(ids[:count]), settings, named, e.stream, e.bound)
    try:
        result = callee.build(request)
    except ShapeError as error:
        raise shape_fault(error, bound.inputs, place, callee.name) from None
    except (OverflowError, ZeroDivisionError) as error:
        raise fault("E313", str(error), place, None, callee.name) from None
    if isinstance(result, Known):
        return (result.value,)
    made = result if isinstance(result, tuple) else (result,)
    if callee.name in UNCHANGED:
        return tuple(bound.inputs)
    return tuple(e.tensor(id, Origin(callee.name, place), values) for id in made)


def _body(
    e: Elaboration,
    callee: Block | Net,
    library: bool,
    bound: Bound,
    place: Place,
    scope: Scope,
    path: str,
    shared: bool,
) -> Values:
    """A block, or a net used by another text: what is wrong inside is told with the way there."""
    if e.depth >= DEEPEST:
        hint = "a block that calls itself needs an `if` that ends it"
        raise fault("E308", f"`{callee.name}` is called more than {DEEPEST} deep", place, hint)
    e.depth += 1
    try:
        if isinstance(callee, Net):
            return bodies.run_net(e, callee, bound, place, scope)
        return bodies.run_block(e, callee, library, bound, place, scope, path, shared)
    except Faults as found:
        if library:
            raise Faults(f.lifted(place, callee.name) for f in found.faults) from None
        raise Faults(f.called(place, callee.name) for f in found.faults) from None
    finally:
        e.depth -= 1
