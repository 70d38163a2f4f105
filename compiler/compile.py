"""The driver: a program -> an artifact for one target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .arena import arrange, parameter_records
from .artifact import Artifact, State
from .entries import EntryGraph, forward_entry, step_entries
from .native import emit_native
from .optimizers import OPTIMIZERS
from .update import update_graph

if TYPE_CHECKING:
    from .build import Program, StepProgram

STATELESS = "sgd"  # what stands in for an optimizer that runs outside the generated step


def compile_native(program: Program) -> Artifact:
    """The program as C for the CPU in this machine."""
    graphs = [net.graph for net in program.nets.values()]
    arena = arrange(program.parameters, graphs, native=True)
    states = _states(program)
    slots = {(s.step, s.name): slot for slot, s in enumerate(states)}
    entries: list[EntryGraph] = [forward_entry(net) for net in program.nets.values()]
    for step in program.steps.values():
        names = [d.name for d in program.parameters if d.name.split(".")[0] in step.updates]
        pieces = arena.slices(names)
        optimizer, settings, clip = _recipe(step)
        fused = update_graph(optimizer, settings, pieces, clip=clip, with_loss=True)
        alone = update_graph(optimizer, settings, pieces, clip=clip, with_loss=False)
        entries += step_entries(program, step, fused, alone)
    source, records, kernels, traffic = emit_native(entries, arena, slots, program.sizes, f"{program.name}")
    return Artifact(
        name=program.name,
        target="cpu",
        precision="f32",
        files={"kernels.c": source},
        spec=dict(program.spec.texts),
        parameters=parameter_records(program.parameters, arena),
        length=arena.length,
        states=states,
        entries=tuple(records),
        kernels=tuple(kernels),
        sizes=dict(program.sizes),
        train=program.train,
        traffic=traffic,
    )


def _recipe(step: StepProgram) -> tuple[str, dict[str, Any], float | None]:
    recipe = step.recipe
    name = recipe["optimizer"]
    if name not in OPTIMIZERS:
        return STATELESS, {"weight_decay": 0.0, "momentum": 0.0, "dampening": 0.0, "nesterov": False}, None
    return name, dict(recipe["settings"]), recipe.get("clip")


def _states(program: Program) -> tuple[State, ...]:
    found = []
    for step in program.steps.values():
        optimizer, settings, _ = _recipe(step)
        for name, initial in OPTIMIZERS[optimizer].states(settings).items():
            found.append(State(step.name, name, initial))
    return tuple(found)
