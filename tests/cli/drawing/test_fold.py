"""What is folded into one, and what is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from weft.cli.drawing.diagram import Box, Diagram, Frame

Draw = Callable[..., Diagram]


def told(parts: tuple[Box | Frame, ...]) -> list[object]:
    """Titles and counts, as nested lists."""
    found: list[object] = []
    for part in parts:
        if isinstance(part, Frame):
            found.append((part.title, part.count, told(part.parts)))
        else:
            titles = "|".join(strip.title for strip in part.strips)
            found.append((part.title, part.count, titles) if part.title else titles)
    return found


RESIDUAL = """\
block Layer(n) {
  in x: f32[B, C]
  x -> residual { linear(n) -> tanh | if C != n { linear(n, bias=false) } }
}

net surface {
  in xy: f32[B, 2]
  xy -> repeat 4 { Layer(8) } as body -> linear(1) as z
}
"""


def test_equal_turns_are_one_the_first_differs(draw: Draw) -> None:
    drawn = draw(RESIDUAL)
    first, rest = drawn.parts[1:3]
    assert told(drawn.parts) == [
        "xy",
        ("Layer", 1, ["linear|tanh", "linear", "+"]),
        ("Layer", 3, ["linear|tanh", "+"]),
        "linear",
        "z",
    ]
    assert isinstance(first, Frame) and isinstance(rest, Frame)
    assert (first.note, rest.note, drawn.note) == ("40", "216", "265 parameters")


def test_arrows_of_a_fold_come_from_outside_and_go_there(draw: Draw) -> None:
    drawn = draw(RESIDUAL)
    before, _, rest, after, _ = drawn.parts[:5]
    assert isinstance(rest, Frame)
    linear, add = rest.parts
    ends = {(arrow.source, arrow.target) for arrow in drawn.arrows}
    assert {(linear.id, add.id), (add.id, after.id)} <= ends
    sources = {s for s, t in ends if t == linear.id}
    assert len(sources) == 1 and sources.isdisjoint({linear.id, add.id, before.id})


def test_unfolded(draw: Draw) -> None:
    drawn = draw(RESIDUAL, folded=False)
    assert [part.title for part in drawn.parts if isinstance(part, Frame)] == ["Layer"] * 4


def test_turns_that_differ_in_shapes_become_ranges(draw: Draw) -> None:
    text = """\
block Grow {
  branch { identity | linear(4) -> relu } -> concat(axis=1)
}
net growing {
  in x: f32[B, 8]
  x -> repeat 3 { Grow } -> linear(1) as y
}
"""
    drawn = draw(text)
    (frame,) = (part for part in drawn.parts if isinstance(part, Frame))
    assert (frame.title, frame.count) == ("Grow", 3)
    assert [box.strips[0].count for box in drawn.boxes()][1] == "36 … 68"
    labels = {arrow.label for arrow in drawn.arrows}
    assert "[B, 20]" in labels  # what leaves the last turn


def test_a_block_whose_result_is_used_elsewhere_is_not_folded(draw: Draw) -> None:
    text = """\
block Layer { linear(4) -> tanh -> linear(4) }
net taps {
  in x: f32[B, 4]
  a = x -> Layer
  b = a -> Layer
  c = b -> Layer
  (a + c) -> relu as y
}
"""
    kept = [(b.title, b.count) for b in draw(text).boxes() if b.title]
    assert kept == [("Layer", 1), ("Layer", 2)]
    folded = [(b.title, b.count) for b in draw(text.replace("(a + c)", "c")).boxes() if b.title]
    assert folded == [("Layer", 3)]


def test_repeated_layers_and_loops_with_several_layers(draw: Draw) -> None:
    text = """\
net plain {
  in x: f32[B, 4]
  x -> repeat 5 { linear(4) } -> repeat 2 { linear(4) -> relu } as tail -> linear(1) as y
}
"""
    drawn = draw(text)
    assert told(drawn.parts) == ["x", "linear", ("tail", 2, "linear|relu"), "linear", "y"]
    assert [box.count for box in drawn.boxes()] == [1, 5, 2, 1, 1]


def test_closed_blocks(draw: Draw) -> None:
    drawn = draw(RESIDUAL, depth=1)
    assert told(drawn.parts) == ["xy", "Layer", "Layer", "linear", "z"]
    closed = list(drawn.boxes())[2]
    assert (closed.count, closed.strips[0].detail, closed.strips[0].count) == (3, "2 layers", "72")
    ends = [(arrow.source, arrow.target) for arrow in drawn.arrows]
    ids = [box.id for box in drawn.boxes()]
    assert ends == list(itertools.pairwise(ids))


def test_very_large_pictures_close_blocks_by_themselves(draw: Draw) -> None:
    arms = " -> ".join(f"residual {{ linear({n}) -> linear(4) }}" for n in range(5, 17))
    blocks = " -> ".join(f"linear(4) -> Deep -> linear({n})" for n in range(4, 8))
    text = f"""\
block Deep {{ {arms} }}
net large {{
  in x: f32[B, 4]
  x -> {blocks} -> repeat 2 {{ residual {{ linear(7) -> Outer }} }} -> linear(1) as y
}}
block Outer {{ linear(4) -> Deep -> linear(7) }}
"""
    drawn = draw(text)
    assert "closed below --depth 1" in drawn.note
    assert len(list(draw(text, depth=9).boxes())) > 110 >= len(list(drawn.boxes()))
