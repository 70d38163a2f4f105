"""Where everything lies once it is laid out.  Units: pixels, y downwards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A box or a frame; `x`, `y` are its top left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def moved(self, dx: float, dy: float) -> Rectangle:
        """The same elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy)

    def meets(self, other: Rectangle, gap: float = 0.0) -> bool:
        """Do two rectangles overlap, or come nearer than `gap`?"""
        across = self.x < other.right + gap and other.x < self.right + gap
        return across and self.y < other.bottom + gap and other.y < self.bottom + gap


@dataclass(frozen=True, slots=True)
class Line:
    """An arrow's way; `square`: with right angles, else as a smooth curve.

    `tip`: with an arrow head at its end.
    """

    points: tuple[Point, ...]
    square: bool = False
    tip: bool = True

    def moved(self, dx: float, dy: float) -> Line:
        """The same elsewhere."""
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))


@dataclass(frozen=True, slots=True)
class Label:
    """A shape on a line, round its middle; `upright`: it reads from bottom to top."""

    text: str
    at: Point
    upright: bool = False

    def moved(self, dx: float, dy: float) -> Label:
        """The same elsewhere."""
        return replace(self, at=(self.at[0] + dx, self.at[1] + dy))


@dataclass(slots=True)
class Scene:
    """Boxes and frames by their numbers, lines, labels; frames before what they hold."""

    boxes: dict[int, Rectangle] = field(default_factory=dict)
    frames: dict[int, Rectangle] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0

    def add(self, other: Scene, dx: float, dy: float) -> None:
        """Put another scene into this one."""
        self.frames.update({i: r.moved(dx, dy) for i, r in other.frames.items()})
        self.boxes.update({i: r.moved(dx, dy) for i, r in other.boxes.items()})
        self.lines += [line.moved(dx, dy) for line in other.lines]
        self.labels += [label.moved(dx, dy) for label in other.labels]
