"""The engine's arenas as the tensors of a checkpoint, by PyTorch's names and shapes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import CheckpointError
from .checkpoint import Checkpoint, check_fit
from .engine import parameter_view
from .trained import changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact
    from .engine import Engine, Floats

    Array = NDArray[Any]
    States = Mapping[tuple[str, str], Floats]

OPTIMIZER = "optimizer/"
"""What the names of optimizer states begin with: `optimizer/<step>/<state>/<parameter>`."""


def tensors(artifact: Artifact, parameters: Floats, states: States) -> dict[str, Array]:
    """Parameters by their names, and the optimizer states of those that each step updates."""
    named: dict[str, Array] = {p.name: parameter_view(parameters, p) for p in artifact.parameters}
    for state in artifact.states:
        arena = states[state.step, state.name]
        for p in artifact.parameters:
            if changes(artifact, state.step, p.name):
                key = f"{OPTIMIZER}{state.step}/{state.name}/{p.name}"
                named[key] = parameter_view(arena, p)
    return named


def restore(engine: Engine, checkpoint: Checkpoint, path: Path) -> None:
    """Parameters and optimizer states from a checkpoint into the engine.

    Raises: CheckpointError when they are those of another network or optimizer.
    """
    restore_parameters(engine, checkpoint, path)
    want = tensors(engine.artifact, engine.parameters, engine.states)
    have = {name for name in checkpoint.tensors if name.startswith(OPTIMIZER)}
    missing = {name for name in want if name.startswith(OPTIMIZER)} ^ have
    if missing:
        kinds = sorted({"/".join(name.split("/")[1:3]) for name in missing})
        raise CheckpointError(
            f"the checkpoint `{path}` was trained with another optimizer ({', '.join(kinds)})",
            hint="resume with the optimizer it was trained with",
        )
    for state in engine.artifact.states:
        engine.states[state.step, state.name][:] = state.initial
    for name, view in want.items():
        if name.startswith(OPTIMIZER):
            view[...] = checkpoint.tensors[name]


def restore_parameters(engine: Engine, checkpoint: Checkpoint, path: Path) -> None:
    """Only the parameters, for use without training.

    Raises: CheckpointError when they are those of another network.
    """
    have = {name: array.shape for name, array in checkpoint.tensors.items() if "/" not in name}
    check_fit(path, have, {p.name: p.shape for p in engine.artifact.parameters})
    arena = engine.parameters
    arena[:] = 0
    for parameter in engine.artifact.parameters:
        parameter_view(arena, parameter)[...] = checkpoint.tensors[parameter.name]


def restore_fitting(engine: Engine, checkpoint: Checkpoint, path: Path) -> list[str]:
    """The parameters whose names and shapes are in the checkpoint; the others stay, and are named.

    Raises: CheckpointError when not one fits.
    """
    left: list[str] = []
    for parameter in engine.artifact.parameters:
        found = checkpoint.tensors.get(parameter.name)
        if found is not None and found.shape == parameter.shape:
            parameter_view(engine.parameters, parameter)[...] = found
        else:
            left.append(parameter.name)
    if len(left) == len(engine.artifact.parameters):
        theirs = ", ".join([name for name in checkpoint.tensors if "/" not in name][:4])
        raise CheckpointError(
            f"no parameter of `{path}` has the name and shape of one of the network",
            hint=f"its parameters are {theirs}, …; names begin with the net's",
        )
    return left


class Snapshot:
    """A copy of the arenas in memory, taken fast and written to the disk when there is time."""

    def __init__(self, engine: Engine) -> None:
        self._artifact = engine.artifact
        self._parameters = np.array(engine.parameters)
        self._states = {key: np.array(arena) for key, arena in engine.states.items()}
        self.state: Mapping[str, Any] = {}

    def take(self, engine: Engine, state: Mapping[str, Any]) -> None:
        """Copy the arenas as they are now."""
        np.copyto(self._parameters, engine.parameters)
        for key, arena in engine.states.items():
            np.copyto(self._states[key], arena)
        self.state = state

    def tensors(self) -> dict[str, Array]:
        """The tensors of the copy."""
        return tensors(self._artifact, self._parameters, self._states)
