"""Sums over several axes as one: what a GPU's product loops over lies in one run in memory.

    contract(x[a, n, m], y[a, m, k] -> [n, k])  ->  contract(copy(x[n, a, m]), y[a, m, k])

A product walks one summed index.  Several are one where they lie behind each other, in the same
order, in both operands; otherwise an operand is turned in memory first.
"""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.graph import Graph
from ..ops import OPS
from ..ops.products import letters


def align(graph: Graph) -> Graph:
    """The graph in which the sums of every contraction lie in one run."""
    wanted = {node.id: _order(*letters(node["spec"])) for node in graph if node.op == "contract"}
    if not any(wanted.values()):
        return graph
    b = Builder(OPS, {})
    new: dict[int, int] = {}
    for node in graph:
        operands = [new[o] for o in node.operands]
        order = wanted.get(node.id, "")
        attributes = dict(node.attributes)
        with b.at(node.place, node.scope):
            if order:
                texts = letters(node["spec"])
                turned = [_turned(b, x, t, order) for x, t in zip(operands, texts, strict=False)]
                operands = [x for x, _ in turned]
                attributes["spec"] = f"{turned[0][1]},{turned[1][1]}->{texts[2]}"
            new[node.id] = b.insert(node.op, operands, node.name, **attributes)
    b.outputs = {name: new[i] for name, i in graph.outputs.items()}
    return b.graph()


def _order(first: str, second: str, result: str) -> str:
    """The summed letters in an order that suits one operand, or nothing where they are fine."""
    mine, theirs = ("".join(x for x in text if x not in result) for text in (first, second))
    summed = "".join(x for x in theirs if x in mine)
    if len(summed) < 2 or (summed in first and summed in second):
        return ""
    return summed


def _turned(b: Builder, x: int, text: str, order: str) -> tuple[int, str]:
    """The operand with the summed letters last, if they do not lie in one run."""
    if order in text:
        return x, text
    wanted = "".join(c for c in text if c not in order) + order
    turned = b.transpose(x, [text.index(c) for c in wanted])
    return b.copy(turned, b[x].name), wanted
