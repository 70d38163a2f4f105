"""What an editor needs of the readers: texts that are not on disk, and half of a broken file."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.spec import read_weft, read_yaml
from weft.spec.errors import SpecError
from weft.spec.load import load_text

USER = 'import "b.weft"\nnet n {\n  in x: f32[B, 4]\n  x -> Two\n}\n'
BLOCK = "block Two {\n  in x: f32[...]\n  x + x\n}\n"


def test_an_unsaved_import_stands_for_the_file(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "b.weft").write_text("block Other { relu }\n")
    spec = load_text(USER, "a.weft", folder=folder, unsaved={folder / "b.weft": BLOCK})
    assert "Two" in spec.blocks and spec.texts["b.weft"] == BLOCK
    assert "Two" not in load_text(USER, "a.weft", folder=folder).blocks


def test_an_unsaved_import_needs_no_file(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    assert (
        "Two" in load_text(USER, "a.weft", folder=folder, unsaved={folder / "b.weft": BLOCK}).blocks
    )
    with pytest.raises(SpecError, match="E211"):
        load_text(USER, "a.weft", folder=folder, unsaved={folder / "c.weft": BLOCK})


def test_what_can_be_read_of_a_broken_weft_file() -> None:
    text = BLOCK + "param a=1, b=\nnet n {\n  in x: f32[4]\n  h = -> )\n  x -> Two\n}\n"
    file, found = read_weft.read_readable(text, "a.weft")
    assert [block.name for block in file.blocks] == ["Two"]
    assert [net.name for net in file.nets] == ["n"]
    assert {each.code for each in found} == {"E102"}
    assert read_weft.read_readable(BLOCK, "b.weft") == (read_weft.read_weft(BLOCK, "b.weft"), ())


def test_what_can_be_read_of_a_broken_yaml_file() -> None:
    text = "param:\n  a: )\n  b: 2\nnet:\n  n:\n    in:\n      x: f32[4]\n    out: x -> relu\n"
    file, found = read_yaml.read_readable(text, "a.yaml")
    assert [net.name for net in file.nets] == ["n"]
    assert [each.place.line for each in found if each.place] == [2]
    file, found = read_yaml.read_readable("a: [", "a.yaml")
    assert file.nets == () and [each.code for each in found] == ["E119"]
