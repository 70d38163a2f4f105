"""Makes flows: parentheses that change nothing are dropped, so equal meanings give equal trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .expressions import Expr, Pipe
from .place import Place
from .tree import Branch, Flow, For, If, Piece, Repeat, Residual, Structure


def piece(stage: Expr | Structure) -> Piece:
    """A stage without names."""
    return Piece(stage, (), stage.place)


def flow_of(pieces: Sequence[Piece], place: Place) -> Flow:
    """The flow of some pieces; `(a -> b) -> c` is `a -> b -> c`."""
    rest = list(pieces)
    while rest and isinstance(rest[0].stage, Pipe):
        head = rest[0]
        assert isinstance(head.stage, Pipe)
        opened = [piece(stage) for stage in head.stage.stages]
        opened[-1] = Piece(opened[-1].stage, head.names, opened[-1].place, head.places)
        rest[:1] = opened
    return Flow(tuple(rest), place)


def pipe_of(stages: Sequence[Expr], place: Place) -> Pipe:
    """The pipeline expression of some stages, flattened like a flow."""
    rest = list(stages)
    while isinstance(rest[0], Pipe):
        rest[:1] = rest[0].stages
    return Pipe(tuple(rest), place)


def parts(stage: Any) -> tuple[Flow, ...]:
    """The flows inside the braces of a structure."""
    match stage:
        case Residual(main, shortcut):
            return (main,) if shortcut is None else (main, shortcut)
        case Branch(arms):
            return arms
        case Repeat(_, _, body) | For(_, _, body):
            return (body,)
        case If(_, then, otherwise):
            return (then,) if otherwise is None else (then, otherwise)
    return ()


def given_names(flow: Flow) -> Iterator[tuple[str, Place]]:
    """The names `as` gives in a flow, outside its braces."""
    for each in flow.pieces:
        places = each.places or (each.place,) * len(each.names)
        yield from zip(each.names, places, strict=True)
