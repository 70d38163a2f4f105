"""What each rule of the grammar makes that YAML scalars hold too: expressions, flows, headers."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import dataclass

from .assemble import no_repeats
from .expressions import (
    Attribute,
    Binary,
    Boolean,
    Call,
    Choice,
    Dots,
    Expr,
    Index,
    ListOf,
    Name,
    Number,
    Pipe,
    Setting,
    Slice,
    Text,
    TupleOf,
    Unary,
)
from .flows import flow_of, piece, pipe_of
from .lexer import words
from .parser import Reduction
from .place import Place
from .source import Findings
from .tree import Branch, Flow, For, If, Parameter, Piece, Repeat, Residual, Structure, Type

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

    def choice(self, r: Reduction) -> Choice:
        then, condition, otherwise = r.children
        return Choice(condition, then, otherwise, r.place)

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


def _binary(operator: str, r: Reduction) -> Binary:
    return Binary(operator, r.children[0], r.children[1], r.place)


def _piece(stage: Expr | Structure | Piece) -> Piece:
    return stage if isinstance(stage, Piece) else piece(stage)
