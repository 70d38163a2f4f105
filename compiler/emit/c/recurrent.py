"""Calls of recurrences (recurrent.c)."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.graph import Graph, Node
from ...ops.recurrences import CELLS, ON_THE_WAY, WEIGHT
from ...plan.layout import Layout
from ..names import c_expression

ROWS = 64  # samples that walk through time together, as in recurrent.c


def planes(graph: Graph, node: Node) -> int:
    """Floats of scratch: a weight as `weft_keep` rearranges it, a step's left operand in planes,
    and of a block of samples the states and what a step makes of them.
    """
    cell = CELLS[node["cell"]]
    units = graph[node.operands[WEIGHT[node.op]]].shape[1]
    assert isinstance(units, int)
    wide, backwards = cell.gates * units, node.op in ("recurrence_input", "recurrence_begin")
    parts, depth = (1, wide) if backwards else (cell.gates, units)
    deep = -(-depth // 32) * 768  # the planes of 16 rows or columns
    if cell.gates == 4 and backwards:  # all gates of 16 units side by side, and two steps at a time
        deep = 2 * -(-units // 16) * 768
    tiles = parts * -(-units // 16) * deep
    strips = -(-parts * units // 32) * 32 * depth
    rows = ROWS * (2 * cell.states * units + wide)
    rows += 16 * 64 + wide if backwards else cell.kept * units
    return max(tiles, strips) + 2 * deep + rows


def call(
    graph: Graph,
    node: Node,
    samples: str,
    operands: Sequence[str],
    results: Sequence[str],
    layouts: Sequence[Layout],
) -> str:
    """The statement that carries out a recurrence or its adjoint.

    `results`: its own, and what is made on the way if that is wanted.
    """
    cell, weight = node["cell"], WEIGHT[node.op]
    time = c_expression(graph[node.operands[0]].shape[1])
    made = [results[0], *results, "NULL"][:3]
    if node.op in ON_THE_WAY.values():  # the rest is known
        made = [operands[0], "NULL", *results]
    units = str(graph[node.operands[weight]].shape[1])
    gate, unit = (c_expression(s) for s in layouts[weight].strides)
    if node.op in ("recurrence_input", "recurrence_begin"):
        opened, w, states_of, begin_of, d = operands[weight - 1 :]
        row, column = map(c_expression, layouts[weight + 2].strides)
        wide = c_expression(graph[node.operands[weight + 3]].shape[2])
        arguments = [samples, time, units, opened, w, gate, unit, states_of]
        arguments += [begin_of, row, column, d, wide, *made]
        name = f"weft_recurrence_input(WEFT_{cell.upper()}"
        return f"{name}, {', '.join(arguments)}, scratch, planes);"
    gates, w, bias, *begin = operands[weight - 1 :]
    states = []
    for pointer, layout in zip(begin, layouts[weight + 2 :], strict=True):
        states += [pointer, *map(c_expression, layout.strides)]
    states += ["0", "0", "0"] * (2 - len(begin))
    arguments = [samples, time, units, gates, w, unit, gate, bias, *states, *made]
    return f"weft_recurrence(WEFT_{cell.upper()}, {', '.join(arguments)}, scratch, planes);"
