"""Where something stands in the user's text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of a file, counted from 1; `end_column` is past the end."""

    file: str
    line: int
    column: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def through(self, other: Place) -> Place:
        """The stretch from here to the end of `other`, as far as both stand on one line."""
        if other.file != self.file or other.line != self.line or other.end_column < self.end_column:
            return self
        return Place(self.file, self.line, self.column, other.end_column)

    def first(self, width: int) -> Place:
        """The first `width` columns of this stretch: the name at the start of a call."""
        return Place(self.file, self.line, self.column, self.column + max(1, width))
