"""Comments of a spec, each with the line of the spec it belongs to.

The tree knows no comments. The formatter asks which were written above, beside or below a
statement: a comment on a line of its own belongs to the next statement, or to the one before it at
the end of braces, or to the one it stands in; one behind code to the last statement begun by then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .lexer import END, HOLDS_STATEMENTS, tokens
from .source import Findings, Source, source
from .tree import File

Said = tuple[list[str], str, list[str]]


@dataclass(slots=True)
class Remarks:
    """Comments by the node they belong to: above it, beside it, below it.

    `head` begins the file, with an empty line after it where there was one; `tail` ends it.
    """

    by_node: dict[int, Said] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    def of(self, node: object) -> Said:
        """The comments above, beside and below a node."""
        return self.by_node.get(id(node), ([], "", []))

    def top(self) -> str:
        """The head as text."""
        return "".join(f"{line}\n" for line in self.head)

    def has(self, node: object) -> bool:
        """Whether any belong to a node."""
        return id(node) in self.by_node


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment; `alone` on its line; `where`: before a statement, inside one, at an end."""

    start: int
    text: str
    alone: bool
    where: str


def remarks(file: File) -> Remarks:
    """The comments of the text a file was read from."""
    found = Remarks()
    if "#" not in file.text:
        return found
    whole = source(file.path, file.text)
    units = sorted(_units(file), key=lambda unit: unit[0])
    starts = [whole.lines[line - 1] + column - 1 for (line, column), _ in units]
    yaml = file.path.lower().endswith((".yaml", ".yml"))
    found.head = _head(file.text, yaml or (bool(units) and units[0][1] is _printed_first(file)))
    below = whole.lines[len(found.head)] if found.head else 0
    for comment in _yaml_comments(whole, starts) if yaml else _weft_comments(whole):
        if comment.start >= below:
            _attach(found, comment, units, bisect_right(starts, comment.start))
    return found


def _head(text: str, whole: bool) -> list[str]:
    """The lines of comments a file begins with: all of them, or those with an empty line below."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        lines.append(_clean(line))
    else:
        return []  # nothing but comments
    while lines and not whole and lines[-1]:
        lines.pop()
    return lines if any(lines) else []


def _printed_first(file: File) -> object:
    kinds = (file.imports, file.params, file.variants, file.defaults, file.blocks, file.nets)
    return next((kind[0] for kind in kinds if kind), file.train)


def _attach(
    found: Remarks, comment: Comment, units: list[tuple[tuple[int, int], object]], after: int
) -> None:
    before = units[after - 1][1] if after else None
    following = units[after][1] if after < len(units) else None
    if comment.alone and comment.where == "before" and following is not None:
        _said(found, following)[0].append(comment.text)
    elif (comment.alone and comment.where == "before") or before is None:
        found.tail.append(comment.text)
    elif comment.alone and comment.where == "end":
        _said(found, before)[2].append(comment.text)
    elif comment.alone or _said(found, before)[1]:
        _said(found, before)[0].append(comment.text)
    else:
        above, _, below = _said(found, before)
        found.by_node[id(before)] = (above, comment.text, below)


def _said(found: Remarks, node: object) -> Said:
    return found.by_node.setdefault(id(node), ([], "", []))


def _units(file: File) -> Iterator[tuple[tuple[int, int], object]]:
    """Everything the formatter prints as a statement of its own, with where it begins."""

    def unit(node: Any) -> tuple[tuple[int, int], object]:
        return (node.place.line, node.place.column), node

    for item in (
        *file.imports,
        *file.params,
        *file.variants,
        *file.defaults,
        *file.blocks,
        *file.nets,
    ):
        yield unit(item)
    for variant in file.variants:
        yield from map(unit, variant.settings)
    bodies = [each.body for each in file.blocks] + [each.body for each in file.nets]
    for body in bodies:
        for statement in (*body.inputs, *body.defaults, *body.lets, *body.weights, *body.values):
            yield unit(statement)
        yield unit(body.results[0])
    if file.train is not None:
        yield unit(file.train)
        for part in (*file.train.settings, *file.train.data, *file.train.steps):
            yield unit(part)
        for step in file.train.steps:
            for act in (*step.settings, *step.values, step.loss, *step.metrics):
                yield unit(act)


def _weft_comments(whole: Source) -> Iterator[Comment]:
    """Comments stand between tokens; the tokens around one say whether a statement ends there."""
    stream = tokens(whole, Findings())
    position = 0
    opener = ""  # the first token of the statement at hand
    begins = True  # whether the next token begins a statement
    braces: list[bool] = []  # open braces; True: statements stand inside
    for token in stream:
        if token.type == "_NL":
            begins = begins or not braces or braces[-1]
            continue
        ends = token.type == "RBRACE" and braces[-1:] == [True]
        where = "end" if ends else "before" if begins or token.type == END else "inside"
        for start, text in _in_gap(whole.text[position : token.start], position):
            yield Comment(start, text, _alone(whole.text, start), where)
        opener = token.type if begins else opener
        begins = False
        if token.type == "LBRACE":
            braces.append(opener in HOLDS_STATEMENTS)
            begins = braces[-1]
        elif token.type == "RBRACE" and braces:
            braces.pop()
        position = token.end


def _yaml_comments(whole: Source, starts: list[int]) -> Iterator[Comment]:
    """What no YAML token covers."""
    import yaml  # only when a YAML file is formatted

    position = 0
    for token in yaml.scan(whole.text, Loader=yaml.SafeLoader):
        begin, end = token.start_mark.index, token.end_mark.index
        for start, text in _in_gap(whole.text[position:begin], position):
            where = _yaml_where(whole, start, starts, begin)
            yield Comment(start, text, _alone(whole.text, start), where)
        position = max(position, end)


def _yaml_where(whole: Source, start: int, starts: list[int], following: int) -> str:
    """Further in than the next statement: inside the one before it, or at its end."""

    def column(offset: int) -> int:
        return offset - whole.lines[bisect_right(whole.lines, offset) - 1]

    after = bisect_right(starts, start)
    own, limit = column(start), column(starts[after]) if after < len(starts) else 0
    if own <= limit:
        return "before"
    last = after == len(starts) and following >= len(whole.text.rstrip())
    return "end" if last or own > column(following) else "inside"


def _in_gap(gap: str, offset: int) -> Iterator[tuple[int, str]]:
    """The comments in a stretch that holds nothing else."""
    position = gap.find("#")
    while position >= 0:
        stop = gap.find("\n", position)
        stop = len(gap) if stop < 0 else stop
        yield offset + position, _clean(gap[position:stop])
        position = gap.find("#", stop)


def _clean(text: str) -> str:
    """A comment on one line, without what does not print."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip()


def _alone(text: str, start: int) -> bool:
    return not text[text.rfind("\n", 0, start) + 1 : start].strip()
