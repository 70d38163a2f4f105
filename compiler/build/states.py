"""Recurrent layers, and tensors that training carries from step to step."""

from __future__ import annotations

from collections.abc import Callable

from ..ops.recurrences import CELLS
from .request import Refusal, Request, Result, agree, shown
from .shaping import cut


def _recurrence(cell: str) -> Callable[[Request], Result]:
    """All states of a cell, split into one tensor [B, T, u] for each."""
    states = CELLS[cell].states

    def build(r: Request) -> Result:
        units = r.shape(1)[-1]
        wanted = [(r.shape()[0], units)] * states
        for i, shape in enumerate(wanted, 3):
            bad = len(r.shape(i)) != 2 or any(
                agree(a, b) for a, b in zip(shape, r.shape(i), strict=True)
            )
            if bad:
                message = f"the state must be {shown(shape)}, got {shown(r.shape(i))}"
                raise Refusal("E403", message, (i,))
        made = r.b.insert("recurrence", r.x, cell, cell=cell)
        return tuple(cut(r, made, 2, units * k, units) for k in range(states))

    return build


def _running(r: Request) -> Result:
    """The buffer; training blends the value into it: (1 - momentum) buffer + momentum value."""
    r.update(r.x[0], r.x[1], r["momentum"])
    return r.x[0]


STATES = (
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
