"""Run a graph in NumPy float64: the meaning that every target is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..spec.dims import evaluate
from .ir.body import ROWS, Body
from .ir.graph import Graph, Node
from .ir.types import FLOATS
from .ops import OPS, philox


def run(
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    *,
    seed: int = 0,
    step: int = 0,
    in_order: bool = False,
) -> dict[str, np.ndarray]:
    """All outputs, for inputs by name and symbolic dimensions by symbol."""
    values = run_all(graph, feeds, sizes, seed=seed, step=step, in_order=in_order)
    return {name: values[i] for name, i in graph.outputs.items()}


def run_all(
    graph: Graph,
    feeds: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    *,
    seed: int = 0,
    step: int = 0,
    in_order: bool = False,
) -> dict[int, np.ndarray]:
    """Every live value by node id.

    `in_order` adds the terms of every sum one after another, which is slow: terms of zero then
    change no bit, wherever they stand.
    """
    values: dict[int, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for node in graph:
            values[node.id] = _value(node, values, feeds, sizes, seed, step, in_order)
    return values


def run_again(
    graph: Graph,
    values: Mapping[int, np.ndarray],
    feeds: Mapping[str, np.ndarray],
    output: str,
    sizes: Mapping[str, int],
    *,
    seed: int = 0,
    step: int = 0,
) -> np.ndarray:
    """One output where these `feeds` differ from those that gave `values`.

    Computes only what lies between the two.
    """
    changed: dict[int, np.ndarray] = {}
    needed = _needs(graph, graph.outputs[output])
    with np.errstate(all="ignore"):
        for node in graph:
            if node.op == "input":
                if node["feed"] in feeds:
                    changed[node.id] = _fed(node, feeds[node["feed"]])
            elif node.id in needed and any(i in changed for i in node.operands):
                known = {i: changed[i] if i in changed else values[i] for i in node.operands}
                changed[node.id] = _value(node, known, feeds, sizes, seed, step, False)
    last = graph.outputs[output]
    return changed[last] if last in changed else values[last]


def _needs(graph: Graph, last: int) -> set[int]:
    """A value and all that it is made of."""
    found: set[int] = set()
    waiting = [last]
    while waiting:
        i = waiting.pop()
        if i not in found:
            found.add(i)
            waiting.extend(graph[i].operands)
    return found


def _value(
    node: Node,
    values: Mapping[int, np.ndarray],
    feeds: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
    seed: int,
    step: int,
    in_order: bool,
) -> np.ndarray:
    """What a node is, of its operands."""
    if node.op == "input":
        return _fed(node, feeds[node["feed"]])
    shape = _concrete(node.shape, sizes)
    if node.op == "random":
        draw = getattr(philox, node["kind"])
        count = int(np.prod(shape, dtype=np.int64))
        found: np.ndarray = draw(seed, step, node["stream"], 0, count)
        return found.reshape(shape).astype(np.float64)
    if node.op == "scan":
        return _scanned(node, [values[i] for i in node.operands], sizes, in_order=in_order)
    attributes = {name: _concrete(value, sizes) for name, value in node.attributes}
    op = OPS[node.op]
    meaning = op.in_order if in_order and op.in_order else op.reference
    value = np.asarray(meaning(*(values[i] for i in node.operands), **attributes))
    return np.broadcast_to(value, shape) if value.shape != shape else value


def _scanned(
    node: Node, operands: list[np.ndarray], sizes: Mapping[str, int], *, in_order: bool
) -> np.ndarray:
    """One result of a loop over time, of all steps."""
    body: Body = node["body"]
    steady, first = len(operands) - len(body.sequences), len(body.fixed)
    wanted = {str(k): i for k, i in enumerate((*body.next, body.results[node["index"]]))}
    graph = Graph(body.nodes, wanted)
    names = [str(body.nodes[i]["feed"]) for i in body.inputs]
    batch, time = operands[-1].shape[:2]
    feeds = dict(zip(names, operands, strict=True))
    known = {**sizes, ROWS: batch}
    found: dict[int, np.ndarray] = {}
    for t in range(time)[:: -1 if node["reverse"] else 1]:
        feeds |= {n: x[:, t] for n, x in zip(names[steady:], operands[steady:], strict=True)}
        made = run(graph, feeds, known, in_order=in_order)
        feeds |= {name: made[str(j)] for j, name in enumerate(names[first:steady])}
        found[t] = made[str(len(body.next))]
    if not found:
        return np.zeros(_concrete(node.shape, sizes))
    return np.stack([found[t] for t in range(time)], axis=1)


def _fed(node: Node, value: np.ndarray) -> np.ndarray:
    if node.dtype in FLOATS:
        return np.asarray(value, np.float64)
    return np.asarray(value, np.bool_ if node.dtype == "bool" else np.int64)


def _concrete(value: Any, sizes: Mapping[str, int]) -> Any:
    """Symbolic dimensions replaced by numbers, inside tuples too."""
    if isinstance(value, tuple):
        return tuple(_concrete(v, sizes) for v in value)
    if hasattr(value, "terms"):
        return evaluate(value, sizes)
    return value
