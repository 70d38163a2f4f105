"""Calls of recurrences (recurrent.h)."""

from __future__ import annotations

from collections.abc import Sequence

from ....spec.dims import c_expression
from ...ir.graph import Graph, Node
from ...ops.recurrences import CELLS
from ...plan.layout import Layout

ROWS = 64  # samples that walk through time together, as in recurrent.h


def planes(graph: Graph, node: Node) -> int:
    """Floats of scratch: states of a block of samples, what a step makes of them, a weight as
    `weft_keep` rearranges it.
    """
    cell = CELLS[node["cell"]]
    units = graph[node.operands[1 if node.op == "recurrence" else 2]].shape[1]
    assert isinstance(units, int)
    wide = cell.gates * units
    n, depth = (wide, units) if node.op == "recurrence" else (units, wide)
    kept = -(-n // 16) * -(-depth // 32) * 768  # as in tiles.h
    return kept + ROWS * units * (cell.gates + 2 * cell.states)


def call(
    graph: Graph,
    node: Node,
    samples: str,
    operands: Sequence[str],
    result: str,
    layouts: Sequence[Layout],
) -> str:
    """The statement that carries out a recurrence or its adjoint."""
    cell, time = node["cell"], c_expression(node.shape[1])
    forward = node.op == "recurrence"
    weight = 1 if forward else 2
    units = str(graph[node.operands[weight]].shape[1])
    gate, unit = (c_expression(s) for s in layouts[weight].strides)
    if forward:
        gates, w, bias, *begin = operands
        states = []
        for pointer, layout in zip(begin, layouts[3:], strict=True):
            states += [pointer, *map(c_expression, layout.strides)]
        states += ["0", "0", "0"] * (2 - len(begin))
        arguments = [samples, time, units, gates, w, unit, gate, bias, *states, result]
        return f"weft_recurrence(WEFT_{cell.upper()}, {', '.join(arguments)}, scratch, planes);"
    gates, inner, w, states_of, begin_of, d = operands
    row, column = map(c_expression, layouts[4].strides)
    arguments = [samples, time, units, gates, inner, w, gate, unit, states_of]
    arguments += [begin_of, row, column, d, result]
    name = f"weft_recurrence_input(WEFT_{cell.upper()}"
    return f"{name}, {', '.join(arguments)}, scratch, planes);"
