"""Immutable nodes, and the graph that owns them as a NetworkX multigraph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from ...spec.place import Place
from .types import TensorType


@dataclass(frozen=True, slots=True)
class Node:
    """One value: an operation on earlier values.

    `operands` are ids of earlier nodes; `attributes` are sorted pairs; `name` suggests what to call
    the value in emitted text; `place` and `scope` say where in the spec it comes from.
    """

    id: int
    op: str
    operands: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...]
    type: TensorType
    name: str
    place: Place | None = field(default=None, compare=False)
    scope: str = field(default="", compare=False)

    def __getitem__(self, attribute: str) -> Any:
        for name, value in self.attributes:
            if name == attribute:
                return value
        raise KeyError(attribute)

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def dtype(self) -> str:
        return self.type.dtype


class Graph:
    """Values in topological order, with named outputs.

    `network` is the live part as a `networkx.MultiDiGraph`: an edge from operand to user, keyed by the
    operand's index, so that `x * x` has two.  Read-only: a `Builder` makes graphs.
    """

    __slots__ = ("network", "nodes", "outputs")

    def __init__(self, nodes: Iterable[Node], outputs: Mapping[str, int]) -> None:
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.outputs: dict[str, int] = dict(outputs)
        self.network = nx.freeze(self._live())

    def _live(self) -> nx.MultiDiGraph:
        live: set[int] = set()
        stack = list(self.outputs.values())
        while stack:
            i = stack.pop()
            if i not in live:
                live.add(i)
                stack.extend(self.nodes[i].operands)
        network = nx.MultiDiGraph()
        network.add_nodes_from(sorted(live))
        for i in sorted(live):
            for index, operand in enumerate(self.nodes[i].operands):
                network.add_edge(operand, i, key=index)
        return network

    def __getitem__(self, i: int) -> Node:
        return self.nodes[i]

    def __iter__(self) -> Iterator[Node]:
        """Live nodes, operands before users."""
        return (self.nodes[i] for i in sorted(self.network))

    def __len__(self) -> int:
        return len(self.network)

    def users(self, i: int) -> list[int]:
        """Ids of the live nodes that read node `i`, ascending, without repetition."""
        return sorted(set(self.network.successors(i)))

    def inputs(self) -> list[Node]:
        """Live nodes without operands that the caller feeds."""
        return [node for node in self if node.op == "input"]
