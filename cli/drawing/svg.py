"""Pictures as SVG, drawn by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape

from .diagram import Box, Diagram, Frame, Strip, heading
from .geometry import Label, Line, Point, Rectangle, Scene
from .layout import arrange
from .metrics import BODY, GAP, HEADER, SMALL, strip_height, width

ROUND = 6.0

MARGIN, TITLE, LEAST = 24.0, 34.0, 260.0
FONTS = "DejaVu Sans, Verdana, Arial, sans-serif"
INK, GREY, RULE = "#1f2430", "#6b7280", "#8a93a3"
COLOURS = {
    "convolution": "#cfe0f7",
    "product": "#fbe3b5",
    "norm": "#d6ecd2",
    "activation": "#f9d3cf",
    "pool": "#e2d6f3",
    "attention": "#bfe6e3",
    "recurrent": "#cfeaf5",
    "reshape": "#e4e6ea",
    "weight": "#fff4c9",
    "other": "#f3f4f6",
    "block": "#ffffff",
    "input": "#ffffff",
    "output": "#ffffff",
    "": "#ffffff",
}
SILENT = ("block", "input", "output", "", "weight", "other")  # not in the legend
FRAMES = ("#f7f9fc", "#eef2f8")
BAND = ("#e3e9f3", "#d8e0ec")


def to_svg(diagrams: Sequence[Diagram]) -> str:
    """All nets, side by side, with a legend of the colours."""
    scenes = [arrange(diagram) for diagram in diagrams]
    body: list[str] = []
    x, high = MARGIN, 0.0
    for diagram, scene in zip(diagrams, scenes, strict=True):
        wide = max(scene.width, _head_width(diagram))
        body += _net(diagram, scene, x, wide)
        x += wide + 2 * MARGIN
        high = max(high, scene.height)
    families = [f for d in diagrams for f in d.families() if f not in SILENT]
    wide, top = max(x - MARGIN, LEAST), high + TITLE + 2 * MARGIN
    legend, bottom = _legend(list(dict.fromkeys(families)), wide - 2 * MARGIN, top)
    total = wide, bottom
    title = ", ".join(f"net {diagram.title}" for diagram in diagrams)
    return "\n".join([*_open(title, *total), *body, *legend, "</svg>"])


def _open(title: str, wide: float, high: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}"'
        f' viewBox="0 0 {wide:.0f} {high:.0f}" font-family="{FONTS}"'
        f' font-size="{BODY:g}" fill="{INK}">'
    )
    yield f"<title>{escape(title)}</title>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path d="M0 0.8 L8 4 L0 7.2 z" fill="{RULE}"/></marker>'
        "</defs>"
    )
    yield '<rect width="100%" height="100%" fill="#ffffff"/>'


def _head_width(diagram: Diagram) -> float:
    return width(diagram.title, 15, bold=True) + width(diagram.note) + 2 * GAP


def _net(diagram: Diagram, scene: Scene, x: float, wide: float) -> Iterator[str]:
    after = x + width(diagram.title, 15, bold=True) + GAP
    yield _text(diagram.title, x, MARGIN + 10, 'font-size="15" font-weight="bold"')
    yield _text(diagram.note, after, MARGIN + 10, f'fill="{GREY}"')
    yield f'<g transform="translate({x + (wide - scene.width) / 2:.1f} {MARGIN + TITLE:.1f})">'
    yield from _frames(diagram.parts, scene, 0)
    yield from (_line(line) for line in scene.lines)
    for box in diagram.boxes():
        yield from _box(box, scene.boxes[box.id])
    for label in scene.labels:
        yield from _label(label, scene)
    yield "</g>"


# ---- frames and boxes --------------------------------------------------------------------------


def _frames(parts: Iterable[Box | Frame], scene: Scene, depth: int) -> Iterator[str]:
    for part in parts:
        if not isinstance(part, Frame):
            continue
        at = scene.frames[part.id]
        shade, band = FRAMES[depth % 2], BAND[depth % 2]
        if part.count > 1:
            yield _rect(at.moved(5, 5), shade, ROUND, RULE)
        yield _rect(at, shade, ROUND, RULE)
        yield from _head(part, at, band)
        yield from _frames(part.parts, scene, depth + 1)


def _head(part: Frame | Box, at: Rectangle, band: str) -> Iterator[str]:
    """The band with the name of a block, how often it comes, and its parameters."""
    yield f'<path d="{_rounded(replace(at, height=HEADER), True, False)}" fill="{band}"/>'
    base = at.y + HEADER / 2 + 4.2
    yield _text(heading(part.title, part.count), at.x + 10, base, 'font-weight="bold"')
    if part.note:
        yield _text(part.note, at.right - 10, base, _small("end"))
    yield (
        f'<path d="{_rounded(replace(at, height=HEADER), True, False)}" fill="none"'
        f' stroke="{RULE}"/>'
    )


def _box(box: Box, at: Rectangle) -> Iterator[str]:
    if box.kind == "operator":
        yield _rect(at, "#ffffff", 12, RULE)
        yield from _strip(box.strips[0], at, 1)
        return
    if box.kind in ("input", "output"):
        yield _rect(at, "#ffffff", at.height / 2, INK)
        yield from _strip(box.strips[0], at, 1)
        return
    if box.count > 1:
        yield _rect(at.moved(5, 5), COLOURS[box.strips[-1].family], ROUND, RULE)
    y = at.y + (HEADER if box.title else 0.0)
    left = any(strip.note for strip in box.strips)
    for i, strip in enumerate(box.strips):
        high = strip_height(strip)
        ends = i == 0 and not box.title, i == len(box.strips) - 1
        part = Rectangle(at.x, y, at.width, high)
        yield f'<path d="{_rounded(part, *ends)}" fill="{COLOURS[strip.family]}"/>'
        yield from _strip(strip, part, 1 if box.title else box.count, left)
        y += high
    if box.title:
        yield from _head(box, at, BAND[0])
    dash = ' stroke-dasharray="4 3"' if box.kind == "weight" else ""
    yield _rect(at, "none", ROUND, RULE if box.kind != "block" else INK, dash)


def _strip(strip: Strip, at: Rectangle, count: int, left: bool = False) -> Iterator[str]:
    """Title and settings, in the middle or at the `left`; the note at the right."""
    size = SMALL if strip.thin else BODY
    middle, base = at.x + at.width / 2, at.y + at.height / 2 + size * 0.36
    bold = not strip.thin
    title = heading(strip.title, count)
    style = f'font-size="{size:g}"' + (' font-weight="bold"' if bold else "")
    if strip.note:
        yield _text(strip.note, at.right - 10, base, _small("end"))
    if strip.detail:
        first, second = width(title, size, bold=bold), width(strip.detail, size)
        split = at.x + 10 + first if left else middle + (first - second) / 2
        if left:
            yield _text(title, at.x + 10, base, style)
        else:
            yield _text(title, split - GAP / 2, base, f'{style} text-anchor="end"')
        yield _text(strip.detail, split + GAP / 2, base, f'font-size="{size:g}"')
    elif left:
        yield _text(title, at.x + 10, base, style)
    else:
        yield _text(title, middle, base, f'{style} text-anchor="middle"')


def _rounded(at: Rectangle, top: bool, bottom: bool) -> str:
    """A rectangle with round corners above or below."""
    a, b = (ROUND if top else 0.0), (ROUND if bottom else 0.0)
    return (
        f"M{at.x:.1f} {at.y + a:.1f} a{a} {a} 0 0 1 {a} -{a} h{at.width - 2 * a:.1f}"
        f" a{a} {a} 0 0 1 {a} {a} v{at.height - a - b:.1f} a{b} {b} 0 0 1 -{b} {b}"
        f" h-{at.width - 2 * b:.1f} a{b} {b} 0 0 1 -{b} -{b} z"
    )


# ---- lines -------------------------------------------------------------------------------------


def _line(line: Line) -> str:
    path = _square(line.points) if line.square else _curve(line.points)
    tip = ' marker-end="url(#tip)"' if line.tip else ""
    return f'<path d="{path}" fill="none" stroke="{RULE}" stroke-width="1.3"{tip}/>'


def _curve(points: Sequence[Point]) -> str:
    """A smooth path through the points that leaves and enters vertically."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x, y), (u, v) in itertools.pairwise(points):
        middle = (y + v) / 2
        if abs(x - u) < 0.05:
            path += f" V{v:.1f}"
        else:
            path += f" C{x:.1f} {middle:.1f} {u:.1f} {middle:.1f} {u:.1f} {v:.1f}"
    return path


def _square(points: Sequence[Point], radius: float = 6.0) -> str:
    """A path with rounded right angles."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        near = min(radius, _far(before, at) / 2, _far(at, after) / 2)
        (x, y), (u, v) = _towards(at, before, near), _towards(at, after, near)
        path += f" L{x:.1f} {y:.1f} Q{at[0]:.1f} {at[1]:.1f} {u:.1f} {v:.1f}"
    return f"{path} L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _far(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(a: Point, b: Point, by: float) -> Point:
    far = _far(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * by / far, a[1] + (b[1] - a[1]) * by / far


# ---- texts -------------------------------------------------------------------------------------


def _label(label: Label, scene: Scene) -> Iterator[str]:
    """A shape on a line, which it interrupts."""
    wide, (x, y) = width(label.text, SMALL) + 4, label.at
    turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if label.upright else ""
    around = [r for r in scene.frames.values() if r.x <= x <= r.right and r.y <= y <= r.bottom]
    fill = FRAMES[(len(around) - 1) % 2] if around else "#ffffff"
    yield f"<g{turned}>"
    yield _rect(Rectangle(x - wide / 2, y - 7, wide, 14), fill, 3, "none")
    yield _text(label.text, x, y + 3.7, _small("middle"))
    yield "</g>"


def _legend(families: Sequence[str], room: float, y: float) -> tuple[list[str], float]:
    """The colours and their names, in lines that have some room; and where the picture ends."""
    drawn, x, y = [], 0.0, y + SMALL
    if not families:
        return [], y
    for family in families:
        wide = 17 + width(family, SMALL) + 14
        if x and x + wide - 14 > room:
            x, y = 0.0, y + 18
        drawn.append(_rect(Rectangle(MARGIN + x, y - 9, 12, 12), COLOURS[family], 3, RULE))
        drawn.append(_text(family, MARGIN + x + 17, y + 1, _small("start")))
        x += wide
    return drawn, y + MARGIN


def _text(text: str, x: float, y: float, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _small(anchor: str) -> str:
    return f'font-size="{SMALL:g}" fill="{GREY}" text-anchor="{anchor}"'


def _rect(at: Rectangle, fill: str, radius: float, stroke: str, more: str = "") -> str:
    return (
        f'<rect x="{at.x:.1f}" y="{at.y:.1f}" width="{at.width:.1f}" height="{at.height:.1f}"'
        f' rx="{radius:g}" fill="{fill}" stroke="{stroke}"{more}/>'
    )
