"""A diagram of boxes and arrows, and the four ways to write it: text, dot, mermaid and SVG."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .layout import Arrow, Layout, arrange

Sizes = dict[str, tuple[float, float]]

LINE, CHARACTER, MARGIN = 16.0, 7.3, 24.0
FILLS = {"input": "#e8f0fa", "layer": "#fbf3e2", "plain": "#ffffff", "output": "#e9f6ea"}


@dataclass(frozen=True, slots=True)
class Box:
    """One box: `lines` is its text, `kind` one of input, layer (has parameters), plain, output."""

    name: str
    lines: tuple[str, ...]
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes in the order of the spec, and arrows labelled with the shapes that flow along them."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def to_text(picture: Picture) -> str:
    """One line a box, with what it reads."""
    reads: dict[str, list[str]] = {box.name: [] for box in picture.boxes}
    for arrow in picture.arrows:
        label = f" {arrow.label}" if arrow.label else ""
        reads[arrow.target].append(f"{arrow.source}{label}")
    name = max((len(box.name) for box in picture.boxes), default=0)
    what = max((len(" ".join(box.lines[1:])) for box in picture.boxes), default=0)
    lines = [picture.title]
    for box in picture.boxes:
        sources = f"<- {', '.join(reads[box.name])}" if reads[box.name] else ""
        lines.append(f"  {box.name:<{name}}  {' '.join(box.lines[1:]):<{what}}  {sources}".rstrip())
    return "\n".join(lines)


def to_dot(picture: Picture) -> str:
    """Graphviz."""
    lines = [
        f"digraph {_quoted(picture.title)} {{",
        '  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=11];',
        '  edge [fontname="monospace", fontsize=9, color="#777777"];',
    ]
    for box in picture.boxes:
        label = "\\n".join(_escaped(line) for line in box.lines)
        lines.append(f'  {_quoted(box.name)} [label="{label}", fillcolor="{FILLS[box.kind]}"];')
    for arrow in picture.arrows:
        label = f" [label={_quoted(arrow.label)}]" if arrow.label else ""
        lines.append(f"  {_quoted(arrow.source)} -> {_quoted(arrow.target)}{label};")
    return "\n".join([*lines, "}"])


def to_mermaid(picture: Picture) -> str:
    """Mermaid, as README files on many hosts draw it."""
    ids = {box.name: f"n{i}" for i, box in enumerate(picture.boxes)}
    lines = ["flowchart TD"]
    for box in picture.boxes:
        text = "<br/>".join(escape(line, quote=False) for line in box.lines).replace('"', "#quot;")
        lines.append(f'  {ids[box.name]}["{text}"]')
    for arrow in picture.arrows:
        label = f'|"{arrow.label}"|' if arrow.label else ""
        lines.append(f"  {ids[arrow.source]} -->{label} {ids[arrow.target]}")
    return "\n".join(lines)


def to_svg(picture: Picture) -> str:
    """A drawing of our own: layers from top to bottom, skips as curves beside them."""
    sizes = {box.name: _size(box) for box in picture.boxes}
    layout = arrange(sizes, picture.arrows)
    room = max((len(a.label) for a in picture.arrows), default=0) * 6.2 + 8
    width, height = layout.width + 2 * MARGIN + room, layout.height + 2 * MARGIN + LINE
    body = [*_arrows(picture.arrows, layout, sizes), *_boxes(picture.boxes, layout, sizes)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace, monospace">',
            f"<title>{escape(picture.title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto">'
            '<path d="M0 0 L8 4 L0 8 z" fill="#777"/></marker></defs>',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="{MARGIN}" y="{MARGIN - 6}" font-size="13" font-weight="bold">'
            f"{escape(picture.title)}</text>",
            f'<g transform="translate({MARGIN} {MARGIN + LINE / 2})">',
            *body,
            "</g>",
            "</svg>",
        ]
    )


def _size(box: Box) -> tuple[float, float]:
    widest = max(len(line) for line in box.lines)
    return widest * CHARACTER + 20, len(box.lines) * LINE + 10


def _boxes(boxes: Sequence[Box], layout: Layout, sizes: Sizes) -> list[str]:
    lines = []
    for box in boxes:
        (x, y), (w, h) = layout.centres[box.name], sizes[box.name]
        lines.append(
            f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="6"'
            f' fill="{FILLS[box.kind]}" stroke="#555"/>'
        )
        for i, line in enumerate(box.lines):
            at = y + (i - (len(box.lines) - 1) / 2) * LINE + 4
            shade = ' fill="#111"' if i == 0 else ' fill="#666"'
            lines.append(
                f'<text x="{x:.1f}" y="{at:.1f}" font-size="12" text-anchor="middle"{shade}>'
                f"{escape(line)}</text>"
            )
    return lines


def _arrows(arrows: Sequence[Arrow], layout: Layout, sizes: Sizes) -> list[str]:
    lines, labelled = [], set()
    for arrow, bends in zip(arrows, layout.bends, strict=True):
        (x, y), (u, v) = layout.centres[arrow.source], layout.centres[arrow.target]
        points = [(x, y + sizes[arrow.source][1] / 2), *bends, (u, v - sizes[arrow.target][1] / 2)]
        lines.append(
            f'<path d="{_curve(points)}" fill="none" stroke="#777" marker-end="url(#tip)"/>'
        )
        if arrow.label and (arrow.source, arrow.label) not in labelled:
            labelled.add((arrow.source, arrow.label))
            lines.append(
                f'<text x="{points[0][0] + 6:.1f}" y="{points[0][1] + 14:.1f}" font-size="10"'
                f' fill="#777">{escape(arrow.label)}</text>'
            )
    return lines


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth path through the points that leaves and enters vertically."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x, y), (u, v) in itertools.pairwise(points):
        middle = (y + v) / 2
        path += f" C{x:.1f} {middle:.1f} {u:.1f} {middle:.1f} {u:.1f} {v:.1f}"
    return path


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
