"""YAML text to plain nodes with exact places: no tags, anchors, aliases, types or second documents.

PyYAML scans and parses; values are never resolved, so `no` stays the word it is. Nesting is bounded
before anything recursive runs, and aliases are refused where they stand, so they cannot multiply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import yaml

from .errors import Diagnostic, SpecError
from .place import Place
from .source import Source, source

DEEPEST = 64


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


def compose(text: str, path: str) -> Node | None:
    """The one document of a YAML text, or None when it is empty.

    Raises:
        SpecError: what YAML does not allow, and what this language does not take of it.
    """
    whole = source(path, text)
    try:
        reader = _Composer(whole, yaml.parse(text, Loader=yaml.SafeLoader))
        return reader.document()
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "not YAML"
        at_end = "end of stream" in problem or "stream end" in problem
        mark = (error.context_mark if at_end else None) or error.problem_mark or error.context_mark
        at = mark.index if mark is not None else 0
        hint = "indent with blanks, not with tabs" if "'\\t'" in problem else error.context
        _fail("E119", f"YAML: {problem}", whole.place(at, at + 1), hint)
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


class _Composer:
    """Builds nodes out of events."""

    def __init__(self, whole: Source, events: Iterator[Any]) -> None:
        self.whole = whole
        self.events = events
        self.last = -1

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
        if event.anchor is not None:
            self.refuse("E120", "YAML anchors are not allowed", event, "use `param` or `block`")
        if event.tag is not None:
            self.refuse(
                "E121", "YAML tags are not allowed", event, "quote a value to make it a text"
            )
        if depth > DEEPEST:
            self.refuse(
                "E105",
                f"more than {DEEPEST} levels inside each other",
                event,
                "make the inner parts blocks",
            )
        start, end = event.start_mark.index, event.end_mark.index
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
            if not isinstance(key, Scalar):
                _fail("E114", "a key must be text", key.place)
            pairs.append((key, self.node(self.next(), depth + 1)))
        return Mapping(pairs, place)

    def refuse(self, code: str, message: str, event: Any, hint: str) -> None:
        start = event.start_mark.index
        end = event.end_mark.index if isinstance(event, yaml.AliasEvent) else start + 1
        _fail(code, message, self.whole.place(start, end), hint)


def _fail(code: str, message: str, place: Place, hint: str | None = None) -> NoReturn:
    raise SpecError(Diagnostic(code, message, place, hint))
