"""The page of data sources: every line that it shows is one, every setting stands on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.compiler.build import elaborate
from weft.spec.load import load_text
from weft.spec.sources import SOURCES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"^```\n(data .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in re.split(r"\n(?=data )", block.strip())
]
SPEC = """net n {{
  in x: f32[B, 4]
  x -> linear(1) as y
}}

train {{
  steps = 1
  {line}
  step main updates n {{
    optimizer = sgd(lr=1)
    loss = mean((ones([3, 4]) -> n))
  }}
}}
"""


@pytest.mark.parametrize("line", LINES)
def test_lines_are_read(line: str) -> None:
    assert elaborate(load_text(SPEC.format(line=line), "n.weft")).train is not None


def test_there_are_lines() -> None:
    assert len(LINES) > 12


@pytest.mark.parametrize("source", SOURCES)
def test_sources_and_their_settings_are_described(source: str) -> None:
    assert f"`{source}`" in PAGE
    options = [option.name for option in SOURCES[source].signature.options]
    assert [name for name in options if not re.search(rf"`{name}`|\b{name}=", PAGE)] == []
