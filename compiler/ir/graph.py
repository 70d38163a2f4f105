"""Immutable nodes, and the graph that owns them as a NetworkX multigraph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...spec.place import Place
from .types import TensorType

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Node:
    """One value: an operation on earlier values.

    `operands` are ids of earlier nodes; `attributes` are sorted pairs; `name` suggests what to call
    the value in emitted text; `place` and `scope` say where in the spec it comes from.  Phases
    follow one another: no kernel makes values of two, and what is made in one is not read before.
    """

    id: int
    op: str
    operands: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...]
    type: TensorType
    name: str
    place: Place | None = field(default=None, compare=False)
    scope: str = field(default="", compare=False)
    phase: int = 0

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

    Read-only: a `Builder` makes graphs.  Iteration gives the live nodes, operands before users.
    """

    __slots__ = ("_network", "_users", "nodes", "outputs")

    def __init__(self, nodes: Iterable[Node], outputs: Mapping[str, int]) -> None:
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.outputs: dict[str, int] = dict(outputs)
        self._users = self._live()
        self._network: nx.MultiDiGraph | None = None

    def _live(self) -> dict[int, list[int]]:
        """The users of every live node, both ascending."""
        live: set[int] = set()
        stack = list(self.outputs.values())
        while stack:
            i = stack.pop()
            if i not in live:
                live.add(i)
                stack.extend(self.nodes[i].operands)
        users: dict[int, list[int]] = {i: [] for i in sorted(live)}
        for i in users:
            for operand in dict.fromkeys(self.nodes[i].operands):
                users[operand].append(i)
        return users

    @property
    def network(self) -> nx.MultiDiGraph:
        """The live part as a frozen NetworkX multigraph.

        An edge leads from operand to user, keyed by the operand's index, so that `x * x` has two.
        """
        if self._network is None:
            import networkx  # a tenth of a second, which `weft check` does not need

            network = networkx.MultiDiGraph()
            network.add_nodes_from(self._users)
            for node in self:
                for index, operand in enumerate(node.operands):
                    network.add_edge(operand, node.id, key=index)
            self._network = networkx.freeze(network)
        return self._network

    def __getitem__(self, i: int) -> Node:
        return self.nodes[i]

    def __iter__(self) -> Iterator[Node]:
        return (self.nodes[i] for i in self._users)

    def __len__(self) -> int:
        return len(self._users)

    def users(self, i: int) -> list[int]:
        """Ids of the live nodes that read node `i`, ascending, without repetition."""
        return self._users[i]

    def inputs(self) -> list[Node]:
        """Live nodes without operands that the caller feeds."""
        return [node for node in self if node.op == "input"]
