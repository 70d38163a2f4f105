"""The diagram of a net: one box a layer, arrows for the values between them."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx

from ..compiler.build import NetProgram
from ..compiler.ir.graph import Graph, Node
from .layout import Arrow
from .picture import Box, Picture

Group = tuple[
    str, int
]  # a layer's path and which use of it; single operations have their node's id


def diagram(net: NetProgram, depth: int | None = None) -> Picture:
    """The boxes and arrows of a net; layers below `depth` blocks are one box."""
    graph = net.graph
    hidden = {node.id for node in graph.inputs() if node["feed"] in net.parameters}
    home = _merge_cycles(graph, _groups(net, graph, hidden, depth))
    names = _names(home, graph)
    boxes = dict.fromkeys(names[home[node.id]] for node in graph if node.id in home)
    arrows: dict[tuple[str, str, str], None] = {}
    for node in graph:
        for operand in node.operands:
            if node.id in home and operand in home and home[operand] != home[node.id]:
                label = _shape(graph[operand])
                arrows[names[home[operand]], names[home[node.id]], label] = None
    shown = [_box(net, name, names, home, graph) for name in boxes]
    for name, i in graph.outputs.items():
        shown.append(Box(f"{name} ", (name, str(graph[i].type)), "output"))
        arrows[names[home[i]], f"{name} ", _shape(graph[i])] = None
    return Picture(f"net {net.name}", tuple(shown), tuple(Arrow(*ends) for ends in arrows))


def _groups(net: NetProgram, graph: Graph, hidden: set[int], depth: int | None) -> dict[int, Group]:
    """Which box each value belongs to.

    A layer that is used twice gives two boxes: a use ends where a value leaves it and comes back.
    """
    layers = {row.path for row in net.layers}
    home: dict[int, Group] = {}
    left: dict[int, dict[str, int]] = {}  # by node: uses of a layer that lie wholly before it
    for node in graph:
        if node.id in hidden:
            continue
        path = _path(net, node, layers, depth)
        before = [o for o in node.operands if o not in hidden]
        passed: dict[str, int] = {}
        for o in before:
            for name, use in left[o].items():
                passed[name] = max(use, passed.get(name, -1))
        inside = [home[o][1] for o in before if path and home[o][0] == path]
        use = max([passed.get(path, -1) + 1, *inside]) if path else node.id
        home[node.id] = (path, use)
        for o in before:
            if home[o] != home[node.id]:
                name, other = home[o]
                passed[name] = max(other, passed.get(name, -1))
        left[node.id] = passed
    return home


def _path(net: NetProgram, node: Node, layers: set[str], depth: int | None) -> str:
    """The layer of a value, or nothing for an operation between layers."""
    path = node.scope.removeprefix(net.name).removeprefix(".")
    parts = path.split(".") if path else []
    if depth is not None and len(parts) >= depth and node.operands:
        return ".".join(parts[:depth])
    return path if path in layers else ""


def _merge_cycles(graph: Graph, home: Mapping[int, Group]) -> dict[int, Group]:
    """Boxes that need each other become one."""
    quotient: nx.DiGraph = nx.DiGraph()
    quotient.add_nodes_from(home.values())
    for node in graph:
        for operand in node.operands:
            if node.id in home and operand in home and home[operand] != home[node.id]:
                quotient.add_edge(home[operand], home[node.id])
    first = {
        group: min(component)
        for component in nx.strongly_connected_components(quotient)
        for group in component
    }
    return {i: first[group] for i, group in home.items()}


def _names(home: Mapping[int, Group], graph: Graph) -> dict[Group, str]:
    """A name for each box: the path, the input's name or the operation; numbered if it repeats."""
    names: dict[Group, str] = {}
    taken: set[str] = set()
    for i, group in home.items():
        if group in names:
            continue
        base = group[0] or (graph[i].name if graph[i].op == "input" else graph[i].op)
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base} ({count})"
        taken.add(name)
        names[group] = name
    return names


def _box(
    net: NetProgram,
    name: str,
    names: Mapping[Group, str],
    home: Mapping[int, Group],
    graph: Graph,
) -> Box:
    """The box of a layer: its path, its operation, its parameters."""
    group = next(g for g, known in names.items() if known == name)
    members = [graph[i] for i, g in home.items() if g == group]
    if all(node.op == "input" for node in members):
        return Box(name, (name, str(members[0].type)), "input")
    path = group[0]
    if not path:
        return Box(name, (members[0].op,), "plain")
    rows = [row for row in net.layers if row.path == path or row.path.startswith(f"{path}.")]
    count = sum(row.parameters for row in rows)
    op = next((row.op for row in rows if row.path == path), f"{len(rows)} layers")
    lines = [path] + ([op] if op != path.rpartition(".")[2] else [])
    return Box(
        name,
        (*lines, f"{count:,} parameters") if count else tuple(lines),
        "layer" if count else "plain",
    )


def _shape(node: Node) -> str:
    return f"[{', '.join(map(str, node.shape))}]"
