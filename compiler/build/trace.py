"""What an elaboration saw on its way: the types at every call and name of the user's text.

Nobody but an editor asks for it.  It is filled also where the elaboration ends in errors, as far as
that went.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...spec.place import Place
from ..ir.types import TensorType
from .values import Value


@dataclass(frozen=True, slots=True)
class Use:
    """One call: what was called, the path of the layer it made, what went in and came out."""

    name: str
    path: str
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """A name got a value, in a body at this path; the kinds are those of `Scope.define`."""

    name: str
    path: str
    kind: str
    value: Value


@dataclass(slots=True)
class Trace:
    """By place, and there by path: a text that runs more than once has several entries.

    The place of a setting of a block is that of the argument, or of the call that leaves it out.
    """

    calls: dict[Place, dict[str, Use]] = field(default_factory=dict)
    names: dict[Place, dict[tuple[str, str], Binding]] = field(default_factory=dict)

    def call(
        self,
        places: Iterable[Place | None],
        name: str,
        path: str,
        inputs: tuple[TensorType, ...],
        outputs: tuple[TensorType, ...],
    ) -> None:
        """Take down a call; of several elaborations the first one counts."""
        use = Use(name, path, inputs, outputs)
        for place in places:
            if place is not None:
                self.calls.setdefault(place, {}).setdefault(path, use)

    def name(self, place: Place, path: str, name: str, kind: str, value: Value) -> None:
        """Take down what a name stands for."""
        found = self.names.setdefault(place, {})
        found.setdefault((path, name), Binding(name, path, kind, value))
