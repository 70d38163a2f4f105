"""What must hold of every graph, whichever pass made it."""

from __future__ import annotations

from collections.abc import Mapping

from ...spec.errors import InternalError
from .graph import Graph, Node
from .op import Op, ShapeError
from .printer import line


def verify(graph: Graph, ops: Mapping[str, Op]) -> Graph:
    """The graph itself, if it is sound.

    Operands come before their users, every op exists, every type is what the op's shape rule gives,
    and every output is a value.

    Raises: InternalError showing the value and its operands.
    """
    for node in graph:
        if node.op not in ops:
            raise _broken(graph, node, f"there is no op `{node.op}`")
        if any(not 0 <= o < node.id for o in node.operands):
            raise _broken(graph, node, "an operand does not come before its user")
        try:
            type = ops[node.op].infer(
                tuple(graph[o].type for o in node.operands), dict(node.attributes)
            )
        except ShapeError as wrong:
            raise _broken(graph, node, wrong.message) from wrong
        if type != node.type:
            raise _broken(graph, node, f"the type should be {type}")
    return graph


def _broken(graph: Graph, node: Node, message: str) -> InternalError:
    around = [line(graph[o]) for o in node.operands if 0 <= o < len(graph.nodes)]
    return InternalError(f"unsound graph: {message}", around="\n".join([*around, line(node)]))
