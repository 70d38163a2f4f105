"""The four ways to write a diagram."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from weft.cli.layout import Arrow
from weft.cli.picture import Box, Picture, to_dot, to_mermaid, to_svg, to_text

PICTURE = Picture(
    'net "a"',
    (
        Box("x", ("x", "f32[B, 2]"), "input"),
        Box("linear", ("linear", "f32[B, 20]"), "layer"),
        Box("a<b", ("a<b", 'say "hi"')),
    ),
    (
        Arrow("x", "linear", "[B, 2]"),
        Arrow("linear", "a<b", "[B, 20]"),
        Arrow("x", "a<b", "[B, 2]"),
    ),
)
SVG = "{http://www.w3.org/2000/svg}"


def test_svg_is_xml_with_all_boxes_inside() -> None:
    root = ET.fromstring(to_svg(PICTURE))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = [r for r in root.iter(f"{SVG}rect") if r.attrib["width"] != "100%"]
    assert len(boxes) == len(PICTURE.boxes)
    for box in boxes:
        assert float(box.attrib["x"]) + float(box.attrib["width"]) < width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) < height
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert {'say "hi"', "a<b", "[B, 20]", 'net "a"'} <= set(texts)
    assert len([p for p in root.iter(f"{SVG}path") if "marker-end" in p.attrib]) == 3


def test_dot_escapes_quotes() -> None:
    text = to_dot(PICTURE)
    assert text.startswith('digraph "net \\"a\\"" {')
    assert '"linear" -> "a<b" [label="[B, 20]"];' in text
    assert 'label="a<b\\nsay \\"hi\\""' in text


def test_mermaid() -> None:
    text = to_mermaid(PICTURE)
    assert text.startswith("flowchart TD")
    assert 'n1["linear<br/>f32[B, 20]"]' in text
    assert 'n1 -->|"[B, 20]"| n2' in text
    assert "a&lt;b<br/>say #quot;hi#quot;" in text


def test_text_says_who_reads_whom() -> None:
    lines = to_text(PICTURE).splitlines()
    assert lines[0] == 'net "a"'
    assert lines[3].split()[:1] == ["a<b"]
    assert lines[3].endswith("<- linear [B, 20], x [B, 2]")


@pytest.mark.parametrize("write", [to_text, to_dot, to_mermaid, to_svg])
def test_an_empty_picture(write) -> None:
    assert "nothing" in write(Picture("nothing", (), ())) or write is to_mermaid
