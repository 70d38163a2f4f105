"""Run a graph in NumPy float64: the meaning that every target is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..spec.dims import evaluate
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
            if node.op == "input":
                values[node.id] = _fed(node, feeds[node["feed"]])
            elif node.op == "random":
                shape = _concrete(node["shape"], sizes)
                count = int(np.prod(shape, dtype=np.int64))
                draw = getattr(philox, node["kind"])
                values[node.id] = (
                    draw(seed, step, node["stream"], 0, count).reshape(shape).astype(np.float64)
                )
            else:
                attributes = {name: _concrete(value, sizes) for name, value in node.attributes}
                operands = (values[i] for i in node.operands)
                op = OPS[node.op]
                meaning = op.in_order if in_order and op.in_order else op.reference
                value = np.asarray(meaning(*operands, **attributes))
                shape = _concrete(node.shape, sizes)
                values[node.id] = np.broadcast_to(value, shape) if value.shape != shape else value
    return values


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
