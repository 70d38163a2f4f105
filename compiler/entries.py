"""The graphs of every entry of a program: what is computed, fed and returned."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..spec.dims import Dim, multiples, symbol
from .artifact import Expression, Need, Port, Scalar
from .conditions import Condition, conditions, places
from .ir.builder import Builder
from .ir.graph import Graph
from .ir.types import FLOATS, TensorType, held
from .ops import OPS
from .ops.rules import RULES
from .passes.differentiate import differentiate
from .passes.fold_norms import fold_norms
from .plan.memory import expression
from .update import LARGEST, UpdateGraph, update_graph

if TYPE_CHECKING:
    from .build import NetProgram, Program, StepProgram


@dataclass(frozen=True, slots=True)
class EntryGraph:
    """One entry before planning.

    `outputs` are the ports' names in order, all outputs of `graph`; `gradients` maps other
    outputs to the parameter whose gradient they are, `buffers` to the one whose new value they
    are; `update` follows in the same call.
    """

    kind: str
    subject: str
    graph: Graph | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    gradients: Mapping[str, str]
    update: UpdateGraph | None = None
    buffers: Mapping[str, str] = field(default_factory=dict)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        found = self.update.scalars if self.update is not None else {}
        return tuple(Scalar(name, value) for name, value in found.items())


def own_memory(b: Builder, outputs: Mapping[str, int]) -> dict[str, int]:
    """Give every output memory of its own: no aliases, no inputs, no value twice."""
    found: dict[str, int] = {}
    for name, i in outputs.items():
        plain = b[i].op in ("input", "constant") or OPS[b[i].op].lowering in ("alias", "view")
        found[name] = b.copy(i, name) if plain or i in found.values() else i
    return found


def port(name: str, type: TensorType) -> Port:
    """A tensor at the border, its symbolic dimensions as plain data."""
    return Port(name, held(type).dtype, tuple(_extent(d) for d in type.shape))


def ports_of(net: NetProgram, fed: Collection[str] | None = None) -> tuple[Port, ...]:
    """The inputs of a net, or those of them that are fed."""
    return tuple(
        replace(port(name, type), below=net.below.get(name, 0))
        for name, type in net.inputs.items()
        if fed is None or name in fed
    )


def _extent(dim: Dim) -> Expression:
    """A size that a call binds is its name, also where it has to be a multiple."""
    for name, multiple in multiples(dim).items():
        if dim == symbol(name, multiple):
            return name
    return expression(dim)


def needs_of(entry: EntryGraph) -> tuple[Need, ...]:
    """What an entry demands of the sizes of its inputs."""
    if entry.graph is None:
        return ()
    graph = entry.graph
    dims = {dim for node in graph.inputs() for dim in node.shape}
    divisors = sorted({pair for dim in dims for pair in multiples(dim).items() if pair[1] > 1})
    whole = [
        Need(f"{name} to be divisible by {divisor}", ("-", 0, ("%", name, divisor)))
        for name, divisor in divisors
    ]
    live = [node.id for node in graph]
    found = (*conditions(graph, live), *places(graph, live))
    return (*whole, *(Need(_said(each), expression(each.least)) for each in found))


def _said(condition: Condition) -> str:
    """The condition and the line that it comes from."""
    return f"{condition.text} ({condition.place})" if condition.place else condition.text


LEARNING = ("train", "backward")
"""Kinds of entries that go forward and backward, whose traffic is reported."""

LOSS_SCALE = "loss_scale"
"""The input by which a loss is multiplied before its gradients are computed in f16."""


def training_graph(
    step: StepProgram, trained: Sequence[str], *, scaled: bool = False
) -> tuple[Graph, dict[str, str]]:
    """Loss, metrics and the gradients of the `trained` parameters; which output is whose
    gradient.

    `scaled`: by way of the gradients of the loss times the input `loss_scale`.
    """
    b = step.builder
    wanted = {name: step.parameters[name] for name in trained if name in step.parameters}
    if scaled:
        scale = b.input(LOSS_SCALE, TensorType("f32", ()))
        found = differentiate(b, b.map("mul", step.loss, scale), list(wanted.values()))
        inverse = b.map("div", b.constant(1.0), scale, name="inverse_scale")
        for i, g in list(found.items()):
            found[i] = b.map("mul", g, b.broadcast(inverse, (), b[g].shape), name=b[g].name)
    else:
        found = differentiate(b, step.loss, list(wanted.values()))
    outputs = {"loss": step.loss, **{name: b.cast(i, "f32") for name, i in step.metrics.items()}}
    outputs |= {f"d_{name}": found[i] for name, i in wanted.items()}
    b.outputs = own_memory(b, outputs)
    return b.graph(), {f"d_{name}": name for name in wanted}


def step_entries(
    program: Program,
    step: StepProgram,
    update: UpdateGraph,
    alone: UpdateGraph,
    *,
    scaled: bool = False,
) -> list[EntryGraph]:
    """train, gradient, update, evaluate and probe of one training step; `scaled`: see
    `training_graph`.
    """
    graph, gradients = training_graph(step, trained_by(program, step), scaled=scaled)
    whole, buffers = with_buffers(graph, step.buffers)
    fields = tuple(port(name, type) for name, type in step.inputs.items())
    inputs = (*fields, Port(LOSS_SCALE, "f32", ())) if scaled else fields
    values = ("loss", *step.metrics)
    results = tuple(Port(name, "f32", ()) for name in values)
    norm = Port("gradient_norm_squared", "f32", ())
    evaluation = _evaluation(step)
    name = step.name
    return [
        EntryGraph("train", name, whole, inputs, (*results, norm), gradients, update, buffers),
        EntryGraph("gradient", name, whole, inputs, results, gradients, None, buffers),
        EntryGraph("update", name, None, (), (norm,), {}, alone),
        EntryGraph("evaluate", name, evaluation, fields, results, {}),
        EntryGraph("probe", name, whole, inputs, results, gradients),
    ]


def trained_by(program: Program, step: StepProgram) -> list[str]:
    """The parameters that a step updates by their gradients."""
    return [d.name for d in program.parameters if d.trainable and step.trains(d.name)]


def with_buffers(graph: Graph, updates: Mapping[str, int]) -> tuple[Graph, dict[str, str]]:
    """The graph that also leaves what training makes of each buffer; which output is whose.

    A value that is not finite leaves the buffer as it was.  Where something else reads the buffer,
    the new values are put in its place when all else is done: in the last two phases.
    """
    if not updates:
        return graph, {}
    b = Builder(OPS, RULES)
    b.nodes = list(graph.nodes)
    feeds = {n["feed"]: n.id for n in b.nodes if n.op == "input"}
    b.outputs = dict(graph.outputs)
    live = Graph(graph.nodes, {**graph.outputs, **{f"new_{n}": i for n, i in updates.items()}})
    late = max(node.phase for node in live) + 1
    for name, i in updates.items():
        alone = _replaced_at_once(live, feeds[name], i)
        with b.like(b[i] if alone else replace(b[i], phase=late)):
            healthy = b.map("le", b.map("abs", i), LARGEST)
            new = b.map("where", healthy, i, feeds[name], name=b[i].name)
        if not alone:
            with b.like(replace(b[i], phase=late + 1)):
                new = b.copy(new, b[i].name)
        b.outputs[f"new_{name}"] = new
    return b.graph(), {f"new_{name}": name for name in updates}


def _replaced_at_once(graph: Graph, old: int, new: int) -> bool:
    """Do only maps, element by element, read a buffer, and only on the way to what it becomes?"""
    read = set(graph.outputs.values()) - {new}
    waiting = [node.id for node in graph if node.id == old]
    seen = set(waiting)
    while waiting:
        i = waiting.pop()
        if i in read or (i != old and OPS[graph[i].op].lowering != "map"):
            return False
        following = set(graph.users(i)) - seen if i != new else set()
        seen |= following
        waiting += following
    return True


def _evaluation(step: StepProgram) -> Graph:
    return with_own_memory(step.evaluation, scalars=True)


def folded_step(step: StepProgram, sizes: Mapping[str, int]) -> StepProgram:
    """The step with batch norms folded into the products before them."""
    roots = {"loss": step.loss}
    roots |= {f"metric {name}": i for name, i in step.metrics.items()}
    roots |= {f"new {name}": i for name, i in step.buffers.items()}
    roots |= {f"parameter {name}": i for name, i in step.parameters.items()}
    b, new = fold_norms(step.builder, roots, sizes)

    def found(kind: str, values: Mapping[str, int]) -> dict[str, int]:
        return {name: new[f"{kind} {name}"] for name in values}

    return replace(
        step,
        builder=b,
        loss=new["loss"],
        metrics=found("metric", step.metrics),
        buffers=found("new", step.buffers),
        parameters=found("parameter", step.parameters),
    )


def folded_net(net: NetProgram, sizes: Mapping[str, int]) -> NetProgram:
    """The net in training mode with batch norms folded into the products before them."""
    before = net.builder
    inputs = {f"input {n['feed']}": n.id for n in before.nodes if n.op == "input"}
    outputs = {f"output {name}": i for name, i in before.outputs.items()}
    buffers = {f"new {name}": i for name, i in net.buffers.items()}
    b, new = fold_norms(before, {**outputs, **buffers, **inputs}, sizes)
    b.outputs = {name: new[f"output {name}"] for name in before.outputs}
    return replace(net, builder=b, buffers={name: new[f"new {name}"] for name in net.buffers})


def with_own_memory(graph: Graph, *, scalars: bool = False) -> Graph:
    """The graph with outputs that the host can read; `scalars` become f32."""
    b = Builder(OPS, RULES)
    b.nodes = list(graph.nodes)
    outputs = {name: b.cast(i, "f32") if scalars else i for name, i in graph.outputs.items()}
    b.outputs = own_memory(b, outputs)
    return b.graph()


def forward_entry(net: NetProgram) -> EntryGraph:
    """A net in inference mode."""
    inputs = ports_of(net)
    outputs = tuple(port(name, type) for name, type in net.outputs.items())
    return EntryGraph("forward", net.name, with_own_memory(net.graph), inputs, outputs, {})


def input_entry(step: StepProgram) -> EntryGraph:
    """The loss as it is evaluated, and its gradients by the real fields of the data."""
    b = Builder(OPS, RULES)
    b.nodes = list(step.evaluated.nodes)
    loss = step.evaluated.outputs["loss"]
    feeds = {n["feed"]: n.id for n in b.nodes if n.op == "input"}
    wrt = {name: feeds[name] for name in step.inputs if b[feeds[name]].dtype in FLOATS}
    found = differentiate(b, loss, list(wrt.values()))
    results = {"loss": loss, **{f"d_{name}": found[i] for name, i in wrt.items()}}
    b.outputs = own_memory(b, results)
    inputs = tuple(port(name, type) for name, type in step.inputs.items())
    outputs = tuple(port(name, b[i].type) for name, i in b.outputs.items())
    return EntryGraph("by_inputs", step.name, b.graph(), inputs, outputs, {})


def module_entries(net: NetProgram) -> list[EntryGraph]:
    """A net in training mode, and its backward pass for given cotangents of the outputs.

    `run` returns the outputs.  `backward` takes the inputs and `cotangent_<output>`; it
    recomputes what it needs, leaves the parameters' gradients in the arena and returns
    `d_<input>` for real inputs.
    """
    b = net.builder
    results = dict(b.outputs)
    b.outputs = own_memory(b, results)
    inputs = ports_of(net)
    outputs = tuple(port(name, type) for name, type in net.outputs.items())
    graph, buffers = with_buffers(b.graph(), net.buffers)
    run = EntryGraph("run", net.name, graph, inputs, outputs, {}, None, buffers)
    real = {name: i for name, i in results.items() if b[i].dtype in FLOATS}
    cotangents = {name: b.input(f"cotangent_{name}", b[i].type) for name, i in real.items()}
    total = b.constant(0.0)
    for name, i in real.items():
        total = b.map(
            "add", total, b.sum(b.map("mul", i, cotangents[name]), range(len(b[i].shape)))
        )
    real_inputs = (n for n in b.nodes if n.op == "input" and n.dtype in FLOATS)
    feeds = {n["feed"]: n.id for n in real_inputs if n["feed"] not in net.buffers}
    wrt = {name: i for name, i in feeds.items() if name in net.parameters or name in net.inputs}
    found = differentiate(b, total, list(wrt.values()))
    b.outputs = own_memory(b, {f"d_{name}": found[i] for name, i in wrt.items()})
    given = (*inputs, *(port(f"cotangent_{name}", b[i].type) for name, i in real.items()))
    wanted = tuple(port(f"d_{name}", b[i].type) for name, i in wrt.items() if name in net.inputs)
    gradients = {f"d_{name}": name for name in wrt if name in net.parameters}
    return [run, EntryGraph("backward", net.name, b.graph(), given, wanted, gradients)]


__all__ = [
    "EntryGraph",
    "forward_entry",
    "input_entry",
    "module_entries",
    "step_entries",
    "update_graph",
]
