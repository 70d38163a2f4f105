"""docs/errors.md has a page for every code, with the message it really gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from weft.spec.explanations import explanations

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date(script: Callable[[str], ModuleType]) -> None:
    generator = script("errors_page")
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run `make docs`"


def test_every_code_is_explained() -> None:
    raised: set[str] = set()
    for room in ("spec", "compiler", "runtime", "cli"):
        for path in (ROOT / room).rglob("*.py"):
            raised |= set(re.findall(r'"(E[1-5]\d\d)"', path.read_text(encoding="utf-8")))
    assert raised == set(explanations()), "each code has a section in spec/codes/*.md"
