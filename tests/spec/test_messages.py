"""The message, place and hint of every finding of the readers; each code owns a bad spec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.spec import actions, assemble, lexer, load, parser, read_weft, read_yaml, yaml_nodes
from weft.spec.errors import SpecError
from weft.spec.load import read_text

NET = "net a {\n  in x: f32[B, 8]\n"

VERBATIM = {
    "a.weft": (
        "net a {\n  in x: f32[B, 8], y: f32[B, 8]\n  x + y -> relu\n}\n",
        """\
a.weft:3:9: error[E102]: unexpected `->`
    3 |   x + y -> relu
      |         ^^
      = hint: put parentheses round the expression before `->`: `(a + b) -> f`""",
    ),
    "b.weft": (
        "net a {\n  in x: f32[B, 3, H, W]\n  x -> conv(8, 3)\n  batch_norm -> relu\n}\n",
        """\
b.weft:3:3: error[E205]: the value of this line is never used
    3 |   x -> conv(8, 3)
      |   ^
      = hint: join it to the next line with `->`, or name it: `h = …`""",
    ),
    "m.yaml": (
        "param:\n  d: 3\n  d: 4\n",
        """\
m.yaml:3:3: error[E201]: key `d` is given twice
    3 |   d: 4
      |   ^
      = hint: the first is at line 2""",
    ),
    "n.yaml": (
        "net:\n  a:\n    in:\n      x: f32[B, 8]\n    outs: x -> relu\n",
        """\
n.yaml:5:5: error[E203]: unknown key `outs` in a body
    5 |     outs: x -> relu
      |     ^^^^
      = hint: did you mean `out`?""",
    ),
    "p.yaml": (
        "block:\n  A:\n    - linear: 10\n    - relu\n",
        """\
p.yaml:3:7: error[E115]: `linear` is not a structure
    3 |     - linear: 10
      |       ^^^^^^
      = hint: write calls as text: `- linear(10)`, not `- linear: 10`""",
    ),
    "s.yaml": (
        "block:\n  A:\n    out: >\n      x -> linear(8)\n      -> lin ear(9)\n",
        """\
s.yaml:5:14: error[E102]: unexpected `ear`
    5 |       -> lin ear(9)
      |              ^^^
      = hint: put `->` or an operator before `ear`""",
    ),
}


@pytest.mark.parametrize("name", VERBATIM)
def test_the_message_is_exactly_this(name: str) -> None:
    text, wanted = VERBATIM[name]
    with pytest.raises(SpecError) as caught:
        read_text(text, name)
    assert str(caught.value) == wanted


# (text, what str() of each diagnostic is, without the file name, what its hint holds)
BAD_WEFT = [
    (
        NET + "  x -> linear(8 -> relu\n}\n",
        "4:1: error[E102]: unexpected `}`",
        "the `(` at 3:14 is not closed",
    ),
    (NET + "  y = [x -> relu]\n}\n", "3:10: error[E102]: unexpected `->`", "[(x -> g)]"),
    (
        NET + "  x -> linear(if a { 3 })\n}\n",
        "3:15: error[E102]: unexpected `if`",
        "`a if condition else b`",
    ),
    (NET + "  x if a { relu }\n}\n", "3:10: error[E102]: unexpected `{`", "x -> if condition"),
    (
        NET + "  y = x -> relu\n  out y -> relu as a, y -> gelu as b\n}\n",
        "4:23: error[E202]: `as … , y` names a second value",
        "then `out a, b`",
    ),
    ("block A { x -> conv(8) bn }\n", "1:24: error[E102]: unexpected `bn`", "put `->`"),
    ("param step=3\n", "1:7: error[E102]: unexpected `step`", "reserved word"),
    (NET + '  x -> "abc\n}\n', '3:8: error[E101]: unexpected character `"`', "close the string"),
    ("param a=1 b=2\n", "1:11: error[E102]: unexpected `b`", "put `,` before `b`"),
    ("param a=1 < 2 < 3\n", "1:15: error[E102]: unexpected `<`", "do not chain"),
    ("block a { relu }}\n", "1:17: error[E102]: unexpected `}`", "no `{` is open"),
    (
        "block a {\n relu\n\nnet b {\n relu\n}\n",
        "4:1: error[E102]: unexpected `net`",
        "1:9 is not closed",
    ),
    ("block a {\n relu\n", "2:6: error[E102]: unexpected end of text", "1:9 is not closed"),
    ("net a(n=3) { relu }\n", "1:6: error[E102]: unexpected `(`", "nets have no parameters"),
    ("block a { }\n", "1:11: error[E102]: unexpected `}`", "at least one line"),
    ("blok a { relu }\n", "1:1: error[E102]: unexpected `blok`", "did you mean `block`?"),
    ("param a=.5\n", "1:9: error[E102]: unexpected `.`", "`0.5`"),
    (
        "block a { x -> if a = b { relu } }\n",
        "1:21: error[E102]: unexpected `=`",
        "equality is `==`",
    ),
    (
        "block a {\n  in x: f32[B]\n  (y, z) = x -> split(2)\n  y + z\n}\n",
        "3:10: error[E102]: unexpected `=`",
        "names stand without parentheses: `a, b = f(x)`",
    ),
    (
        "block a { y = residual(3) }\n",
        "1:23: error[E102]: unexpected `(`",
        "structures take braces",
    ),
    (
        "block a { f(repeat 3 { x }) }\n",
        "1:13: error[E102]: unexpected `repeat`",
        "only in pipelines",
    ),
    (
        "block a { x -> residual {\n relu\n tanh } }\n",
        "2:6: error[E102]: unexpected end of line",
        "`->`",
    ),
    ("param a=1_000\n", "1:9: error[E106]: `1_000` is not a number", "`12`"),
    ("param a=1e999\n", "1:9: error[E106]: a number out of range", "1.8e308"),
    ("param d=a @ b\n", "1:11: error[E101]: unexpected character `@`", "matmul"),
    ("param d='a'\n", "1:9: error[E101]: unexpected character `'`", "double quotes"),
    ('param d="\x01"\n', "1:9: error[E101]: a character that does not print in a text", "only"),
    (
        NET + "  x -> dropout(p=0.1, p=2)\n}\n",
        "3:23: error[E103]: setting `p` is given twice",
        None,
    ),
    (
        NET + "  x -> f(a=1, 2)\n}\n",
        "3:15: error[E104]: a positional argument follows a named one",
        "move",
    ),
    ("", "1:1: error[E110]: an empty file", "weft new"),
    ("# nothing\n\n", "1:1: error[E110]: an empty file", "weft new"),
    ("block q(in=3) { relu }\n", "1:9: error[E102]: `in` is a reserved word", "another name"),
    (
        "block q(a, a=3) { relu }\n",
        "1:12: error[E202]: parameter `a` is defined twice in this scope",
        "1:9",
    ),
    (
        NET + "  h = x\n  h = x\n  out h\n}\n",
        "4:3: error[E202]: name `h` is defined twice in this scope",
        "3:3",
    ),
    (
        NET + "  x -> f as x\n}\n",
        "3:13: error[E202]: name `x` is defined twice in this scope",
        "2:6",
    ),
    (
        "block B(n) { n = relu\n out n }\n",
        "1:14: error[E202]: name `n` is defined twice in this scope",
        "1:9",
    ),
    (
        "block B { x -> repeat 3 as x { f as x } as x }\n",
        "1:37: error[E202]: name `x` is defined",
        "1:44",
    ),
    (
        "param a=1\nblock a { relu }\n",
        "2:7: error[E202]: name `a` is defined twice in this scope",
        "1:7",
    ),
    (NET + "  h = x\n}\n", "2:3: error[E206]: the body has no result", "out name"),
    (
        NET + "  out x\n  out x\n}\n",
        "4:3: error[E205]: a second result in one body",
        "join the lines",
    ),
    (
        "train {\n  data a: f32[B], b = f()\n}\n",
        "2:19: error[E207]: give a type to all names",
        None,
    ),
    (
        "train {\n  step s updates a { optimizer = sgd() }\n}\n",
        "2:8: error[E208]: step `s` has no `loss",
        "e",
    ),
    (
        "train {\n  step s updates a { loss = x }\n}\n",
        "2:8: error[E208]: step `s` has no `optimizer",
        "a",
    ),
    (
        "train {\n  step s updates a { optimizer = a -> b\n loss = x }\n}\n",
        "2:34: error[E209]: `opt",
        "write",
    ),
    (
        "train { steps = 1 }\ntrain { steps = 1 }\n",
        "2:1: error[E202]: section `train` is defined",
        "1:1",
    ),
    ("param a=" + "(" * 70 + "1" + ")" * 70, "1:73: error[E105]: more than 64 brackets", "names"),
    (
        "param a=" + "+".join("1" * 400),
        "1:9: error[E105]: more than 130 operators",
        "name the parts",
    ),
    ("param a=" + "-" * 400 + "1", "error[E105]: more than 130 operators", "name the parts"),
]

YNET = "net:\n  a:\n    in:\n      x: f32[B]\n"
BAD_YAML = [
    ("param: &p\n  d: 3\n", "1:8: error[E120]: YAML anchors are not allowed", "`param`"),
    ("param: *p\n", "1:8: error[E120]: YAML aliases are not allowed", "`param`"),
    ("param:\n  on: !!str yes\n", "2:7: error[E121]: YAML tags are not allowed", "quote"),
    ("param:\n  a: 1\n---\nb: 2\n", "3:1: error[E122]: more than one YAML document", "`---`"),
    (
        "block: {A: [conv(8, 3), relu]}\n",
        "1:19: error[E102]: unexpected end of text",
        "block style",
    ),
    ("", "1:1: error[E110]: an empty file", "weft new"),
    ("- a\n", "1:1: error[E113]: the file must be a mapping", "key: value"),
    ("net:\n", "1:5: error[E110]: `net` is empty", "indent"),
    ("block:\n  A:\n", "2:5: error[E110]: the block is empty", "out:"),
    ("block:\n  A: []\n", "2:6: error[E110]: an empty pipeline", None),
    ("block:\n  A:\n    - repeat: 3\n", "3:7: error[E116]: `repeat` needs `do`", "its keys"),
    (
        "block:\n  A:\n    residual: relu\n    do: f\n",
        "4:5: error[E203]: unknown key `do` in `residual`",
        "sho",
    ),
    ("block:\n  A:\n    - branch: relu\n", "3:7: error[E117]: `branch` needs a list", "arm"),
    (
        "block:\n  A:\n    - residul: f\n",
        "3:7: error[E115]: `residul` is not a structure",
        "`residual`",
    ),
    (
        "block:\n  A: x -> residual { f }\n",
        "2:11: error[E118]: braces cannot stand in a YAML scalar",
        "map",
    ),
    ("param:\n  a: {b: 1}\n", "2:6: error[E112]: a mapping cannot stand for a value", "text"),
    ("param:\n  a: 1:30\n", "2:7: error[E102]: unexpected `:`", None),
    ("param:\n  a: ~\n", "2:6: error[E101]: unexpected character `~`", None),
    ("param:\n  a:\n", "2:5: error[E110]: an empty value", None),
    ("param:\n  in: 3\n", "2:3: error[E102]: `in` is a reserved word", "letters"),
    ("param:\n  a-b: 3\n", "2:3: error[E102]: `a-b` is not a name", "letters"),
    (
        "import: blocks.weft\n",
        "1:9: error[E113]: `import` must be a list of quoted paths",
        "import:",
    ),
    ("? [a]\n: b\n", "1:3: error[E114]: a key must be text", None),
    ("param:\n\ta: 1\n", "2:1: error[E119]: YAML: a tab", "blanks"),
    ("a: [1, 2\n", "1:4: error[E119]: YAML: the bracket is not closed", None),
    ("a: \x00\n", "1:4: error[E119]: YAML: a character that is not allowed", None),
    (YNET + "    values:\n      h: x\n", "3:5: error[E206]: the body has no `out`", "out: h"),
    (YNET + "    out:\n      - x\n      -\n", "7:8: error[E110]: an empty value", None),
    (
        YNET + "    weight:\n      w: [1]\n    out: x\n",
        "6:10: error[E111]: a weight must be one line",
        None,
    ),
    (
        "block:\n  A: f\n  A(n): g\n",
        "3:3: error[E202]: name `A` is defined twice in this scope",
        "2:3",
    ),
    (
        "train:\n  data:\n    x:\n      type: f32[B]\n",
        "3:5: error[E116]: `data` needs `from`",
        "mnist",
    ),
    (
        "train:\n  data:\n    x, y:\n      type: f32[B]\n      from: f()\n",
        "4:13: error[E207]: give a type",
        None,
    ),
    (
        "train:\n  step:\n    s:\n      loss: x\n",
        "3:5: error[E208]: step `s` has no `updates`",
        "nets",
    ),
    (
        "train:\n  step:\n    s:\n      updates: a\n      optimiser: b\n",
        "5:7: error[E203]: unknown",
        "optimizer",
    ),
    ("a: " + "[" * 80, "1:67: error[E105]: more than 64 levels inside each other", "blocks"),
]


@pytest.mark.parametrize(
    ("file", "text", "wanted", "hint"),
    [("t.weft", *case) for case in BAD_WEFT] + [("t.yaml", *case) for case in BAD_YAML],
)
def test_bad_text_has_its_message(file: str, text: str, wanted: str, hint: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        read_text(text, file)
    matching = [found for found in caught.value.diagnostics if wanted in str(found)]
    assert matching, str(caught.value)
    if hint is None:
        assert len(caught.value.diagnostics) >= 1
    else:
        assert matching[0].hint and hint in matching[0].hint, matching[0].hint
    assert len(str(caught.value).splitlines()) < 60  # one screen


def test_every_code_of_the_readers_has_a_bad_spec() -> None:
    raised = set()
    for module in (actions, assemble, lexer, parser, read_weft, read_yaml, yaml_nodes):
        raised |= set(re.findall(r'"(E\d{3})"', Path(str(module.__file__)).read_text()))
    assert load.__file__
    covered = set(re.findall(r"E\d{3}", " ".join(case[1] for case in BAD_WEFT + BAD_YAML)))
    covered |= set(re.findall(r"E\d{3}", " ".join(text for _, text in VERBATIM.values())))
    assert raised <= covered, raised - covered


def test_one_run_finds_an_error_in_every_statement() -> None:
    text = (
        "block a {\n  h = = 3\n  x -> linear(8 -> relu\n  k = 4\n  out k\n}\n"
        "net b {\n  in x: f32[B]\n  x -> relu\n  y = x y\n}\nparam a=1 b=2\nblock c { relu & }\n"
    )
    with pytest.raises(SpecError) as caught:
        read_text(text, "t.weft")
    found = [(d.place.line, d.code) for d in caught.value.diagnostics if d.place]
    assert found == [
        (2, "E102"),
        (3, "E102"),
        (9, "E205"),
        (10, "E102"),
        (12, "E102"),
        (13, "E101"),
    ]


def test_an_unclosed_bracket_does_not_hide_the_next_item() -> None:
    text = NET + "  x -> linear(8\n}\nnet b {\n  in x: f32[B]\n  x -> relu relu\n}\n"
    with pytest.raises(SpecError) as caught:
        read_text(text, "t.weft")
    assert [d.place.line for d in caught.value.diagnostics if d.place] == [4, 7]


def test_all_findings_are_told_up_to_a_thousand() -> None:
    for count, told in ((500, 500), (3000, 1001)):
        with pytest.raises(SpecError) as caught:
            read_text("\n".join("param a=1 2" for _ in range(count)), "t.weft")
        found = caught.value.diagnostics
        assert len(found) == told
        assert [each.place.line for each in found[:500] if each.place] == list(range(1, 501))
        assert len(str(caught.value).split("error[E102]")) == min(count, 1000) + 1
    assert (found[-1].code, found[-1].place) == ("E105", found[-2].place)
    assert "1,000 errors or more" in found[-1].message


def test_a_run_of_one_wrong_character_is_one_finding() -> None:
    with pytest.raises(SpecError) as caught:
        read_text("param a=1 @@@@@\n\nparam b=2 $\n", "t.weft")
    assert [str(d.place) for d in caught.value.diagnostics] == ["t.weft:1:11", "t.weft:3:11"]
