"""Every mistake in `tests/bad_specs` is told at its place, with cause and way out.

`build`: what is wrong with names, values and shapes, told alike in both forms.  `text`: what the
readers refuse, in one form or the other.  `imports`: specs of several files.  Each folder has its
table of findings, one a line: `python tests/compiler/test_bad_specs.py` writes them anew, to be
read before they are believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weft.compiler.build import elaborate
from weft.spec.errors import Diagnostic, SpecError, render_all
from weft.spec.format_yaml import write_yaml
from weft.spec.load import Spec, decode, load_text
from weft.spec.read_weft import read_weft

ROOT = Path(__file__).resolve().parents[1] / "bad_specs"
BUILD, TEXT, IMPORTS = ROOT / "build", ROOT / "text", ROOT / "imports"
FORMS = (".weft", ".yaml")
LONGEST = 160  # characters of a message, and of a hint


def cases(folder: Path) -> list[str]:
    """The specs of a folder: its files, or its folders, which hold one called `a`."""
    if folder == IMPORTS:
        found = [next(each.glob("a.*")) for each in folder.iterdir() if each.is_dir()]
    else:
        found = [each for each in folder.iterdir() if each.suffix in FORMS]
    return sorted(each.relative_to(folder).as_posix() for each in found)


ALL = [(folder, name) for folder in (BUILD, TEXT, IMPORTS) for name in cases(folder)]


def read(folder: Path, name: str) -> Spec:
    path = folder / name
    home = path.parent if folder == IMPORTS else None
    return load_text(decode(path.read_bytes(), path.name), path.name, folder=home)


def findings(spec: Callable[[], Spec]) -> SpecError:
    """What is wrong with a spec."""
    with pytest.raises(SpecError) as caught:
        elaborate(spec())
    return caught.value


def line(found: Diagnostic) -> str:
    """A finding on one line: place, code, cause, hint, calls."""
    notes = "".join(f" | from {place} {name}" for place, name in found.notes)
    return f"{found}{f' | {found.hint}' if found.hint else ''}{notes}"


def told(folder: Path, name: str) -> tuple[SpecError, list[str]]:
    """The findings of a case, and as the table has them."""
    error = findings(lambda: read(folder, name))
    prefix = f"{name.partition('/')[0]}/" if folder == IMPORTS else ""
    return error, [prefix + line(each) for each in error.diagnostics]


def expected(folder: Path) -> list[str]:
    return (folder / "expected.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("folder", "name"), ALL, ids=[name for _, name in ALL])
def test_findings(folder: Path, name: str) -> None:
    case = name.partition("/")[0]
    wanted = [each for each in expected(folder) if each.startswith((f"{case}:", f"{case}/"))]
    error, lines = told(folder, name)
    assert lines == wanted
    codes = {part for part in case.removesuffix(".weft").split("_") if part[1:].isdigit()}
    assert codes <= {each.code for each in error.diagnostics}
    for each in error.diagnostics:
        assert each.place is not None and "prelude" not in str(each)
        assert len(each.message) < LONGEST and len(each.hint or "") < LONGEST
        text = error.texts.get(each.place.file)
        if each.code != "E107" and text is not None:
            spelt = text.split("\n")[each.place.line - 1]
            assert 1 <= each.place.column < each.place.end_column <= len(spelt) + 2


@pytest.mark.parametrize(("folder", "name"), ALL, ids=[name for _, name in ALL])
def test_findings_come_in_the_order_of_the_text(folder: Path, name: str) -> None:
    error, _ = told(folder, name)
    places = [each.place for each in error.diagnostics if each.place]
    for file in dict.fromkeys(each.file for each in places):
        own = [(each.line, each.column) for each in places if each.file == file]
        assert own == sorted(own)
    shown = render_all(error.diagnostics, error.texts)
    assert all(str(each) in shown for each in error.diagnostics)


@pytest.mark.parametrize("name", cases(BUILD))
def test_the_yaml_form_has_the_same_findings(name: str) -> None:
    file = read_weft((BUILD / name).read_text(encoding="utf-8"), name)
    twin = findings(lambda: load_text(write_yaml(file), name.replace(".weft", ".yaml")))
    own = findings(lambda: load_text(file.text, name))
    assert sorted((f.code, f.message) for f in twin.diagnostics) == sorted(
        (f.code, f.message) for f in own.diagnostics
    )


def test_the_tables_are_not_longer_than_the_files() -> None:
    for folder in (BUILD, TEXT, IMPORTS):
        named = {each.partition(":")[0].partition("/")[0] for each in expected(folder)}
        assert named == {name.partition("/")[0] for name in cases(folder)}
    assert len(ALL) >= 150


def tables() -> Iterator[tuple[Path, str]]:
    """The tables as they would be now."""
    for folder in (BUILD, TEXT, IMPORTS):
        lines = [each for name in cases(folder) for each in told(folder, name)[1]]
        yield folder / "expected.txt", "".join(f"{each}\n" for each in lines)


if __name__ == "__main__":
    for path, text in tables():
        path.write_text(text, encoding="utf-8")
