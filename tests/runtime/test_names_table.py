"""Tables of names: what they say, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.runtime.names_table import read_names
from weft.spec.errors import UsageError

SOUND = """
[net]
source = "a library"
strip = ["model."]
ignore = ["cache.{i}"]

[net.names]
"first.weight" = "net.a.weight"
"h.{i}.part.{j}.weight" = { to = "net.body.{i}.{j}.weight", transpose = true }
"h.{i}.all" = { split = ["net.body.{i}.q", "net.body.{i}.k"] }
"""


def table(folder: Path, text: str) -> Path:
    path = folder / "weights.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_are_found(tmp_path: Path) -> None:
    names = read_names(table(tmp_path, SOUND), "net")
    assert names.source == "a library"

    def find(name: str) -> tuple[str, ...] | None:
        found = names.find(name)
        return found[0] if found else None

    assert find("first.weight") == find("model.first.weight") == ("net.a.weight",)
    assert find("model.h.12.part.3.weight") == ("net.body.12.3.weight",)
    assert find("h.0.all") == ("net.body.0.q", "net.body.0.k")
    assert find("h.x.all") is find("firstxweight") is find("h.0.all.more") is None
    assert names.ignores("cache.7") and names.ignores("model.cache.7")
    assert not names.ignores("cache.7.x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[net", "not TOML"),
        ("[nett.names]\na = 'b'", "no section `[net]`"),
        ("[net]\nsource = 'x'", "[net.names] is missing"),
        ("[net]\nstripp = []\n[net.names]\na = 'b'", "unknown key `stripp`"),
        ("[net]\nstrip = 'm.'\n[net.names]\na = 'b'", "`strip` must be a list of texts"),
        ("[net.names]\na = 3", "`a` must be a list of texts"),
        ("[net.names]\na = { too = 'b' }", "`a` does not say what it becomes"),
        ("[net.names]\na = { to = 'b', split = ['c'] }", "`a` does not say what it becomes"),
        ("[net.names]\n'a.{i}' = 'b'", "different numbers in braces"),
        ("[net.names]\n'a.{i}' = 'b.{j}'", "different numbers in braces"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_names(table(tmp_path, text), "net")
    assert said in str(caught.value)
    assert "weights.toml" in str(caught.value)


def test_a_missing_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no table of names"):
        read_names(tmp_path / "weights.toml", "net")
