"""What an elaboration saw: types at calls and names of the user's text, errors or not."""

from __future__ import annotations

import pytest

from weft.compiler.build import Trace, elaborate
from weft.spec.errors import SpecError
from weft.spec.load import load_text

TEXT = """param d=8
block Pair(width) {
  in x: f32[B, C]
  h = x -> linear(width)
  h -> linear(C)
}
net n {
  in x: f32[B, 4]
  x -> Pair(d) -> Pair(16) as y -> relu
}
"""


def trace(text: str) -> Trace:
    found = Trace()
    elaborate(load_text(text, "t.weft"), found)
    return found


def seen(found: Trace, line: int, column: int) -> dict[str, str]:
    return {
        path: f"{', '.join(map(str, use.inputs))} -> {', '.join(map(str, use.outputs))}"
        for place, uses in found.calls.items()
        if (place.line, place.column) == (line, column)
        for path, use in uses.items()
    }


def test_calls_have_their_types_and_paths() -> None:
    found = trace(TEXT)
    assert seen(found, 9, 8) == {"n.Pair": "f32[B, 4] -> f32[B, 4]"}
    assert seen(found, 4, 12) == {
        "n.Pair.h": "f32[B, 4] -> f32[B, 8]",
        "n.y.h": "f32[B, 4] -> f32[B, 16]",
    }


def test_names_have_their_values() -> None:
    bound = [each for names in trace(TEXT).names.values() for each in names.values()]
    values = {(each.path, each.name): str(each.value) for each in bound}
    assert values["n", "y"] == "[B, 4]"
    assert values["n.y", "h"] == "[B, 16]"
    assert (values["n.Pair", "width"], values["n.y", "width"]) == ("8", "16")
    assert values["n.Pair", "C"] == "4"


def test_nothing_of_the_library_is_seen() -> None:
    places = [*trace(TEXT).calls, *trace(TEXT).names]
    assert {place.file for place in places} == {"t.weft"}


def test_a_broken_spec_is_seen_as_far_as_it_goes() -> None:
    found = Trace()
    with pytest.raises(SpecError):
        elaborate(load_text(TEXT.replace("relu", "rleu"), "t.weft"), found)
    assert seen(found, 9, 8)


def test_no_trace_changes_nothing() -> None:
    spec = load_text(TEXT, "t.weft")
    with_trace, without = elaborate(spec, Trace()), elaborate(spec)
    assert with_trace.parameters == without.parameters
    assert with_trace.nets["n"].layers == without.nets["n"].layers
