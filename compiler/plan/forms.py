"""The form of a piece of a graph: all that its kernel depends on, without where it stands.

The values that a piece touches are numbered in their order.  Pieces of one form differ in which
values these are, in the lines of the spec they come from, in the streams of their random numbers
and in where pieces of rows start; the rest is planned, lowered and printed once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ...spec.dims import numel
from ..ir.graph import Graph, Node

Through = Callable[[int], bool]

LEAVES = ("input", "constant", "table", "size", "iota", "random")
"""Operations without operands."""

NUMBERED = ("feed", "stream")
"""Attributes that tell apart what is computed alike."""


@dataclass(slots=True)
class Plans:
    """What was found for each form; all entries of a program share one."""

    tokens: dict[Hashable, int] = field(default_factory=dict)
    spaces: dict[Hashable, Any] = field(default_factory=dict)
    kernels: dict[Hashable, Any] = field(default_factory=dict)
    composed: dict[Hashable, Any] = field(default_factory=dict)

    def token(self, key: Hashable) -> int:
        """A number that equal keys share."""
        return self.tokens.setdefault(key, len(self.tokens))


@dataclass(frozen=True, slots=True)
class Form:
    """`ids` are the values that a piece touches, ascending; `key` is the same for equal pieces."""

    key: Hashable
    ids: tuple[int, ...]
    streams: tuple[int, ...]

    def ranks(self) -> dict[int, int]:
        """The number of each value within the form."""
        return {i: rank for rank, i in enumerate(self.ids)}


class Forms:
    """The forms of pieces of one graph."""

    def __init__(self, graph: Graph, plans: Plans) -> None:
        self.graph = graph
        self.plans = plans
        self._bare: dict[int, int] = {}
        self._named: dict[int, int] = {}

    def _read(self, i: int, reshaped: bool) -> int:
        """What a value is to who reads it, however it was made; `reshaped`: in another shape."""
        node = self.graph[i]
        if node.op in LEAVES:
            return self._token(i, False)
        shape = numel(node.shape) if reshaped else node.shape
        return self.plans.token(("read", node.dtype, shape))

    def _token(self, i: int, named: bool) -> int:
        """What a value is, apart from its operands; `named`: and what texts call it."""
        known = self._named if named else self._bare
        found = known.get(i)
        if found is None:
            node = self.graph[i]
            bare = _bare(node, shifted(self.graph, node))
            key = (*bare, *_words(node)) if named else bare
            found = known[i] = self.plans.token(key)
        return found

    def form(
        self, members: Iterable[int], through: Through, *, named: bool, origins: bool = True
    ) -> Form:
        """The form of `members` and what they read, `through` aliases and views as far as the
        memory that these lie in; `origins`: also by which operation that was made.
        """
        nodes = self.graph.nodes
        own = set(members)
        touched, inner = set(own), set[int]()
        stack = [o for i in own for o in nodes[i].operands]
        while stack:
            i = stack.pop()
            if i not in touched:
                touched.add(i)
                if through(i):
                    inner.add(i)
                    stack.extend(nodes[i].operands)
        ids = tuple(sorted(touched))
        rank = {i: number for number, i in enumerate(ids)}
        reshaped = {o for i in inner if nodes[i].op == "reshape" for o in nodes[i].operands}
        if reshaped:
            reshaped -= {o for i in own for o in nodes[i].operands}
        streams: dict[int, int] = {}
        key: list[int] = []
        tokens = self._named if named else self._bare
        for i in ids:
            inside = i in own or i in inner
            if inside or origins:
                token = tokens.get(i)
                key.append(self._token(i, named) if token is None else token)
            else:
                key.append(self._read(i, i in reshaped))
            if inside:
                node = nodes[i]
                key.append(-1 if i in own else -2)
                key.extend(map(rank.__getitem__, node.operands))
                if node.op == "random":
                    key.append(streams.setdefault(node["stream"], len(streams)))
        return Form(tuple(key), ids, tuple(streams))


def shifted(graph: Graph, node: Node) -> int | None:
    """The axis along which a piece of rows is taken, if that is all that a slice does.  Where it
    starts is an argument of kernels.
    """
    if node.op != "slice" or not node.phase:
        return None
    whole = graph[node.operands[0]].shape
    found = [axis for axis, extent in enumerate(whole) if node.shape[axis] != extent]
    one = len(found) == 1 and set(node["steps"]) == {1}
    return found[0] if one and isinstance(node["starts"][found[0]], int) else None


def _bare(node: Node, shifted: int | None) -> tuple[Hashable, ...]:
    """The operation, its attributes and type.  Numbers that are equal but print differently, as 1
    and 1.0 do, are told apart.
    """
    attributes = tuple(
        (name, value, type(value))
        for name, value in node.attributes
        if name not in NUMBERED and (name != "starts" or shifted is None)
    )
    return node.op, len(node.operands), attributes, node.type, shifted


def _words(node: Node) -> tuple[Hashable, ...]:
    """What is left of a name, or of that of a port, within a kernel: see `local_name`."""
    name = node["feed"] if node.op == "input" else node.name
    return tuple((n.rpartition(".")[2], n.startswith("d_"), "." in n) for n in (node.name, name))
