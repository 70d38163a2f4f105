"""Prints a File in its canonical form; comments stay with the lines they stand at.

`write_weft(read(text))` is a fixed point: formatting twice changes nothing, and trees stay equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .comments import Remarks, remarks
from .expressions import Binary, Call, Choice, Expr, ListOf, Name, Setting
from .format_yaml import write_yaml
from .spell import (
    BINDS,
    arguments,
    arms,
    else_if,
    expression,
    flow,
    header,
    lone,
    names,
    opening,
    piece,
    quoted,
    setting,
    settings,
    stage,
    type_text,
)
from .tree import Block, Body, Default, File, Flow, If, Net, Step, Structure, Train, is_structure

__all__ = ["write_weft", "write_yaml"]

WIDTH = 88
BRACED = 76  # a structure longer than this opens its braces over lines


def write_weft(file: File) -> str:
    """The `.weft` text of a file, items grouped by kind."""
    return _Writer(remarks(file)).file(file)


class _Writer:
    """Each method gives lines; `indent` is where they will stand."""

    def __init__(self, said: Remarks) -> None:
        self.said = said

    def file(self, file: File) -> str:
        sections = [
            [
                line
                for each in file.imports
                for line in self.unit(each, [f"import {quoted(each.path)}"], 0)
            ],
            self.params(file.params),
            [
                line
                for each in file.variants
                for line in self.unit(each, self.variant(each.name, each.settings), 0)
            ],
            self.defaults(file.defaults, 0),
            *(
                self.braced(each, f"block {header(each.name, each.parameters)} {{")
                for each in file.blocks
            ),
            *(self.braced(each, f"net {each.name} {{") for each in file.nets),
            self.train(file.train) if file.train else [],
            self.said.tail,
        ]
        return self.said.top() + "\n\n".join("\n".join(part) for part in sections if part) + "\n"

    def unit(self, node: object, lines: Sequence[str], indent: int) -> list[str]:
        """The lines of a node with the comments that belong to it."""
        pad = " " * indent
        above, beside, below = self.said.of(node)
        printed = list(lines)
        if beside and (len(printed) == 1 or printed[0].endswith("{")):
            printed[0] += f"  {beside}"
        elif beside:
            above = [*above, beside]
        return [*(pad + each for each in above), *printed, *(pad + each for each in below)]

    # ------------------------------------------------------------ items

    def params(self, params: tuple[Setting, ...]) -> list[str]:
        """As many as fit on a `param` line; a comment above one starts a new line."""
        lines: list[str] = []
        row = ""
        for each in params:
            above, beside, below = self.said.of(each)
            text = setting(each)
            if row and not above and len(row) + 2 + len(text) <= WIDTH:
                row += f", {text}"
            else:
                lines += [row] if row else []
                lines += above
                row = f"param {text}"
            if len(row) > WIDTH:
                *broken, row = _value_lines(f"param {each.name}=", each.value, 4)
                lines += broken
            if beside or below or len(row) > WIDTH or row.startswith(" "):
                lines += [f"{row}  {beside}" if beside else row, *below]
                row = ""
        return [*lines, row] if row else lines

    def variant(self, name: str, given: tuple[Setting, ...]) -> list[str]:
        one = f"variant {name} {{ {settings(given)} }}"
        if len(one) <= WIDTH and not any(self.said.has(each) for each in given):
            return [one]
        inner = [line for each in given for line in self.unit(each, [f"  {setting(each)}"], 2)]
        return [f"variant {name} {{", *inner, "}"]

    def defaults(self, given: Iterable[Default], indent: int) -> list[str]:
        pad = " " * indent
        return [
            line
            for each in given
            for line in self.unit(
                each,
                _call_lines(
                    f"{pad}default {each.operation}(", [setting(s) for s in each.settings], indent
                ),
                indent,
            )
        ]

    def braced(self, item: Block | Net, head: str) -> list[str]:
        """A block on one line where it is short, otherwise braces over lines."""
        lines = self.body(item.body)
        one = f"{head} {lines[0].strip()} }}"
        quiet = not self.said.of(item)[2] and not self.said.has(item.body.results[0])
        if isinstance(item, Block) and len(lines) == 1 and quiet and len(one) <= WIDTH:
            return self.unit(item, [one], 0)
        return self.unit(item, [head, *lines, "}"], 0)

    def body(self, body: Body) -> list[str]:
        lines: list[str] = []
        lines += self.inputs(body)
        lines += self.defaults(body.defaults, 2)
        for let in body.lets:
            lines += self.unit(let, _value_lines(f"  let {let.name} = ", let.value, 4), 2)
        for weight in body.weights:
            head = f"  weight {weight.name}: {type_text(weight.type)} = "
            lines += self.unit(weight, _value_lines(head, weight.init, 4), 2)
        for value in body.values:
            lines += self.unit(value, _flow_lines(f"{', '.join(value.names)} = ", value.flow, 2), 2)
        return lines + self.result(body)

    def inputs(self, body: Body) -> list[str]:
        """On one line where they fit and no comment stands between them."""
        given = [f"{each.name}: {type_text(each.type)}" for each in body.inputs]
        one = f"  in {', '.join(given)}"
        said = [self.said.of(each) for each in body.inputs]
        between = [each[1:] for each in said[:-1]] + [each[:1] for each in said[1:]]
        if given and len(one) <= WIDTH and not any(part for parts in between for part in parts):
            (above, _, _), (_, beside, below) = said[0], said[-1]
            line = f"{one}  {beside}" if beside else one
            return [*(f"  {each}" for each in above), line, *(f"  {each}" for each in below)]
        return [
            line
            for each, text in zip(body.inputs, given, strict=True)
            for line in self.unit(each, [f"  in {text}"], 2)
        ]

    def result(self, body: Body) -> list[str]:
        if len(body.results) > 1:
            texts = [flow(each) if lone(each) else f"({flow(each)})" for each in body.results]
            return self.unit(body.results[0], [f"  out {', '.join(texts)}"], 2)
        result = body.results[0]
        prefix = "out " if _needs_out(result, bool(body.values or body.inputs)) else ""
        return self.unit(result, _flow_lines(prefix, result, 2), 2)

    # ------------------------------------------------------------ training

    def train(self, train: Train) -> list[str]:
        lines = ["train {"]
        for each in train.settings:
            lines += self.unit(each, _value_lines(f"  {each.name} = ", each.value, 4), 2)
        for data in train.data:
            types = data.types or (None,) * len(data.names)
            fields = [
                name + (f": {type_text(t)}" if t else "")
                for name, t in zip(data.names, types, strict=True)
            ]
            words = [*(f"{each}," for each in fields[:-1]), f"{fields[-1]} ="]
            begun, last = [], f"  data {' '.join(words)} "
            source = expression(data.source).partition(",")[0]  # which stays behind the last field
            if len(last) + len(source.partition("(")[0]) >= WIDTH:
                *begun, last = _pack("  data ", [*words[:-1], f"{words[-1]} {source}"], 4)
                last = last.removesuffix(source)
            lines += self.unit(data, [*begun, *_value_lines(last, data.source, 4)], 2)
        for step in train.steps:
            lines += self.step(step)
        return self.unit(train, [*lines, "}"], 0)

    def step(self, step: Step) -> list[str]:
        lines = [f"  step {step.name} updates {', '.join(step.updates)} {{"]
        for each in step.settings:
            lines += self.unit(each, _value_lines(f"    {each.name} = ", each.value, 6), 4)
        for value in step.values:
            lines += self.unit(value, _flow_lines(f"{', '.join(value.names)} = ", value.flow, 4), 4)
        lines += self.unit(step.loss, _flow_lines("loss = ", step.loss, 4), 4)
        for metric in step.metrics:
            lines += self.unit(metric, _flow_lines(f"metric {metric.name} = ", metric.flow, 4), 4)
        return self.unit(step, [*lines, "  }"], 2)


def _needs_out(result: Flow, named: bool) -> bool:
    """A lone expression reads better with `out`; a lone name only where it is not the operation."""
    only = result.pieces[0].stage
    if not lone(result) or isinstance(only, Call) or is_structure(only):
        return False
    return named if isinstance(only, Name) else True


# ---------------------------------------------------------------- layout


def _value_lines(prefix: str, value: Expr, indent: int) -> list[str]:
    """`prefix` and an expression; long calls and lists break at commas, long sums after a sign."""
    if len(prefix) + len(expression(value)) <= WIDTH:
        return [prefix + expression(value)]
    if isinstance(value, Call) and (value.positional or value.named):
        return _call_lines(f"{prefix}{value.name}(", arguments(value), indent)
    if isinstance(value, Binary) and value.operator in ("+", "-", "and", "or"):
        return _pack(prefix, _terms(value), indent)
    if isinstance(value, Choice):
        condition, last = expression(value.condition, BINDS["or"]), expression(value.otherwise)
        first = f"{expression(value.then, BINDS['or'])} if {condition}"
        return _pack(prefix, [first, f"else {last}"], indent)
    if isinstance(value, ListOf) and value.items:
        items = [expression(item) for item in value.items]
        words = [*(f"{item}," for item in items[:-1]), f"{items[-1]}]"]
        return _pack(f"{prefix}[", words, indent)
    return [prefix + expression(value)]


def _terms(value: Binary) -> list[str]:
    """The terms of a sum, each with the sign of the next behind it."""
    strength = BINDS[value.operator]
    terms: list[tuple[str, str]] = []
    rest: Expr = value
    while isinstance(rest, Binary) and BINDS[rest.operator] == strength:
        terms.append((rest.operator, expression(rest.right, strength + 1)))
        rest = rest.left
    words = [expression(rest, strength)]
    for operator, text in reversed(terms):
        words[-1] += f" {operator}"
        words.append(text)
    return words


def _call_lines(prefix: str, given: list[str], indent: int) -> list[str]:
    """The arguments of a call packed into lines; `prefix` ends with its opening parenthesis."""
    words = [f"{each}," for each in given[:-1]] + [f"{given[-1]})"]
    return _pack(prefix, words, indent)


def _pack(prefix: str, words: list[str], indent: int) -> list[str]:
    """As many words on a line as fit; the first stands right behind the prefix."""
    lines, line = [], prefix
    for position, word in enumerate(words):
        space = " " if position else ""
        if line.strip() and len(line) + len(space) + len(word) > WIDTH:
            lines.append(line.rstrip())
            line = " " * indent + word
        else:
            line += space + word
    return [*lines, line]


def _flow_lines(prefix: str, given: Flow, indent: int) -> list[str]:
    """A statement that is a flow; what does not fit goes on two columns further in."""
    hang = indent if is_structure(given.pieces[0].stage) and not prefix else indent + 2
    lines = _lay(given, hang, indent + len(prefix) - hang)
    return [" " * indent + prefix + lines[0], *(" " * hang + line for line in lines[1:])]


def _lay(given: Flow, indent: int, used: int = 0) -> list[str]:
    """Lines of a flow relative to `indent`; the first has `used` more columns before it."""
    one = flow(given)
    if indent + used + len(one) <= WIDTH and not any(
        _braces_open(each.stage) for each in given.pieces
    ):
        return [one]
    if lone(given) and not is_structure(given.pieces[0].stage):
        value = given.pieces[0].stage
        lines = _value_lines(" " * (indent + used), value, indent if used else indent + 2)
        return [lines[0][indent + used :], *(line[indent:] for line in lines[1:])]
    lines, line = [], ""
    for position, each in enumerate(given.pieces):
        arrow = "" if position == 0 else " -> " if line else "-> "
        text = piece(each, lone(given))
        room = WIDTH - indent - (used if not lines else 0)
        if is_structure(each.stage) and (
            _braces_open(each.stage) or len(text) > WIDTH - indent - 3
        ):
            if line and len(line + arrow + opening(each.stage)) > room:
                lines.append(line)
                line, arrow = "", "-> "
            first, *inner, last = _open_braces(each.stage, indent)
            lines += [line + arrow + first, *inner]
            line = last + names(each)
        elif isinstance(each.stage, Call) and len(text) > WIDTH - indent - 3 and text.endswith(")"):
            begun = f"{line}{arrow}{each.stage.name}("
            if line and len(begun) + len(arguments(each.stage)[0]) > room:
                lines.append(line)
                begun = f"-> {each.stage.name}("
            start = " " * (WIDTH - room) + begun
            *broken, line = _call_lines(start, arguments(each.stage), indent + 2)
            broken = [
                part[(WIDTH - room if not at else indent) :] for at, part in enumerate(broken)
            ]
            line = line[indent:] if broken else line[WIDTH - room :]
            lines += broken
        elif line and len(line + arrow + text) > room:
            lines.append(line)
            line = f"-> {text}"
        else:
            line += arrow + text
    return [*lines, line]


def _braces_open(given: object) -> bool:
    return is_structure(given) and len(stage(given)) > BRACED


def _open_braces(given: Structure, indent: int) -> list[str]:
    """A structure over several lines, from its keyword to its closing brace."""
    if isinstance(given, If) and given.otherwise is not None:
        then = [opening(given), *_inner((given.then,), indent)]
        chained = else_if(given.otherwise)
        if chained is None:
            return [*then, "} else {", *_inner((given.otherwise,), indent), "}"]
        first, *rest = _open_braces(chained, indent)
        return [*then, f"}} else {first}", *rest]
    return [opening(given), *_inner(arms(given), indent), "}"]


def _inner(flows: tuple[Flow, ...], indent: int) -> list[str]:
    """What stands between braces; arms line up behind their bars."""
    lines = []
    several = len(flows) > 1
    step = 4 if several else 2
    for position, each in enumerate(flows):
        first, *rest = _lay(each, indent + step)
        lead = "  | " if position else "    " if several else "  "
        lines += [lead + first, *(" " * step + line for line in rest)]
    return lines
