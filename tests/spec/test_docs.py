"""The language page shows specs that are what it says they are."""

from __future__ import annotations

import re
from pathlib import Path

from weft.spec.format import write_weft, write_yaml
from weft.spec.load import read_text

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")


def shown(language: str, holding: str) -> str:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [text for kind, text in fences if kind == language and holding in text]
    return str(found)


def test_the_first_spec_is_canonical_and_the_same_in_both_forms() -> None:
    weft, yaml = shown("", "net mlp"), shown("yaml", "mlp:")
    tree = read_text(weft, "t.weft")
    assert tree == read_text(yaml, "t.yaml")
    assert (write_weft(tree), write_yaml(read_text(yaml, "t.yaml"))) == (weft, yaml)


def test_the_block_with_the_extensions_is_canonical() -> None:
    text = shown("", "block dense")
    assert write_weft(read_text(text, "t.weft")) == text
