"""A text in pieces ends before the first of some texts, however the pieces are cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from weft.runtime.until import Until

CASES = [
    ("one\n\ntwo\n\nthree", ["\n\n"], "one"),
    ("aab", ["ab"], "a"),
    ("aaab", ["aab"], "a"),
    ("abcabd", ["abd"], "abc"),
    ("a class, def", ["def", "class"], "a "),
    ("abx", ["abc", "bx"], "a"),
    ("never", ["end"], "never"),
    ("an en", ["end"], "an en"),
    ("", ["end"], ""),
    ("free", [], "free"),
]


@pytest.mark.parametrize(("text", "ends", "wanted"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pieces_make_the_text_up_to_its_end(
    text: str, ends: Sequence[str], wanted: str, size: int
) -> None:
    until, shown = Until(ends), ""
    for start in range(0, len(text), size):
        shown += until.feed(text[start : start + size])
        assert wanted.startswith(shown)  # nothing that is shown has to be taken back
    shown += until.finish()
    assert shown == wanted
    assert until.done == (wanted != text)


def test_what_cannot_begin_an_end_is_shown_at_once() -> None:
    until = Until(["\n\n"])
    pieces = ["a", "b\n", "c", "\n", "\n", "d"]
    assert list(map(until.feed, pieces)) == ["a", "b", "\nc", "", "", ""]
    assert until.done
