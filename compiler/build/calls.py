"""Calls: of intrinsics, blocks, nets, and layers made by `let`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from ...spec import static
from ...spec.dims import Polynomial
from ...spec.errors import SpecError
from ...spec.expressions import Call, Expr, Name
from ...spec.expressions import Setting as Argument
from ...spec.place import Place
from ...spec.tree import Block, Net
from ..ir.op import ShapeError
from . import bodies, expressions, scanning
from .binding import Bound, Given, Site, bind, evaluate_setting
from .callees import find, layer_named, signature_of
from .elaboration import DEEPEST, Callee, Elaboration
from .elsewhere import not_called
from .faults import Faults, fault, found_in
from .intrinsics import INTRINSICS, Intrinsic
from .messages import shape_fault
from .names import calls_in, names_in
from .outline import Part, ids, settings_text
from .request import Known, Request
from .scope import Scope
from .signature import Signature
from .values import Layer, Origin, Tensor, Value, Values, is_number

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

    `piped`: what the arrow brings; `head`: the call opens a flow; `label`: the name given by `as`
    or `=`; `path`: the whole path, where a loop decides it.
    """
    if piped is None:
        value = _static(e, name, positional, named, place, scope)
        if value is not None:
            return value
    layer = layer_named(e, scope, name, place)
    if layer is not None:
        return apply_layer(e, layer, Site(name, place, scope, piped, head), positional, named)
    callee, library = find(e, name, place, scope)
    e.count_call(place)
    site = Site(name, place, scope, piped, head)
    if scanning.is_scan(callee):
        path = path or scope.below(label or scope.segment(name))
        return scanning.scan(e, positional, named, site, path, shared=scope.shared)
    signature = signature_of(callee)
    bound = bind(e, signature, positional, named, site)
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
        return call(
            e, expr.id, (), (), expr.place, scope, piped=piped, head=head, label=label, path=path
        )
    if isinstance(expr, Call):
        name, positional, named, place = expr.name, expr.positional, expr.named, expr.place
        return call(
            e, name, positional, named, place, scope, piped=piped, head=head, label=label, path=path
        )
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
    home: Place | None = None,
) -> Values:
    """Run a callee with its arguments; what it makes carries the place of the user's call.

    `home`: where a layer was made, if that is not here.
    """
    memory = e.catalogue.memory
    if memory is None or scope.library or not isinstance(callee, Block):
        return _invoke(e, callee, library, bound, place, scope, path, shared, home)
    found = memory.key(e, callee, bound, place, home, shared)
    if found is None:
        return _invoke(e, callee, library, bound, place, scope, path, shared, home)
    key, operands = found
    if (played := memory.play(e, key, operands, place, path)) is not None:
        return played
    if not memory.again(key):
        return _invoke(e, callee, library, bound, place, scope, path, shared, home)
    with memory.recording(e, key, operands, path) as recording:
        recording.results = _invoke(e, callee, library, bound, place, scope, path, shared, home)
    return recording.results


def _invoke(
    e: Elaboration,
    callee: Callee,
    library: bool,
    bound: Bound,
    place: Place,
    scope: Scope,
    path: str,
    shared: bool,
    home: Place | None,
) -> Values:
    """What `invoke` does where nothing can be played back."""
    first = e.enter()
    before = e.maker, e.home
    origin = Origin(callee.name, place)
    if library and not scope.library:
        e.maker, e.home = origin, home or place
    elif not library:
        e.home = None
    part = _part(callee, library, bound, place, path)
    try:
        with (
            e.b.at(*((None, None) if scope.library else (place, path))),
            nullcontext() if scope.library else e.outline.inside(part),
        ):
            if isinstance(callee, Intrinsic):
                results = _intrinsic(e, callee, bound, place, scope)
            else:
                results = _body(e, callee, library, bound, place, scope, path, shared)
    finally:
        e.maker, e.home = before
    results = _seen_from_outside(e, callee, results, first[0], origin)
    part.results, part.parameters = ids(results), e.since(first)
    outputs = tuple(v.type for v in results if isinstance(v, Tensor))
    if e.catalogue.trace is not None and not scope.library:
        inputs = tuple(v.type for v in bound.inputs if isinstance(v, Tensor))
        e.catalogue.trace.call((place, home), callee.name, path, inputs, outputs)
    shown = library and not scope.library and outputs and not _is_known(callee)
    e.leave((path, callee.name, outputs, place) if shown else None, first)
    return results


def setting_values(
    e: Elaboration, signature: Signature, bound: Bound, place: Place, inner: Scope
) -> dict[str, Given]:
    """Every setting of a block: given, or a default, which may use the settings before it."""
    result: dict[str, Given] = {}
    for setting in signature.settings:
        given = bound.settings.get(setting.name)
        if given is None:
            given = Given(evaluate_setting(e, setting, setting.default, inner), place)
        result[setting.name] = given
        found = given.value
        found = replace(found, given=True) if isinstance(found, Tensor) else found
        inner.define(setting.name, found, given.place, "setting")
    return result


def _static(
    e: Elaboration,
    name: str,
    positional: Sequence[Expr],
    named: Sequence[Argument],
    place: Place,
    scope: Scope,
) -> Values | None:
    """A function of compile-time values, unless an argument is a tensor."""
    if (
        name not in static.FUNCTIONS
        or not positional
        or named
        or name in e.catalogue.spec.blocks.own
        or (scope.has(name) and not scope.library)
    ):
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
    return (
        all(not scope.has(name) or static.is_value(scope.get(name)) for name in names_in(expr))
        and calls_in(expr) <= static.FUNCTIONS.keys()
    )


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
        if isinstance(found, Tensor) and e.fresh(found.id, first):
            e.depth += 1
            found = e.rename(found, callee.name)
            e.depth -= 1
            assert isinstance(found, Tensor)
            found = replace(found, name="", origin=e.maker or origin)
        seen.append(found)
    return tuple(seen)


def apply_layer(
    e: Elaboration, layer: Layer, site: Site, positional: Sequence[Expr], named: Sequence[Argument]
) -> Values:
    """Another use of a `let`: its own settings, the inputs of this place, the same weights."""
    node = layer.node
    if not isinstance(node, (Name, Call)):
        hint = "write `let name = operation(settings)`"
        raise fault(
            "E303", "a layer is an operation or a block without its input", node.place, hint
        )
    name = node.id if isinstance(node, Name) else node.name
    other = layer.scope.entry(name)
    if other is not None and other.value is not layer and not layer.scope.library:
        raise not_called(e, other, name, node.place)
    callee, library = find(e, name, node.place, layer.scope)
    e.count_call(site.place)
    if scanning.is_scan(callee):
        return _scan_layer(e, layer, site, positional, named)
    signature = signature_of(callee)
    fixed = {s.name for s in node.named} if isinstance(node, Call) else set()
    inputs = tuple(name for name in signature.inputs if name not in fixed)
    uses = replace(signature, inputs=inputs, settings=(), by_name=(), extra="")
    bound = bind(e, uses, positional, named, site)
    own = node if isinstance(node, Call) else Call(name, (), (), node.place)
    made = Site(name, node.place, layer.scope, tuple(bound.inputs), False)
    bound = bind(e, signature, own.positional, own.named, made)
    shared = layer.uses > 0 or layer.scope.shared
    layer.uses += 1
    return invoke(
        e, callee, library, bound, site.place, layer.scope, layer.path, shared, node.place
    )


def _scan_layer(
    e: Elaboration, layer: Layer, site: Site, positional: Sequence[Expr], named: Sequence[Argument]
) -> Values:
    """Another walk of the same cell, over the sequences of this place."""
    node = layer.node
    own = node if isinstance(node, Call) else Call(layer.name, (), (), node.place)
    found = [v for expr in positional for v in expressions.values(e, expr, site.scope)]
    made = replace(site, piped=(*(site.piped or ()), *found))
    starts = {a.name for a in named}
    kept = [a for a in own.named if a.name not in starts]
    shared = layer.uses > 0 or layer.scope.shared
    layer.uses += 1
    arguments = own.positional, (*kept, *named), made, layer.path
    return scanning.scan(e, *arguments, shared=shared, home=layer.scope)


# ---- running it ------------------------------------------------------------------------------


def _part(callee: Callee, library: bool, bound: Bound, place: Place, path: str) -> Part:
    """The call as the outline has it; tensors in the place of settings are inputs too."""
    kind = "layer" if library else "net" if isinstance(callee, Net) else "block"
    named = {name: given.value for name, given in (bound.named | bound.settings).items()}
    tensors = [v for v in named.values() if isinstance(v, Tensor) and not v.weight]
    if library and len(bound.inputs) == 2:
        sides = zip(("left", "right"), bound.inputs, strict=True)
        named |= {side: value for side, value in sides if is_number(value)}
    inputs = dict.fromkeys(ids((*bound.inputs, *tensors)))
    return Part(kind, callee.name, path, place, tuple(inputs), settings=settings_text(named))


def _intrinsic(
    e: Elaboration, callee: Intrinsic, bound: Bound, place: Place, scope: Scope
) -> Values:
    values: list[Value] = [*bound.inputs, *(g.value for g in bound.named.values())]
    ids = e.operands(values)
    count = len(bound.inputs)
    named = dict(zip(bound.named, ids[count:], strict=True))
    settings = {s.name: s.default for s in callee.signature.settings}
    settings |= {name: given.value for name, given in bound.settings.items()}
    request = Request(e.b, tuple(ids[:count]), settings, named, e.stream, e.bound, e.update)
    try:
        result = callee.build(request)
    except ShapeError as error:
        raise shape_fault(e, error, bound.inputs, place, callee.name) from None
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
    if e.depth >= DEEPEST and not library:
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
        raise Faults(
            f if f.place == place and f.subject == callee.name else f.called(place, callee.name)
            for f in found.faults
        ) from None
    finally:
        e.depth -= 1
