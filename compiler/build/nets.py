"""Each net as a graph of its own, for inference: its parameters are declared here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ...spec.dims import Dim
from ...spec.expressions import Name
from ...spec.place import Place
from ...spec.tree import Flow, Net, is_structure
from ..conditions import Condition, conditions
from ..ir.builder import Builder
from ..ir.graph import Graph
from ..ir.types import TensorType, held
from . import bodies, expressions, types
from .cost import live, total
from .elaboration import Catalogue, Elaboration
from .faults import Fault, Faults, Silent, fault
from .outline import Part
from .scope import Scope
from .values import Origin, Tensor, Values, show


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a net's table.  Units: `parameters` in elements, `flops` of the forward pass."""

    path: str
    op: str
    outputs: tuple[TensorType, ...]
    parameters: int
    flops: Dim
    place: Place


@dataclass(frozen=True, slots=True)
class NetProgram:
    """A net in inference mode; its graph is fed with the inputs and the parameters by name.

    `needs`: what must hold of the sizes of its inputs.  `below`: how many entries the tables have
    that inputs of whole numbers index.  `buffers`: what training leaves in each
    buffer, or the buffer itself.
    """

    name: str
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    builder: Builder
    layers: tuple[Layer, ...]
    parameters: tuple[str, ...]
    place: Place
    needs: tuple[Condition, ...]
    buffers: Mapping[str, int]
    below: Mapping[str, int]

    @property
    def graph(self) -> Graph:
        """The net as a graph."""
        return self.builder.graph()


def build_net(
    catalogue: Catalogue, net: Net, index: int, *, training: bool = False
) -> NetProgram | None:
    """The program of a net, or None after noting what is wrong with it.

    `training`: with everything that happens only while training, such as dropout.
    """
    e = Elaboration(catalogue, training=training, declaring=True, streams=(index + 1) << 20)
    try:
        return _build(e, net)
    except Faults as found:
        catalogue.add(found)
    except Silent:
        pass
    catalogue.broken.add(net.name)
    return None


def build_outline(catalogue: Catalogue, net: Net, index: int) -> tuple[Part, ...]:
    """What runs in a net without faults, as its text calls it."""
    e = Elaboration(catalogue, training=False, declaring=True, streams=(index + 1) << 20)
    _build(e, net)
    return tuple(e.outline.parts)


def _build(e: Elaboration, net: Net) -> NetProgram:
    body = Scope(net.name, e.catalogue.root(net.place, False))
    inputs = _inputs(e, net, body)
    e.running.append(net.name)
    results = bodies.run_body(e, net.body, body, bodies.NO_WEIGHTS)
    tensors = _tensors(results, net)
    for name, tensor in zip(_output_names(net, tensors), tensors, strict=True):
        e.b.outputs[name] = tensor.id
    outputs = {name: e.b[i].type for name, i in e.b.outputs.items()}
    parameters = tuple(name for name in e.parameters)
    layers = _layers(e, net.name)
    declared = e.catalogue.declared
    kept = {name: e.parameters[name].id for name in parameters if not declared[name].trainable}
    buffers = kept | e.updates
    needs = conditions(e.b, live(e.b, e.b.outputs.values()))
    below = {n: high for n, (_, high, ignore) in e.bounds.items() if n in inputs and ignore is None}
    return NetProgram(
        net.name, inputs, outputs, e.b, layers, parameters, net.place, needs, buffers, below
    )


def _inputs(e: Elaboration, net: Net, body: Scope) -> dict[str, TensorType]:
    found: dict[str, TensorType] = {}
    taken: list[Tensor] = []
    faults: list[Fault] = []
    for declared in net.body.inputs:
        try:
            type = types.declared_type(e, declared.type, body, declared.place)
        except Faults as wrong:
            faults += wrong.faults
            continue
        found[declared.name] = type
        id = e.b.rounded(e.b.input(declared.name, held(type)), type.dtype)
        tensor = e.tensor(id, Origin(declared.name, declared.place, "input"), (), declared.name)
        body.define(declared.name, tensor, declared.place, "input")
        taken.append(tensor)
    if faults:
        raise Faults(faults)
    if not net.body.inputs:
        raise fault(
            "E214", f"net `{net.name}` has no `in`", net.place, "for instance `in x: f32[B, 64]`"
        )
    body.inputs = tuple(taken) if len(taken) == 1 else None
    return found


def _tensors(results: Values, net: Net) -> list[Tensor]:
    tensors = []
    for value, flow in zip(results, [*net.body.results] * len(results), strict=False):
        expressions.needs_value(value, flow.place)
        if not isinstance(value, Tensor):
            raise fault("E317", f"the result of a net is a tensor, not {show(value)}", flow.place)
        tensors.append(value)
    return tensors


def _output_names(net: Net, tensors: list[Tensor]) -> list[str]:
    """What the text calls each result; the rest are `output`."""
    called: list[str] = []
    for flow in net.body.results:
        called += _names_of(flow)
    if len(called) != len(tensors):
        called = [t.name or "output" for t in tensors]
    names: list[str] = []
    for name, tensor in zip(called, tensors, strict=True):
        own = name or tensor.name or "output"
        count = sum(n == own or n.startswith(f"{own}_") for n in names)
        names.append(own if not count else f"{own}_{count + 1}")
    return names


def _names_of(flow: Flow) -> list[str]:
    last = flow.pieces[-1]
    if last.names:
        return list(last.names)
    stage = last.stage
    if not is_structure(stage) and isinstance(stage, Name) and len(flow.pieces) == 1:
        return [stage.id]
    return [""]


def _layers(e: Elaboration, net: str) -> tuple[Layer, ...]:
    """The table: a node counts for the call that made it, if it is needed at all.

    A product that a later call turned round still bears the name of its own call.
    """
    needed = live(e.b, e.b.outputs.values())
    paths = Counter(row.path for row in e.rows)
    once = {row.path for row in e.rows if paths[row.path] == 1}
    named: dict[str, list[int]] = {}
    for i in needed:
        named.setdefault(e.b[i].scope, []).append(i)
    layers = []
    for row in e.rows:
        made = [i for i in row.nodes if i in needed and e.b[i].scope not in once]
        made += named.get(row.path, []) if row.path in once else []
        declared = e.catalogue.declared
        size = sum(_count(e, name) for name in row.parameters if declared[name].trainable)
        cost = total(e.b, made)
        path = row.path.removeprefix(f"{net}.")
        layers.append(Layer(path, row.op, row.outputs, size, cost, row.place))
    return tuple(layers)


def _count(e: Elaboration, name: str) -> int:
    count = 1
    for extent in e.parameters[name].type.shape:
        assert isinstance(extent, int)
        count *= extent
    return count
