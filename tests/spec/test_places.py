"""Every node knows where it stands, in both forms, inside folded scalars too."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.spec.expressions import Call, Index, Name, Number, Setting, Text, Unary
from weft.spec.load import read_text
from weft.spec.place import Place
from weft.spec.tree import File

PAIRS = sorted((Path(__file__).parent / "pairs").glob("*.*"))


def nodes(value: object) -> Iterator[object]:
    """All nodes below a value."""
    if isinstance(value, tuple):
        for item in value:
            yield from nodes(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, Place):
        yield value
        for field in dataclasses.fields(value):
            yield from nodes(getattr(value, field.name))


def at(file: File, place: Place) -> str:
    return file.text.split("\n")[place.line - 1][place.column - 1 : place.end_column - 1]


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.name)
def test_names_numbers_and_keywords_stand_where_their_places_say(path: Path) -> None:
    file = read_text(path.read_text(), path.name)
    seen = 0
    for node in nodes(file):
        if isinstance(node, File):
            continue
        shown = at(file, node.place)  # type: ignore[attr-defined]
        seen += 1
        match node:
            case Number(text) | Name(text):
                assert shown == text
            case Text():
                assert shown[0] == shown[-1] == '"'
            case Call(name):
                assert shown.startswith(name)
            case Unary(operator):
                assert shown.startswith(operator)
            case Index():
                assert "[" in shown
            case Setting(name):
                assert shown == name
            case _:
                assert shown.strip() == shown != ""
        for name, place in zip(
            getattr(node, "names", ()), getattr(node, "places", ()), strict=False
        ):
            assert at(file, place) == name
    assert seen > 40


def test_structures_stand_at_their_keyword() -> None:
    weft = read_text("block B {\n  x -> residual { f } -> if a { g }\n}\n", "t.weft")
    yaml = read_text(
        "block:\n  B:\n    - x\n    - residual: f\n    - if: a\n      then: g\n", "t.yaml"
    )
    for file, words in ((weft, ["x", "residual", "if"]), (yaml, ["x", "residual", "if"])):
        pieces = file.blocks[0].body.results[0].pieces
        assert [at(file, piece.stage.place) for piece in pieces] == words


@pytest.mark.parametrize(
    "scalar",
    [
        "x -> f(a)",
        "|-\n      x\n        -> f(a)",
        ">\n      x ->\n      f(a)",
        ">-\n\n      x\n      -> f(a)",
        "x ->\n      f(a)",
        "|2-\n        x -> f(a)",
    ],
)
def test_places_inside_yaml_scalars(scalar: str) -> None:
    file = read_text(f"block:\n  B:\n    out: {scalar}\n", "t.yaml")
    pieces = file.blocks[0].body.results[0].pieces
    call = pieces[1].stage
    assert isinstance(call, Call)
    assert at(file, pieces[0].stage.place) == "x"
    assert at(file, call.place) == "f(a)"
    assert at(file, call.positional[0].place) == "a"


def test_places_in_quoted_keys() -> None:
    file = read_text('block:\n  "B(n=[1, 2])": f\n', "t.yaml")
    block = file.blocks[0]
    assert at(file, block.place) == "B"
    assert at(file, block.parameters[0].place) == "n"


def test_places_after_wide_characters_tabs_and_carriage_returns() -> None:
    file = read_text('param a="ü→𝄞",\tb=c\r\nparam\td=e\r\n', "t.weft")
    assert at(file, file.params[1].value.place) == "c"
    assert str(file.params[1].place) == "t.weft:1:16"
    assert at(file, file.params[2].value.place) == "e"


def test_through_and_first() -> None:
    place = Place("f", 1, 3, 6)
    assert place.through(Place("f", 1, 8, 12)) == Place("f", 1, 3, 12)
    assert place.through(Place("f", 2, 1, 2)) == place
    assert place.first(1) == Place("f", 1, 3, 4)
