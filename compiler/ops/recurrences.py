"""Recurrent layers over time: one operation a cell, in PyTorch's gate order, and its adjoint.

    recurrence(gates, weight, bias, h, …)      all states [B, T, S u], h before c
    recurrence_gates(states, gates, weight, bias, h, …)
                                               [B, T, K u]: what opened in every step
    recurrence_input(opened, weight, states, begin, d)
                                               [B, T, G u]: cotangents of the gates
    recurrence_begin(d_gates, opened, weight, states, begin, d)
                                               [B, S u]: cotangents of the states that began it

`gates` [B, T, G u] holds what inputs and biases say, `weight` [G u, u] and `bias` map the state
before, `begin` [B, S u] are the states before the first step; `d` is the cotangent of all states,
or of h alone.  Who makes the states makes `recurrence_gates` on the way, and who makes the gates'
cotangents `recurrence_begin`.
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

    `open(gate, inner)` gives what opens, `kept` parts of it, from what inputs and the state before
    say; `step(opened, states)` the states; `back(opened, states, new, d)` the cotangents of the
    gates and, directly, of the states before.
    """

    gates: int
    states: int
    kept: int
    open: Callable[[np.ndarray, np.ndarray], Parts]
    step: Callable[[Parts, Parts], Parts]
    back: Callable[[Parts, Parts, Parts, Parts], tuple[np.ndarray, Parts]]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _split(x: np.ndarray, count: int) -> Parts:
    return tuple(np.split(x, count, axis=-1))


def _rnn_open(gate: np.ndarray, inner: np.ndarray) -> Parts:
    return (np.tanh(gate + inner),)


def _rnn(opened: Parts, state: Parts) -> Parts:
    return opened


def _rnn_back(opened: Parts, state: Parts, new: Parts, d: Parts) -> tuple[np.ndarray, Parts]:
    return d[0] * (1 - opened[0] * opened[0]), (np.zeros_like(d[0]),)


def _lstm_open(gate: np.ndarray, inner: np.ndarray) -> Parts:
    i, f, g, o = _split(gate + inner, 4)
    return _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)


def _lstm(opened: Parts, state: Parts) -> Parts:
    i, f, g, o = opened
    c = f * state[1] + i * g
    return o * np.tanh(c), c


def _lstm_back(opened: Parts, state: Parts, new: Parts, d: Parts) -> tuple[np.ndarray, Parts]:
    i, f, g, o = opened
    squashed = np.tanh(new[1])
    dc = d[1] + d[0] * o * (1 - squashed * squashed)
    found = (
        dc * g * i * (1 - i),
        dc * state[1] * f * (1 - f),
        dc * i * (1 - g * g),
        d[0] * squashed * o * (1 - o),
    )
    return np.concatenate(found, axis=-1), (np.zeros_like(dc), dc * f)


def _gru_open(gate: np.ndarray, inner: np.ndarray) -> Parts:
    (r, z, n), (hr, hz, hn) = _split(gate, 3), _split(inner, 3)
    reset = _sigmoid(r + hr)
    return reset, _sigmoid(z + hz), np.tanh(n + reset * hn), hn


def _gru(opened: Parts, state: Parts) -> Parts:
    _, update, fresh, _ = opened
    return ((1 - update) * fresh + update * state[0],)


def _gru_back(opened: Parts, state: Parts, new: Parts, d: Parts) -> tuple[np.ndarray, Parts]:
    reset, update, fresh, hn = opened
    dn = d[0] * (1 - update) * (1 - fresh * fresh)
    dz = d[0] * (state[0] - fresh) * update * (1 - update)
    dr = dn * hn * reset * (1 - reset)
    return np.concatenate((dr, dz, dn), axis=-1), (d[0] * update,)


CELLS: dict[str, Cell] = {
    "rnn": Cell(1, 1, 1, _rnn_open, _rnn, _rnn_back),
    "lstm": Cell(4, 2, 4, _lstm_open, _lstm, _lstm_back),
    "gru": Cell(3, 1, 4, _gru_open, _gru, _gru_back),
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


def _infer_gates(types: Types, a: Attributes) -> TensorType:
    states, _, weight, *_ = types
    return TensorType(states.dtype, (*states.shape[:2], CELLS[a["cell"]].kept * weight.shape[-1]))


def _infer_input(types: Types, a: Attributes) -> TensorType:
    states, units = types[2], types[1].shape[-1]
    return TensorType(states.dtype, (*states.shape[:2], CELLS[a["cell"]].gates * units))


def _infer_begin(types: Types, a: Attributes) -> TensorType:
    return types[4]


# ---- references ----------------------------------------------------------------------------------


def _run(gates: np.ndarray, weight: np.ndarray, bias: np.ndarray, *begin: np.ndarray,
         cell: str) -> np.ndarray:  # fmt: skip
    kind, state = CELLS[cell], begin
    found = []
    for t in range(gates.shape[1]):
        state = kind.step(kind.open(gates[:, t], state[0] @ weight.T + bias), state)
        found.append(np.concatenate(state, axis=-1))
    if not found:
        return np.zeros((gates.shape[0], 0, sum(s.shape[-1] for s in begin)))
    return np.stack(found, axis=1)


def _run_gates(states: np.ndarray, gates: np.ndarray, weight: np.ndarray, bias: np.ndarray,
               *begin: np.ndarray, cell: str) -> np.ndarray:  # fmt: skip
    early = states[:, :-1, : weight.shape[1]] if states.shape[1] else states
    before = np.concatenate((begin[0][:, None], early), axis=1)[:, : states.shape[1]]
    return np.concatenate(CELLS[cell].open(gates, before @ weight.T + bias), axis=-1)


def _back(opened: np.ndarray, weight: np.ndarray, states: np.ndarray, begin: np.ndarray,
          d: np.ndarray, cell: str, known: np.ndarray | None = None
          ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The cotangents of the gates, unless they are known, and of the states that began."""
    kind, units = CELLS[cell], weight.shape[1]
    result = np.zeros((*states.shape[:2], kind.gates * units))
    d = np.concatenate((d, np.zeros((*d.shape[:2], kind.states * units - d.shape[2]))), axis=-1)
    later: Parts = tuple(np.zeros_like(s) for s in _split(begin, kind.states))
    for t in range(states.shape[1] - 1, -1, -1):
        before = _split(states[:, t - 1] if t else begin, kind.states)
        now, new = _split(opened[:, t], kind.kept), _split(states[:, t], kind.states)
        own = tuple(x + y for x, y in zip(_split(d[:, t], kind.states), later, strict=True))
        found, direct = kind.back(now, before, new, own)
        result[:, t] = found if known is None else known[:, t]
        through = result[:, t].copy()
        if cell == "gru":  # its new gate sees the state through its reset gate only
            through[:, 2 * units :] *= now[0]
        later = (direct[0] + through @ weight, *direct[1:])
    return result, np.concatenate(later, axis=-1)


def _run_back(opened: np.ndarray, weight: np.ndarray, states: np.ndarray, begin: np.ndarray,
              d: np.ndarray, *, cell: str) -> np.ndarray:  # fmt: skip
    return _back(opened, weight, states, begin, d, cell)[0]


def _run_begin(d_gates: np.ndarray, *operands: np.ndarray, cell: str) -> np.ndarray:
    opened, weight, states, begin, d = operands
    return _back(opened, weight, states, begin, d, cell, d_gates)[1]


# ---- gradient ------------------------------------------------------------------------------------


def _d_recurrence(b: Builder, n: Node, d: int) -> tuple[int | None, ...]:
    """The adjoint walks backwards in time; weight and bias follow from all steps at once."""
    gates, weight, _, *begin = n.operands
    name, units = n["cell"], b[weight].shape[1]
    batch, time, _ = b[gates].shape
    first = b.concat(begin, 1)
    early = b.slice(n.id, (0, 0, 0), (batch, time - 1, units), (1, 1, 1))
    start = b.broadcast(begin[0], (0, 2), (batch, 1, units))
    before = b.concat((start, early), 1)
    opened = n.id
    if name != "rnn":  # what opens there is the state
        opened = b.insert("recurrence_gates", (n.id, *n.operands), f"{name}_gates", cell=name)
    adjoint = (opened, weight, n.id, first, _of_h(b, d, units))
    d_gates = d_inner = b.insert("recurrence_input", adjoint, f"d_{name}", cell=name)
    if name == "gru":
        ones = (1, 1, 1)
        reset = b.slice(opened, (0, 0, 0), (batch, time, units), ones)
        rest = b.slice(d_gates, (0, 0, 2 * units), (batch, time, units), ones)
        front = b.slice(d_gates, (0, 0, 0), (batch, time, 2 * units), ones)
        d_inner = b.concat((front, b.map("mul", rest, reset)), 2)
    ended = b.insert("recurrence_begin", (d_gates, *adjoint), f"d_{name}_begin", cell=name)
    starts = (b.slice(ended, (0, units * k), (batch, units), (1, 1)) for k in range(len(begin)))
    d_weight = b.contract("btg,btu->gu", d_inner, before)
    return (d_gates, d_weight, b.sum(d_inner, (0, 1)), *starts)


def _of_h(b: Builder, d: int, units: Dim) -> int:
    """The cotangent of h alone, where that of c is zero."""
    node = b[d]
    if node.op == "pad" and node["value"] == 0 and b[node.operands[0]].shape[2] == units:
        whole = b[node.operands[0]].shape[:2] == node.shape[:2]
        if whole and node["low"] == (0, 0, 0):
            return node.operands[0]
    return d


def _work(types: Types, result: TensorType, a: Attributes) -> Dim:
    """The product of every step, and about ten operations for each gate."""
    gates, weight = types[0].shape, types[1].shape
    return 2 * numel(gates[:2]) * numel(weight) + 10 * numel(gates)


def _work_on_the_way(types: Types, result: TensorType, a: Attributes) -> Dim:
    """Nothing is left to do but to write it."""
    return numel(result.shape)


def _work_input(types: Types, result: TensorType, a: Attributes) -> Dim:
    weight, states = types[1].shape, types[2].shape
    return 2 * numel(states[:2]) * numel(weight) + 25 * numel(result.shape)


RECURRENCES: dict[str, Op] = {
    op.name: op
    for op in (
        Op("recurrence", "heavy", _infer, _run, _d_recurrence, work=_work),
        Op("recurrence_gates", "heavy", _infer_gates, _run_gates, None, work=_work_on_the_way),
        Op("recurrence_input", "heavy", _infer_input, _run_back, None, work=_work_input),
        Op("recurrence_begin", "heavy", _infer_begin, _run_begin, None, work=_work_on_the_way),
    )
}

WEIGHT = {
    "recurrence": 1,
    "recurrence_gates": 2,
    "recurrence_input": 1,
    "recurrence_begin": 2,
}
"""Which operand is the weight."""

ON_THE_WAY = {"recurrence": "recurrence_gates", "recurrence_input": "recurrence_begin"}
"""What the kernel of a recurrence, or of its adjoint, also makes: an operation on its result."""
