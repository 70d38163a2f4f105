"""Which stepper carries out a training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .loss_scale import LossScale, takes_scale
from .stepper import Accumulated, Direct, Feed, Maker, Stepper

if TYPE_CHECKING:
    from .engine import Engine
    from .recipe import TrainingStep


def stepper_for(
    engine: Engine, step: TrainingStep, stream: Feed, seed: int, makers: Mapping[str, Maker]
) -> Stepper:
    """The stepper for a training step; `makers` gives those of optimizers that are not kernels."""
    make = makers.get(step.optimizer) or (Accumulated if step.accumulate > 1 else Direct)
    if takes_scale(engine, step.name):
        fixed = (engine.artifact.train or {}).get("loss_scale")
        return LossScale(make, engine, step, stream, seed, fixed)
    return make(engine, step, stream, seed)
