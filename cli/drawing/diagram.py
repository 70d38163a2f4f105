"""What a picture shows: boxes in frames, and the arrows between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strip:
    """One layer: its operation, its settings, the name that the text gives it, its parameters.

    `family`: its colour; `thin`: it is drawn small.
    """

    title: str
    detail: str
    family: str
    name: str = ""
    count: str = ""
    thin: bool = False

    @property
    def note(self) -> str:
        """What stands at the right."""
        return " · ".join(filter(None, (self.name, self.count)))


@dataclass(frozen=True, slots=True)
class Box:
    """Layers that follow each other without anything between; a whole block has a title.

    `kind`: layer, block (closed), operator, input, output, weight.
    """

    id: int
    kind: str
    strips: tuple[Strip, ...]
    count: int = 1
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A block: `count` times in a row what is inside."""

    id: int
    title: str
    note: str
    parts: tuple[Box | Frame, ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Arrow:
    """A value on its way between two boxes; `changed`: its shape is not that of what it comes from.

    Arrows of the same value leave a frame together.
    """

    source: int
    target: int
    label: str = ""
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Diagram:
    """One net."""

    title: str
    note: str
    parts: tuple[Box | Frame, ...]
    arrows: tuple[Arrow, ...]

    def boxes(self) -> Iterator[Box]:
        """All boxes, in the order of the text."""
        return boxes(self.parts)

    def depth(self) -> int:
        """How many blocks lie inside each other at most."""
        return _depth(self.parts)

    def families(self) -> list[str]:
        """The colours that occur, in the order of the text."""
        found = (strip.family for box in self.boxes() for strip in box.strips)
        return list(dict.fromkeys(family for family in found if family))


def _depth(parts: tuple[Box | Frame, ...]) -> int:
    inside = (1 + _depth(part.parts) for part in parts if isinstance(part, Frame))
    return max(inside, default=0)


def boxes(parts: tuple[Box | Frame, ...]) -> Iterator[Box]:
    """The boxes of some parts, in the order of the text."""
    for part in parts:
        if isinstance(part, Frame):
            yield from boxes(part.parts)
        else:
            yield part


def heading(title: str, count: int) -> str:
    """`Block`, 12 -> `Block × 12`."""
    return f"{title} × {count}" if count > 1 else title
