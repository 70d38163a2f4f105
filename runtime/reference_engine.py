"""The `reference` target: the graphs themselves, run in NumPy float64.

Slow and exact; what every other target is verified against.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler import reference
from ..compiler.artifact import DECODE, PREPARE, Buffer, Expression, evaluate
from ..compiler.compile import compile_reference
from ..compiler.entries import EntryGraph, needs_of
from ..compiler.inner import KIND as INNER
from ..compiler.lowered import Lowered
from .engine import Result, parameter_view
from .native_engine import check_needs, check_range

Array = NDArray[Any]


class ReferenceEngine:
    """Implements `runtime.engine.Engine` in float64.

    `in_order`: what nets give is summed term by term, so that a cache changes no bit of it.
    """

    def __init__(self, lowered: Lowered, *, in_order: bool = True) -> None:
        self.lowered = lowered
        self._in_order = in_order
        self.artifact = compile_reference(lowered)
        length = max(1, lowered.arena.length)
        self.parameters: Array = np.zeros(length)
        self.states: dict[tuple[str, str], Array] = {
            (s.step, s.name): np.full(length, s.initial) if s.initial else np.zeros(length)
            for s in lowered.states
        }

    def train(
        self, step: str, inputs: Mapping[str, Array], *, rate: float, index: int, seed: int
    ) -> Result:
        """Forward, backward, clip and update on one batch."""
        entry = self.lowered.entry("train", step)
        values, gradients = self._backward(entry, inputs, index, seed)
        norm = self._update(entry, gradients, rate, index, {"loss": np.asarray(values["loss"])})
        return Result(values, math.isfinite(norm + values["loss"]))

    def gradient(
        self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int
    ) -> tuple[Result, Array]:
        """The loss, and the gradient arena."""
        values, gradients = self._backward(
            self.lowered.entry("gradient", step), inputs, index, seed
        )
        return Result(values, math.isfinite(values["loss"])), gradients

    def update(self, step: str, gradient: Array, *, rate: float, index: int) -> None:
        """Clip and update with a gradient computed before."""
        self._update(self.lowered.entry("update", step), gradient, rate, index, {})

    def evaluate(self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int) -> Result:
        """The loss and the metrics as in use."""
        found = self._run(self.lowered.entry("evaluate", step), inputs, index, seed)
        values = {name: float(value) for name, value in found.items()}
        return Result(values, math.isfinite(values["loss"]))

    def call(
        self, kind: str, subject: str, inputs: Mapping[str, Array], *, seed: int, index: int
    ) -> dict[str, Array]:
        """The outputs of any entry."""
        return self._run(self.lowered.entry(kind, subject), inputs, index, seed)

    def forward(self, net: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of a net, as in use."""
        return self._run(self.lowered.entry("forward", net), inputs, 0, 0)

    def probe(
        self, step: str, inputs: Mapping[str, Array], *, index: int, seed: int
    ) -> list[tuple[Buffer, Array]]:
        """Every value of a training step, in the order in which they are computed."""
        entry = self.lowered.entry("probe", step)
        assert entry.graph is not None
        sizes = self._sizes(entry, inputs)
        values = reference.run_all(entry.graph, self._feeds(inputs), sizes, seed=seed, step=index)
        return [
            (
                Buffer(
                    n.name, n.dtype, values[n.id].shape, "workspace", 0, 0, (), str(n.place or "")
                ),
                values[n.id],
            )
            for n in entry.graph
            if n.op not in ("input", "constant")
        ]

    # ---- the parts ---------------------------------------------------------------------------

    def _feeds(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        views = {p.name: parameter_view(self.parameters, p) for p in self.artifact.parameters}
        return {**views, **inputs}

    def _sizes(self, entry: EntryGraph, inputs: Mapping[str, Array]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for port in entry.inputs:
            for extent, want in zip(np.shape(inputs[port.name]), port.shape, strict=True):
                if isinstance(want, str):
                    sizes.setdefault(want, extent)
            check_range(entry.subject, port, np.asarray(inputs[port.name]))
        check_needs(entry.subject, needs_of(entry), sizes)
        return sizes

    def _run(
        self, entry: EntryGraph, inputs: Mapping[str, Array], index: int, seed: int
    ) -> dict[str, Array]:
        assert entry.graph is not None
        sizes, feeds = self._sizes(entry, inputs), self._feeds(inputs)
        in_order = self._in_order and entry.kind in ("forward", INNER, PREPARE, DECODE)
        return reference.run(entry.graph, feeds, sizes, seed=seed, step=index, in_order=in_order)

    def _backward(
        self, entry: EntryGraph, inputs: Mapping[str, Array], index: int, seed: int
    ) -> tuple[dict[str, float], Array]:
        found = self._run(entry, inputs, index, seed)
        gradients = np.zeros_like(self.parameters)
        by_name = {p.name: p for p in self.artifact.parameters}
        for output, name in entry.gradients.items():
            parameter_view(gradients, by_name[name])[...] = found[output]
        for output, name in entry.buffers.items():
            parameter_view(self.parameters, by_name[name])[...] = found[output]
        values = {p.name: float(found[p.name]) for p in entry.outputs if p.name in found}
        return values, gradients

    def _update(
        self, entry: EntryGraph, gradients: Array, rate: float, index: int, feeds: dict[str, Array]
    ) -> float:
        u = entry.update
        assert u is not None
        host: dict[str, Expression] = dict(u.scalars)
        feeds |= {
            n: np.asarray(evaluate(v, {"rate": rate, "step": index + 1})) for n, v in host.items()
        }
        arrays = {"parameter": self.parameters} | {
            n: self.states[entry.subject, n] for n in u.states
        }
        for k, piece in enumerate(u.slices):
            where = slice(piece.offset, piece.offset + piece.length)
            feeds[f"gradient_{k}"] = gradients[where]
            feeds |= {f"{name}_{k}": array[where] for name, array in arrays.items()}
        found = reference.run(u.graph, feeds, {})
        for k, piece in enumerate(u.slices):
            where = slice(piece.offset, piece.offset + piece.length)
            for name, array in arrays.items():
                array[where] = found[f"new_{name}_{k}"]
        return float(found["gradient_norm_squared"])
