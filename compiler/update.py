"""The optimizer's step as a graph: clip by the global norm, guard, update every parameter in one
kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .artifact import Expression
from .ir.builder import Builder
from .ir.graph import Graph
from .ir.types import TensorType
from .ops import new_builder
from .optimizers import OPTIMIZERS

LARGEST = 3.4028234663852886e38  # the largest finite float32
AVERAGE = "ema"
"""The state that is the moving average of the parameters."""

NORM_FLOOR = 1e-6  # torch.nn.utils.clip_grad_norm_ adds it to the norm


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of the parameter arena.  Units: elements."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class UpdateGraph:
    """The graph, and what its inputs and outputs stand for.

    Inputs are called `parameter_0`, `gradient_0`, `<state>_0` for slice 0, scalars by their
    names, and `loss` where the guard looks at it; outputs `new_<input>` and
    `gradient_norm_squared`.
    """

    graph: Graph
    slices: tuple[Slice, ...]
    states: tuple[str, ...]
    scalars: Mapping[str, Expression]


def update_graph(
    optimizer: str,
    settings: Mapping[str, Any],
    slices: Sequence[Slice],
    *,
    clip: float | None,
    with_loss: bool,
    ema: float | None = None,
) -> UpdateGraph:
    """Insert norm, clip, guard and update for the given stretches of the arena.

    `ema`: how much of the average of the parameters is kept; it begins with the first update.
    """
    rule = OPTIMIZERS[optimizer]
    b = new_builder()
    states, scalars = tuple(rule.states(settings)), dict(rule.scalars(settings))
    if ema is not None:
        states = (*states, AVERAGE)
        scalars |= _average_scalars(ema)
    feeds = {name: b.input(name, TensorType("f32", ())) for name in scalars}
    gradients = [
        b.input(f"gradient_{k}", TensorType("f32", (s.length,))) for k, s in enumerate(slices)
    ]
    squares = [b.sum(b.map("mul", g, g, name="square"), (0,)) for g in gradients]
    total = squares[0]
    for square in squares[1:]:
        total = b.map("add", total, square)
    b.rename(total, "gradient_norm_squared")
    healthy = _healthy(b, total, b.input("loss", TensorType("f32", ())) if with_loss else None)
    scale = _clip_scale(b, total, clip) if clip else None
    b.outputs["gradient_norm_squared"] = total
    for k, (piece, gradient) in enumerate(zip(slices, gradients, strict=True)):
        shape = (piece.length,)
        g = (
            b.map("mul", gradient, b.broadcast(scale, (), shape), name="clipped")
            if scale is not None
            else gradient
        )
        p = b.input(f"parameter_{k}", TensorType("f32", shape))
        old = {name: b.input(f"{name}_{k}", TensorType("f32", shape)) for name in states}
        new = rule.update(b, settings, p, g, old, feeds)
        if ema is not None:
            new[AVERAGE] = _averaged(b, old[AVERAGE], new["parameter"], feeds)
        for name, value in new.items():
            before = p if name == "parameter" else old[name]
            kept = b.map(
                "where", b.broadcast(healthy, (), shape), value, before, name=f"new_{name}"
            )
            b.outputs[f"new_{name}_{k}"] = kept
    return UpdateGraph(b.graph(), tuple(slices), states, scalars)


def _average_scalars(ema: float) -> dict[str, Expression]:
    """What is kept of the average, none of it in the first update; and the rest."""
    kept: Expression = ("*", ema, ("min", 1, ("-", "step", 1)))
    return {"average_kept": kept, "average_taken": ("-", 1, kept)}


def _averaged(b: Builder, old: int, new: int, c: Mapping[str, int]) -> int:
    """kept * old + taken * new: torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn."""
    shape = b[new].shape
    kept = b.map("mul", old, b.broadcast(c["average_kept"], (), shape))
    taken = b.map("mul", new, b.broadcast(c["average_taken"], (), shape))
    return b.map("add", kept, taken, name="ema_new")


def _healthy(b: Builder, norm: int, loss: int | None) -> int:
    """Are the loss and every gradient finite?  If not, nothing changes."""
    total = norm if loss is None else b.map("add", norm, loss)
    return b.map("le", b.map("abs", total), LARGEST, name="healthy")


def _clip_scale(b: Builder, norm_squared: int, clip: float) -> int:
    """min(1, clip / norm): PyTorch's clipping by the global norm."""
    norm = b.map("add", b.map("sqrt", norm_squared), NORM_FLOOR, name="norm")
    return b.map("minimum", b.map("div", b.constant(clip), norm), 1.0, name="scale")
