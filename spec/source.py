"""A text with the places of its characters, and the findings made in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from .errors import Diagnostic
from .place import Place

MOST_FINDINGS = 1000  # then reading stops: this is no spec with errors, but another kind of file


@dataclass(slots=True)
class Source:
    """A text to be parsed: a whole file, a part of one, or a YAML scalar of one.

    `origin` gives, for every character of `text`, its offset in `whole`; None: they are the same.
    """

    file: str
    whole: str
    text: str
    origin: Sequence[int] | None = None
    lines: list[int] = field(default_factory=list)

    def place(self, start: int, end: int) -> Place:
        """The place of `text[start:end]`, cut at the end of its first line."""
        if self.origin is not None:
            first = self._offset(start)
            last = self._offset(end - 1) + 1 if end > start else first
        else:
            first, last = start, end
        line = bisect_right(self.lines, first)
        begin = self.lines[line - 1]
        if line < len(self.lines) and last > self.lines[line] - 1:
            last = max(first, self.lines[line] - 1)
        return Place(self.file, line, first - begin + 1, max(last, first + 1) - begin + 1)

    def _offset(self, index: int) -> int:
        assert self.origin is not None
        if index < len(self.origin):
            return self.origin[index]
        return self.origin[-1] + 1 if self.origin else 0


def line_starts(text: str) -> list[int]:
    """The offset of the first character of every line."""
    starts = [0]
    position = text.find("\n")
    while position >= 0:
        starts.append(position + 1)
        position = text.find("\n", position + 1)
    return starts


def source(file: str, text: str) -> Source:
    """A whole file as a source."""
    return Source(file, text, text, None, line_starts(text))


@dataclass(slots=True)
class Findings:
    """Collects diagnostics while reading goes on, one for each thing that is wrong."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    starts: set[tuple[int, int]] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether reading on would only add more of the same."""
        return len(self.diagnostics) >= MOST_FINDINGS

    def add(self, code: str, message: str, place: Place | None, hint: str | None = None) -> None:
        """Note an error; a second one at the same place says nothing new."""
        start = (place.line, place.column) if place else (0, 0)
        if not self.full and start not in self.starts:
            self.starts.add(start)
            self.diagnostics.append(Diagnostic(code, message, place, hint))

    def in_order(self) -> tuple[Diagnostic, ...]:
        """The diagnostics from top to bottom."""
        return bounded(sorted(self.diagnostics, key=position))


def position(found: Diagnostic) -> tuple[int, int]:
    """Where in its file a finding stands."""
    return (found.place.line, found.place.column) if found.place else (0, 0)


def bounded(found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """All findings; of more than anybody will read the first, and one that says so."""
    if len(found) < MOST_FINDINGS:
        return tuple(found)
    kept = found[:MOST_FINDINGS]
    message = f"{MOST_FINDINGS:,} errors or more: only these are told"
    return (
        *kept,
        Diagnostic("E105", message, kept[-1].place, "mend the first ones, and look again"),
    )
