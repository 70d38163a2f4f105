"""Rates that drop when a training does not get better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..spec.counted import counted

if TYPE_CHECKING:
    from .recipe import TrainingStep
    from .record import Position


def lower(steps: Iterable[TrainingStep], position: Position) -> list[str]:
    """Lower the rates that have waited long enough after one more evaluation in vain; what to say.

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau, whose `patience` is one less.
    """
    notes = []
    for step in steps:
        schedule, patience = step.schedule, step.schedule.patience
        waited = position.waits[step.name] = position.waits.get(step.name, 0) + 1
        if patience is None or waited < patience or not position.best:
            continue
        position.waits[step.name] = 0
        drops = position.drops.get(step.name, 0)
        last = step.total - 1
        before, after = (schedule.rate(last, step.total, n) for n in (drops, drops + 1))
        if after == before:
            continue
        position.drops[step.name] = drops + 1
        best = f"{position.best['monitor']} {position.best['value']:.4g}"
        notes.append(
            f"step {position.step:,}: no improvement of {best} in "
            f"{counted(patience, 'evaluation')}, the rate is now {after:.3g}"
        )
    return notes
