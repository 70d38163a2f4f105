"""The memory that a training step may take: what it takes, and how it is made to take less.

Units: bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..spec.errors import Diagnostic, SpecError
from ..spec.place import Place
from .artifact import ITEM_BYTES, THREADS, Artifact, Entry, evaluate
from .passes.recompute import recompute

if TYPE_CHECKING:
    from .lowered import Lowered

STRETCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Divisions of the forward pass that are tried: each takes less memory and computes more again."""

DRAWN = ("train", "gradient")
"""Entries with a backward pass that a budget holds for."""


def peak(artifact: Artifact, entry: Entry) -> int:
    """What a call takes: workspace, inputs, parameters, and in training gradients and states.

    At the nominal sizes and, on a CPU, with as many threads as this machine has cores.
    """
    sizes: Mapping[str, int] = {**artifact.sizes, THREADS: os.cpu_count() or 1}
    inputs = 0
    for port in entry.inputs:
        count = ITEM_BYTES[port.dtype]
        for extent in port.shape:
            count *= evaluate(extent, sizes)
        inputs += count
    trained = entry.kind in DRAWN
    arenas = 4 * artifact.length * (2 + len(artifact.states) if trained else 1)
    return evaluate(entry.workspace, sizes) + inputs + arenas


def fitted(lowered: Lowered, compiled: Callable[[Lowered], Artifact]) -> Lowered:
    """The program whose training steps compute again as much as the budget asks for.

    Raises: SpecError saying the least that a step can do with.
    """
    allowed = (lowered.program.train or {}).get("memory")
    if allowed is None:
        return lowered
    for name in lowered.program.steps:
        lowered = _step(lowered, name, allowed, compiled)
    return lowered


def _step(
    lowered: Lowered, name: str, allowed: int, compiled: Callable[[Lowered], Artifact]
) -> Lowered:
    least: int | None = None
    for stretches in STRETCHES:
        found = divided(lowered, name, stretches)
        entries = tuple(e for e in found.entries if (e.kind, e.subject) == ("train", name))
        artifact = compiled(replace(found, entries=entries))
        taken = peak(artifact, artifact.entry("train", name))
        if taken <= allowed:
            return found
        if least is not None and taken > 2 * least:
            break
        least = taken if least is None else min(least, taken)
    message = f"step `{name}` takes at least {least:,} bytes, and `memory` allows {allowed:,}"
    hint = "allow more, or make the batch smaller"
    raise SpecError(Diagnostic("E507", message, _place(lowered), hint), lowered.program.spec.texts)


def divided(lowered: Lowered, name: str, stretches: int) -> Lowered:
    """The program with the forward pass of a training step in stretches."""
    step = lowered.program.steps[name]
    graphs = {}
    entries = []
    for e in lowered.entries:
        if e.subject == name and e.kind in DRAWN and e.graph is not None:
            if id(e.graph) not in graphs:
                results = {"loss", *step.metrics, *e.buffers}
                sizes = lowered.program.sizes
                graphs[id(e.graph)] = recompute(e.graph, results, sizes, stretches)
            e = replace(e, graph=graphs[id(e.graph)])
        entries.append(e)
    return replace(lowered, entries=tuple(entries))


def _place(lowered: Lowered) -> Place | None:
    train = lowered.program.spec.file.train
    settings = train.settings if train is not None else ()
    return next((s.value.place for s in settings if s.name == "memory"), None)
