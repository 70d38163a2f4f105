"""Comments of a spec, each with the line of the spec it belongs to.

The tree knows no comments. The formatter asks which were written above, beside or below a
statement: a comment on a line of its own belongs to the next statement, or to the one before it at
the end of braces, or to the one it stands in; one behind code to the last statement begun by then.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .lexer import END, HOLDS_STATEMENTS, tokens
from .source import Findings, Source, source
from .tree import File

BETWEEN = re.compile(r"(?:#[^\n]*|[^#\w])*")  # no key, name or number
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
    """A comment; `alone` on its line; `where`: before a statement, inside one, at an end.

    In YAML also behind the key `of` the next statement, or `above` it behind the key of a section.
    `item`: where, on its line, the outermost of the statements began that it ends.
    """

    start: int
    text: str
    alone: bool
    where: str
    item: int | None = None


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
            after = bisect_right(starts, comment.start)
            if comment.item is not None:
                after = bisect_left(starts, comment.item) + 1
            _attach(found, comment, units, after)
    return found


def _head(text: str, whole: bool) -> list[str]:
    """The lines of comments a file begins with: those with an empty line below.

    Without any empty line all of them are taken, if they are the `whole` file's: nothing else is to
    come between them and what stands below.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        lines.append(_clean(line))
    else:
        return []  # nothing but comments
    while lines and lines[-1] and not (whole and all(lines)):
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
    opens = (comment.alone and comment.where == "before") or comment.where == "above"
    if opens and following is not None:
        _said(found, following)[0].append(comment.text)
    elif comment.where == "of" and following is not None:
        above, _, below = _said(found, following)
        found.by_node[id(following)] = (above, comment.text, below)
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
    opener, begun = "", 0  # the first token of the statement at hand
    begins = True  # whether the next token begins a statement
    braces: list[tuple[bool, int]] = []  # open ones: do statements stand inside; where theirs began
    closed: int | None = None  # where the statement began whose braces just closed, on one line
    for token in stream:
        if token.type == "_NL":
            begins = begins or not braces or braces[-1][0]
            continue
        ends = token.type == "RBRACE" and bool(braces) and braces[-1][0]
        where = "end" if ends else "before" if begins or token.type == END else "inside"
        for start, text in _in_gap(whole.text[position : token.start], position):
            alone = _alone(whole.text, start)
            yield Comment(start, text, alone, where, None if alone else closed)
        if begins:
            opener, begun = token.type, token.start
        begins = False
        closed = None
        if token.type == "LBRACE":
            begins = opener in HOLDS_STATEMENTS
            braces.append((begins, begun))
        elif token.type == "RBRACE" and braces:
            held, first = braces.pop()
            closed = first if held and "\n" not in whole.text[first : token.start] else None
        position = token.end


def _yaml_comments(whole: Source, starts: list[int]) -> Iterator[Comment]:
    """What no YAML token covers."""
    import yaml  # only when a YAML file is formatted

    from .yaml_nodes import comments_in

    position = 0
    for token in yaml.scan(whole.text, Loader=yaml.SafeLoader):
        begin, end = token.start_mark.index, token.end_mark.index
        block = isinstance(token, yaml.ScalarToken) and token.style in ("|", ">")
        for start, text in _in_gap(whole.text[position:begin], position):
            alone = _alone(whole.text, start)
            where = "" if alone else _yaml_key(whole, start, starts)
            where = where or _yaml_where(whole, start, starts, begin)
            yield Comment(start, text, alone, where, None if alone else _line(whole, start, starts))
        for start in comments_in(whole.text, begin, end) if block else ():
            text = _clean(whole.text[start : _line_end(whole.text, start)])
            yield Comment(start, text, _alone(whole.text, start), "inside")
        position = max(position, end)


def _line(whole: Source, start: int, starts: list[int]) -> int | None:
    """The beginning of the line, where a statement begins on it."""
    line = whole.lines[bisect_right(whole.lines, start) - 1]
    return line if bisect_left(starts, line) < bisect_right(starts, start) else None


def _yaml_key(whole: Source, start: int, starts: list[int]) -> str:
    """Whether a comment stands behind a key that only announces the next statement."""
    line = whole.lines[bisect_right(whole.lines, start) - 1]
    after = bisect_right(starts, start)
    if after == len(starts) or (after and starts[after - 1] >= line):
        return ""
    if not BETWEEN.fullmatch(whole.text, start, starts[after]):
        return ""
    return "of" if whole.text[line:start].strip() in ("out:", "loss:") else "above"


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
        stop = _line_end(gap, position)
        yield offset + position, _clean(gap[position:stop])
        position = gap.find("#", stop)


def _line_end(text: str, start: int) -> int:
    stop = text.find("\n", start)
    return len(text) if stop < 0 else stop


def _clean(text: str) -> str:
    """A comment on one line, without what does not print."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip()


def _alone(text: str, start: int) -> bool:
    return not text[text.rfind("\n", 0, start) + 1 : start].strip()
