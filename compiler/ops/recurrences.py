"""Recurrent layers over time: one operation a cell, in PyTorch's gate order, and its adjoint.

    recurrence(gates, weight, bias, h, …)      all states [B, T, S u], h before c
    recurrence_input(gates, inner, weight, states, begin, d)
                                               [B, T, G u + S u]: cotangents of the gates, then of
                                               the states before each step

`gates` [B, T, G u] holds what inputs and biases say, `weight` [G u, u] and `bias` map the state
before (`inner` is what they make of it), `begin` [B, S u] are the states before the first step.
Sources: Elman 1990; Hochreiter & Schmidhuber 1997; Cho et al. 2014.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import TensorType

if TYPE_CHECKING:
    from ..ir.builder import Builder

Types = tuple[TensorType, ...]
Parts = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One step.

    `step(gate, inner, states)` gives the states; `back(gate, inner, states, new, d)` the cotangents
    of the gates and, directly, of the states before.
    """

    gates: int
    states: int
    step: Callable[[np.ndarray, np.ndarray, Parts], Parts]
    back: Callable[[np.ndarray, np.ndarray, Parts, Parts, Parts], tuple[np.ndarray, Parts]]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _split(x: np.ndarray, count: int) -> list[np.ndarray]:
    return np.split(x, count, axis=-1)


def _rnn(gate: np.ndarray, inner: np.ndarray, state: Parts) -> Parts:
    return (np.tanh(gate + inner),)


def _rnn_back(
    gate: np.ndarray, inner: np.ndarray, state: Parts, new: Parts, d: Parts
) -> tuple[np.ndarray, Parts]:
    return d[0] * (1 - new[0] * new[0]), (np.zeros_like(d[0]),)


def _lstm(gate: np.ndarray, inner: np.ndarray, state: Parts) -> Parts:
    i, f, g, o = _split(gate + inner, 4)
    c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _lstm_back(
    gate: np.ndarray, inner: np.ndarray, state: Parts, new: Parts, d: Parts
) -> tuple[np.ndarray, Parts]:
    i, f, g, o = _split(gate + inner, 4)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    squashed = np.tanh(new[1])
    dc = d[1] + d[0] * o * (1 - squashed * squashed)
    found = (
        dc * g * i * (1 - i),
        dc * state[1] * f * (1 - f),
        dc * i * (1 - g * g),
        d[0] * squashed * o * (1 - o),
    )
    return np.concatenate(found, axis=-1), (np.zeros_like(dc), dc * f)


def _gru(gate: np.ndarray, inner: np.ndarray, state: Parts) -> Parts:
    (r, z, n), (hr, hz, hn) = _split(gate, 3), _split(inner, 3)
    reset, update = _sigmoid(r + hr), _sigmoid(z + hz)
    new = np.tanh(n + reset * hn)
    return ((1 - update) * new + update * state[0],)


def _gru_back(
    gate: np.ndarray, inner: np.ndarray, state: Parts, new: Parts, d: Parts
) -> tuple[np.ndarray, Parts]:
    (r, z, n), (hr, hz, hn) = _split(gate, 3), _split(inner, 3)
    reset, update = _sigmoid(r + hr), _sigmoid(z + hz)
    fresh = np.tanh(n + reset * hn)
    dn = d[0] * (1 - update) * (1 - fresh * fresh)
    dz = d[0] * (state[0] - fresh) * update * (1 - update)
    dr = dn * hn * reset * (1 - reset)
    return np.concatenate((dr, dz, dn), axis=-1), (d[0] * update,)


CELLS: dict[str, Cell] = {
    "rnn": Cell(1, 1, _rnn, _rnn_back),
    "lstm": Cell(4, 2, _lstm, _lstm_back),
    "gru": Cell(3, 1, _gru, _gru_back),
}
"""Each cell by name."""


# ---- shape rules ---------------------------------------------------------------------------------


def _infer(types: Types, a: Attributes) -> TensorType:
    cell = CELLS[a["cell"]]
    gates, weight, bias, *begin = types
    units = weight.shape[-1]
    wanted = ((gates.shape[0], gates.shape[1], cell.gates * units), (cell.gates * units, units))
    fits = (gates.shape, weight.shape) == wanted and bias.shape == (cell.gates * units,)
    if not fits or [s.shape for s in begin] != [(gates.shape[0], units)] * cell.states:
        text = ", ".join(map(str, types))
        raise ShapeError("E403", f"{text} are no {a['cell']}", tuple(range(len(types))))
    return TensorType(gates.dtype, (gates.shape[0], gates.shape[1], cell.states * units))


def _infer_input(types: Types, a: Attributes) -> TensorType:
    gates, _, _, states, *_ = types
    return TensorType(gates.dtype, (*gates.shape[:2], gates.shape[2] + states.shape[2]))


# ---- references ----------------------------------------------------------------------------------


def _run(gates: np.ndarray, weight: np.ndarray, bias: np.ndarray, *begin: np.ndarray,
         cell: str) -> np.ndarray:  # fmt: skip
    state: Parts = begin
    found = []
    for t in range(gates.shape[1]):
        state = CELLS[cell].step(gates[:, t], state[0] @ weight.T + bias, state)
        found.append(np.concatenate(state, axis=-1))
    if not found:
        return np.zeros((gates.shape[0], 0, sum(s.shape[-1] for s in begin)))
    return np.stack(found, axis=1)


def _run_back(gates: np.ndarray, inner: np.ndarray, weight: np.ndarray, states: np.ndarray,
              begin: np.ndarray, d: np.ndarray, *, cell: str) -> np.ndarray:  # fmt: skip
    kind = CELLS[cell]
    result = np.zeros((*gates.shape[:2], gates.shape[2] + states.shape[2]))
    later: Parts = tuple(np.zeros_like(s) for s in _split(begin, kind.states))
    for t in range(gates.shape[1] - 1, -1, -1):
        before = tuple(_split(states[:, t - 1] if t else begin, kind.states))
        new = tuple(_split(states[:, t], kind.states))
        own = tuple(x + y for x, y in zip(_split(d[:, t], kind.states), later, strict=True))
        d_gates, direct = kind.back(gates[:, t], inner[:, t], before, new, own)
        through = _inner_cotangent(cell, gates[:, t], inner[:, t], d_gates)
        later = (direct[0] + through @ weight, *direct[1:])
        result[:, t] = np.concatenate((d_gates, *later), axis=-1)
    return result


def _inner_cotangent(
    cell: str, gate: np.ndarray, inner: np.ndarray, d_gates: np.ndarray
) -> np.ndarray:
    """The new gate of a gru sees the state through its reset gate only."""
    if cell != "gru":
        return d_gates
    reset = _sigmoid(_split(gate, 3)[0] + _split(inner, 3)[0])
    dr, dz, dn = _split(d_gates, 3)
    return np.concatenate((dr, dz, dn * reset), axis=-1)


# ---- gradient ------------------------------------------------------------------------------------


def _d_recurrence(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    """The adjoint walks backwards in time; weight and bias follow from all steps at once."""
    gates, weight, bias, *begin = n.operands
    name, units = n["cell"], b[weight].shape[1]
    batch, time, wide = b[gates].shape
    first = b.concat(begin, 1)
    early = b.slice(n.id, (0, 0, 0), (batch, time - 1, units), (1, 1, 1))
    start = b.broadcast(begin[0], (0, 2), (batch, 1, units))
    before = b.concat((start, early), 1)
    product = b.contract("btu,gu->btg", before, weight, name="inner")
    inner = b.map("add", product, b.broadcast(bias, (2,), (batch, time, wide)), name="inner")
    turned = b.copy(weight, "weight")
    made = b.insert(
        "recurrence_input", (gates, inner, turned, n.id, first, d), f"d_{name}", cell=name
    )
    ones = (1, 1, 1)
    d_gates = b.slice(made, (0, 0, 0), (batch, time, wide), ones)
    d_inner = d_gates
    if name == "gru":
        reset = b.map("sigmoid", b.map("add", *(_first(b, x, units) for x in (gates, inner))))
        rest = b.slice(made, (0, 0, 2 * units), (batch, time, units), ones)
        front = b.slice(made, (0, 0, 0), (batch, time, 2 * units), ones)
        d_inner = b.concat((front, b.map("mul", rest, reset)), 2)
    starts = (
        b.squeeze(b.slice(made, (0, 0, wide + units * k), (batch, 1, units), ones), (1,))
        for k in range(len(begin))
    )
    d_weight = b.contract("btg,btu->gu", d_inner, before)
    return (d_gates, d_weight, b.sum(d_inner, (0, 1)), *starts)


def _first(b: Builder, x: int, units: Dim) -> int:
    batch, time, _ = b[x].shape
    return b.slice(x, (0, 0, 0), (batch, time, units), (1, 1, 1))


def _work(types: Types, result: TensorType) -> Dim:
    """The product of every step, and about ten operations for each gate."""
    gates, weight = types[0].shape, types[1].shape
    return 2 * numel(gates[:2]) * numel(weight) + 10 * numel(gates)


def _work_input(types: Types, result: TensorType) -> Dim:
    gates, weight = types[0].shape, types[2].shape
    return 2 * numel(gates[:2]) * numel(weight) + 20 * numel(gates)


RECURRENCES: dict[str, Op] = {
    op.name: op
    for op in (
        Op("recurrence", "heavy", _infer, _run, _d_recurrence, work=_work),
        Op("recurrence_input", "heavy", _infer_input, _run_back, None, work=_work_input),
    )
}
