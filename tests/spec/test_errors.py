"""How errors are shown, and what they carry."""

from __future__ import annotations

import pickle

import pytest

from weft.spec.errors import (
    CheckpointError,
    DataError,
    Diagnostic,
    InternalError,
    SpecError,
    UsageError,
    WeftError,
    render_all,
    suggest,
)
from weft.spec.place import Place


def render(found: Diagnostic, text: str | None = None) -> str:
    """One finding; `text`: what is written in its file."""
    return render_all([found], {found.place.file: text} if found.place and text else {})


def test_a_diagnostic_shows_its_line_caret_hint_and_calls() -> None:
    found = Diagnostic(
        "E401",
        "concat: these differ",
        Place("n.weft", 2, 8, 14),
        "axis 2",
        ((Place("n.weft", 7, 3, 8), "Inner"), (Place("n.weft", 9, 1, 4), "Outer")),
    )
    assert render(found, "one\n  x -> concat(y)\nthree\n") == (
        "n.weft:2:8: error[E401]: concat: these differ\n"
        "    2 |   x -> concat(y)\n"
        "      |        ^^^^^^\n"
        "      = hint: axis 2\n"
        "      = from: n.weft:7:3 Inner\n"
        "      = from: n.weft:9:1 Outer"
    )


def test_excerpts_keep_tabs_cut_long_lines_and_hide_control_characters() -> None:
    tabbed = render(Diagnostic("E1", "m", Place("f", 1, 3, 4)), "\t\tx\x1b[31m")
    assert tabbed.split("\n")[1:] == ["    1 | \t\tx\ufffd[31m", "      | \t\t^"]
    long = render(Diagnostic("E1", "m", Place("f", 1, 501, 503)), "a" * 500 + "bb" + "c" * 500)
    excerpt, caret = long.split("\n")[1:]
    assert len(excerpt) < 120
    assert excerpt[caret.index("^") : caret.index("^") + 2] == "bb"


def test_places_beyond_the_text_are_no_crash() -> None:
    assert render(Diagnostic("E1", "m", Place("f", 9, 9, 9)), "a") == "f:9:9: error[E1]: m"
    assert render(Diagnostic("E1", "m", Place("f", 1, 9, 9)), "a").endswith("^")
    assert render(Diagnostic("E1", "m")) == "error[E1]: m"


def test_exit_codes_and_hints() -> None:
    assert [error.exit_code for error in (WeftError, DataError, CheckpointError)] == [1, 1, 1]
    assert [error.exit_code for error in (SpecError, UsageError)] == [2, 2]
    assert str(UsageError("no", hint="try yes")) == "no\n  = hint: try yes"
    assert str(InternalError("broken", around="node 3")) == "internal error: broken\nnode 3"
    with pytest.raises(InternalError):
        SpecError([])


def test_a_spec_error_survives_a_process_border() -> None:
    error = SpecError(Diagnostic("E1", "m", Place("f", 1, 1, 2)), {"f": "text"})
    again = pickle.loads(pickle.dumps(error))
    assert again.diagnostics == error.diagnostics
    assert str(again) == str(error) == "f:1:1: error[E1]: m\n    1 | text\n      | ^"


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("maxpool", "max_pool"),
        ("Relu", "relu"),
        ("strides", "stride"),
        ("xyz", None),
        ("relu", "relu"),
    ],
)
def test_suggestions(word: str, wanted: str | None) -> None:
    known = ["max_pool", "relu", "stride", "conv"]
    assert suggest(word, known) == (f"did you mean `{wanted}`?" if wanted else None)
