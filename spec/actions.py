"""What each rule of the grammar makes: expressions, flows and the statements of a `.weft` file."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from .assemble import BodyParts, StepParts, data_of, no_repeats
from .flows import flow_of, piece, pipe_of
from .lexer import Token, words
from .parser import Dropped, Reduction
from .place import Place
from .source import Findings
from .tree import (
    Assign,
    Attribute,
    Binary,
    Block,
    Body,
    Boolean,
    Branch,
    Call,
    Data,
    Default,
    Dots,
    Expr,
    Flow,
    For,
    If,
    Import,
    Index,
    Input,
    Let,
    ListOf,
    Metric,
    Name,
    Net,
    Number,
    Parameter,
    Piece,
    Pipe,
    Repeat,
    Residual,
    Setting,
    Slice,
    Step,
    Structure,
    Text,
    Train,
    TupleOf,
    Type,
    Unary,
    Variant,
    Weight,
)

BREAKS = "\u2028\u2029\ufeff\ufffe\uffff"
DIGITS = 400  # of a number; no size or rate needs more


@dataclass(slots=True)
class Names:
    """`a, b`."""

    ids: tuple[str, ...]
    places: tuple[Place, ...]


@dataclass(slots=True)
class Header:
    """The name and the parameters of a block."""

    name: str
    parameters: tuple[Parameter, ...]
    place: Place


@dataclass(slots=True)
class Declared:
    """The type and the initialiser of a weight."""

    type: Type
    init: Expr


@dataclass(slots=True)
class Result:
    """The last line of a body, or its `out` line (`explicit`)."""

    flows: tuple[Flow, ...]
    explicit: bool
    place: Place


class ExpressionActions:
    """One method a rule, for what can stand in a YAML scalar or on a command line."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def name(self, r: Reduction) -> Name:
        return Name(r.children[0].text, r.place)

    def number(self, r: Reduction) -> Number:
        text = r.children[0].text
        if len(text) > DIGITS or math.isinf(float(text)):
            self.findings.add(
                "E106", "a number out of range", r.place, "the largest is about 1.8e308"
            )
            text = "0"
        return Number(text, r.place)

    def text(self, r: Reduction) -> Text:
        return self.checked_text(json.loads(r.children[0].text, strict=False), r.place)

    def checked_text(self, value: str, place: Place) -> Text:
        """A string that both surface forms can hold."""
        if any(
            (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") or c in BREAKS
            for c in value
        ):
            self.findings.add(
                "E101",
                "a character that does not print in a text",
                place,
                "of these only \\n and \\t are allowed",
            )
        return Text(value, place)

    def true(self, r: Reduction) -> Boolean:
        return Boolean(True, r.place)

    def false(self, r: Reduction) -> Boolean:
        return Boolean(False, r.place)

    def dots(self, r: Reduction) -> Dots:
        return Dots(r.place)

    def list_of(self, r: Reduction) -> ListOf:
        return ListOf(tuple(each for each in r.children if each is not None), r.place)

    def tuple_of(self, r: Reduction) -> TupleOf:
        return TupleOf(tuple(r.children), r.place)

    def pipe(self, r: Reduction) -> Pipe:
        return pipe_of(r.children, r.place)

    def index(self, r: Reduction) -> Index:
        return Index(r.children[0], tuple(r.children[1:]), r.place)

    def slice(self, r: Reduction) -> Slice:
        start, stop = r.children
        return Slice(start, stop, r.place)

    def attribute(self, r: Reduction) -> Attribute:
        return Attribute(r.children[0], r.children[1].text, r.place)

    def argument(self, r: Reduction) -> Setting:
        return Setting(r.children[0].text, r.children[1], r.head)

    def call(self, r: Reduction) -> Call:
        positional: list[Expr] = []
        named: list[Setting] = []
        for given in r.children[1:]:
            if isinstance(given, Setting):
                named.append(given)
            elif given is not None:
                if named:
                    self.findings.add(
                        "E104",
                        "a positional argument follows a named one",
                        given.place,
                        "move it before the named ones, or name it too",
                    )
                positional.append(given)
        settings = no_repeats(self.findings, named)
        return Call(r.children[0].text, tuple(positional), settings, r.place)

    def binary(self, r: Reduction) -> Binary:
        return Binary(r.children[1].text, r.children[0], r.children[2], r.place)

    def or_(self, r: Reduction) -> Binary:
        return _binary("or", r)

    def and_(self, r: Reduction) -> Binary:
        return _binary("and", r)

    def add(self, r: Reduction) -> Binary:
        return _binary("+", r)

    def subtract(self, r: Reduction) -> Binary:
        return _binary("-", r)

    def multiply(self, r: Reduction) -> Binary:
        return _binary("*", r)

    def divide(self, r: Reduction) -> Binary:
        return _binary("/", r)

    def floordiv(self, r: Reduction) -> Binary:
        return _binary("//", r)

    def modulo(self, r: Reduction) -> Binary:
        return _binary("%", r)

    def power(self, r: Reduction) -> Binary:
        return _binary("**", r)

    def not_(self, r: Reduction) -> Unary:
        return Unary("not", r.children[0], r.place)

    def negative(self, r: Reduction) -> Unary:
        return Unary("-", r.children[0], r.place)

    # flows

    def flow(self, r: Reduction) -> Flow:
        (child,) = r.children
        return flow_of(
            [_piece(each) for each in (child if isinstance(child, tuple) else (child,))], r.place
        )

    def chain(self, r: Reduction) -> tuple[Expr | Structure | Piece, ...]:
        return tuple(r.children)

    def tap(self, r: Reduction) -> Piece:
        stage, names = r.children
        return Piece(stage, names.ids, stage.place, names.places)

    def names(self, r: Reduction) -> Names:
        return Names(
            tuple(each.text for each in r.children), tuple(r.at(each) for each in r.children)
        )

    def outs(self, r: Reduction) -> tuple[Flow, ...]:
        if len(r.children) == 1 and isinstance(r.children[0], Flow):
            return (r.children[0],)
        return tuple(flow_of([piece(each)], each.place) for each in r.children)

    def residual(self, r: Reduction) -> Residual:
        main, shortcut = r.children
        return Residual(main, shortcut, r.head)

    def branch(self, r: Reduction) -> Branch:
        return Branch(tuple(r.children), r.head)

    def repeat(self, r: Reduction) -> Repeat:
        count, index, body = r.children
        return Repeat(count, index.text if index else None, body, r.head)

    def for_(self, r: Reduction) -> For:
        name, values, body = r.children
        return For(name.text, values, body, r.head)

    def if_(self, r: Reduction) -> If:
        condition, then, otherwise = r.children
        if isinstance(otherwise, If):
            otherwise = flow_of([piece(otherwise)], otherwise.place)
        return If(condition, then, otherwise, r.head)

    # what stands at a key of a YAML mapping

    def type(self, r: Reduction) -> Type:
        dims = tuple(each for each in r.children[1:] if each is not None)
        return Type(r.children[0].text, dims, r.place)

    def declared(self, r: Reduction) -> Declared:
        return Declared(*r.children)

    def parameter(self, r: Reduction) -> Parameter:
        name, default, *words_of_choice = r.children
        if name.text in words() and name.text != "weight":
            self.findings.add(
                "E102", f"`{name.text}` is a reserved word", r.head, "choose another name"
            )
        choices = [each.text for each in words_of_choice if each is not None]
        if choices and isinstance(default, Name):
            choices.insert(0, default.id)
        return Parameter(name.text, default, tuple(dict.fromkeys(choices)), r.head)

    def signature(self, r: Reduction) -> tuple[Parameter, ...]:
        return tuple(each for each in r.children if each is not None)

    def header(self, r: Reduction) -> Header:
        name, parameters = r.children
        return Header(name.text, parameters or (), r.head)


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


def _binary(operator: str, r: Reduction) -> Binary:
    return Binary(operator, r.children[0], r.children[1], r.place)


def _piece(stage: Expr | Structure | Piece) -> Piece:
    return stage if isinstance(stage, Piece) else piece(stage)


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
