"""`weft fmt`: in place, checking only, and from one form to the other."""

from __future__ import annotations

from pathlib import Path

from weft.spec.load import read_text

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ROUGH = "net n {\n in x:f32[B,4]  # rows\n\n x->linear(3)\n   ->relu }\n"
SMOOTH = "net n {\n  in x: f32[B, 4]  # rows\n  x -> linear(3) -> relu\n}\n"


def test_in_place_and_only_where_something_changes(weft, tmp_path: Path) -> None:
    rough, smooth = tmp_path / "a.weft", tmp_path / "sub" / "b.weft"
    smooth.parent.mkdir()
    rough.write_text(ROUGH)
    smooth.write_text(SMOOTH)
    rough.chmod(0o640)
    answer = weft("fmt", "--check", tmp_path)
    assert answer.code == 1
    assert "a.weft: not in canonical form" in answer.out and "b.weft" not in answer.out
    assert rough.read_text() == ROUGH
    answer = weft("fmt", tmp_path)
    assert answer.code == 0 and "a.weft: formatted" in answer.out
    assert rough.read_text() == smooth.read_text() == SMOOTH
    assert rough.stat().st_mode & 0o777 == 0o640
    assert weft("fmt", "--check", tmp_path).code == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.weft", "sub"]


def test_there_and_back(weft, tmp_path: Path) -> None:
    spec = EXAMPLES / "digits" / "digits.weft"
    there = tmp_path / "digits.yaml"
    there.write_text(weft("fmt", "--to", "yaml", spec).out)
    back = weft("fmt", "--to", "weft", there).out
    assert read_text(back, "t.weft") == read_text(spec.read_text(), "t.weft")
    assert read_text(there.read_text(), "t.yaml") == read_text(back, "t.weft")
    assert back.count("#") == spec.read_text().count("#")


def test_a_broken_spec_is_left_alone(weft, tmp_path: Path) -> None:
    spec = tmp_path / "a.weft"
    spec.write_text("net n {\n")
    answer = weft("fmt", spec)
    assert answer.code == 2 and "error[E" in answer.err
    assert spec.read_text() == "net n {\n"


def test_one_file_at_a_time_is_converted(weft, tmp_path: Path) -> None:
    answer = weft("fmt", "--to", "yaml", "a.weft", "b.weft")
    assert answer.code == 2 and "one file at a time" in answer.err
