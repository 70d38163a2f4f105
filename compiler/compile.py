"""The driver: a program -> entries -> an artifact for one target."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..spec.errors import UsageError
from .arena import arrange, parameter_records
from .artifact import Artifact, Entry, KernelRecord, State
from .budget import fitted
from .build import training_net
from .decoding import LIKELY, decode_entries
from .entries import (
    EntryGraph,
    folded_net,
    folded_step,
    forward_entry,
    input_entry,
    module_entries,
    needs_of,
    step_entries,
    trained_by,
)
from .gpu import emit_gpu
from .inner import answer_entry, inner_entry
from .ir.collection import uncollected
from .ir.graph import Graph
from .ir.verify import verify
from .lowered import Lowered
from .native import emit_native
from .ops import OPS
from .optimizers import OPTIMIZERS
from .passes.cut import cut
from .passes.look_up import look_up
from .passes.reduce_precision import LOW, reduce_precision
from .plan.launch import BATCHED
from .plan.samples import mixing_inside
from .plan.scored import keys_first
from .update import AVERAGE, update_graph

if TYPE_CHECKING:
    from .build import NetProgram, Program, StepProgram
    from .passes.decode import Decoding

NATIVE = ("contract", "scatter_add", "all_reduce", *BATCHED)
GPU = ("contract", "scatter_add", *BATCHED)
"""The heavy operations that have kernels."""

PLAIN_SGD = {"weight_decay": 0.0, "momentum": 0.0, "dampening": 0.0, "nesterov": False}
"""Stands in for an optimizer that runs outside the generated step (lbfgs)."""


@uncollected()
def lower(
    program: Program, *, native: bool, precision: str = "f32", machine: str = "cuda:90"
) -> Lowered:
    """Differentiate every step and lay out the parameters; `native`: for the CPU, `machine`: the
    architecture that `cuda` is to stand for.
    """
    arena = arrange(program.parameters, [net.graph for net in program.nets.values()], native=native)
    entries: list[EntryGraph] = [forward_entry(net) for net in program.nets.values()]
    for step in program.steps.values():
        if precision not in LOW:
            step = folded_step(step, program.sizes)
        names = trained_by(program, step)
        pieces = arena.slices(names)
        optimizer, settings, clip = _recipe(step)
        fused, alone = (
            update_graph(
                optimizer, settings, pieces, clip=clip, with_loss=with_loss, ema=_ema(program)
            )
            for with_loss in (True, False)
        )
        entries += step_entries(program, step, fused, alone, scaled=precision == "f16")
    for entry in entries:
        if entry.graph is not None:
            _only_f32(entry.graph, program)
    found = Lowered(program, tuple(entries), arena, _states(program), precision, native, machine)
    found = _with(found, _smaller(entries, program.sizes, native=native))
    for entry in found.entries:
        if entry.graph is not None:
            verify(entry.graph, OPS)
    return found


def _with(lowered: Lowered, entries: Sequence[EntryGraph]) -> Lowered:
    """These entries in the precision of the program, scores summed along keys first; graphs that
    are shared stay so.
    """
    made: dict[int, Graph] = {}
    for graph in (entry.graph for entry in entries):
        if graph is not None and id(graph) not in made:
            rounded = graph
            if lowered.precision in LOW:
                rounded = reduce_precision(graph, lowered.precision, packed=not lowered.native)
            made[id(graph)] = keys_first(rounded)
    known = (e if e.graph is None else replace(e, graph=made[id(e.graph)]) for e in entries)
    return replace(lowered, entries=tuple(known))


def _smaller(
    entries: Sequence[EntryGraph], sizes: Mapping[str, int], *, native: bool
) -> list[EntryGraph]:
    """The entries with large products in pieces, and on a CPU those of batches of the data with
    products of tables; graphs that were one stay one.

    A probe keeps everything anyway, and what it names is better whole.
    """
    found: list[EntryGraph] = []
    known: dict[int, Graph] = {}
    for e in entries:
        if e.graph is not None and e.kind != "probe":
            if id(e.graph) not in known:
                batches = native and e.kind in ("train", "gradient", "evaluate")
                graph = look_up(e.graph, sizes) if batches else e.graph
                known[id(e.graph)] = cut(graph, sizes)
            e = replace(e, graph=known[id(e.graph)])
        found.append(e)
    return found


def _only_f32(graph: Graph, program: Program) -> None:
    """Raises: UsageError naming the first value that kernels do not hold."""
    for node in graph:
        if node.dtype == "f64":
            nets = program.spec.file.nets
            inputs = {i.name: i.place for net in nets for i in net.body.inputs}
            place = node.place or inputs.get(node.name)
            raise UsageError(
                f"{f'{place}: ' if place else ''}`{node.name}` is {node.dtype}, "
                "which kernels do not compute with",
                hint="declare it f32",
            )


def _has_kernels(lowered: Lowered, known: Collection[str], where: str) -> None:
    """Raises: UsageError naming the first operation that has no kernel there, and its line."""
    for entry in lowered.entries:
        for node in entry.graph or ():
            what = f"`{node.op}`" if node.op not in known else None
            if where == "GPUs" and node.op == "scan" and mixing_inside(node) is not None:
                what = f"a `scan` inside of a `scan` in which {mixing_inside(node)},"
            if OPS[node.op].lowering == "heavy" and what is not None:
                place = f" ({node.place})" if node.place is not None else ""
                raise UsageError(
                    f"`{node.name}`{place}: there is no kernel for {what} on {where} yet",
                    hint="weft check, show and --target reference work",
                )


def _training_net(lowered: Lowered, name: str) -> NetProgram:
    """A net as it runs while it is trained, with its batch norms folded where that is exact."""
    net = training_net(lowered.program, name)
    return net if lowered.precision in LOW else folded_net(net, lowered.program.sizes)


def lower_module(lowered: Lowered, name: str) -> Lowered:
    """The training mode and the backward pass of one net for the CPU, with the same parameter
    arena.
    """
    entries = module_entries(_training_net(lowered, name))
    return _with(replace(lowered, states=(), native=True), entries)


def lower_backward(lowered: Lowered) -> Lowered:
    """The gradients of all nets for cotangents of their outputs, for the same target."""
    program, entries = lowered.program, []
    for name in program.nets:
        entries += module_entries(_training_net(lowered, name))[1:]
    return _with(replace(lowered, states=()), entries)


def lower_inputs(lowered: Lowered, step: str) -> Lowered:
    """The gradients of a step's loss by the fields of the data, with the same parameter arena."""
    entry = input_entry(lowered.program.steps[step])
    return _with(replace(lowered, states=(), native=True), [entry])


def lower_decoding(lowered: Lowered, net: str, decoding: Decoding) -> Lowered:
    """A net one step on, with the same parameter arena."""
    program = lowered.program
    entries = decode_entries(program.nets[net], decoding)
    program = replace(program, sizes={**program.sizes, **LIKELY})
    return replace(lowered, program=program, entries=tuple(entries), states=())


def lower_inner(lowered: Lowered, net: str, ids: Sequence[int]) -> Lowered:
    """The values of these nodes of a net as it is used, with the same parameter arena."""
    entry = inner_entry(lowered.program.nets[net], ids)
    return _with(replace(lowered, states=(), native=True), [entry])


def lower_answer(lowered: Lowered, step: str, field: str) -> Lowered:
    """What a step compares with a field of the data, with the same parameter arena."""
    entry = answer_entry(lowered.program.steps[step], field)
    return _with(replace(lowered, states=(), native=True), [entry])


def artifact_of(
    lowered: Lowered,
    target: str,
    files: Mapping[str, str],
    entries: Sequence[Entry] = (),
    kernels: Sequence[KernelRecord] = (),
    traffic: Mapping[str, Any] | None = None,
) -> Artifact:
    """What a target's emitter made of a program, with the parameters, states and recipe of it."""
    program = lowered.program
    return Artifact(
        name=program.name,
        target=target,
        precision="f64" if target == "reference" else lowered.precision,
        files=files,
        spec=dict(program.spec.texts),
        parameters=parameter_records(program.parameters, lowered.arena),
        length=lowered.arena.length,
        states=lowered.states,
        entries=tuple(
            replace(entry, needs=needs_of(lowered.entry(entry.kind, entry.subject)))
            for entry in entries
        ),
        kernels=tuple(kernels),
        sizes=dict(program.sizes),
        train=program.train,
        traffic=traffic or {},
    )


def compile_for(lowered: Lowered, target: str) -> Artifact:
    """The program for a target.

    Raises: UsageError where an operation has no kernel, and SpecError where `memory` is not enough.
    """
    if target == "reference":
        return compile_reference(lowered)
    return compile_native(lowered) if target == "cpu" else compile_gpu(lowered, target)


def compile_reference(lowered: Lowered) -> Artifact:
    """The program with no text at all: `reference` runs the graphs."""
    entries = [
        Entry(e.kind, e.subject, "", e.inputs, e.outputs, (), e.scalars, 0, ())
        for e in lowered.entries
    ]
    return artifact_of(lowered, "reference", {}, entries)


@uncollected()
def compile_native(lowered: Lowered) -> Artifact:
    """The program as C for the CPU in this machine.

    Raises: UsageError where an operation has no kernel, and SpecError where `memory` is not enough.
    """
    _has_kernels(lowered, NATIVE, "CPUs")
    return _native(fitted(lowered, _native))


def _native(lowered: Lowered) -> Artifact:
    program = lowered.program
    files, entries, kernels, traffic = emit_native(
        list(lowered.entries), lowered.arena, lowered.slots, program.sizes, program.name
    )
    return artifact_of(lowered, "cpu", files, entries, kernels, traffic)


@uncollected()
def compile_gpu(lowered: Lowered, target: str, levels: Mapping[str, int] | None = None) -> Artifact:
    """The program as Triton: `cuda`, `interpret`, or an architecture such as cuda:90.

    `levels` counts how often the compile gate refused a kernel, by its key.

    Raises: UsageError where an operation has no kernel, and SpecError where `memory` is not enough.
    """
    _has_kernels(lowered, GPU, "GPUs")

    def compiled(lowered: Lowered) -> Artifact:
        return _gpu(lowered, target, levels)

    return compiled(fitted(lowered, compiled))


def _gpu(lowered: Lowered, target: str, levels: Mapping[str, int] | None) -> Artifact:
    program = lowered.program
    source, entries, kernels, traffic = emit_gpu(
        list(lowered.entries),
        lowered.arena,
        lowered.slots,
        program.sizes,
        program.name,
        lowered.machine if target == "cuda" else target,
        levels,
    )
    return artifact_of(lowered, target, {"kernels.py": source}, entries, kernels, traffic)


def _recipe(step: StepProgram) -> tuple[str, dict[str, Any], float | None]:
    recipe = step.recipe
    name = recipe["optimizer"]
    if name not in OPTIMIZERS:
        return "sgd", PLAIN_SGD, None
    return name, dict(recipe["settings"]), recipe.get("clip")


def _states(program: Program) -> tuple[State, ...]:
    found = []
    for step in program.steps.values():
        optimizer, settings, _ = _recipe(step)
        for name, initial in OPTIMIZERS[optimizer].states(settings).items():
            found.append(State(step.name, name, initial))
        if _ema(program) is not None:
            found.append(State(step.name, AVERAGE, 0.0))
    return tuple(found)


def _ema(program: Program) -> float | None:
    """How much of the average of the weights is kept in an update."""
    return (program.train or {}).get("ema")
