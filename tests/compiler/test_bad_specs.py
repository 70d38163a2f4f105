"""Every mistake in `tests/bad_specs/build` is told at its place, with cause and way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.compiler.build import elaborate
from weft.spec.errors import Diagnostic, SpecError
from weft.spec.format_yaml import write_yaml
from weft.spec.load import load_text
from weft.spec.read_weft import read_weft

FOLDER = Path(__file__).resolve().parents[1] / "bad_specs" / "build"
FILES = sorted(path.name for path in FOLDER.glob("*.weft"))
EXPECTED = (FOLDER / "expected.txt").read_text(encoding="utf-8")


def findings(text: str, name: str) -> tuple[Diagnostic, ...]:
    """What is wrong with a text."""
    with pytest.raises(SpecError) as caught:
        elaborate(load_text(text, name))
    return caught.value.diagnostics


def line(found: Diagnostic) -> str:
    """A finding on one line: place, code, cause, hint, calls."""
    notes = "".join(f" | from {place} {name}" for place, name in found.notes)
    return f"{found}{f' | {found.hint}' if found.hint else ''}{notes}"


@pytest.mark.parametrize("name", FILES)
def test_findings(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    expected = [each for each in EXPECTED.splitlines() if each.startswith(f"{name}:")]
    found = findings(text, name)
    assert [line(each) for each in found] == expected
    code = name.partition("_")[0]
    assert not code.startswith("E") or code in {each.code for each in found}
    for each in found:
        assert each.place is not None and "prelude" not in str(each)
        spelt = text.split("\n")[each.place.line - 1]
        assert 1 <= each.place.column < each.place.end_column <= len(spelt) + 1


@pytest.mark.parametrize("name", FILES)
def test_the_yaml_form_has_the_same_findings(name: str) -> None:
    file = read_weft((FOLDER / name).read_text(encoding="utf-8"), name)
    twin = findings(write_yaml(file), name.replace(".weft", ".yaml"))
    own = findings(file.text, name)
    assert [(f.code, f.message) for f in twin] == [(f.code, f.message) for f in own]


def test_the_table_is_not_longer_than_the_files() -> None:
    names = {each.partition(":")[0] for each in EXPECTED.splitlines()}
    assert names == set(FILES) and len(FILES) >= 80
