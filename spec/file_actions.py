"""What the other rules of the grammar make: the statements and sections of a `.weft` file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from .actions import ExpressionActions
from .assemble import BodyParts, StepParts, data_of, no_repeats
from .expressions import Setting
from .lexer import Token
from .parser import Dropped, Reduction
from .place import Place
from .tree import (
    Assign,
    Block,
    Body,
    Data,
    Default,
    Flow,
    Import,
    Input,
    Let,
    Metric,
    Net,
    Piece,
    Step,
    Train,
    Type,
    Variant,
    Weight,
)


@dataclass(slots=True)
class Result:
    """The last line of a body, or its `out` line (`explicit`)."""

    flows: tuple[Flow, ...]
    explicit: bool
    place: Place


class FileActions(ExpressionActions):
    """The rest of the grammar: the statements and items of a `.weft` file."""

    def file(self, r: Reduction) -> Sequence[object]:
        return tuple(r.children)

    def import_(self, r: Reduction) -> Import:
        return Import(json.loads(r.children[0].text, strict=False), r.at(r.children[0]))

    def param(self, r: Reduction) -> Sequence[Setting]:
        return tuple(r.children)

    def setting(self, r: Reduction) -> Setting:
        return Setting(r.children[0].text, r.children[1], r.head)

    def variant(self, r: Reduction) -> Variant:
        name, *settings = r.children
        return Variant(name.text, tuple(settings), r.at(name))

    def default(self, r: Reduction) -> Default:
        name, *settings = r.children
        return Default(name.text, no_repeats(self.findings, settings), r.at(name))

    def block(self, r: Reduction) -> Block:
        header, body = r.children
        return Block(header.name, header.parameters, body, header.place)

    def net(self, r: Reduction) -> Net:
        name, body = r.children
        return Net(name.text, body, r.at(name))

    def input(self, r: Reduction) -> Input:
        return Input(r.children[0].text, r.children[1], r.head)

    def in_(self, r: Reduction) -> Sequence[Input]:
        return tuple(r.children)

    def let(self, r: Reduction) -> Let:
        return Let(r.children[0].text, r.children[1], r.at(r.children[0]))

    def weight(self, r: Reduction) -> Weight:
        name, declared = r.children
        return Weight(name.text, declared.type, declared.init, r.at(name))

    def assign(self, r: Reduction) -> Assign:
        names, flow = r.children
        return Assign(names.ids, flow, names.places[0], names.places)

    def result(self, r: Reduction) -> Result:
        flow = r.children[0]
        return Result((flow,), False, flow.pieces[0].place)

    def out_(self, r: Reduction) -> Result:
        return Result(r.children[0], True, r.head)

    def body(self, r: Reduction) -> Body:
        parts = BodyParts()
        results: list[Result] = []
        for position, statement in enumerate(r.children):
            if isinstance(statement, Result):
                if statement.explicit or position == len(r.children) - 1:
                    results.append(statement)
                elif (named := _named(statement.flows[0])) is not None:
                    _put(parts, named)
                else:
                    self.unused(statement)
            else:
                _put(parts, statement)
        for extra in results[1:]:
            self.findings.add(
                "E205",
                "a second result in one body",
                extra.place,
                "a body ends with one result; join the lines with `->` or give the first a name",
            )
        if results:
            parts.results = results[0].flows
        elif parts.whole:
            self.findings.add(
                "E206",
                "the body has no result",
                r.head,
                "end it with a pipeline or with `out name`",
            )
        return parts.body(r.head)

    def unused(self, statement: Result) -> None:
        self.findings.add(
            "E205",
            "the value of this line is never used",
            statement.place,
            "join it to the next line with `->`, or name it: `h = …`",
        )

    def train(self, r: Reduction) -> Train:
        settings = tuple(each for each in r.children if isinstance(each, Setting))
        data = tuple(each for each in r.children if isinstance(each, Data))
        steps = tuple(each for each in r.children if isinstance(each, Step))
        return Train(settings, data, steps, r.head)

    def field(self, r: Reduction) -> tuple[Token, Type | None]:
        return (r.children[0], r.children[1])

    def data(self, r: Reduction) -> Data:
        *fields, source = r.children
        names = [name.text for name, _ in fields]
        places = [r.at(name) for name, _ in fields]
        return data_of(names, places, [each for _, each in fields], source, self.findings)

    def metric(self, r: Reduction) -> Metric:
        return Metric(r.children[0].text, r.children[1], r.at(r.children[0]))

    def step(self, r: Reduction) -> Step | None:
        name, updates, *acts = r.children
        parts = StepParts(name.text, updates.ids, updates.places)
        for act in acts:
            if isinstance(act, Metric):
                parts.metrics.append(act)
            elif isinstance(act, Assign):
                parts.assign(act, self.findings)
            else:
                parts.whole = False
        return parts.step(r.at(name), self.findings)


def _named(flow: Flow) -> Assign | None:
    """`x -> f as h` in the middle of a body is `h = x -> f`."""
    last = flow.pieces[-1]
    if not last.names:
        return None
    bare = Piece(last.stage, (), last.place)
    unnamed = Flow((*flow.pieces[:-1], bare), flow.place)
    return Assign(last.names, unnamed, last.places[0], last.places)


def _put(parts: BodyParts, statement: object) -> None:
    """One statement into its section."""
    match statement:
        case Let():
            parts.lets.append(statement)
        case Weight():
            parts.weights.append(statement)
        case Default():
            parts.defaults.append(statement)
        case Assign():
            parts.values.append(statement)
        case Dropped():
            parts.whole = False
        case _:
            assert isinstance(statement, Sequence)
            parts.inputs.extend(statement)
