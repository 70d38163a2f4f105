"""Calls of recurrences (recurrent.h)."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.graph import Graph, Node
from ...ops.recurrences import CELLS, WEIGHT
from ...plan.layout import Layout
from ..names import c_expression

ROWS = 64  # samples that walk through time together, as in recurrent.h


def planes(graph: Graph, node: Node) -> int:
    """Floats of scratch: a weight as `weft_keep` rearranges it, a step's left operand in planes,
    and of a block of samples the states and what a step makes of them.
    """
    cell = CELLS[node["cell"]]
    units = graph[node.operands[WEIGHT[node.op]]].shape[1]
    assert isinstance(units, int)
    wide, backwards = cell.gates * units, node.op == "recurrence_input"
    parts, depth = (1, wide) if backwards else (cell.gates, units)
    tiles = parts * -(-units // 16) * -(-depth // 32) * 768
    strips = -(-parts * units // 32) * 32 * depth
    states = (1 if backwards else 2) * cell.states * units
    rows = ROWS * (states + wide) + (16 * 64 if backwards else cell.kept * units)
    return max(tiles, strips) + -(-depth // 32) * 768 + rows


def call(
    graph: Graph,
    node: Node,
    samples: str,
    operands: Sequence[str],
    results: Sequence[str],
    layouts: Sequence[Layout],
) -> str:
    """The statement that carries out a recurrence or its adjoint.

    `results`: of a recurrence the states, and what opens if it is wanted.
    """
    cell, time, weight = node["cell"], c_expression(node.shape[1]), WEIGHT[node.op]
    units = str(graph[node.operands[weight]].shape[1])
    gate, unit = (c_expression(s) for s in layouts[weight].strides)
    if node.op == "recurrence_input":
        opened, w, states_of, begin_of, d = operands
        row, column = map(c_expression, layouts[3].strides)
        wide = c_expression(graph[node.operands[4]].shape[2])
        arguments = [samples, time, units, opened, w, gate, unit, states_of]
        arguments += [begin_of, row, column, d, wide, *results]
        name = f"weft_recurrence_input(WEFT_{cell.upper()}"
        return f"{name}, {', '.join(arguments)}, scratch, planes);"
    gates, w, bias, *begin = operands[weight - 1 :]
    states = []
    for pointer, layout in zip(begin, layouts[weight + 2 :], strict=True):
        states += [pointer, *map(c_expression, layout.strides)]
    states += ["0", "0", "0"] * (2 - len(begin))
    if node.op == "recurrence_gates":
        made = [operands[0], "NULL", *results]
    else:
        made = [results[0], *results, "NULL"][:3]
    arguments = [samples, time, units, gates, w, unit, gate, bias, *states, *made]
    return f"weft_recurrence(WEFT_{cell.upper()}, {', '.join(arguments)}, scratch, planes);"
