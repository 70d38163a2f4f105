"""One namespace: no name in a body, step or data line hides a param, a block or a net.

Operations of the library may be hidden: whoever calls one then is told so (see `calls.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from ...spec.flows import given_names, parts
from ...spec.place import Place
from ...spec.tree import Body, Flow, For, Repeat, Step, Train
from .elaboration import Catalogue
from .faults import Fault

Named = Iterator[tuple[str, Place]]


def hiding(catalogue: Catalogue) -> Iterator[Fault]:
    """Every name that is taken already.  The settings of a block may be called like a param."""
    spec = catalogue.spec
    for block in spec.blocks.own.values():
        params = set(spec.home(block).constants)
        own = [(p.name, p.place) for p in block.parameters]
        settings = {name for name, _ in own}
        yield from _taken(catalogue, own, set())
        yield from _taken(catalogue, _of_body(block.body), params - settings)
    params = set(spec.constants)
    yield from _taken(catalogue, [(p.name, p.place) for p in spec.file.params], set(), ())
    for net in spec.file.nets:
        yield from _taken(catalogue, _of_body(net.body), params)
    if spec.file.train is not None:
        yield from _taken(catalogue, _of_train(spec.file.train), params)


def _taken(
    catalogue: Catalogue,
    names: list[tuple[str, Place]] | Named,
    params: set[str],
    kinds: tuple[str, ...] = ("block", "net"),
) -> Iterator[Fault]:
    for name, place in names:
        what = "param" if name in params else catalogue.taken(name)
        if what in ("param", "word", *kinds):
            text = f"`{name}` hides the {what} of the same name"
            yield Fault("E202", text, place, f"rename it: `own_{name}`")


def _of_body(body: Body) -> Named:
    yield from ((each.name, each.place) for each in body.inputs)
    yield from ((each.name, each.place) for each in body.lets)
    yield from ((each.name, each.place) for each in body.weights)
    for assign in body.values:
        yield from zip(assign.names, assign.places or (assign.place,), strict=False)
        yield from _of_flow(assign.flow)
    for result in body.results:
        yield from _of_flow(result)


def _of_flow(flow: Flow) -> Named:
    """The names that `as` gives, and those of loops."""
    yield from given_names(flow)
    for piece in flow.pieces:
        match piece.stage:
            case Repeat(_, str(name), _, place) | For(name, _, _, place):
                yield name, place
        for inner in parts(piece.stage):
            yield from _of_flow(inner)


def _of_train(train: Train) -> Named:
    for data in train.data:
        yield from zip(data.names, data.places, strict=True)
    for step in train.steps:
        yield from _of_step(step)


def _of_step(step: Step) -> Named:
    for assign in step.values:
        yield from zip(assign.names, assign.places or (assign.place,), strict=False)
        yield from _of_flow(assign.flow)
    for flow in (step.loss, *(metric.flow for metric in step.metrics)):
        yield from _of_flow(flow)
