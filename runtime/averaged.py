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
    if ema is False:
        return
    found = 0
    steps = sorted({name.split("/")[1] for name in tensors if _is_average(name)})
    for step in steps:
        for p in engine.artifact.parameters:
            values = tensors.get(f"optimizer/{step}/{AVERAGE}/{p.name}")
            if values is not None and p.trainable:
                parameter_view(engine.parameters, p)[...] = values
                found += 1
    if ema and not found:
        raise UsageError(
            "the checkpoint has no average of the weights",
            hint="train with `ema = 0.999` in `train`, or leave --ema out",
        )


def _is_average(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "optimizer" and parts[2:3] == [AVERAGE]
