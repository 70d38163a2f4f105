"""docs/zoo.md says of every example what the tests and the measurements know."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("transformers")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("zoo_page")


def test_the_page_is_up_to_date(generator: ModuleType) -> None:
    written = generator.PAGE.read_text(encoding="utf-8")
    assert written == generator.page(), "run `python docs/zoo_page.py`"


def test_tests_that_are_named_have_what_they_are_named_for(generator: ModuleType) -> None:
    """Where no table says it, the text of the test does."""
    named = [(t, s) for t, words in generator.LEARNT.items() for s in words.split()]
    for test, spec in [*named, *((t, s) for s, t in generator.OWN.items())]:
        texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob(test)]
        stem = spec.rpartition("/")[2]
        assert any(re.search(rf"\b{stem}\b", text) for text in texts), (test, spec)


def test_notes_are_of_examples_that_exist(generator: ModuleType) -> None:
    specs = {generator.notes.name_of(path) for path in generator.notes.specs()}
    for kind, found in generator.notes.read().items():
        assert {name.partition(":")[0] for name in found} <= specs, kind
