"""Bodies of blocks and nets: inputs and their types, weights, layers, values, results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ...spec import static
from ...spec.dims import Dim, Polynomial
from ...spec.errors import suggest
from ...spec.expressions import Expr, Name
from ...spec.place import Place
from ...spec.prelude_index import prelude
from ...spec.tree import NOBODY, Assign, Block, Body, Default, Input, Net, Weight
from ..ir.types import TensorType
from . import callees, calls, expressions, flows
from .binding import Bound, Given
from .elaboration import Elaboration, ParameterDeclaration
from .faults import Fault, Faults, Silent, fault
from .names import names_in
from .request import agree, shown
from .scope import Scope
from .signature import of_block
from .starts import BUFFER, fans, initialiser, start
from .types import bind_input, turned_round
from .values import BROKEN, Layer, Origin, Tensor, Value, Values, show

NO_WEIGHTS: Mapping[str, Given] = {}


def run_block(
    e: Elaboration,
    block: Block,
    library: bool,
    bound: Bound,
    place: Place,
    scope: Scope,
    path: str,
    shared: bool,
) -> Values:
    """One use of a block."""
    body = Scope(path, e.catalogue.root(block.place, library), library=library, shared=shared)
    signature = of_block(block)
    given = calls.setting_values(e, signature, bound, place, body)
    if signature.variadic:
        body.inputs = tuple(bound.inputs)
    else:
        take_inputs(e, block.body.inputs, bound.inputs, body, place, block.name)
    return run_body(e, block.body, body, {**given, **bound.named})


def run_net(e: Elaboration, net: Net, bound: Bound, place: Place, scope: Scope) -> Values:
    """One use of a net: its weights are the same ones everywhere.

    One that learns, but in no step, is used as in evaluation: without dropout, by its running
    statistics.
    """
    if net.name in e.catalogue.broken:
        raise Silent
    if net.name in e.running:
        raise fault(
            "E308", f"the net `{net.name}` uses itself", place, "make it a block with an `if`"
        )
    body = Scope(net.name, e.catalogue.root(net.place, False))
    take_inputs(e, net.body.inputs, bound.inputs, body, place, net.name)
    bound_to = {n: x.value for n, x in body.entries.items() if x.kind == "dim"}
    e.catalogue.seen.setdefault(
        net.name, {n: value for n, value in bound_to.items() if isinstance(value, int)}
    )
    made, e.made = e.made, set()
    e.running.append(net.name)
    training = e.training
    e.training = training and net.name not in e.catalogue.resting
    try:
        return run_body(e, net.body, body, NO_WEIGHTS)
    finally:
        e.made, e.training = made, training
        e.running.pop()


def take_inputs(
    e: Elaboration,
    inputs: Sequence[Input],
    given: Sequence[Value],
    body: Scope,
    place: Place,
    subject: str,
) -> None:
    """Bind what arrives to the names and types of the inputs; one input is also the body's own."""
    taken = []
    for declared, value in zip(inputs, given, strict=True):
        try:
            arrived = bind_input(e, declared, value, body, place, subject)
        except Faults as wrong:
            way = turned_round(inputs, given, subject)
            if way is None:
                raise
            raise Faults([replace(each, hint=way) for each in wrong.faults]) from None
        body.define(declared.name, arrived, declared.place, "input")
        taken.append(arrived)
    body.inputs = tuple(taken) if len(taken) == 1 else None


def run_body(e: Elaboration, text: Body, body: Scope, given: Mapping[str, Given]) -> Values:
    """Everything between the braces; all that is wrong in it is told at once."""
    body.defaults = text.defaults
    faults: list[Fault] = []
    for default in text.defaults:
        attempt(lambda default=default: check_default(e, default, body), faults)  # type: ignore[misc]
    for let in text.lets:
        layer = Layer(let.name, let.value, body.below(let.name), body, let.place)
        body.define(let.name, layer, let.place, "let")
    _weights(e, text.weights, body, given, faults)
    for assign in text.values:
        run_assign(e, assign, body, faults)
    results: list[Value] = []
    whole = True
    for result in text.results:
        found = attempt(lambda result=result: flows.flow(e, result, body), faults)  # type: ignore[misc]
        whole = whole and found is not None
        if found is None:
            body.mark(names_in(result))
        results += found or ()
    for name, entry in () if body.library else body.unused():
        faults.append(
            Fault("E204", f"`{name}` is never used", entry.place, "use it, or leave it out")
        )
    if faults:
        raise Faults(faults)
    if not whole:
        raise Silent
    return tuple(results)


def run_assign(e: Elaboration, assign: Assign, scope: Scope, faults: list[Fault]) -> None:
    """`a, b = flow`; after a fault the names are broken, and silent."""
    label = assign.names[0] if len(assign.names) == 1 and assign.names[0] != NOBODY else None

    def run() -> Values:
        found = flows.flow(e, assign.flow, scope, label)
        return flows.give_names(e, assign.names, assign.places, found, scope, assign.place, "value")

    if attempt(run, faults) is None:
        scope.mark(names_in(assign.flow))
        for name in set(assign.names) - {NOBODY}:
            scope.define(name, BROKEN, assign.place, "broken")


def attempt(run: Callable[[], Values | None], faults: list[Fault]) -> Values | None:
    """The result, or None after taking down what is wrong."""
    try:
        return run() or ()
    except Faults as found:
        if found.fatal:
            raise
        faults += found.faults
    except Silent:
        pass
    return None


def check_default(e: Elaboration, default: Default, scope: Scope) -> None:
    """Raises: Faults E302, E304 for a `default` of something unknown."""
    found = e.catalogue.find(default.operation, scope.library)
    if found is None:
        hint = suggest(default.operation, e.catalogue.operations())
        raise fault("E302", f"unknown operation `{default.operation}`", default.place, hint)
    signature = callees.signature_of(found[0])
    names = [s.name for s in signature.settings]
    for setting in default.settings:
        if setting.name not in names:
            hint = suggest(setting.name, names) or f"its settings are {', '.join(names)}"
            message = f"`{default.operation}` has no setting `{setting.name}`"
            raise fault("E304", message, setting.place, hint)


# ---- weights ---------------------------------------------------------------------------------


def _weights(
    e: Elaboration,
    weights: Sequence[Weight],
    body: Scope,
    given: Mapping[str, Given],
    faults: list[Fault],
) -> None:
    before: tuple[int, int] | None = None
    for weight in weights:
        try:
            value, shape = _weight(e, weight, body, given.get(weight.name), before)
            before = fans(shape, before)
        except Faults as found:
            faults += found.faults
            value = BROKEN
        except Silent:
            value = BROKEN
        body.define(weight.name, value, weight.place, "setting" if value is False else "weight")


def _weight(
    e: Elaboration,
    weight: Weight,
    body: Scope,
    given: Given | None,
    before: tuple[int, int] | None,
) -> tuple[Value, tuple[int, ...]]:
    """The tensor of a weight: its own parameter, one given instead, or False for none."""
    if given is not None and given.value is False:
        body.mark([weight.name])
        return False, ()
    shape = _shape(e, weight, body)
    if given is not None and given.value is not True:
        return _replaced(weight, shape, given), shape
    name = body.below(weight.name)
    if name in e.made and not body.shared:
        hint = "give one of the two another name with `as`"
        raise fault(
            "E502", f"two parameters are named `{name.partition('.')[2]}`", weight.place, hint
        )
    e.made.add(name)
    if name not in e.parameters:
        _declare(e, weight, name, shape, body, before)
        origin = Origin(weight.name, e.home or weight.place, "weight")
        since = (e.maker or origin,) * len(shape)
        type = TensorType("f32", shape)
        e.declare(Tensor(-1, type, origin, weight.name, since, name))
    _check_same(e.parameters[name].type.shape, shape, name, weight.place)
    e.weigh(name, body.shared)
    return e.parameters[name], shape


def _shape(e: Elaboration, weight: Weight, body: Scope) -> tuple[int, ...]:
    dims: list[int] = []
    for dim in weight.type.dims:
        known = expressions.known(e, dim, body, "a size of a weight")
        for found in known if isinstance(known, tuple) else (known,):
            if isinstance(found, Polynomial):
                hint = "give the axis a number in the type of the net's input"
                text = f"`{weight.name}` needs a known size, not {found}"
                raise fault("E501", text, dim.place, hint)
            if isinstance(found, bool) or not isinstance(found, int) or found < 1:
                raise _no_size(weight, dim, found, body)
            dims.append(found)
    if weight.type.dtype != "f32":
        hint = "`precision` in `train` says in which type they are computed with"
        raise fault("E504", f"a parameter is f32, not {weight.type.dtype}", weight.type.place, hint)
    return tuple(dims)


def _no_size(weight: Weight, dim: Expr, found: static.Value, body: Scope) -> Faults:
    """A size that is none, told at the argument that gives it where that is known."""
    entry = body.entry(dim.id) if isinstance(dim, Name) else None
    what = f"`{dim.id}`" if isinstance(dim, Name) else f"a size of `{weight.name}`"
    text = f"{what} must be a whole number of at least 1, not {show(found)}"
    given = body.library and entry is not None and entry.kind == "setting"
    given = given and entry is not None and entry.place is not None and _of_user(entry.place)
    return Faults(
        (Fault("E311", text, entry.place if given and entry else dim.place, settled=given),)
    )


def _of_user(place: Place) -> bool:
    """Is it a place to show?  Nobody sees the inside of the library."""
    return place.file not in prelude().texts


def _replaced(weight: Weight, shape: tuple[int, ...], given: Given) -> Value:
    """A tensor in place of the own parameter."""
    tensor = given.value
    if not isinstance(tensor, Tensor):
        raise fault(
            "E311", f"`{weight.name}` is true, false or a tensor, not {show(tensor)}", given.place
        )
    have = tensor.type.shape
    if len(have) != len(shape) or any(agree(a, b) for a, b in zip(shape, have, strict=True)):
        path = tensor.weight.partition(".")[2]
        what = f"`{path or tensor.name}`" if path or tensor.name else "the one given"
        message = f"{weight.name} must be {shown(shape)}, {what} is {shown(have)}"
        owner = path.rpartition(".")[0] or path or tensor.name
        made = f"`{owner}` is made at {tensor.origin.where(given.place)}" if owner else None
        settled = _of_user(given.place)
        raise Faults((Fault("E406", message, given.place, made, settled=settled),))
    return Tensor(
        tensor.id,
        tensor.type,
        tensor.origin,
        tensor.name,
        tensor.since,
        tensor.weight or weight.name,
    )


def _declare(
    e: Elaboration,
    weight: Weight,
    name: str,
    shape: tuple[int, ...],
    body: Scope,
    before: tuple[int, int] | None,
) -> None:
    """Enter the parameter into the program, or find it there."""
    known = e.catalogue.declared.get(name)
    if known is not None:
        _check_same(known.shape, shape, name, weight.place)
        return
    if not e.declaring:
        hint = "make it in both cases, and choose what to do with it"
        raise fault("E503", f"the parameter `{name}` exists in training only", weight.place, hint)
    begin = start(e, weight.init, body)
    place = e.home or weight.place
    e.catalogue.declared[name] = ParameterDeclaration(
        name,
        shape,
        "f32",
        initialiser(begin, fans(shape, before)),
        name,
        place,
        trainable=begin.kind != BUFFER,
    )


def _check_same(known: Sequence[Dim], shape: tuple[int, ...], name: str, place: Place) -> None:
    if tuple(known) != shape:
        message = f"`{name}` is {shown(tuple(known))} at its first use and {shown(shape)} here"
        raise fault("E406", message, place, "all uses of a layer share its weights")
