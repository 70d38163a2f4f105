"""A builder that takes down what is inserted, and everything else that happens to a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ...spec.place import Place
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.types import TensorType
from ..ops import OPS, RULES
from .values import Tensor

if TYPE_CHECKING:
    from .elaboration import ParameterDeclaration


class Recorder(Builder):
    """A builder that takes down what is inserted, while somebody listens.

    Insertions that a rule makes are part of the one that it is tried for.
    """

    tape: list[Event] | None = None
    journal: list[tuple[int, Node]] | None = None

    def rename(self, i: int, name: str) -> int:
        if self.journal is not None:
            self.journal.append((i, self.nodes[i]))
        return super().rename(i, name)

    def cut(self, count: int) -> None:
        """Take back all but so many values, and the names given since the journal was begun."""
        for i, node in reversed(self.journal or ()):
            self.nodes[i] = node
        for node in self.nodes[count:]:
            del self._known[node.op, node.operands, node.attributes, node.phase]
        del self.nodes[count:]

    def insert(
        self, op: str, operands: Sequence[int] = (), name: str = "", **attributes: Any
    ) -> int:
        tape = self.tape
        if tape is None:
            return super().insert(op, operands, name, **attributes)
        self.tape = None
        try:
            found = super().insert(op, operands, name, **attributes)
        finally:
            self.tape = tape
        node = self.nodes[found]
        tape.append(Insert(op, tuple(operands), name, attributes, self.place, self.scope, node))
        return found

    def fork(self) -> Builder:
        """A builder with the same values, which goes on by itself."""
        other = Builder(self.ops, self.rules)
        other.nodes = list(self.nodes)
        other.outputs = dict(self.outputs)
        other._known = dict(self._known)
        return other


def recorder() -> Recorder:
    """An empty builder over all operations."""
    return Recorder(OPS, RULES)


# ---- events ----------------------------------------------------------------------------------


class Insert(NamedTuple):
    """A value was inserted, or found."""

    op: str
    operands: tuple[int, ...]
    name: str
    attributes: dict[str, Any]
    place: Place | None
    scope: str
    node: Node


class Weighed(NamedTuple):
    """A weight was declared, or found."""

    name: str
    shared: bool
    place: Place | None
    scope: str
    tensor: Tensor
    declaration: ParameterDeclaration


class Rename(NamedTuple):
    """A value got the name that the text gives it."""

    id: int
    name: str
    depth: int


class Stream(NamedTuple):
    """A number for a random value was drawn."""

    number: int


class Range(NamedTuple):
    """The range of a field of whole numbers was noted."""

    id: int
    below: Any
    ignore: int | None


class Update(NamedTuple):
    """Training blends a value into a buffer."""

    buffer: int
    value: int
    momentum: float


class Enter(NamedTuple):
    """A call began."""


class Fresh(NamedTuple):
    """Whether a result was made inside of its call."""

    id: int
    fresh: bool


class Leave(NamedTuple):
    """A call ended; `row`: path, operation, outputs and place of its line in the table."""

    row: tuple[str, str, tuple[TensorType, ...], Place] | None


Event: TypeAlias = Insert | Weighed | Rename | Stream | Range | Update | Enter | Fresh | Leave
