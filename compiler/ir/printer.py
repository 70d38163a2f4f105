"""A graph as text, one value a line: `%12 = tanh(%11)  f32[B, 20]  hidden`."""

from __future__ import annotations

from .graph import Graph, Node

SHOWN = 16
"""Entries of an attribute that are printed."""


def show(graph: Graph) -> str:
    """All live values in order, then the outputs."""
    lines = [line(node) for node in graph]
    lines += [f"{name} <- %{i}" for name, i in graph.outputs.items()]
    return "\n".join(lines)


def line(node: Node) -> str:
    """One value: its op with operands and attributes, type, name and place."""
    operands = [f"%{o}" for o in node.operands]
    shown = [f"{name}={_attribute(value)}" for name, value in node.attributes if name != "type"]
    text = f"%{node.id} = {node.op}({', '.join(operands + shown)})"
    where = f"  {node.place}" if node.place is not None else ""
    return f"{text}  {node.type}  {node.name}{where}"


def _attribute(value: object) -> str:
    if isinstance(value, tuple):
        shown = [*map(_attribute, value[:SHOWN]), *(["…"] if len(value) > SHOWN else [])]
        return f"[{', '.join(shown)}]"
    return str(value)
