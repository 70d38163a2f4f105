"""Prints a File as YAML, in the same canonical order as `.weft`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .comments import Remarks, remarks
from .expressions import Expr, ListOf, Setting, Text
from .spell import expression, flow, header, lone, names, piece, type_text
from .tree import (
    Assign,
    Body,
    Branch,
    Data,
    Default,
    File,
    Flow,
    For,
    If,
    Piece,
    Repeat,
    Residual,
    Step,
    Train,
    is_structure,
)

WIDTH = 80
LONGEST = 100  # calls and lists that are longer break at a comma
COMMAS = re.compile(r'(?<=,) (?=(?:[^"]|"(?:[^"\\]|\\.)*")*$)')  # outside of strings
INDICATORS = "[]{}>|*&!%#`@,?\"'"


def write_yaml(file: File) -> str:
    """The YAML text of a file, items grouped by kind."""
    return _Writer(remarks(file)).file(file)


class _Writer:
    """Each method gives whole lines; `indent` is where the keys stand."""

    def __init__(self, said: Remarks) -> None:
        self.said = said

    def unit(self, node: object, lines: Sequence[str], indent: int) -> list[str]:
        """The lines of a node with the comments that belong to it."""
        pad = " " * indent
        above, beside, below = self.said.of(node)
        printed = list(lines)
        if beside and "\n" not in printed[0] and (len(printed) == 1 or printed[0].endswith(":")):
            printed[0] += f"  {beside}"
        elif beside:
            above = [*above, beside]
        return [*(pad + each for each in above), *printed, *(pad + each for each in below)]

    def file(self, file: File) -> str:
        sections = [
            self.section("import", [self.imported(file)] if file.imports else [], file.imports),
            self.section("param", self.settings(file.params, 2)),
            self.section(
                "variant", [line for each in file.variants for line in self.variant(each)]
            ),
            self.section("default", self.defaults(file.defaults, 2)),
            self.section(
                "block",
                [
                    line
                    for each in file.blocks
                    for line in self.unit(
                        each,
                        _entry(_key(header(each.name, each.parameters)), self.body(each.body), 2),
                        2,
                    )
                ],
            ),
            self.section(
                "net",
                [
                    line
                    for each in file.nets
                    for line in self.unit(each, _entry(each.name, self.body(each.body), 2), 2)
                ],
            ),
            self.train(file.train) if file.train else [],
            self.said.tail,
        ]
        return self.said.top() + "\n\n".join("\n".join(part) for part in sections if part) + "\n"

    def section(self, key: str, lines: list[str], units: Iterable[object] = ()) -> list[str]:
        if not lines:
            return []
        if key != "import":
            return [f"{key}:", *lines]
        above = [
            line for each in units for part in self.said.of(each) for line in _comment_lines(part)
        ]
        return [*above, *lines]

    def imported(self, file: File) -> str:
        return f"import: [{', '.join(_quote(each.path) for each in file.imports)}]"

    def settings(self, given: Iterable[Setting], indent: int) -> list[str]:
        return [
            line
            for each in given
            for line in self.unit(
                each, _entry(each.name, _value(each.value, indent), indent), indent
            )
        ]

    def variant(self, each: object) -> list[str]:
        return self.unit(each, [f"  {each.name}:", *self.settings(each.settings, 4)], 2)  # type: ignore[attr-defined]

    def defaults(self, given: Iterable[Default], indent: int) -> list[str]:
        return [
            line
            for each in given
            for line in self.unit(
                each,
                [f"{' ' * indent}{each.operation}:", *self.settings(each.settings, indent + 2)],
                indent,
            )
        ]

    # ------------------------------------------------------------ bodies

    def body(self, body: Body) -> str | list[str]:
        """On the line of its key where nothing but a short result stands in it."""
        sections = (body.inputs, body.defaults, body.lets, body.weights, body.values)
        if not any(sections) and len(body.results) == 1 and not self.said.has(body.results[0]):
            return self.flow(body.results[0], 2)
        lines: list[str] = []
        if body.inputs:
            lines.append("    in:")
            for each in body.inputs:
                lines += self.unit(each, _entry(each.name, _plain(type_text(each.type), 6), 6), 6)
        if body.defaults:
            lines += ["    default:", *self.defaults(body.defaults, 6)]
        if body.lets:
            lines.append("    let:")
            for let in body.lets:
                lines += self.unit(let, _entry(let.name, _value(let.value, 6), 6), 6)
        if body.weights:
            lines.append("    weight:")
            for weight in body.weights:
                text = f"{type_text(weight.type)} = {expression(weight.init)}"
                lines += self.unit(weight, _entry(weight.name, _plain(text, 6), 6), 6)
        if body.values:
            lines += ["    values:", *self.values(body.values, 6)]
        return lines + self.unit(body.results[0], _entry("out", self.results(body), 4), 4)

    def results(self, body: Body) -> str | list[str]:
        if len(body.results) == 1:
            return self.flow(body.results[0], 4)
        texts = [flow(each) if lone(each) else f"({flow(each)})" for each in body.results]
        return _plain(", ".join(texts), 4)

    def values(self, given: Iterable[Assign], indent: int) -> list[str]:
        return [
            line
            for each in given
            for line in self.unit(
                each, _entry(", ".join(each.names), self.flow(each.flow, indent), indent), indent
            )
        ]

    # ------------------------------------------------------------ flows

    def flow(self, given: Flow, indent: int) -> str | list[str]:
        """On the line of its key, or a list of pieces two columns further in than the key."""
        if lone(given) and not is_structure(given.pieces[0].stage):
            only = given.pieces[0].stage
            return (
                _quote(only.value) if isinstance(only, Text) else _plain(expression(only), indent)
            )
        if all(not is_structure(each.stage) for each in given.pieces):
            text = flow(given)
            if indent + 12 + len(text) <= WIDTH + 8:
                return _plain(text, indent)
        if len(given.pieces) == 1:
            return self.structure(given.pieces[0], indent + 2)
        return self.listed(given, indent + 2)

    def listed(self, given: Flow, indent: int) -> list[str]:
        """Stages packed into `- ` lines; a structure has an item of its own."""
        lines: list[str] = []
        packed: list[str] = []

        def flush() -> None:
            if packed:
                lines.extend(_item(_plain(" -> ".join(packed), indent), indent))
                packed.clear()

        for each in given.pieces:
            if is_structure(each.stage):
                flush()
                lines += _item(self.structure(each, indent + 2), indent)
                continue
            text = piece(each)
            if packed and indent + 2 + len(" -> ".join([*packed, text])) > WIDTH:
                flush()
            packed.append(text)
        flush()
        return lines

    def structure(self, given: Piece, indent: int) -> str | list[str]:
        if not is_structure(given.stage):
            return _plain(piece(given), indent - 2)
        lines = self.parts(given, indent)
        return lines + (
            _entry("as", names(given).removeprefix(" as "), indent) if given.names else []
        )

    def parts(self, given: Piece, indent: int) -> list[str]:
        def part(key: str, inner: Flow | None) -> list[str]:
            return [] if inner is None else _entry(key, self.flow(inner, indent), indent)

        match given.stage:
            case Residual(main, shortcut):
                return part("residual", main) + part("shortcut", shortcut)
            case Branch(arms):
                lines = [f"{' ' * indent}branch:"]
                for arm in arms:
                    lines += _item(self.flow(arm, indent + 2), indent + 2)
                return lines
            case Repeat(count, index, body):
                head = _entry("repeat", _value(count, indent), indent)
                return head + (_entry("index", index, indent) if index else []) + part("do", body)
            case For(name, values, body):
                head = _entry("for", name, indent) + _entry("in", _value(values, indent), indent)
                return head + part("do", body)
            case If(condition, then, otherwise):
                head = _entry("if", _value(condition, indent), indent)
                return head + part("then", then) + part("else", otherwise)
        return []

    # ------------------------------------------------------------ training

    def train(self, train: Train) -> list[str]:
        lines = ["train:", *self.settings(train.settings, 2)]
        if train.data:
            lines.append("  data:")
            for data in train.data:
                lines += self.unit(data, self.data(data), 4)
        if train.steps:
            lines.append("  step:")
            for step in train.steps:
                lines += self.unit(step, self.step(step), 4)
        return self.unit(train, lines, 0)

    def data(self, data: Data) -> list[str]:
        key = ", ".join(data.names)
        if data.types is None:
            return _entry(key, _value(data.source, 4), 4)
        lines = [f"    {key}:"]
        if len(data.types) == 1:
            lines += _entry("type", _plain(type_text(data.types[0]), 6), 6)
        else:
            lines.append("      type:")
            lines += [f"        - {_plain(type_text(each), 8)}" for each in data.types]
        return lines + _entry("from", _value(data.source, 6), 6)

    def step(self, step: Step) -> list[str]:
        lines = [f"    {step.name}:", f"      updates: {', '.join(step.updates)}"]
        lines += self.settings(step.settings, 6)
        if step.values:
            lines += ["      values:", *self.values(step.values, 8)]
        lines += self.unit(step.loss, _entry("loss", self.flow(step.loss, 6), 6), 6)
        if step.metrics:
            lines.append("      metric:")
            for metric in step.metrics:
                lines += self.unit(metric, _entry(metric.name, self.flow(metric.flow, 8), 8), 8)
        return lines


# ---------------------------------------------------------------- scalars


def _entry(key: str, value: str | list[str], indent: int) -> list[str]:
    """A key with a value on its line, or with the lines of one below it."""
    head = f"{' ' * indent}{key}:"
    return _wrapped(f"{head} {value}", indent) if isinstance(value, str) else [head, *value]


def _wrapped(line: str, indent: int) -> list[str]:
    """A line with a long call or list goes on below it, further in, after a comma."""
    if len(line) <= LONGEST or "\n" in line:
        return [line]
    lines = [""]
    for word in COMMAS.split(line):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(word) > LONGEST:
            lines.append(" " * (indent + 4) + word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _item(value: str | list[str], indent: int) -> list[str]:
    """A list item."""
    if isinstance(value, str):
        return _wrapped(f"{' ' * indent}- {value}", indent)
    first, *rest = value
    return [f"{' ' * indent}- {first.lstrip()}", *rest]


def _plain(text: str, indent: int) -> str:
    """An expression as a plain scalar, or below `|-` where YAML would read it as something else."""
    return text if _is_plain(text) else f"|-\n{' ' * (indent + 2)}{text}"


def _value(expr: Expr, indent: int) -> str:
    """An expression where a YAML list means a list."""
    text = _in_flow(expr) if isinstance(expr, (Text, ListOf)) else None
    return text if text is not None else _plain(expression(expr), indent)


def _in_flow(expr: Expr) -> str | None:
    """An entry of a YAML list between brackets, or None where it cannot stand there."""
    if isinstance(expr, Text):
        return _quote(expr.value)
    if isinstance(expr, ListOf):
        items = [_in_flow(item) for item in expr.items]
        return (
            None if None in items else f"[{', '.join(item for item in items if item is not None)}]"
        )
    text = expression(expr)
    return text if _is_plain(text) and not set(text) & set("[]{},") else None


def _is_plain(text: str) -> bool:
    """Whether YAML reads this text back as it is."""
    if not text or text[0] in INDICATORS or text.startswith("- ") or text.endswith(":"):
        return False
    return ": " not in text and " #" not in text and "\n" not in text


def _key(text: str) -> str:
    return text if _is_plain(text) else _quote(text)


def _quote(text: str) -> str:
    """A double-quoted YAML scalar; the reader lets no other control characters through."""
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    )
    return f'"{escaped}"'


def _comment_lines(part: object) -> list[str]:
    return (
        [part] if isinstance(part, str) and part else list(part) if isinstance(part, list) else []
    )
