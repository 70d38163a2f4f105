"""Cells over time, and tensors that training carries from step to step."""

from __future__ import annotations

from collections.abc import Callable

from ...spec.errors import InternalError
from ..ir.types import Shape
from .request import Refusal, Request, Result, agree, shown
from .shaping import cut


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
        "running(buffer, value; momentum:number=0.1)",
        _running,
        "the buffer; a training step then holds (1 - momentum) buffer + momentum value in it",
    ),
)
