"""Scratch of the heavy operations that treat every sample of a batch by itself."""

from __future__ import annotations

from collections.abc import Mapping

from ....spec.dims import Dim
from ...ir.graph import Graph, Node
from . import windowed


def planes(graph: Graph, node: Node, sizes: Mapping[str, int]) -> Dim:
    """Floats that a thread needs beside the scratch of its products."""
    if node.op == "scan":
        return 0  # known when its loop is written: scan.py
    return windowed.planes(graph, node, sizes)
