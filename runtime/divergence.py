"""Where a training went wrong: the first value that is not finite, and its line in the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DivergenceError
from .engine import parameter_view
from .loss_scale import scaled, takes_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engine import Engine, Inputs


def divergence(
    engine: Engine, step: str, inputs: Inputs, *, index: int, seed: int, rate: float, when: str
) -> DivergenceError:
    """The error for a training step whose loss or gradient is not finite.

    `when` says which step it was and where the state before it is kept.
    """
    inputs = scaled(takes_scale(engine, step), inputs, 1.0)
    place, what = _first_bad(engine, step, inputs, index, seed)
    where = f"{place}: " if place else ""
    return DivergenceError(
        f"{where}{what} {when}",
        hint=f"lower the learning rate (it was {rate:.3g} here), add clip=1.0 to the step, "
        "or scale the data with normalise=standard",
    )


def _first_bad(engine: Engine, step: str, inputs: Inputs, index: int, seed: int) -> tuple[str, str]:
    """The place and the description of the first value that is not finite."""
    for parameter in engine.artifact.parameters:
        view = parameter_view(engine.parameters, parameter)
        if not np.isfinite(view).all():
            return parameter.place, f"the parameter `{parameter.name}` {_count(view)}"
    for buffer, values in engine.probe(step, inputs, index=index, seed=seed):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return buffer.place, f"`{buffer.name}` {_count(values)}"
    return "", "the norm of the gradient is too large for a number"


def _count(values: NDArray[Any]) -> str:
    """How much of a value is not finite."""
    missing = int(np.isnan(values).sum())
    infinite = int(np.isinf(values).sum())
    parts = [f"{missing:,} NaN"] * (missing > 0) + [f"{infinite:,} infinite"] * (infinite > 0)
    if values.size == 1:
        return f"is {values.reshape(-1)[0]}"
    return f"is not finite ({' and '.join(parts)} of {values.size:,} values)"
