"""Places, offsets and the protocol's positions of one text.

Lines end with `\\n` alone, as the readers of the language count them; the protocol counts columns
from 0 and in the units that client and server agreed on.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from lsprotocol import types as lsp

from ..spec.place import Place
from ..spec.source import line_starts


@dataclass(frozen=True)
class Text:
    """A text and the unit of its columns: utf-16, utf-8 or utf-32."""

    content: str
    encoding: str = "utf-16"

    @cached_property
    def starts(self) -> list[int]:
        """The offset of the first character of every line."""
        return line_starts(self.content)

    @property
    def lines(self) -> int:
        """How many lines there are, an empty last one included."""
        return len(self.starts)

    def line(self, number: int) -> str:
        """A line by its index, without what ends it."""
        if not 0 <= number < len(self.starts):
            return ""
        end = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.content)
        return self.content[self.starts[number] : end].removesuffix("\r")

    def offset(self, position: lsp.Position) -> int:
        """The offset of a position; one outside the text is moved to its nearest end."""
        if position.line >= len(self.starts):
            return len(self.content)
        line = self.line(position.line)
        return self.starts[position.line] + self._characters(line, position.character)

    def position(self, offset: int) -> lsp.Position:
        """The position of an offset."""
        offset = min(max(offset, 0), len(self.content))
        line = bisect_right(self.starts, offset) - 1
        return lsp.Position(line, self._units(self.content[self.starts[line] : offset]))

    def range(self, start: int, end: int) -> lsp.Range:
        """The range between two offsets."""
        return lsp.Range(self.position(start), self.position(end))

    def of_place(self, place: Place | None) -> lsp.Range:
        """The range of a place; at least one character wide where the line has one."""
        if place is None or place.line > len(self.starts):
            return lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        line = self.line(place.line - 1)
        first = min(place.column - 1, len(line))
        last = min(max(place.end_column - 1, first + 1), max(len(line), first))
        return lsp.Range(
            lsp.Position(place.line - 1, self._units(line[:first])),
            lsp.Position(place.line - 1, self._units(line[:last])),
        )

    def whole(self) -> lsp.Range:
        """All of it."""
        return self.range(0, len(self.content))

    def _units(self, text: str) -> int:
        if text.isascii() or self.encoding == "utf-32":
            return len(text)
        if self.encoding == "utf-8":
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text) + sum(character > "\uffff" for character in text)

    def _characters(self, line: str, units: int) -> int:
        if line.isascii() or self.encoding == "utf-32":
            return min(units, len(line))
        count = 0
        while count < len(line) and units > 0:
            units -= self._units(line[count])
            count += 1
        return count


def comment_above(content: str, line: int) -> str:
    """The comment that stands directly above a line, which counts from 1, as one paragraph."""
    lines = content.split("\n")
    said: list[str] = []
    index = min(line, len(lines) + 1) - 2
    while index >= 0 and lines[index].lstrip().startswith("#"):
        said.insert(0, lines[index].strip().lstrip("#").strip())
        index -= 1
    return " ".join(part for part in said if part)
