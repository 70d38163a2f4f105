"""Findings on their way from the place where they are made to the user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...spec.errors import Diagnostic, SpecError
from ...spec.place import Place

ENDLESS = ("E308", "E319")


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding.  `subject`: the operation it is about; `settled`: the place is the user's."""

    code: str
    text: str
    place: Place | None
    hint: str | None = None
    subject: str = ""
    notes: tuple[tuple[Place, str], ...] = ()
    settled: bool = False

    def lifted(self, place: Place, name: str) -> Fault:
        """As seen by whoever called the library block `name`: its inside is not shown."""
        if self.settled:
            return replace(self, subject=name)
        return replace(self, place=place, subject=name, notes=())

    def called(self, place: Place, name: str) -> Fault:
        """With a note that a block was called here; a block that calls itself is told of once."""
        if (place, name) in self.notes:
            return self
        return replace(self, notes=(*self.notes, (place, name)))

    def diagnostic(self) -> Diagnostic:
        """The finding as it is shown."""
        text = f"{self.subject}: {self.text}" if self.subject else self.text
        return Diagnostic(self.code, text, self.place, self.hint, self.notes)


class Faults(Exception):
    """One or more findings, going up.

    After a `fatal` one nothing else is tried: a text without end would be tried without end.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        self.fatal = any(f.code in ENDLESS for f in self.faults)
        super().__init__("; ".join(f.text for f in self.faults))


class Silent(Exception):
    """Something depends on a broken name: there is nothing new to say."""


def fault(
    code: str, text: str, place: Place | None, hint: str | None = None, subject: str = ""
) -> Faults:
    """One finding, to be raised."""
    return Faults((Fault(code, text, place, hint, subject),))


def found_in(error: SpecError) -> Faults:
    """The findings of a part of `spec` that raises them itself."""
    return Faults(Fault(d.code, d.message, d.place, d.hint) for d in error.diagnostics)
