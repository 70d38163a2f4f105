"""Columns stand below each other, whatever writes the words in them."""

from __future__ import annotations

from weft.cli.table import table


def test_wide_characters_and_accents_take_the_places_that_they_take() -> None:
    lines = table(("class", "n"), [("cat", "1"), ("日本", "22"), ("e\u0301te", "3")], align="<>")
    assert lines.splitlines() == [
        "class   n",
        "-----  --",
        "cat     1",
        "日本   22",
        "e\u0301te     3",
    ]
