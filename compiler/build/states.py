"""Recurrent layers, and tensors that training carries from step to step."""

from __future__ import annotations

from collections.abc import Callable

from ...spec.errors import InternalError
from ..ir.types import Shape
from ..ops.recurrences import CELLS
from .request import Refusal, Request, Result, agree, shown
from .shaping import cut


def _recurrence(cell: str) -> Callable[[Request], Result]:
    """All states of a cell, split into one tensor [B, T, u] for each."""
    gates, states = CELLS[cell].gates, CELLS[cell].states

    def build(r: Request) -> Result:
        if len(r.shape()) != 3:
            message = f"`gates` must be [batch, time, features], got {shown(r.shape())}"
            raise Refusal("E402", message, (0,))
        units = r.shape(1)[-1] if r.shape(1) else 1
        batch, time, _ = r.shape()
        _must_be(r, 1, "`weight`", (gates * units, units))
        _must_be(r, 0, "`gates`", (batch, time, gates * units))
        _must_be(r, 2, "`bias`", (gates * units,))
        for i in range(3, 3 + states):
            _must_be(r, i, "the state", (batch, units))
        operands = tuple(r.real(i) for i in range(len(r.x)))
        made = r.b.insert("recurrence", operands, cell, cell=cell)
        return tuple(cut(r, made, 2, units * k, units) for k in range(states))

    return build


def _must_be(r: Request, operand: int, what: str, shape: Shape) -> None:
    """Raises: Refusal E403, or E413 where sizes without a number cannot be compared."""
    have = r.shape(operand)
    codes = [agree(a, b) for a, b in zip(shape, have, strict=False)]
    if len(have) != len(shape) or any(codes):
        code = "E413" if len(have) == len(shape) and "E403" not in codes else "E403"
        message = f"{what} must be {shown(shape)}, got {shown(have)}"
        raise Refusal(code, message, (operand,))


def _running(r: Request) -> Result:
    """The buffer; training blends the value into it: (1 - momentum) buffer + momentum value."""
    r.update(r.x[0], r.x[1], r["momentum"])
    return r.x[0]


def _scan(r: Request) -> Result:
    raise InternalError("`scan` is elaborated with its cell")  # scanning.py


STATES = (
    (
        "scan(*xs; cell:value, reverse:flag=false, both_ways:flag=false, return_state:flag=false, "
        "carry:integer=0, **starts)[lengths]",
        _scan,
        "a block of your own over time: its inputs are a step of each sequence [B, T, ...], then its "
        "states; it gives the states after the step, then outputs, and scan all of them over time; "
        "`lengths` [B] says how many steps of each sequence count, all others give zeros; `both_ways` "
        "walks from both ends, with weights for each, and puts the results side by side",
    ),
    (
        "rnn_states(gates, weight, bias, h;)",
        _recurrence("rnn"),
        "all states of a plain recurrent layer, from what its inputs say",
    ),
    (
        "lstm_states(gates, weight, bias, h, c;)",
        _recurrence("lstm"),
        "all states h and c of a long short-term memory, from what its inputs say",
    ),
    (
        "gru_states(gates, weight, bias, h;)",
        _recurrence("gru"),
        "all states of a gated recurrent unit, from what its inputs say",
    ),
    (
        "running(buffer, value; momentum:number=0.1)",
        _running,
        "the buffer; a training step then holds (1 - momentum) buffer + momentum value in it",
    ),
)
