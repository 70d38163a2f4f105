"""Where names are defined: the names of a tree, each with its kind, place and owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..spec.expressions import Attribute, Binary, Call, Expr, Name, Unary
from ..spec.flows import given_names, parts
from ..spec.place import Place
from ..spec.tree import Block, Body, File, Flow, For, Node, Repeat, Step, Train, Type


@dataclass(frozen=True, slots=True)
class Definition:
    """A name that the text gives to something; `owner`: the block, net or step it is known in."""

    name: str
    kind: str
    place: Place
    owner: str = ""
    node: Node | None = None


def definitions(file: File) -> list[Definition]:
    """All names of a file."""
    found = [Definition(each.name, "param", each.place, "", each) for each in file.params]
    found += [Definition(each.name, "variant", each.place, "", each) for each in file.variants]
    for block in file.blocks:
        found += of_block(block)
    for net in file.nets:
        found.append(Definition(net.name, "net", net.place, "", net))
        found += _body(net.body, net.name)
    return found + list(_train(file.train))


def of_block(block: Block) -> list[Definition]:
    """A block and the names in it."""
    found = [Definition(block.name, "block", block.place, "", block)]
    for each in block.parameters:
        found.append(Definition(each.name, "parameter", each.place, block.name, each))
    return found + list(_body(block.body, block.name))


def _body(body: Body, owner: str) -> Iterator[Definition]:
    for each in body.inputs:
        yield Definition(each.name, "input", each.place, owner, each)
        yield from _sizes(each.type, owner)
    for let in body.lets:
        yield Definition(let.name, "layer", let.place, owner, let)
    for weight in body.weights:
        yield Definition(weight.name, "weight", weight.place, owner, weight)
    for assign in body.values:
        places = assign.places or (assign.place,) * len(assign.names)
        for name, place in zip(assign.names, places, strict=False):
            yield Definition(name, "value", place, owner, assign)
        yield from _flow(assign.flow, owner)
    for result in body.results:
        yield from _flow(result, owner)


def _flow(flow: Flow, owner: str) -> Iterator[Definition]:
    for name, place in given_names(flow):
        yield Definition(name, "value", place, owner)
    for piece in flow.pieces:
        match piece.stage:
            case Repeat(_, str(name), _, place) | For(name, _, _, place):
                yield Definition(name, "loop index", place, owner)
        for inner in parts(piece.stage):
            yield from _flow(inner, owner)


def _train(train: Train | None) -> Iterator[Definition]:
    if train is None:
        return
    for data in train.data:
        places = data.places or (data.place,) * len(data.names)
        for name, place in zip(data.names, places, strict=False):
            yield Definition(name, "data field", place, "train", data)
        for type in data.types or ():
            yield from _sizes(type, "train")
    for step in train.steps:
        yield Definition(step.name, "step", step.place, "train", step)
        yield from _step(step)


def _step(step: Step) -> Iterator[Definition]:
    for assign in step.values:
        places = assign.places or (assign.place,) * len(assign.names)
        for name, place in zip(assign.names, places, strict=False):
            yield Definition(name, "value", place, step.name, assign)
        yield from _flow(assign.flow, step.name)
    yield Definition("loss", "loss", step.loss.place, step.name, step)
    for metric in step.metrics:
        yield Definition(metric.name, "metric", metric.place, step.name, metric)
        yield from _flow(metric.flow, step.name)


def _sizes(type: Type, owner: str) -> Iterator[Definition]:
    """The symbolic sizes that a type mentions."""
    for dim in type.dims:
        for name in _names(dim):
            if name.id.isupper():
                yield Definition(name.id, "size", name.place, owner)


def _names(expr: Expr) -> Iterator[Name]:
    match expr:
        case Name():
            yield expr
        case Binary(_, left, right):
            yield from _names(left)
            yield from _names(right)
        case Unary(_, operand):
            yield from _names(operand)


def callee_of(expr: Expr) -> str | None:
    """The operation that a layer (`let`) is made of."""
    match expr:
        case Name(id):
            return id
        case Call(name):
            return name
        case Attribute(value):
            return callee_of(value)
    return None


def visible(found: list[Definition], owner: str, container: str) -> list[Definition]:
    """What can be named in the body, step or file of an owner, the nearest first."""
    owners = {owner, *(["train"] if container in ("step", "train") else [])} - {""}
    inner = [each for each in found if each.owner in owners]
    return inner + [each for each in found if not each.owner and each.kind != "variant"]


def nearest(found: list[Definition], name: str, line: int) -> Definition | None:
    """Of the visible definitions of a name, the last one up to a line, or else the first."""
    named = [each for each in found if each.name == name]
    before = [each for each in named if each.owner and each.place.line <= line]
    sizes = [each for each in named if each.kind == "size"]
    if sizes:
        return sizes[0]
    return before[-1] if before else named[0] if named else None
