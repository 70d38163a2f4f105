"""Diagrams as text: a line a layer, blocks indented, lines numbered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .diagram import Box, Diagram, Frame, heading

INDENT = "  "


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a layer, the shape it makes, its parameters, and what it reads."""

    layer: str
    shape: str = ""
    count: str = ""
    reads: str = ""


def to_text(diagrams: Sequence[Diagram]) -> str:
    """All nets, one below the other.

    Where a layer reads anything but the line above, the lines that it reads follow an arrow.
    """
    return "\n\n".join(map(_net, diagrams))


def _net(diagram: Diagram) -> str:
    writer = _Writer(diagram)
    writer.write(diagram.parts, 0)
    rows = writer.rows
    digits = len(str(len(rows)))
    first = max((len(row.layer) for row in rows), default=0)
    second = max((len(row.shape) for row in rows), default=0)
    third = max((len(row.count) for row in rows), default=0)
    lines = ["  ".join(filter(None, (f"net {diagram.title}", diagram.note)))]
    for number, row in enumerate(rows, 1):
        cells = f"{row.layer:<{first}}", f"{row.shape:<{second}}", f"{row.count:>{third}}"
        lines.append("  ".join((f"{number:>{digits}}", *cells, row.reads)).rstrip())
    return "\n".join(lines)


class _Writer:
    """Collects rows; remembers on which line each box ends."""

    def __init__(self, diagram: Diagram) -> None:
        self.feeds: dict[int, list[int]] = {}
        self.shape: dict[int, str] = {}
        for arrow in diagram.arrows:
            self.feeds.setdefault(arrow.target, []).append(arrow.source)
            self.shape.setdefault(arrow.source, arrow.label)
        self.rows: list[Row] = []
        self.ends: dict[int, int] = {}
        self.above: int | None = None

    def write(self, parts: Iterable[Box | Frame], depth: int) -> None:
        """The rows of some parts."""
        for part in parts:
            if isinstance(part, Frame):
                head = INDENT * depth + heading(part.title, part.count)
                self.rows.append(Row(head, count=part.note))
                self.write(part.parts, depth + 1)
            else:
                self._box(part, depth)

    def _box(self, box: Box, depth: int) -> None:
        reads = self._reads(box)
        if box.title:
            head = INDENT * depth + heading(box.title, box.count)
            self.rows.append(Row(head, count=box.note, reads=reads))
            depth, reads = depth + 1, ""
        for strip in box.strips:
            title = heading(strip.title, 1 if box.title else box.count)
            named = f"({strip.name})" if strip.name else ""
            layer = INDENT * depth + " ".join(filter(None, (title, strip.detail, named)))
            last = strip is box.strips[-1] and box.kind not in ("input", "output", "weight")
            shape = self.shape.get(box.id, "") if last else ""
            self.rows.append(Row(layer, shape, strip.count, reads))
            reads = ""
        self.above = box.id
        self.ends[box.id] = len(self.rows)

    def _reads(self, box: Box) -> str:
        sources = self.feeds.get(box.id, [])
        if not sources or sources == [self.above]:
            return ""
        return f"<- {', '.join(str(self.ends[source]) for source in sources)}"
