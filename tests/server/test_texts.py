"""Positions of the protocol, offsets and places."""

from __future__ import annotations

import pytest
from lsprotocol import types as lsp

from weft.server.texts import Text, comment_above
from weft.spec.place import Place

CONTENT = "a𝄞é b\r\nsecond\u2028line\n\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_offsets_and_positions_are_inverse(encoding: str) -> None:
    text = Text(CONTENT, encoding)
    for offset in range(len(CONTENT) + 1):
        if CONTENT[offset - 1 : offset + 1] != "\r\n":
            assert text.offset(text.position(offset)) == offset


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 7), ("utf-16", 4), ("utf-32", 3)])
def test_columns_have_a_unit(encoding: str, column: int) -> None:
    assert Text(CONTENT, encoding).position(3) == lsp.Position(0, column)


def test_positions_outside_are_moved_inside() -> None:
    text = Text("ab\ncd")
    assert text.offset(lsp.Position(0, 99)) == 2
    assert text.offset(lsp.Position(9, 0)) == 5
    assert text.of_place(Place("f", 9, 1, 2)) == text.range(0, 0)
    assert text.of_place(Place("f", 1, 3, 4)) == text.range(2, 2)


def test_only_newlines_end_lines() -> None:
    assert Text(CONTENT).lines == 4
    assert Text(CONTENT).line(1) == "second\u2028line"


def test_comments_above() -> None:
    text = "# far\n\n# one\n#  two\nblock B {\n"
    assert comment_above(text, 5) == "one two"
    assert comment_above(text, 1) == comment_above(text, 99) == ""
