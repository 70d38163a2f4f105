"""A scan on a GPU: one step as a graph, and where the values lie that surround it.

Launched once for every step, the graph has the whole batch as its samples: pointers to the parts of
sequences and results move on from step to step, and a step replaces the states in place.  In one
kernel for all steps its samples are those of a program, and states have two places by turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....spec.dims import Dim
from ...ir.body import ROW, ROWS, Body, repeated, replaced
from ...ir.builder import Builder
from ...ir.graph import Graph
from ...ops import OPS
from ...plan.layout import Layout, row_major
from ...plan.memory import Home
from .part import Part

STATES = 1 << 16  # slots of states that are replaced in place, behind those of an optimizer


@dataclass(frozen=True, slots=True)
class Loop:
    """One scan.

    `step` is the graph of a step and `begin` the one that puts the starts where states lie; each
    with the homes of what surrounds it.  `lent` says for those values of a step whose they are
    outside, and how far that moves on in a step; `starts` the same for the starts, which do not
    move.  `states` are the states of a step before and after it, and in the beginning; `rows` how
    many samples there are.
    """

    step: Graph
    homes: dict[int, Home]
    begin: Graph
    begin_homes: dict[int, Home]
    lent: dict[int, tuple[int, Dim]]
    starts: dict[int, int]
    states: tuple[tuple[int, int, int], ...]
    rows: Dim
    time: Dim
    reverse: bool


def loop_of(part: Part, i: int, writes: Sequence[int], *, whole: bool) -> Loop:
    """The loop of the scan with the results `writes`; `whole`: for one kernel of all steps."""
    graph, node = part.graph, part.graph[i]
    body: Body = node["body"]
    rows = ROW if whole else node.shape[0]
    sizes = {ROWS: rows}
    b, new = Builder(OPS, {}), list[int]()
    for inner in body.nodes:
        given = [new[o] for o in inner.operands]
        as_it_is = inner.op == "copy" and _feeds_scans(body, inner.id)
        new.append(given[0] if as_it_is else repeated(b, inner, given, sizes))
    homes: dict[int, Home] = {}
    lent: dict[int, tuple[int, Dim]] = {}
    for slot, (k, o) in enumerate(zip(body.inputs, node.operands, strict=True)):
        layout, base = part.layout(o), part.values.base(o)
        if k in body.sequences:
            homes[new[k]] = Home("input", slot, 0, _one_step(layout))
            lent[new[k]] = base, layout.strides[1]
        elif k in body.fixed:
            homes[new[k]] = Home("input", slot, 0, layout)
            lent[new[k]] = base, 0
    outputs: dict[str, int] = {}
    for slot, result in enumerate(writes):
        k, layout = new[body.results[graph[result]["index"]]], part.layout(result)
        homes[k] = Home("output", slot, 0, _one_step(layout))
        lent[k] = result, layout.strides[1]
        outputs[f"result_{slot}"] = k
    begin = Builder(OPS, {})
    begin_homes: dict[int, Home] = {}
    starts: dict[int, int] = {}
    states = []
    first = len(body.fixed)
    for j, (before, after) in enumerate(zip(body.states, body.next, strict=True)):
        outputs[f"state_{j}"] = end = b.copy(new[after], f"state_{j}")
        o = node.operands[first + j]
        type = replaced(body.nodes[before].type, sizes)
        layout = row_major(type.shape)
        homes[new[before]] = Home("state", STATES + j, 0, layout)
        homes[end] = Home("output", len(writes) + j, 0, layout) if whole else homes[new[before]]
        start = begin.input(f"start_{j}", type)
        begin_homes[start] = Home("input", j, 0, part.layout(o))
        starts[start] = part.values.base(o)
        begun = begin.copy(start, f"state_{j}")
        begin.outputs[f"state_{j}"] = begun
        begin_homes[begun] = Home("output", j, 0, layout)
        states.append((new[before], end, begun))
    b.outputs = outputs
    time = graph[node.operands[-1]].shape[1]
    return Loop(
        b.graph(),
        homes,
        begin.graph(),
        begin_homes,
        lent,
        starts,
        tuple(states),
        rows,
        time,
        node["reverse"],
    )


def _feeds_scans(body: Body, i: int) -> bool:
    """Do only scans read it?  They take what lies between that of other steps."""
    if i in body.results:
        return False
    return all(n.op == "scan" for n in body.nodes if i in n.operands)


def _one_step(layout: Layout) -> Layout:
    """How a step's part of a sequence lies."""
    return Layout((layout.strides[0], *layout.strides[2:]), layout.span)
