"""The optimizer `lbfgs`: torch.optim.LBFGS, its losses and gradients from the generated kernels.

The point, its history and the line search are float64; every evaluation rounds the point to the
float32 parameters of the kernels.  So differences of points keep their digits when the steps are
small, and a resumed training finds the very point it left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DeviceError
from .engine import Result, parameter_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact
    from .engine import Engine
    from .recipe import TrainingStep
    from .stepper import Feed

    Array = NDArray[Any]

WALL = 1e100
"""Stands for a loss that is not finite beside finite ones: the line search turns back from it, and
cubes of it are still numbers."""

LISTS = ("old_dirs", "old_stps", "ro")
VECTORS = ("d", "prev_flat_grad")
NUMBERS = ("t", "H_diag", "prev_loss")
COUNTS = ("func_evals", "n_iter")


class Lbfgs:
    """One update is up to `max_iter` iterations on one batch, or on `accumulate` of them together.

    All evaluations of an update draw the same random numbers: the line search sees one function.
    """

    def __init__(self, engine: Engine, step: TrainingStep, stream: Feed, seed: int) -> None:
        torch = _torch()
        self._engine, self._step, self._stream, self._seed = engine, step, stream, seed
        self._where = positions(engine.artifact, step.trains)
        self._tensor = torch.from_numpy
        self._point = torch.zeros(len(self._where), dtype=torch.float64)
        settings = dict(step.settings)
        searches = settings.pop("line_search_fn", "strong_wolfe") != "none"
        self._settings = {**settings, "line_search_fn": "strong_wolfe" if searches else None}
        self._search = torch.optim.LBFGS([self._point], **self._settings)
        self._searches = searches
        self._bad = self._point.numpy().copy()
        self._bad_batch = (0, 0)

    def __call__(self, first: int, count: int, rate: float, index: int) -> Result:
        self._adopt()
        used = min(count, self._step.accumulate)
        before = self._point.numpy().copy(), _copied(self._search.state[self._point])
        seen: list[Result] = []

        def closure() -> float:
            self._write()
            result, gradient = self._evaluate(first, used, index)
            if not result.finite:
                if not (seen and self._searches):
                    seen.append(result)
                    raise _NotFiniteError
                result.values["loss"] = WALL
                gradient[:] = 0
            seen.append(result)
            self._point.grad = self._tensor(gradient)
            return result.values["loss"]

        self._search.param_groups[0]["lr"] = rate
        try:
            self._search.step(closure)
        except _NotFiniteError:
            self._bad = self._point.numpy().copy()
            self._point[:] = self._tensor(before[0])
            self._search.state[self._point] = before[1]
            self._write()
            return Result(seen[0].values, False)
        self._write()
        return seen[0]

    def failed(self, first: int, index: int) -> tuple[int, int]:
        """The failure may lie at a point inside the update: it is put into the engine."""
        self._engine.parameters[self._where] = self._bad
        return self._bad_batch

    def state(self) -> Mapping[str, Array]:
        known = self._search.state[self._point]
        kept: dict[str, Array] = {"point": self._point.numpy().copy()}
        for name in (*NUMBERS, *COUNTS):
            if name in known:
                kept[name] = np.array([float(known[name])])
        for name in VECTORS:
            if name in known:
                kept[name] = known[name].numpy().copy()
        for name in LISTS:
            if known.get(name):
                kept[name] = np.stack([each.numpy() for each in known[name]])
        return kept

    def restore(self, state: Mapping[str, Array]) -> None:
        known: dict[str, Any] = {name: int(state[name][0]) for name in COUNTS if name in state}
        known |= {name: float(state[name][0]) for name in NUMBERS if name in state}
        known |= {name: self._own(state[name]) for name in VECTORS if name in state}
        if "d" in known:
            most = self._settings["history_size"]
            known |= {name: [self._own(v) for v in state.get(name, ())][-most:] for name in LISTS}
        self._search.state[self._point] = known
        if "point" in state:
            self._point[:] = self._own(state["point"])

    def _own(self, array: Array) -> Any:
        """A tensor in memory of its own, aligned as torch aligns it: sums come out the same."""
        return self._tensor(np.array(array, np.float64)).clone()

    def _adopt(self) -> None:
        """Take the engine's parameters, if they are not what this point rounds to."""
        now = self._engine.parameters[self._where]
        if not np.array_equal(now, self._point.numpy().astype(np.float32)):
            self._point[:] = self._tensor(now.astype(np.float64))

    def _write(self) -> None:
        with np.errstate(over="ignore"):
            self._engine.parameters[self._where] = self._point.numpy()

    def _evaluate(self, first: int, used: int, index: int) -> tuple[Result, Array]:
        """Loss, metrics and gradient at the engine's parameters, averaged by samples."""
        stream, name = self._stream, self._step.name
        samples = sum(stream.size(first + j) for j in range(used))
        total: Array = np.zeros(len(self._where))
        values: dict[str, float] = {}
        for j in range(used):
            weight = stream.size(first + j) / samples
            own = index * self._step.accumulate + j
            result, gradient = self._engine.gradient(
                name, stream.batch(first + j), index=own, seed=self._seed
            )
            total += weight * gradient[self._where].astype(np.float64)
            for key, value in result.values.items():
                values[key] = values.get(key, 0.0) + weight * value
            if not (result.finite and math.isfinite(values["loss"]) and np.isfinite(total).all()):
                self._bad_batch = (first + j, own)
                return Result(values, False), total
        return Result(values), total


class _NotFiniteError(Exception):
    """An evaluation that no line search can step back from."""


def positions(artifact: Artifact, trains: Callable[[str], bool]) -> NDArray[np.int64]:
    """Where in the arena the parameters whose names a step trains lie: one after the other,
    row-major in PyTorch's shapes, whatever the layout of the target."""
    arena = np.arange(artifact.length, dtype=np.int64)
    views = [
        parameter_view(arena, parameter).reshape(-1)  # type: ignore[arg-type]
        for parameter in artifact.parameters
        if parameter.trainable and trains(parameter.name)
    ]
    return np.concatenate(views) if views else arena[:0]


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of LBFGS as it is now: it changes its lists and the previous gradient in place."""
    kept = dict(state) | {name: list(state[name]) for name in LISTS if name in state}
    if "prev_flat_grad" in state:
        kept["prev_flat_grad"] = state["prev_flat_grad"].clone()
    return kept


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise DeviceError(
            "the optimizer `lbfgs` runs through torch.optim, and torch is not installed",
            hint="pip install torch, or train with another optimizer, such as adam",
        ) from None
    return torch
