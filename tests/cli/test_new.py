"""`weft new`: a folder that checks and trains, and nothing overwritten."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest


@pytest.mark.parametrize("form", ["weft", "yaml"])
def test_the_starter_checks(weft, tmp_path: Path, form: str) -> None:
    flags = ["--yaml"] if form == "yaml" else []
    answer = weft("new", tmp_path / "hello", *flags)
    assert answer.code == 0, answer.err
    spec = tmp_path / "hello" / f"hello.{form}"
    assert str(spec) in answer.out
    assert weft("fmt", "--check", spec).code == 0
    answer = weft("check", spec, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["parameters"] == 2 * 32 + 32 + 32 * 32 + 32 + 32 * 3 + 3


def test_the_data_are_three_spirals(weft, tmp_path: Path) -> None:
    weft("new", tmp_path / "hello")
    rows = list(csv.DictReader((tmp_path / "hello" / "spirals.csv").open()))
    assert len(rows) == 900
    assert {row["arm"] for row in rows} == {"0", "1", "2"}
    assert all(math.hypot(float(row["x"]), float(row["y"])) <= 1.0001 for row in rows)


def test_nothing_is_overwritten(weft, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.weft").write_text("precious")
    answer = weft("new", folder)
    assert answer.code == 2
    assert "exists and is not empty" in answer.err
    assert (folder / "mine.weft").read_text() == "precious"
    assert [p.name for p in folder.iterdir()] == ["mine.weft"]


@pytest.mark.parametrize("name", ["repeat", "a b", "9lives", "é"])
def test_names_that_cannot_be(weft, tmp_path: Path, name: str) -> None:
    answer = weft("new", tmp_path / name)
    assert answer.code == 2
    assert "cannot name a network" in answer.err
    assert not (tmp_path / name).exists()


def test_yaml_comes_with_its_schema(weft, tmp_path: Path) -> None:
    """Editors find it by the first line, which the formatter leaves where it is."""
    weft("new", tmp_path / "hello", "--yaml")
    spec = tmp_path / "hello" / "hello.yaml"
    head, _, _ = spec.read_text().partition("\n")
    assert head == "# yaml-language-server: $schema=weft.schema.json"
    schema = spec.parent / "weft.schema.json"
    assert json.loads(schema.read_text())["title"] == "weft"
    assert weft("schema").out == schema.read_text()
    assert weft("fmt", "--check", spec).code == 0
    assert weft("fmt", "--to", "weft", spec).out.startswith(f"{head}\n")


def test_the_schema_is_written_where_it_is_wanted(weft, tmp_path: Path) -> None:
    answer = weft("schema", "-o", tmp_path / "s.json")
    assert answer.code == 0 and "$schema=s.json" in answer.out
    assert (tmp_path / "s.json").read_text() == weft("schema").out
