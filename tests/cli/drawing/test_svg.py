"""Pictures as SVG: well-formed, complete, escaped; and the widths of texts."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import ImageFont

from weft.cli.drawing.diagram import Arrow, Box, Diagram, Frame, Strip
from weft.cli.drawing.metrics import width
from weft.cli.drawing.svg import to_svg

SVG = "{http://www.w3.org/2000/svg}"
NASTY = Diagram(
    'net <"a">',
    "1 & 2",
    (
        Box(0, "input", (Strip("x", "f32[B, 2]", "input", thin=True),)),
        Frame(
            4,
            "Block",
            "85 M",
            (
                Box(1, "layer", (Strip("conv<", '"3×3"', "convolution", "a&b", "12 k"),), 5),
                Box(2, "operator", (Strip("+", "", ""),)),
            ),
            12,
        ),
        Box(3, "output", (Strip("y", "f32[B, 2]", "output", thin=True),)),
    ),
    (Arrow(0, 1, "[B, 2]"), Arrow(0, 2, "[B, 2]"), Arrow(1, 2, "[B<3]"), Arrow(2, 3, "[B, 2]")),
)


def test_everything_is_written_and_escaped() -> None:
    root = ET.fromstring(to_svg([NASTY]))
    texts = {t.text for t in root.iter(f"{SVG}text")}
    assert {'net <"a">', "1 & 2", "conv< × 5", '"3×3"', "a&b · 12 k", "[B<3]"} <= texts
    assert {"Block × 12", "85 M", "convolution"} <= texts
    tips = [p for p in root.iter(f"{SVG}path") if "marker-end" in p.attrib]
    assert len(tips) == 5  # two into the frame's parts, one skip, one to the frame, one out


def test_several_nets_stand_side_by_side() -> None:
    one, two = (ET.fromstring(to_svg([NASTY] * count)) for count in (1, 2))
    assert float(two.attrib["width"]) > 1.5 * float(one.attrib["width"])
    assert float(two.attrib["height"]) == float(one.attrib["height"])
    titles = [t for t in two.iter(f"{SVG}text") if t.text == 'net <"a">']
    assert len(titles) == 2


def test_a_net_of_nothing() -> None:
    assert "nothing" in to_svg([Diagram("nothing", "", (), ())])


@pytest.mark.parametrize("bold", [False, True])
def test_texts_are_not_wider_than_thought(bold: bool) -> None:
    path = Path("/usr/share/fonts/truetype/dejavu") / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    if not path.exists():
        pytest.skip("needs the DejaVu fonts")
    font = ImageFont.truetype(str(path), 120)
    for text in (
        "conv",
        "3×3, 64, /2",
        "[B, 64 … 224, (H + 3)//4]",
        "layer_norm",
        "rearrange",
        "attention",
        "embedding",
        "Bottleneck × 12",
        "MNMW",
        "f32[B, T, 50257]",
        "1.23 M",
    ):
        real = font.getlength(text) / 120 * 12
        assert real <= width(text, 12, bold=bold) * 1.02, text
