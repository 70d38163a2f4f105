"""A program as graphs with their memory: what every target starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arena import Arena
from .artifact import State
from .entries import EntryGraph

if TYPE_CHECKING:
    from .build import Program


@dataclass(frozen=True, slots=True)
class Lowered:
    """A program as graphs with their memory: what every target starts from.

    `precision` is the type of products; `native`: for the CPU; `machine`: the architecture that the
    target `cuda` stands for, such as cuda:80.
    """

    program: Program
    entries: tuple[EntryGraph, ...]
    arena: Arena
    states: tuple[State, ...]
    precision: str = "f32"
    native: bool = True
    machine: str = "cuda:90"

    @property
    def slots(self) -> dict[tuple[str, str], int]:
        """The number of each state array."""
        return {(s.step, s.name): slot for slot, s in enumerate(self.states)}

    def entry(self, kind: str, subject: str) -> EntryGraph:
        """Raises: KeyError when there is none."""
        for entry in self.entries:
            if (entry.kind, entry.subject) == (kind, subject):
                return entry
        raise KeyError(f"{kind}_{subject}")
