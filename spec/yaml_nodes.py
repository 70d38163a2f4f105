"""YAML text to plain nodes with exact places: no tags, anchors, aliases, types or second documents.

PyYAML scans and parses; values are never resolved, so `no` stays the word it is. Nesting is bounded
before anything recursive runs. An alias is a finding where it stands and is never followed, so
aliases cannot multiply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import yaml

from .errors import Diagnostic, SpecError
from .place import Place
from .source import Findings, Source, source
from .yaml_problems import problem_of

DEEPEST = 64
COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|(#[^\n]*)')
UNBRACED = "write `key: value`, without brackets or `?`"


@dataclass(slots=True)
class Scalar:
    """A text; `style` is `|`, `>`, a quote, or empty for a plain one."""

    value: str
    style: str
    start: int
    end: int
    place: Place

    @property
    def quoted(self) -> bool:
        """Whether it is a string rather than an expression."""
        return self.style in ("'", '"')

    @property
    def empty(self) -> bool:
        """Whether nothing stands there."""
        return not self.quoted and not self.value.strip()


@dataclass(slots=True)
class Sequence:
    """A list."""

    items: list[Node]
    place: Place


@dataclass(slots=True)
class Mapping:
    """Keys and values in written order; keys are texts."""

    pairs: list[tuple[Scalar, Node]]
    place: Place


Node: TypeAlias = Scalar | Sequence | Mapping


def compose(text: str, path: str, findings: Findings) -> Node | None:
    """The one document of a YAML text, or None when it is empty.

    What this language does not take of YAML goes to the findings, and the rest is read.

    Raises:
        SpecError: what is no YAML at all, or too deep.
    """
    whole = source(path, text)
    try:
        reader = _Composer(whole, yaml.parse(text, Loader=yaml.SafeLoader), findings)
        return reader.document()
    except yaml.MarkedYAMLError as error:
        found = problem_of(error)
        at = found.offset
        _fail("E119", f"YAML: {found.message}", whole.place(at, at + 1), found.hint)
    except yaml.reader.ReaderError as error:
        at = int(error.position)
        _fail("E119", "YAML: a character that is not allowed", whole.place(at, at + 1))
    except yaml.YAMLError as error:
        _fail("E119", f"YAML: {error}", Place(path, 1, 1, 2))


def inside(whole: Source, scalar: Scalar) -> Source:
    """The text of a scalar as a source whose places are those in the file."""
    text = whole.whole
    if scalar.quoted:
        plain = text[scalar.start + 1 : scalar.end - 1] == scalar.value
        start = scalar.start + 1 if plain else scalar.start
        step = 1 if plain else 0
        origin = [start + step * index for index in range(len(scalar.value))]
        return Source(whole.file, text, scalar.value, origin, whole.lines)
    position = scalar.start
    if scalar.style:  # the header of a block scalar ends with its line
        position = text.find("\n", position) + 1
    origin = []
    for character in scalar.value:  # folding changes nothing but blanks and newlines
        if not character.isspace():
            position = text.index(character, position)
        origin.append(min(position, len(text)))
        if not character.isspace() or text[position : position + 1] == character:
            position += 1
    return Source(whole.file, text, scalar.value, origin, whole.lines)


def comments_in(text: str, start: int, end: int) -> list[int]:
    """Where comments begin in the text of a block scalar, whose text is an expression."""
    found = COMMENT.finditer(text, start, end)
    return [each.start(1) for each in found if each[1] is not None]


def hidden(text: str, scalar: Scalar) -> int | None:
    """Where a comment stands whose end folding takes away, so that it hides what follows it."""
    if scalar.style != ">":
        return None
    for at in comments_in(text, scalar.start, scalar.end):
        below = text.find("\n", at)
        rest = text[below : scalar.end] if below >= 0 else ""
        if below > text.find("\n", scalar.start) and COMMENT.sub("", rest).strip():
            return at
    return None


class _Composer:
    """Builds nodes out of events."""

    def __init__(self, whole: Source, events: Iterator[Any], findings: Findings) -> None:
        self.whole = whole
        self.events = events
        self.findings = findings

    def document(self) -> Node | None:
        self.next()  # the stream
        if isinstance(self.next(), yaml.StreamEndEvent):
            return None
        node = self.node(self.next(), 1)
        self.next()  # the end of the document
        after = self.next()
        if not isinstance(after, yaml.StreamEndEvent):
            self.refuse(
                "E122",
                "more than one YAML document",
                after,
                "a spec is one document: drop the `---`",
            )
        return node

    def next(self) -> Any:
        return next(self.events)

    def node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            self.refuse("E120", "YAML aliases are not allowed", event, "use `param` or `block`")
            begin, stop = event.start_mark.index, event.end_mark.index
            return Scalar(
                self.whole.whole[begin:stop], "", begin, stop, self.whole.place(begin, stop)
            )
        if event.anchor is not None:
            self.refuse("E120", "YAML anchors are not allowed", event, "use `param` or `block`")
        if event.tag is not None:
            self.refuse(
                "E121", "YAML tags are not allowed", event, "quote a value to make it a text"
            )
        start, end = event.start_mark.index, event.end_mark.index
        if depth > DEEPEST:
            message = f"more than {DEEPEST} levels inside each other"
            _fail(
                "E105", message, self.whole.place(start, start + 1), "make the inner parts blocks"
            )
        if self.findings.full:
            raise SpecError(self.findings.in_order())
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(
                event.value,
                event.style or "",
                start,
                end,
                self.whole.place(start, max(end, start + 1)),
            )
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(self.whole.place(start, start + 1), depth)
        return self.mapping(self.whole.place(start, start + 1), depth)

    def sequence(self, place: Place, depth: int) -> Sequence:
        items = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return Sequence(items, place)

    def mapping(self, place: Place, depth: int) -> Mapping:
        pairs = []
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(self.next(), depth + 1)
            if isinstance(key, Scalar):
                pairs.append((key, value))
            else:
                self.findings.add("E114", "a key must be text", key.place, UNBRACED)
        return Mapping(pairs, place)

    def refuse(self, code: str, message: str, event: Any, hint: str) -> None:
        start = event.start_mark.index
        end = event.end_mark.index if isinstance(event, yaml.AliasEvent) else start + 1
        self.findings.add(code, message, self.whole.place(start, end), hint)


def _fail(code: str, message: str, place: Place, hint: str | None = None) -> NoReturn:
    raise SpecError(Diagnostic(code, message, place, hint))
