"""Where the inputs and outputs of an entry live: ports, the flat arenas, the call's numbers."""

from __future__ import annotations

from collections.abc import Mapping

from .arena import Arena
from .entries import EntryGraph
from .ir.graph import Graph, Node
from .plan.layout import Layout, row_major
from .plan.memory import Home
from .update import UpdateGraph


def graph_homes(e: EntryGraph, arena: Arena) -> dict[int, Home]:
    """The homes of the graph's inputs and outputs, by value."""
    assert e.graph is not None
    homes: dict[int, Home] = {}
    slots = {port.name: slot for slot, port in enumerate(e.inputs)}
    for node in e.graph.inputs():
        homes[node.id] = _input_home(node, slots, arena)
    for slot, port in enumerate(e.outputs):
        if port.name in e.graph.outputs:
            i = e.graph.outputs[port.name]
            homes[i] = Home("output", slot, 0, row_major(e.graph[i].shape))
    for output, parameter in e.gradients.items():
        i = e.graph.outputs[output]
        home = Home("gradient", 0, arena.offsets[parameter], arena.layouts[parameter])
        homes |= dict.fromkeys(_added_up(e.graph, i), home)
    for output, parameter in e.buffers.items():
        i = e.graph.outputs[output]
        homes[i] = Home("parameter", 0, arena.offsets[parameter], arena.layouts[parameter])
    return homes


def _added_up(graph: Graph, i: int) -> list[int]:
    """A gradient, and what it is the sum of phase by phase, all of which lie in one place."""
    found = [i]
    while graph[i].op == "add" and graph[i].phase:
        earlier = [
            o
            for o in graph[i].operands
            if graph[o].phase not in (0, graph[i].phase)
            and graph.users(o) == [i]
            and graph[o].op in ("add", "contract", "sum")
        ]
        if len(earlier) != 1 or graph[earlier[0]].shape != graph[i].shape:
            break
        i = earlier[0]
        found.append(i)
    return found


def _input_home(node: Node, slots: Mapping[str, int], arena: Arena) -> Home:
    feed = node["feed"]
    if feed in slots:
        return Home("input", slots[feed], 0, row_major(node.shape))
    return Home("parameter", 0, arena.offsets[feed], arena.layouts[feed])


def update_homes(
    e: EntryGraph, u: UpdateGraph, arena: Arena, states: Mapping[tuple[str, str], int]
) -> dict[int, Home]:
    """The homes of the update's inputs and outputs: new values where the old ones were."""
    graph: Graph = u.graph
    one = Layout((), 1)
    homes: dict[int, Home] = {}
    scalars = list(u.scalars)
    outputs = {port.name: slot for slot, port in enumerate(e.outputs)}
    inputs = {node["feed"]: node.id for node in graph.inputs()}
    for feed, i in inputs.items():
        if feed in scalars:
            homes[i] = Home("scalar", 0, scalars.index(feed), one)
        elif feed == "loss":
            homes[i] = Home("output", outputs["loss"], 0, one)
    for k, piece in enumerate(u.slices):
        flat = Layout((1,), piece.length)
        homes[inputs[f"gradient_{k}"]] = Home("gradient", 0, piece.offset, flat)
        places = {"parameter": ("parameter", 0)} | {
            name: ("state", states[e.subject, name]) for name in u.states
        }
        for name, (space, slot) in places.items():
            home = Home(space, slot, piece.offset, flat)
            if f"{name}_{k}" in inputs:
                homes[inputs[f"{name}_{k}"]] = home
            homes[graph.outputs[f"new_{name}_{k}"]] = home
    norm = graph.outputs["gradient_norm_squared"]
    homes[norm] = Home("output", outputs["gradient_norm_squared"], 0, one)
    return homes
