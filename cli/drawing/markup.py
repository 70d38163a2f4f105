"""Diagrams for other tools to lay out: Graphviz' dot, and Mermaid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from .diagram import Arrow, Box, Diagram, Frame, heading
from .svg import COLOURS

INDENT = "  "


def to_dot(diagrams: Sequence[Diagram]) -> str:
    """Graphviz; blocks are clusters."""
    lines = [
        f"digraph {_quoted(', '.join(diagram.title for diagram in diagrams))} {{",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11];',
        '  edge [fontname="sans-serif", fontsize=9, color="#8a93a3", fontcolor="#6b7280"];',
        '  graph [fontname="sans-serif", fontsize=11, style="rounded", color="#8a93a3"];',
    ]
    for i, diagram in enumerate(diagrams):
        lines += _dot_parts(diagram.parts, i, 1)
        for arrow in diagram.arrows:
            label = f" [label={_quoted(arrow.label)}]" if _labelled(arrow) else ""
            lines.append(f"  {_id(i, arrow.source)} -> {_id(i, arrow.target)}{label};")
    return "\n".join([*lines, "}"])


def to_mermaid(diagrams: Sequence[Diagram]) -> str:
    """Mermaid, as README files on many hosts draw it; blocks are subgraphs."""
    lines = ["flowchart TD"]
    for i, diagram in enumerate(diagrams):
        lines += _mermaid_parts(diagram.parts, i, 1)
        for arrow in diagram.arrows:
            label = f"|{_mermaid_text([arrow.label])}|" if _labelled(arrow) else ""
            lines.append(f"  {_id(i, arrow.source)} -->{label} {_id(i, arrow.target)}")
    return "\n".join(lines)


def words(box: Box) -> list[str]:
    """What stands in a box, a line each."""
    count = 1 if box.title else box.count
    lines = [" ".join(filter(None, (box.title and heading(box.title, box.count), box.note)))]
    for strip in box.strips:
        lines.append(
            " ".join(filter(None, (heading(strip.title, count), strip.detail)))
            + (f" · {strip.note}" if strip.note else "")
        )
    return [line for line in lines if line]


def _dot_parts(parts: Iterable[Box | Frame], net: int, depth: int) -> Iterator[str]:
    pad = INDENT * depth
    for part in parts:
        if isinstance(part, Frame):
            yield f"{pad}subgraph cluster_{_id(net, part.id)} {{"
            yield f"{pad}  label={_quoted(_head(part))};"
            yield from _dot_parts(part.parts, net, depth + 1)
            yield f"{pad}}}"
            continue
        label = "\\n".join(_escaped(line) for line in words(part))
        shape = ", shape=ellipse" if part.kind in ("input", "output", "operator") else ""
        fill = COLOURS[_family(part)]
        yield f'{pad}{_id(net, part.id)} [label="{label}", fillcolor="{fill}"{shape}];'


def _mermaid_parts(parts: Iterable[Box | Frame], net: int, depth: int) -> Iterator[str]:
    pad = INDENT * depth
    for part in parts:
        if isinstance(part, Frame):
            yield f"{pad}subgraph {_id(net, part.id)} [{_mermaid_text([_head(part)])}]"
            yield from _mermaid_parts(part.parts, net, depth + 1)
            yield f"{pad}end"
            continue
        left, right = ("([", "])") if part.kind in ("input", "output", "operator") else ("[", "]")
        yield f"{pad}{_id(net, part.id)}{left}{_mermaid_text(words(part))}{right}"


def _head(frame: Frame) -> str:
    title = heading(frame.title, frame.count)
    return f"{title} · {frame.note}" if frame.note else title


def _family(box: Box) -> str:
    """The colour of a box is that of its first layer that is more than a strip."""
    return next((s.family for s in box.strips if not s.thin), box.strips[0].family)


def _labelled(arrow: Arrow) -> bool:
    return bool(arrow.label) and arrow.changed


def _id(net: int, number: int) -> str:
    return f"n{net}_{number}"


def _mermaid_text(lines: Sequence[str]) -> str:
    """Quoted; Mermaid reads HTML, `#` codes and Markdown lists inside."""
    safe = (escape(line.replace("#", "\0"), quote=False).replace('"', "#quot;") for line in lines)
    return f'"{"<br/>".join(safe)}"'.replace("\0", "#35;")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
