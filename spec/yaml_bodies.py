"""Reads what a body of a YAML spec holds: expressions, flows, structures and sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .actions import Declared, ExpressionActions, Names
from .assemble import BodyParts
from .errors import suggest
from .expressions import Expr, ListOf, Name, Setting
from .flows import flow_of, piece
from .lexer import words
from .parser import parse
from .place import Place
from .source import Findings, Source
from .tree import (
    NOBODY,
    Assign,
    Body,
    Branch,
    Default,
    Flow,
    For,
    If,
    Input,
    Let,
    Piece,
    Repeat,
    Residual,
    Structure,
    Type,
    Weight,
    is_structure,
)
from .yaml_hints import EXAMPLES, MEANT, as_lines
from .yaml_nodes import Mapping, Node, Scalar, hidden, inside
from .yaml_nodes import Sequence as Items

Read = TypeVar("Read")

BODY = ("in", "default", "let", "weight", "values", "out")
STRUCTURE: dict[str, tuple[str, ...]] = {
    "residual": ("residual", "shortcut", "as"),
    "branch": ("branch", "as"),
    "repeat": ("repeat", "index", "do", "as"),
    "for": ("for", "in", "do", "as"),
    "if": ("if", "then", "else", "as"),
}
NEEDS: dict[str, tuple[str, ...]] = {"repeat": ("do",), "for": ("in", "do"), "if": ("then",)}
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BodyReader:
    """One method a kind of node; goes on after an error with something harmless in its place."""

    def __init__(self, whole: Source) -> None:
        self.whole = whole
        self.findings = Findings()
        self.actions = ExpressionActions(self.findings)
        self.cut = False  # whether sections of bodies stand beside them, indented too little

    # ------------------------------------------------------------ nodes

    def fail(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        self.findings.add(code, message, place, hint)

    def pairs(
        self, node: Node, what: str, allowed: Sequence[str] | None = None
    ) -> Iterator[tuple[Scalar, Node]]:
        """The entries of a mapping whose keys are known and stand once."""
        if isinstance(node, Scalar) and node.empty:
            self.fail(
                "E110", f"{what} is empty", node.place, "drop the key, or indent what belongs to it"
            )
            return
        if not isinstance(node, Mapping):
            self.fail("E113", f"{what} must be a mapping", node.place, as_lines(node, what))
            return
        seen: dict[str, Place] = {}
        for key, value in node.pairs:
            if key.value == "<<" and not key.quoted:
                hint = "write the keys out, or use `default`, `param` or `block`"
                self.fail("E203", "YAML merge keys are not allowed", key.place, hint)
            elif key.value in seen and key.value != NOBODY:
                hint = f"the first is at line {seen[key.value].line}"
                self.fail("E201", f"key `{key.value}` is given twice", key.place, hint)
            elif allowed is not None and key.value not in allowed:
                meant = MEANT.get(key.value.lower())
                hint = f"did you mean `{meant}`?" if meant in allowed else ""
                hint = hint or suggest(key.value, allowed) or f"known keys: {', '.join(allowed)}"
                self.fail("E203", f"unknown key `{key.value}` in {what}", key.place, hint)
            else:
                seen[key.value] = key.place
                yield key, value

    def part(self, node: Node, start: str, what: str, make: Callable[[Place], Read]) -> Read:
        """A scalar read by the grammar from `start`; `make` replaces a broken one."""
        if not isinstance(node, Scalar) or (node.quoted and start not in ("header", "names")):
            quoted = isinstance(node, Scalar)
            hint = "leave out the quotes" if quoted else f"for instance `{EXAMPLES[start]}`"
            self.fail("E111", f"{what} must be one line of plain text here", node.place, hint)
            return make(node.place)
        if node.empty:
            self.fail(
                "E110", "an empty value", node.place, "write one after the `:`, or drop the key"
            )
            return make(node.place)
        at = hidden(self.whole.whole, node)
        if at is not None:
            hint = "write `|-` in place of `>`, or move the comment above the key"
            place = self.whole.place(at, at + 1)
            self.fail("E111", "a comment hides the rest of this folded text", place, hint)
            return make(node.place)
        before = len(self.findings.diagnostics)
        read = parse(inside(self.whole, node), start, self.actions, self.findings)
        if read is None:
            if len(self.findings.diagnostics) == before and not self.findings.full:
                self.fail("E110", "an empty value", node.place)
            return make(node.place)
        result: Read = read
        return result

    def expr(self, node: Node) -> Expr:
        if isinstance(node, Items):
            return ListOf(tuple(self.expr(item) for item in node.items), node.place)
        if isinstance(node, Mapping):
            called = node.pairs[0][0].value if node.pairs else "f"
            hint = f"write calls as text: `{called}(…)`"
            self.fail("E112", "a mapping cannot stand for a value", node.place, hint)
            return Name("_", node.place)
        if node.quoted:
            return self.actions.checked_text(node.value, node.place)
        return self.part(node, "expr", "a value", lambda place: Name("_", place))

    def name(self, key: Scalar, reserved: bool = False) -> str:
        """A name that a key defines; with `reserved`, any word is one."""
        bad = key.value in words() and key.value not in ("weight", "out") and not reserved
        if bad or not IDENTIFIER.fullmatch(key.value):
            why = "is a reserved word" if bad else "is not a name"
            self.fail(
                "E102", f"`{key.value}` {why}", key.place, "names are letters, digits and `_`"
            )
        return key.value

    def names(self, node: Node) -> Names:
        return self.part(node, "names", "names", lambda place: Names(("_",), (place,)))

    def type(self, node: Node) -> Type:
        return self.part(node, "type", "a type", lambda place: Type("f32", (), place))

    def settings(self, node: Node, what: str, free: bool = False) -> tuple[Setting, ...]:
        return tuple(
            Setting(self.name(key, free), self.expr(value), key.place)
            for key, value in self.pairs(node, what)
        )

    # ------------------------------------------------------------ flows

    def flow(self, node: Node) -> Flow:
        pieces = self.pieces(node)
        if not pieces:
            self.fail("E110", "an empty pipeline", node.place, "one `- ` line a piece")
            pieces = [piece(Name("_", node.place))]
        return flow_of(pieces, pieces[0].place)

    def pieces(self, node: Node) -> list[Piece]:
        if isinstance(node, Items):
            return [each for item in node.items for each in self.pieces(item)]
        if isinstance(node, Mapping):
            return [self.structure(node)]
        if node.quoted:
            return [piece(self.actions.checked_text(node.value, node.place))]
        read = self.part(node, "flow", "a pipeline", _no_flow)
        return list(self.without_braces(read).pieces)

    def without_braces(self, flow: Flow) -> Flow:
        for each in flow.pieces:
            if is_structure(each.stage):
                hint = "write the structure as a mapping"
                self.fail("E118", "braces cannot stand in a YAML scalar", each.stage.place, hint)
                return _no_flow(each.stage.place)
        return flow

    def structure(self, node: Mapping) -> Piece:
        kind, key = next(((k.value, k) for k, _ in node.pairs if k.value in STRUCTURE), ("", None))
        if key is None:
            return self.no_structure(node)
        given = {k.value: value for k, value in self.pairs(node, f"`{kind}`", STRUCTURE[kind])}
        missing = [need for need in NEEDS.get(kind, ()) if need not in given]
        if missing:
            self.fail(
                "E116", f"`{kind}` needs `{missing[0]}`", key.place, f"its keys are {_listed(kind)}"
            )
            return piece(Name("_", key.place))
        named = self.names(given["as"]) if "as" in given else Names((), ())
        stage = getattr(self, f"{kind}_")(given, key.place)
        return Piece(stage, named.ids, key.place, named.places)

    def no_structure(self, node: Mapping) -> Piece:
        if not node.pairs:
            self.fail("E110", "an empty mapping", node.place)
            return piece(Name("_", node.place))
        key, value = node.pairs[0]
        known = suggest(key.value, STRUCTURE)
        plain = isinstance(value, Scalar) and value.value.strip() and "\n" not in value.value
        said = (key.value, value.value) if isinstance(value, Scalar) and plain else ("linear", "10")
        hint = (
            known or f"write calls as text: `- {said[0]}({said[1]})`, not `- {said[0]}: {said[1]}`"
        )
        self.fail("E115", f"`{key.value}` is not a structure", key.place, hint)
        return piece(Name("_", key.place))

    def residual_(self, given: dict[str, Node], place: Place) -> Structure:
        shortcut = self.flow(given["shortcut"]) if "shortcut" in given else None
        return Residual(self.flow(given["residual"]), shortcut, place)

    def branch_(self, given: dict[str, Node], place: Place) -> Structure:
        arms = given["branch"]
        if not isinstance(arms, Items) or len(arms.items) < 2:
            self.fail(
                "E117", "`branch` needs a list of two or more arms", place, "one `- ` line an arm"
            )
            return Branch((), place)
        return Branch(tuple(self.flow(arm) for arm in arms.items), place)

    def repeat_(self, given: dict[str, Node], place: Place) -> Structure:
        index = self.one_name(given["index"]) if "index" in given else None
        return Repeat(self.expr(given["repeat"]), index, self.flow(given["do"]), place)

    def for_(self, given: dict[str, Node], place: Place) -> Structure:
        return For(
            self.one_name(given["for"]), self.expr(given["in"]), self.flow(given["do"]), place
        )

    def if_(self, given: dict[str, Node], place: Place) -> Structure:
        otherwise = self.flow(given["else"]) if "else" in given else None
        return If(self.expr(given["if"]), self.flow(given["then"]), otherwise, place)

    def one_name(self, node: Node) -> str:
        if not isinstance(node, Scalar) or node.empty:
            self.fail("E111", "one name must stand here", node.place)
            return "_"
        return self.name(node)

    # ------------------------------------------------------------ bodies

    def body(self, node: Node, what: str) -> Body:
        parts = BodyParts()
        direct = isinstance(node, Mapping) and any(key.value in STRUCTURE for key, _ in node.pairs)
        if isinstance(node, Scalar) and node.empty:
            self.fail("E110", f"{what} is empty", node.place, "a body needs at least `out:`")
        elif direct or not isinstance(node, Mapping):
            parts.results = (self.flow(node),)
        else:
            before = len(self.findings.diagnostics)
            for key, value in self.pairs(node, "a body", BODY):
                self.section(parts, key.value, value)
            if not parts.results and len(self.findings.diagnostics) == before and not self.cut:
                self.fail("E206", "the body has no `out`", node.place, "name its result: `out: h`")
        return parts.body(node.place)

    def section(self, parts: BodyParts, section: str, node: Node) -> None:
        match section:
            case "in":
                for key, value in self.pairs(node, "`in`"):
                    parts.inputs.append(Input(self.name(key), self.type(value), key.place))
            case "default":
                parts.defaults += self.defaults(node)
            case "let":
                for key, value in self.pairs(node, "`let`"):
                    parts.lets.append(Let(self.name(key), self.expr(value), key.place))
            case "weight":
                for key, value in self.pairs(node, "`weight`"):
                    read = self.part(value, "declared", "a weight", _no_weight)
                    parts.weights.append(
                        Weight(self.name(key, True), read.type, read.init, key.place)
                    )
            case "values":
                parts.values += self.values(node)
            case _:
                parts.results = self.results(node)

    def values(self, node: Node) -> list[Assign]:
        read = []
        for key, value in self.pairs(node, "`values`"):
            names = self.names(key)
            read.append(Assign(names.ids, self.flow(value), names.places[0], names.places))
        return read

    def results(self, node: Node) -> tuple[Flow, ...]:
        if isinstance(node, Scalar) and not node.quoted:
            flows = self.part(node, "outs", "`out`", lambda place: (_no_flow(place),))
            return tuple(self.without_braces(each) for each in flows)
        return (self.flow(node),)

    def defaults(self, node: Node) -> list[Default]:
        return [
            Default(self.name(key), self.settings(value, f"`{key.value}`", free=True), key.place)
            for key, value in self.pairs(node, "`default`")
        ]


def _no_flow(place: Place) -> Flow:
    return Flow((piece(Name("_", place)),), place)


def _no_weight(place: Place) -> Declared:
    return Declared(Type("f32", (), place), Name("_", place))


def _listed(kind: str) -> str:
    return ", ".join(f"`{key}`" for key in STRUCTURE[kind])
