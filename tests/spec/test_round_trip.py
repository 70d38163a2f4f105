"""Both forms print and read back to equal trees, and printing twice changes nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from weft.spec.errors import SpecError
from weft.spec.expressions import (
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
    Setting,
    Slice,
    Text,
    TupleOf,
    Unary,
)
from weft.spec.flows import flow_of, piece, pipe_of
from weft.spec.format import write_weft, write_yaml
from weft.spec.load import read_text
from weft.spec.place import Place
from weft.spec.spell import BINDS
from weft.spec.tree import (
    Assign,
    Block,
    Body,
    Branch,
    Data,
    Default,
    File,
    Flow,
    For,
    If,
    Input,
    Let,
    Metric,
    Net,
    Parameter,
    Piece,
    Repeat,
    Residual,
    Step,
    Structure,
    Train,
    Type,
    Weight,
)

PAIRS = sorted((Path(__file__).parent / "pairs").glob("*.weft"))
P = Place("random", 1, 1, 2)


def check(tree: File) -> None:
    weft = write_weft(tree)
    again = read_text(weft, "t.weft")
    assert again == tree
    assert write_weft(again) == weft
    yaml = write_yaml(tree)
    other = read_text(yaml, "t.yaml")
    assert other == tree
    assert write_yaml(other) == yaml


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_pairs_are_one_tree(path: Path) -> None:
    weft = read_text(path.read_text(), path.name)
    yaml = read_text(path.with_suffix(".yaml").read_text(), path.name + ".yaml")
    assert weft == yaml
    check(weft)


def test_the_weft_extensions() -> None:
    text = (
        "block Dense(features, bias=true, mode=fast|slow, size=1|auto, low=none|none) {\n"
        "  in x: f32[..., C]\n"
        "  weight weight: f32[features, C] = kaiming_uniform()\n"
        "  weight bias: f32[features] = zeros()\n"
        "  x -> matmul(transpose(weight)) -> if bias { add(bias) }\n"
        "}\n"
    )
    tree = read_text(text, "t.weft")
    block = tree.blocks[0]
    assert [each.name for each in block.body.weights] == ["weight", "bias"]
    assert [each.choices for each in block.parameters] == [
        (),
        (),
        ("fast", "slow"),
        ("auto",),
        ("none",),
    ]
    check(tree)


def test_weight_is_a_name_where_no_statement_starts_with_it() -> None:
    text = (
        "block B {\n  weight = matmul(weight, e.weight)\n  weight -> f(weight=weight) as h\n"
        "    -> residual { weight } -> g(3)\n}\n"
    )
    tree = read_text(text, "t.weft")
    assert tree.blocks[0].body.values[0].names == ("weight",)
    check(tree)


def test_a_newline_ends_a_statement_only_where_it_can() -> None:
    one = read_text("param a=1 + 2, b=[1, 2]\nblock B { x -> f -> g }\n", "t.weft")
    many = read_text(
        "param a=1 +\n 2,\n b=[1,\n2\n]\n\nblock B {\n x\n -> f ->\n g\n\n}\n", "t.weft"
    )
    assert one == many


def test_as_names_a_value_for_the_lines_below() -> None:
    one = read_text("block B { h = x -> f\n a, b = g(h)\n (a + b) -> k as l }\n", "t.weft")
    two = "block B { x -> f\n as h\n g(h) as a, b\n (a + b) -> k\n as l }\n"
    assert one == read_text(two, "t.weft")


def test_parentheses_that_change_nothing_are_not_kept() -> None:
    one = read_text("block B { (a -> b) -> c }\nblock D { out ((a + b)) }", "t.weft")
    assert one == read_text("block B { a -> b -> c }\nblock D { out a + b }", "t.weft")


def test_random_trees() -> None:
    """Trees of every kind of node, seeded."""
    for seed in range(40):
        tree = Trees(random.Random(seed)).file()
        try:
            check(tree)
        except (SpecError, AssertionError) as error:
            raise AssertionError(f"seed {seed}\n{write_weft(tree)}\n{write_yaml(tree)}") from error


class Trees:
    """Random trees that a reader could have made."""

    names = ("a", "b", "h", "x1", "wte", "on", "no", "T", "conv", "yes", "null", "weight")

    def __init__(self, choice: random.Random) -> None:
        self.r = choice
        self.made = 0

    def fresh(self) -> str:
        self.made += 1
        return f"v{self.made}"

    def name(self) -> str:
        return self.r.choice(self.names)

    def expr(self, depth: int) -> Expr:
        rare = [self.unary, self.list, self.index, self.attribute, self.pair, self.pipe]
        rare.append(self.choice)
        inner = [*[self.binary] * 4, self.call, self.call, *rare] if depth > 0 else []
        return self.r.choice([*[self.leaf] * 4, *inner])(depth)

    def leaf(self, _: int) -> Expr:
        texts = [
            "a b",
            "x: y",
            "# h",
            '"q"',
            "\\",
            "b c -> c b",
            "",
            "tab\t",
            "a, b]",
            "é\n",
            "- x",
        ]
        leaves: list[Expr] = [
            Name(self.name(), P),
            Number(self.r.choice(["0", "1", "3e-4", "0.5", "12", "1e+3"]), P),
            Text(self.r.choice(texts), P),
            Boolean(self.r.random() < 0.5, P),
        ]
        return self.r.choice(leaves)

    def binary(self, depth: int) -> Expr:
        operator = self.r.choice([each for each in BINDS if each != "not"])
        return Binary(operator, self.expr(depth - 1), self.expr(depth - 1), P)

    def choice(self, depth: int) -> Expr:
        return Choice(self.expr(depth - 1), self.expr(depth - 1), self.expr(depth - 1), P)

    def unary(self, depth: int) -> Expr:
        return Unary(self.r.choice(["not", "-"]), self.expr(depth - 1), P)

    def list(self, depth: int) -> Expr:
        return ListOf(tuple(self.expr(depth - 1) for _ in range(self.r.randint(0, 3))), P)

    def pair(self, depth: int) -> Expr:
        return TupleOf(tuple(self.expr(depth - 1) for _ in range(self.r.randint(2, 3))), P)

    def call(self, depth: int) -> Call:
        keys = self.r.sample(["k", "weight", "in", "pad", "as"], self.r.randint(0, 2))
        named = tuple(Setting(key, self.expr(depth - 1), P) for key in keys)
        given = tuple(self.expr(depth - 1) for _ in range(self.r.randint(0, 2)))
        return Call(self.name(), given, named, P)

    def index(self, depth: int) -> Expr:
        def subscript() -> Expr:
            ends = [self.r.choice([None, self.expr(depth - 1)]) for _ in range(2)]
            return self.r.choice([self.expr(depth - 1), Dots(P), Slice(ends[0], ends[1], P)])

        return Index(
            self.expr(depth - 1), tuple(subscript() for _ in range(self.r.randint(1, 3))), P
        )

    def attribute(self, depth: int) -> Expr:
        return Attribute(self.expr(depth - 1), self.r.choice(["weight", "bias", "in"]), P)

    def pipe(self, depth: int) -> Expr:
        return pipe_of(
            [self.expr(depth - 1), *(self.stage(depth) for _ in range(self.r.randint(1, 2)))], P
        )

    def stage(self, depth: int) -> Expr:
        return Name(self.name(), P) if self.r.random() < 0.5 or depth < 1 else self.call(depth - 1)

    def structure(self, depth: int) -> Structure:
        def part() -> Flow:
            return self.flow(depth - 1)

        maybe = part() if self.r.random() < 0.5 else None
        match self.r.randint(1, 5):
            case 1:
                return Residual(part(), maybe, P)
            case 2:
                return Branch(tuple(part() for _ in range(self.r.randint(2, 3))), P)
            case 3:
                return Repeat(self.expr(1), self.r.choice([None, self.fresh()]), part(), P)
            case 4:
                return For(self.fresh(), self.expr(1), part(), P)
        return If(self.expr(1), part(), maybe, P)

    def flow(self, depth: int) -> Flow:
        count = self.r.randint(1, 4)
        if count == 1 and self.r.random() < 0.5:
            return flow_of([piece(self.expr(depth))], P)
        pieces = []
        for position in range(count):
            braces = depth > 0 and self.r.random() < 0.35
            plain = self.expr(depth) if position == 0 else self.stage(depth)
            names = (
                tuple(self.fresh() for _ in range(self.r.randint(1, 2)))
                if self.r.random() < 0.2
                else ()
            )
            pieces.append(Piece(self.structure(depth) if braces else plain, names, P))
        return flow_of(pieces, P)

    def type(self) -> Type:
        dims = (self.r.choice([Dots(P), self.expr(1)]) for _ in range(self.r.randint(0, 3)))
        return Type("f32", tuple(dims), P)

    def some(self, most: int) -> range:
        return range(self.r.randint(0, most))

    def body(self) -> Body:
        if self.r.random() < 0.7:
            results: tuple[Flow, ...] = (self.flow(3),)
        else:
            results = tuple(flow_of([piece(self.expr(2))], P) for _ in range(2))
        return Body(
            tuple(Input(self.fresh(), self.type(), P) for _ in self.some(2)),
            tuple(Default("conv", (Setting("k", self.expr(1), P),), P) for _ in self.some(1)),
            tuple(Let(self.fresh(), self.expr(2), P) for _ in self.some(2)),
            tuple(Weight(self.fresh(), self.type(), self.expr(1), P) for _ in self.some(2)),
            tuple(self.assign() for _ in self.some(3)),
            results,
            P,
        )

    def assign(self) -> Assign:
        return Assign(tuple(self.fresh() for _ in range(self.r.randint(1, 2))), self.flow(3), P)

    def block(self, number: int) -> Block:
        parameters = tuple(
            Parameter(self.fresh(), self.r.choice([None, self.no_name()]), (), P)
            for _ in self.some(2)
        )
        return Block(f"B{number}", parameters, self.body(), P)

    def no_name(self) -> Expr:
        return ListOf((self.expr(1),), P)

    def file(self) -> File:
        step = Step(
            "s",
            ("n0",),
            (Setting("optimizer", self.call(2), P),),
            tuple(self.assign() for _ in self.some(2)),
            self.flow(2),
            (Metric("m", self.flow(2), P),),
            P,
        )
        types = self.r.choice([None, (self.type(), self.type())])
        train = Train(
            (Setting("steps", self.expr(1), P),),
            (Data(("x", "y"), types, self.call(2), P),),
            (step,),
            P,
        )
        return File(
            (),
            tuple(Setting(name, self.expr(3), P) for name in ("p1", "p2", "on")),
            (),
            (),
            tuple(self.block(number) for number in self.some(3)),
            tuple(Net(f"n{number}", self.body(), P) for number in self.some(2)),
            self.r.choice([None, train]),
            "random.weft",
            "",
        )
