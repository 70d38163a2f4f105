"""Recurrent layers over time: one operation a cell, in PyTorch's gate order.

`gates` [B, T, G u] holds what the inputs and biases say, `weight` [G u, u] maps the state before;
the result [B, T, u] or [B, T, 2 u] holds all states, h before c.
Sources: Elman 1990; Hochreiter & Schmidhuber 1997; Cho et al. 2014.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import TensorType

Types = tuple[TensorType, ...]
State = tuple[np.ndarray, ...]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _rnn_cell(gate: np.ndarray, inner: np.ndarray, state: State) -> State:
    return (np.tanh(gate + inner),)


def _lstm_cell(gate: np.ndarray, inner: np.ndarray, state: State) -> State:
    i, f, g, o = np.split(gate + inner, 4, axis=-1)
    c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _gru_cell(gate: np.ndarray, inner: np.ndarray, state: State) -> State:
    (r, z, n), (hr, hz, hn) = np.split(gate, 3, axis=-1), np.split(inner, 3, axis=-1)
    reset, update = _sigmoid(r + hr), _sigmoid(z + hz)
    new = np.tanh(n + reset * hn)
    return ((1 - update) * new + update * state[0],)


CELLS: dict[str, tuple[Callable[[np.ndarray, np.ndarray, State], State], int, int]] = {
    "rnn": (_rnn_cell, 1, 1),
    "lstm": (_lstm_cell, 4, 2),
    "gru": (_gru_cell, 3, 1),
}
"""Each cell: what it does, its gates, its states."""


def _infer(types: Types, a: Attributes) -> TensorType:
    _, count, states = CELLS[a["cell"]]
    gates, weight, bias, *begin = types
    units = weight.shape[-1]
    wanted = ((gates.shape[0], gates.shape[1], count * units), (count * units, units))
    fits = (gates.shape, weight.shape) == wanted and bias.shape == (count * units,)
    if not fits or [s.shape for s in begin] != [(gates.shape[0], units)] * states:
        text = ", ".join(map(str, types))
        raise ShapeError("E403", f"{text} are no {a['cell']}", tuple(range(len(types))))
    return TensorType(gates.dtype, (gates.shape[0], gates.shape[1], states * units))


def _run(gates: np.ndarray, weight: np.ndarray, bias: np.ndarray, *begin: np.ndarray,
         cell: str) -> np.ndarray:  # fmt: skip
    step = CELLS[cell][0]
    state: State = begin
    found = []
    for t in range(gates.shape[1]):
        state = step(gates[:, t], state[0] @ weight.T + bias, state)
        found.append(np.concatenate(state, axis=-1))
    if not found:
        return np.zeros((gates.shape[0], 0, sum(s.shape[-1] for s in begin)))
    return np.stack(found, axis=1)


def _work(types: Types, result: TensorType) -> Dim:
    """The product of every step, and about ten operations for each gate."""
    rows = numel(types[0].shape[:2])
    return 2 * rows * numel(types[1].shape) + 10 * numel(types[0].shape)


RECURRENCES: dict[str, Op] = {
    op.name: op for op in (Op("recurrence", "heavy", _infer, _run, None, work=_work),)
}
