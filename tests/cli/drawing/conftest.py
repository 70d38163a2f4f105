"""Diagrams of small specs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from weft.cli.drawing.compose import diagram
from weft.cli.drawing.diagram import Diagram
from weft.cli.drawing.sketch import Source
from weft.compiler.build import elaborate, outline_of
from weft.spec.load import load_text


def sources(text: str) -> list[Source]:
    """All nets of a spec."""
    program = elaborate(load_text(text, "a.weft"))
    counts = {p.name: math.prod(p.shape) for p in program.parameters if p.trainable}
    return [
        Source(net, outline_of(program, name), counts, program.spec.texts)
        for name, net in program.nets.items()
    ]


@pytest.fixture
def source() -> Callable[[str], Source]:
    """The only net of a spec."""

    def only(text: str) -> Source:
        (found,) = sources(text)
        return found

    return only


@pytest.fixture
def draw() -> Callable[..., Diagram]:
    """The diagram of the first net of a spec: `draw(text, depth=2)`."""

    def drawn(text: str, **settings: object) -> Diagram:
        return diagram(sources(text)[0], **settings)  # type: ignore[arg-type]

    return drawn
