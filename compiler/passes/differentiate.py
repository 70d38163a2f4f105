"""Reverse mode on the graph: loss -> cotangents of the values asked for."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.cotangents import cotangents


def differentiate(
    b: Builder, loss: int, wrt: Sequence[int], seed: int | None = None
) -> dict[int, int]:
    """Insert the gradient of the scalar `loss` with respect to every value of `wrt`.

    `x -> y -> loss` gains `d_y = d loss / dy`, named after the value and placed where it was made.
    A value that the loss does not depend on gets a zero of its shape.

    Raises: ShapeError E418 when an op on the way has no derivative.
    """
    found = cotangents(b, {loss: b.constant(1.0) if seed is None else seed}, wrt)
    return {i: found[i] if i in found else _zero(b, i) for i in wrt}


def _zero(b: Builder, i: int) -> int:
    return b.broadcast(b.constant(0.0), (), b[i].shape)
