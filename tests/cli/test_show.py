"""`weft show`: boxes for layers, arrows with shapes, folding."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from weft.cli.diagram import diagram
from weft.cli.layout import Arrow
from weft.compiler.build import elaborate
from weft.spec.load import load_text

RESIDUAL = """\
block Layer(n) {
  in x: f32[B, n]
  x -> residual { linear(n) -> tanh }
}

net surface {
  in xy: f32[B, 2]
  xy -> linear(8) as first -> repeat 2 { Layer(8) } -> linear(1) as z
}
"""
SHARED = """\
net twice {
  in x: f32[B, 4]
  let f = linear(4)
  x -> f -> tanh -> f as y
}
"""


def _picture(text: str, depth: int | None = None):
    (net,) = elaborate(load_text(text, "a.weft")).nets.values()
    return diagram(net, depth)


def test_residual() -> None:
    picture = _picture(RESIDUAL)
    names = [box.name for box in picture.boxes]
    assert names == [
        "xy",
        "first",
        "repeat.0.linear",
        "repeat.0.tanh",
        "add",
        "repeat.1.linear",
        "repeat.1.tanh",
        "add (2)",
        "z",
        "z ",
    ]
    assert Arrow("first", "add", "[B, 8]") in picture.arrows
    assert Arrow("repeat.0.tanh", "add", "[B, 8]") in picture.arrows
    assert len(picture.arrows) == 11
    assert [box.kind for box in picture.boxes if box.lines[0] == "z"] == ["layer", "output"]


def test_folded() -> None:
    picture = _picture(RESIDUAL, depth=2)
    names = [box.name for box in picture.boxes]
    assert names == ["xy", "first", "repeat.0", "repeat.1", "z", "z "]
    assert picture.boxes[2].lines == ("repeat.0", "2 layers", "72 parameters")
    folded = _picture(RESIDUAL, depth=1)
    assert [box.name for box in folded.boxes] == ["xy", "first", "repeat", "z", "z "]


def test_a_shared_layer_is_drawn_at_each_use() -> None:
    picture = _picture(SHARED)
    names = [box.name for box in picture.boxes]
    assert names == ["x", "f", "tanh", "f (2)", "y"] or names == ["x", "f", "tanh", "f (2)", "y "]


@pytest.mark.parametrize("form", ["text", "dot", "mermaid", "svg"])
def test_command(weft, examples: Path, form: str) -> None:
    answer = weft("show", examples / "bypass" / "bypass.weft", "--format", form)
    assert answer.code == 0, answer.err
    assert "repeat.2.linear" in answer.out


def test_output_file_says_the_format(weft, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.svg"
    answer = weft("show", examples / "digits" / "digits.weft", "-o", out)
    assert (answer.code, answer.out) == (0, "")
    ET.parse(out)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--net", "mpl"], "did you mean `mlp`?"),
        (["--depth", "0"], "counts from 1"),
        (["-o", "net.jpeg"], "--format"),
    ],
)
def test_wrong_flags(weft, examples: Path, flags: list[str], said: str) -> None:
    answer = weft("show", examples / "digits" / "digits.weft", *flags)
    assert answer.code == 2
    assert said in answer.err
