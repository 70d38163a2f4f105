"""What ran in a net, as its text calls it: blocks in blocks, turns of loops, layers, operators.

The graph of a net is simpler than its text: what cancels is gone, and equal values are one.
Drawings need the text's own view, in which every call has its inputs and its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...spec.place import Place
from .values import Start, Tensor, Value, show


@dataclass(slots=True)
class Part:
    """One thing that ran.

    `kind`: layer (of the library), block, net, turn (of a loop), operator; `inputs` and `results`
    are ids of the graph's builder; `settings` are those given, as the spec would write them,
    weights by their names; `parameters` are those it made first; `parts` ran inside it.
    """

    kind: str
    name: str
    path: str
    place: Place
    inputs: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    parts: list[Part] = field(default_factory=list)


class Outline:
    """Takes down parts; what is opened inside another part belongs to it."""

    __slots__ = ("_open", "parts")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._open = [self.parts]

    @contextmanager
    def inside(self, part: Part) -> Iterator[Part]:
        """The part, with everything that runs meanwhile inside it."""
        self._open[-1].append(part)
        self._open.append(part.parts)
        try:
            yield part
        finally:
            self._open.pop()

    def operator(
        self, symbol: str, operands: Iterable[Value], result: int, place: Place, path: str
    ) -> None:
        """An operator of the text, or an index; numbers beside tensors are its settings."""
        values = tuple(operands)
        sides = ("left", "right") if len(values) == 2 else ("right",)
        numbers = {
            side: show(value)
            for side, value in zip(sides, values, strict=False)
            if not isinstance(value, Tensor)
        }
        inputs, results = ids(values), (result,)
        self._open[-1].append(Part("operator", symbol, path, place, inputs, results, numbers))


def ids(values: Iterable[Value]) -> tuple[int, ...]:
    """The ids of the tensors among some values."""
    return tuple(value.id for value in values if isinstance(value, Tensor))


def settings_text(settings: Mapping[str, Value]) -> dict[str, str]:
    """Settings as the spec would write them, without initialisers and tensors of its own."""
    return {
        name: value.weight.partition(".")[2] if isinstance(value, Tensor) else show(value)
        for name, value in settings.items()
        if not isinstance(value, Start) and (not isinstance(value, Tensor) or value.weight)
    }
