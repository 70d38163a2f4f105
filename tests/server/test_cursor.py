"""What stands at a place of a half-typed text."""

from __future__ import annotations

import pytest

from weft.server import cursor, yaml_cursor
from weft.server.cursor import Cursor


def look(marked: str) -> Cursor:
    before, _, after = marked.partition("¦")
    return cursor.at(before + after, len(before))


def look_yaml(marked: str) -> Cursor:
    before, _, after = marked.partition("¦")
    return yaml_cursor.at(before + after, len(before))


@pytest.mark.parametrize(
    ("text", "container", "owner"),
    [
        ("par¦am a=1", "file", ""),
        ("net n {\n  ¦", "body", "n"),
        ("block B(a, b=[1, 2]) {\n  x -> residual { ¦ }\n}", "body", "B"),
        ("net n {\n  x -> f(\n}\n\nblock C {\n  y¦", "body", "C"),
        ("net n {\n  x -> f(\n\nblock C {\n  y¦", "body", "C"),
        ("train {\n  ¦", "train", ""),
        ("train {\n  step s updates n {\n    loss = ¦", "step", "s"),
        ("train {\n  step s updates n {\n    loss = 1\n  }\n  ¦", "train", ""),
        ("variant v { ¦ }", "variant", "v"),
        ("net n {\n}\n¦", "file", ""),
    ],
)
def test_where(text: str, container: str, owner: str) -> None:
    found = look(text)
    assert (found.container, found.owner) == (container, owner)


def test_the_whole_word() -> None:
    found = look("net n {\n  x -> lin¦ear(4)\n}")
    assert (found.word, found.before, found.after) == ("linear", "->", "(")


def test_an_open_call() -> None:
    (call,) = look("net n {\n  x -> f(1, [2, 3], a=g(4), b=¦").calls
    assert (call.name, call.piped, call.index) == ("f", True, 2)
    assert (call.argument, call.given) == ("b", ("a", "b"))


def test_calls_inside_calls() -> None:
    outer, inner = look("train {\n  step s updates n {\n    optimizer = f(lr=g(1, ¦)").calls
    assert (outer.name, outer.argument, inner.name, inner.index) == ("f", "lr", "g", 1)


def test_a_parenthesis_left_open_ends_with_its_statement() -> None:
    assert look("net n {\n  h = x -> f(\n  y = ¦").calls  # after `(` the line goes on
    assert look("net n {\n  h = x -> f(3\n  y = ¦").calls == ()


def test_lines_that_go_on() -> None:
    found = look("net n {\n  h = x -> f(3,\n    ¦")
    assert found.calls and not found.opening
    found = look("net n {\n  h = x\n    -> ¦")
    assert found.before == "->" and found.head[0] == "h"


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('import "blo¦cks.weft"', "text"),
        ('import "open ¦', "text"),
        ('f("a" ¦)', "code"),
        ("a # b ¦", "comment"),
        ('a "#" ¦', "code"),
    ],
)
def test_comments_and_texts(text: str, inside: str) -> None:
    assert look(text).inside == inside


@pytest.mark.parametrize("text", ["", "¦", "}}}}", "((((", "net", "net {{{ ->", '"', "é¦𝄞"])
def test_anything_goes(text: str) -> None:
    for offset in range(len(text) + 1):
        assert cursor.at(text, offset).offset == offset
        assert yaml_cursor.at(text, offset).offset == offset


@pytest.mark.parametrize(
    ("text", "container", "owner", "statement"),
    [
        ("net:\n  n:\n    out: x -> ¦", "body", "n", "flow"),
        ("block:\n  B(a, b=1):\n    weight:\n      w: f32[a] = ze¦ros", "body", "B", "weight"),
        ("net:\n  n:\n    out:\n      - x\n      - ¦", "body", "n", "flow"),
        ("train:\n  step:\n    s:\n      optimizer: ad¦am", "step", "s", "optimizer"),
        ("train:\n  step:\n    s:\n      loss: ¦x", "step", "s", "flow"),
        ("train:\n  data:\n    x, y:\n      from: ¦", "train", "", "data"),
        ("train:\n  epochs: ¦", "train", "", "epochs"),
        ("param:\n  a: ¦", "file", "", "param"),
    ],
)
def test_yaml(text: str, container: str, owner: str, statement: str) -> None:
    found = look_yaml(text)
    assert (found.container, found.owner, found.statement) == (container, owner, statement)


def test_yaml_values_over_lines() -> None:
    found = look_yaml("net:\n  n:\n    out: >-\n      x -> f(1,\n        ¦")
    assert found.calls[0].name == "f" and found.calls[0].index == 1


def test_which_yaml_is_a_spec() -> None:
    assert yaml_cursor.is_spec("param:\n  a: 1\nnets:\n  n: x\n")
    assert yaml_cursor.is_spec("# one\nnet:\n")
    assert not yaml_cursor.is_spec("")
    assert not yaml_cursor.is_spec("services:\n  net: 1\n")
    assert not yaml_cursor.is_spec("storage:\n  a: 1\nnet:\n  port: 1\nsystemLog:\n  b: 2\n")
