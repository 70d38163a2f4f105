"""From the outline of a net to items."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from weft.cli.drawing.sketch import Item, Source, leaves, sketch

Items = Callable[[str], list[Item]]


@pytest.fixture
def items(source: Callable[[str], Source]) -> Items:
    """The items of the only net of a spec."""
    return lambda text: sketch(source(text))


def named(found: list[Item], name: str) -> list[Item]:
    """The leaves of a name."""
    return [leaf for leaf in leaves(found) if leaf.name == name]


def test_what_does_nothing_is_left_out(items: Items) -> None:
    found = items(
        """\
net plain {
  in x: f32[B, 4]
  y = x -> dropout(0.5) -> identity -> relu
  both = x -> relu
  out y + both
}
"""
    )
    assert [leaf.name for leaf in leaves(found)] == ["x", "relu", "+", "output"]


def test_a_shared_layer_says_so(items: Items) -> None:
    found = items(
        """\
net twice {
  in x: f32[B, 4]
  let f = linear(4)
  x -> f -> tanh -> f as y
}
"""
    )
    first, second = named(found, "linear")
    assert (first.parameters, first.again) == (20, False)
    assert (second.parameters, second.again) == (0, True)


def test_equal_values_in_two_blocks_are_drawn_in_both(items: Items) -> None:
    found = items(
        """\
block Shift {
  in x: f32[B, T]
  x + exp(arange(T))
}
net sums {
  in x: f32[B, T], y: f32[B, T]
  out (x -> Shift) * (y -> Shift)
}
"""
    )
    groups = [item for item in found if item.is_group]
    assert [group.name for group in groups] == ["Shift", "Shift"]
    for group in groups:
        inside = set(leaves([group]))
        (add,) = (leaf for leaf in inside if leaf.name == "+")
        (exp,) = (source for source, _ in add.feeds if source.name == "exp")
        assert exp in inside


def test_weights_that_are_read_directly(items: Items) -> None:
    found = items(
        """\
net biased {
  in x: f32[B, 4]
  weight shift: f32[4] = zeros()
  (x + shift) -> relu as y
}
"""
    )
    (shift,) = named(found, "shift")
    assert (shift.kind, shift.parameters) == ("weight", 4)
    (add,) = named(found, "+")
    assert [source.name for source, _ in add.feeds] == ["x", "shift"]


def test_layers_read_tensors_in_the_place_of_settings(items: Items) -> None:
    found = items(
        """\
net looking {
  in x: f32[B, T, 8], other: f32[B, S, 8]
  x -> attention(2, memory=other) as y
}
"""
    )
    (attention,) = named(found, "attention")
    assert [source.name for source, _ in attention.feeds] == ["x", "other"]
    assert dict(attention.settings) == {"heads": "2"}


def test_groups_of_one_thing(items: Items) -> None:
    found = items(
        """\
block Inner(n) { linear(n) -> relu }
block Outer(n) { Inner(n) }
block Lone(n) { linear(n) }
net groups {
  in x: f32[B, 4]
  x -> Outer(3) -> Lone(2) -> repeat 1 { Inner(5) } -> flatten as y
}
"""
    )
    told = [(item.name, [part.name for part in item.parts]) for item in found]
    assert told == [
        ("x", []),
        ("Outer: Inner", ["linear", "relu"]),
        ("linear", []),
        ("Inner", ["linear", "relu"]),
        ("y", []),
    ]


def test_operations_that_are_operators(items: Items) -> None:
    found = items("net a {\n  in x: f32[B], y: f32[B]\n  x -> mul(2.0) -> add(y) as z\n}\n")
    told = [(item.kind, item.name, dict(item.settings)) for item in found[2:]]
    assert told == [
        ("operator", "*", {"right": "2"}),
        ("operator", "+", {}),
        ("output", "z", {}),
    ]
