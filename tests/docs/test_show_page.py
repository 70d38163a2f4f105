"""docs/show.md shows what `weft show` draws."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GPT2 = ROOT / "examples" / "gpt2" / "gpt2.weft"
PAGE = ROOT / "docs" / "show.md"


def test_the_picture(weft) -> None:
    drawn = weft("show", GPT2, "--format", "svg").out
    shown = (ROOT / "docs" / "gpt2.svg").read_text(encoding="utf-8")
    assert drawn == shown, "weft show examples/gpt2/gpt2.weft -o docs/gpt2.svg"


def test_the_text(weft) -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown == weft("show", GPT2).out


def test_the_options(weft) -> None:
    said = weft("show", "--help").out
    for option in re.findall(r"\| `(--[a-z]+)", PAGE.read_text(encoding="utf-8")):
        assert option in said
