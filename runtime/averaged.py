"""The moving average of the weights (`ema` in `train`): what is evaluated and used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import UsageError
from .engine import parameter_view
from .trained import changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Parameter
    from .engine import Engine

AVERAGE = "ema"
"""The state that is the average."""


def averages(artifact: Artifact) -> Iterator[tuple[str, Parameter]]:
    """The parameters that have an average, each with the training step that keeps it."""
    for state in artifact.states:
        if state.name == AVERAGE:
            for p in artifact.parameters:
                if p.trainable and changes(artifact, state.step, p.name):
                    yield state.step, p


@contextmanager
def averaged(engine: Engine) -> Iterator[None]:
    """The averages in place of the weights, for as long as they are used; buffers stay."""
    found = list(averages(engine.artifact))
    if not found:
        yield
        return
    arena = engine.parameters
    before = np.array(arena)
    for step, p in found:
        source = parameter_view(engine.states[step, AVERAGE], p)
        parameter_view(arena, p)[...] = source
    try:
        yield
    finally:
        engine.parameters[:] = before


def use_average(
    engine: Engine, tensors: Mapping[str, NDArray[Any]], ema: bool | None = None
) -> None:
    """Put the averages of a checkpoint into the engine in place of its weights.

    `ema`: whether; without it, where there are averages.

    Raises: UsageError when they are asked for and there are none.
    """
    parameters = {p.name: p for p in engine.artifact.parameters if p.trainable}
    for name, values in averages_in(tensors, ema).items():
        if name in parameters:
            parameter_view(engine.parameters, parameters[name])[...] = values


def averages_in(
    tensors: Mapping[str, NDArray[Any]], ema: bool | None = None
) -> dict[str, NDArray[Any]]:
    """The averages in a checkpoint by the names of their parameters; `ema` as in `use_average`.

    Raises: UsageError when they are asked for and there are none.
    """
    if ema is False:
        return {}
    parts = {name: name.split("/") for name in sorted(tensors)}
    found = {
        part[3]: tensors[name]
        for name, part in parts.items()
        if part[0] == "optimizer" and part[2:3] == [AVERAGE] and len(part) == 4
    }
    if ema and not found:
        raise UsageError(
            "the checkpoint has no average of the weights",
            hint="train with `ema = 0.999` in `train`, or leave --ema out",
        )
    return found
