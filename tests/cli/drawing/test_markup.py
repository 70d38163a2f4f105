"""Diagrams for Graphviz and Mermaid."""

from __future__ import annotations

from weft.cli.drawing.diagram import Arrow, Box, Diagram, Frame, Strip
from weft.cli.drawing.markup import to_dot, to_mermaid
from weft.cli.drawing.text import to_text

DIAGRAM = Diagram(
    'a "net"',
    "96 parameters",
    (
        Box(0, "input", (Strip("x", "f32[B, 2]", "input", thin=True),)),
        Frame(
            3,
            "Block",
            "96",
            (
                Box(
                    1,
                    "layer",
                    (
                        Strip("norm", "", "norm", thin=True),
                        Strip("linear", '#2 "a" <b>', "product", "own", "8"),
                    ),
                ),
                Box(2, "operator", (Strip("+", "", ""),)),
            ),
            12,
        ),
        Box(4, "output", (Strip("y", "f32[B, 2]", "output", thin=True),)),
    ),
    (
        Arrow(0, 1, "[B, 2]", changed=False),
        Arrow(1, 2, "[B, 4]"),
        Arrow(0, 2, "[B, 2]", changed=False),
        Arrow(2, 4, "[B, 4]"),
    ),
)


def test_dot() -> None:
    text = to_dot([DIAGRAM, DIAGRAM])
    assert text.startswith('digraph "a \\"net\\", a \\"net\\"" {')
    assert "subgraph cluster_n0_3 {" in text and 'label="Block × 12 · 96";' in text
    assert 'n1_1 [label="norm\\nlinear #2 \\"a\\" <b> · own · 8", fillcolor="#fbe3b5"];' in text
    assert 'n0_1 -> n0_2 [label="[B, 4]"];' in text and "n0_0 -> n0_2;" in text
    assert text.count("{") == text.count("}")


def test_mermaid() -> None:
    lines = to_mermaid([DIAGRAM]).splitlines()
    assert lines[0] == "flowchart TD"
    assert '  subgraph n0_3 ["Block × 12 · 96"]' in lines and "  end" in lines
    assert '    n0_1["norm<br/>linear #35;2 #quot;a#quot; &lt;b&gt; · own · 8"]' in lines
    assert '  n0_1 -->|"[B, 4]"| n0_2' in lines and "  n0_0 --> n0_2" in lines


def test_text() -> None:
    assert to_text([DIAGRAM]).splitlines() == [
        'net a "net"  96 parameters',
        "1  x f32[B, 2]",
        "2  Block × 12                         96",
        "3    norm",
        '4    linear #2 "a" <b> (own)  [B, 4]   8',
        "5    +                        [B, 4]      <- 4, 1",
        "6  y f32[B, 2]",
    ]


def test_nothing() -> None:
    empty = Diagram("nothing", "", (), ())
    assert to_text([empty]) == "net nothing"
    assert to_mermaid([empty]) == "flowchart TD"
    assert to_dot([empty]).endswith("}")
