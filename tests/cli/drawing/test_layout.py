"""Pictures of all examples: nothing overlaps, arrows run down, texts fit."""

from __future__ import annotations

import functools
import itertools
import math
from pathlib import Path

import pytest

from weft.cli.drawing.compose import diagram
from weft.cli.drawing.diagram import Box, Diagram, Frame, boxes
from weft.cli.drawing.geometry import Label, Rectangle, Scene
from weft.cli.drawing.layout import arrange
from weft.cli.drawing.metrics import HEADER, SMALL, frame_width, strip_width, width
from weft.cli.drawing.sketch import Source
from weft.compiler.build import elaborate, outline_of
from weft.spec.load import load

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SPECS = sorted(
    str(path.relative_to(EXAMPLES))
    for path in EXAMPLES.rglob("*.weft")
    if "\nnet " in path.read_text(encoding="utf-8")
)
SETTINGS = ({}, {"depth": 1}, {"folded": False})


@functools.cache
def sources(spec: str) -> list[Source]:
    """All nets of an example."""
    program = elaborate(load(EXAMPLES / spec))
    counts = {p.name: math.prod(p.shape) for p in program.parameters if p.trainable}
    return [
        Source(net, outline_of(program, name), counts, program.spec.texts)
        for name, net in program.nets.items()
    ]


def diagrams(spec: str, **settings: object) -> list[Diagram]:
    """Their diagrams."""
    return [diagram(source, **settings) for source in sources(spec)]  # type: ignore[arg-type]


def label_place(label: Label) -> Rectangle:
    """The room that a label takes."""
    wide, high = width(label.text, SMALL), SMALL
    if label.upright:
        wide, high = high, wide
    return Rectangle(label.at[0] - wide / 2, label.at[1] - high / 2, wide, high)


def inside(scene: Scene, parts: tuple[Box | Frame, ...], around: Rectangle, head: float) -> None:
    """Everything lies inside its frame, below the frame's head, apart from the rest."""
    places = []
    for part in parts:
        place = (scene.frames if isinstance(part, Frame) else scene.boxes)[part.id]
        places.append(place)
        assert place.x >= around.x - 1e-6 and place.right <= around.right + 1e-6
        assert place.y >= around.y + head - 1e-6 and place.bottom <= around.bottom + 1e-6
        if isinstance(part, Frame):
            inside(scene, part.parts, place, HEADER)
            assert place.width >= frame_width(part)
        else:
            count = 1 if part.title else part.count
            assert place.width >= max(strip_width(strip, count) for strip in part.strips)
    for a, b in itertools.combinations(places, 2):
        assert not a.meets(b, 4)


@pytest.mark.parametrize("spec", SPECS)
def test_nothing_overlaps(spec: str) -> None:
    for settings in SETTINGS:
        for drawn in diagrams(spec, **settings):
            scene = arrange(drawn)
            whole = Rectangle(0, 0, scene.width, scene.height)
            inside(scene, drawn.parts, whole, 0.0)
            written = [label_place(label) for label in scene.labels]
            for a, b in itertools.combinations(written, 2):
                assert not a.meets(b), (settings, a, b)
            for label, place in itertools.product(written, scene.boxes.values()):
                assert not label.meets(place), (settings, label, place)
            for label in written:
                assert label.x >= -1e-6 and label.right <= scene.width + 1e-6


@pytest.mark.parametrize("spec", SPECS)
def test_arrows_run_down_from_box_to_box(spec: str) -> None:
    for drawn in diagrams(spec):
        scene = arrange(drawn)
        edges = [*scene.boxes.values(), *scene.frames.values()]
        for line in scene.lines:
            (_, first), (x, last) = line.points[0], line.points[-1]
            if line.tip:
                assert first < last
                assert any(_touches(place, x, last) for place in edges)


def _touches(place: Rectangle, x: float, y: float) -> bool:
    """Is a point on the edge of a rectangle?"""
    across = place.x - 1e-6 <= x <= place.right + 1e-6
    down = place.y - 1e-6 <= y <= place.bottom + 1e-6
    on = min(abs(x - place.x), abs(x - place.right), abs(y - place.y), abs(y - place.bottom))
    return across and down and on < 1e-6


def test_every_arrow_is_drawn() -> None:
    for drawn in diagrams("gpt2/gpt2.weft"):
        scene = arrange(drawn)
        tips = sum(line.tip for line in scene.lines)
        into = len({(a.source, a.target) for a in drawn.arrows})
        crossing = sum(
            len({a.source for a in drawn.arrows if a.target in home and a.source not in home})
            for part in drawn.parts
            if isinstance(part, Frame)
            for home in [{box.id for box in boxes((part,))}]
        )
        assert tips == into + crossing


def test_a_tall_chain_becomes_columns() -> None:
    (drawn,) = diagrams("resnet/resnet.weft")
    scene = arrange(drawn)
    assert scene.height < 1600 < scene.width * 2
    turns = [
        line for line in scene.lines if not line.tip and line.points[-1][1] < line.points[0][1]
    ]
    assert turns


def test_the_main_way_of_a_residual_net_is_straight() -> None:
    (drawn,) = diagrams("gpt2/gpt2.weft")
    scene = arrange(drawn)
    (frame,) = (part for part in drawn.parts if isinstance(part, Frame))
    middles = {scene.boxes[b.id].x + scene.boxes[b.id].width / 2 for b in boxes(frame.parts)}
    assert max(middles) - min(middles) < 0.5
