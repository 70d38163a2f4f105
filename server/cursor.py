"""What stands at one place of a text, also of one that is half typed.

No tree is needed: the text before the place is read as tokens, with the brackets that are open
there.  `at` looks at a `.weft` text; in YAML the keys decide (`yaml_cursor`), and their values are
scanned by the same code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+) | (?P<line>\n) | (?P<comment>\#[^\n]*)
    | (?P<text>"(?:\\.|[^"\\\n])*"?) | (?P<name>[A-Za-z_]\w*) | (?P<number>\d[\w.]*)
    | (?P<mark>->|==|!=|<=|>=|//|\*\*|\.\.\.|.)""",
    re.VERBOSE,
)
ITEM = re.compile(r"^(?:block|net|train|param|variant|default|import)\b", re.MULTILINE)
WORD = re.compile(r"[A-Za-z_]\w*")
GOES_ON = frozenset(
    [*"({[,:=|+-*/%<>", "->", "==", "!=", "<=", ">=", "//", "**", "and", "or", "not"]
)
PARTS = frozenset(["->", "|", "}", ")", "]", ",", "else"])
STRUCTURES = ("residual", "branch", "repeat", "for", "if", "else")


class Token(NamedTuple):
    """A piece of text: its kind is the name of a group of `TOKEN`."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Open:
    """A call whose parentheses are open at the cursor.

    `argument`: the name of the setting being written, if it has one; `index` counts the positional
    arguments before; `given` are the names written so far; `piped`: the call follows `->`.
    """

    name: str
    start: int
    piped: bool
    argument: str | None = None
    index: int = 0
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """The word at an offset and what is round it.

    Attributes:
        word, start, end: the whole word; empty where there is none.
        inside: code, comment or text.
        container: what holds the statement: file, variant, body, train or step.
        owner: the name of that block, net or step.
        statement: the keyword or setting that the statement begins with, or `flow`.
        opening: nothing of the statement stands before the word.
        before, after: the tokens on both sides of the word.
        bracket: the innermost open `(` or `[` of the statement.
        begun: where the statement begins; `braces`: how many are open there.
        calls: the open calls, outermost first.
        head: the tokens of the statement before the word.
    """

    offset: int
    word: str
    start: int
    end: int
    inside: str = "code"
    container: str = "file"
    owner: str = ""
    statement: str = "flow"
    opening: bool = False
    before: str = ""
    after: str = ""
    bracket: str = ""
    begun: int = 0
    braces: int = 0
    calls: tuple[Open, ...] = ()
    head: tuple[str, ...] = ()


def at(content: str, offset: int) -> Cursor:
    """The cursor in a `.weft` text."""
    begin = 0
    for item in ITEM.finditer(content, 0, offset):
        begin = item.start()
    cursor, walk = scan(content, begin, offset)
    container, owner = walk.container()
    statement = _statement(cursor.head, container)
    return replace(cursor, container=container, owner=owner, statement=statement)


def scan(content: str, begin: int, offset: int) -> tuple[Cursor, Walk]:
    """The cursor as far as the tokens from `begin` on tell."""
    start, end = word_bounds(content, offset)
    walk = Walk()
    inside = "code"
    for token in tokens(content, begin, start):
        if token.kind in ("comment", "text") and token.end >= start:
            closed = len(token.text) > 1 and token.text.endswith('"') and token.end == start
            inside = "code" if token.kind == "text" and closed else token.kind
        walk.take(token)
    walk.settle(content[start:end])
    cursor = Cursor(
        offset,
        content[start:end],
        start,
        end,
        inside,
        opening=not walk.statement,
        before=walk.statement[-1].text if walk.statement else "",
        after=_following(content, end),
        bracket=walk.stack[-1].text if walk.stack and walk.stack[-1].text != "{" else "",
        begun=walk.statement[0].start if walk.statement else start,
        braces=sum(frame.text == "{" for frame in walk.stack),
        calls=walk.calls(),
        head=tuple(token.text for token in walk.statement),
    )
    return cursor, walk


def word_bounds(content: str, offset: int) -> tuple[int, int]:
    """Where the word round an offset begins and ends."""
    start = end = offset
    while start > 0 and (content[start - 1].isalnum() or content[start - 1] == "_"):
        start -= 1
    while end < len(content) and (content[end].isalnum() or content[end] == "_"):
        end += 1
    found = WORD.match(content, start, end)
    return (start, end) if found else (offset, offset)


def tokens(content: str, begin: int, end: int) -> list[Token]:
    """The tokens of a stretch of text, blanks left out."""
    return [
        Token(str(found.lastgroup), found.group(), found.start())
        for found in TOKEN.finditer(content, begin, end)
        if found.lastgroup != "space"
    ]


def _following(content: str, end: int) -> str:
    found = re.compile(r"[ \t]*(->|==|\S)").match(content, end)
    return found.group(1) if found else ""


@dataclass(slots=True)
class Frame:
    """An open bracket and what stands before it: of its statement, or of `(`, two tokens."""

    text: str
    before: list[Token]
    inside: list[Token]


class Walk:
    """Brackets and statements up to a place."""

    def __init__(self) -> None:
        self.stack: list[Frame] = []
        self.statement: list[Token] = []
        self.newline = False

    def take(self, token: Token) -> None:
        """One more token."""
        if token.kind == "comment":
            return
        if token.kind == "line":
            self.newline = True
            return
        self.settle(token.text)
        before = self.statement
        match token.text:
            case ")" | "]":
                if self.stack and self.stack[-1].text != "{":
                    self.stack.pop()
            case "}":
                self.drop_brackets()
                before = self.stack.pop().before if self.stack else before
        if self.stack:
            self.stack[-1].inside.append(token)
        if token.text == "{":
            self.stack.append(Frame("{", before, []))
            self.statement = []
            return
        if token.text in ("(", "["):
            self.stack.append(Frame(token.text, before[-2:], []))
        before.append(token)
        self.statement = before

    def settle(self, following: str) -> None:
        """A newline before this text ends the statement, unless it goes on."""
        if not self.newline:
            return
        self.newline = False
        last = self.statement[-1].text if self.statement else ""
        if last in GOES_ON or following in PARTS or not last:
            return
        if self.stack and self.stack[-1].text == "{" and _in_flow(self.stack[-1]):
            return
        self.drop_brackets()
        self.statement = []

    def drop_brackets(self) -> None:
        """Brackets that were left open do not swallow what follows."""
        while self.stack and self.stack[-1].text != "{":
            self.stack.pop()

    def container(self) -> tuple[str, str]:
        """What holds the statement, and the name of its owner."""
        for frame in reversed(self.stack):
            words = [token.text for token in frame.before if token.kind == "name"]
            if frame.text != "{" or not words:
                continue
            kind = {"block": "body", "net": "body", "step": "step", "train": "train"}.get(words[0])
            if words[0] == "variant":
                return "variant", words[1] if len(words) > 1 else ""
            if kind is not None:
                return kind, words[1] if len(words) > 1 else ""
        return "file", ""

    def calls(self) -> tuple[Open, ...]:
        """The calls that are open."""
        found: list[Open] = []
        for frame in self.stack:
            if frame.text == "{":
                found.clear()
            elif frame.text == "(" and frame.before and frame.before[-1].kind == "name":
                name = frame.before[-1]
                piped = len(frame.before) > 1 and frame.before[-2].text == "->"
                found.append(_arguments(Open(name.text, name.start, piped), frame.inside))
        return tuple(found)


def _in_flow(frame: Frame) -> bool:
    """Are these the braces of a structure, where lines have no meaning?"""
    words = [token.text for token in frame.before if token.kind == "name"]
    return not words or words[0] not in ("block", "net", "train", "step", "variant")


def _arguments(call: Open, inside: Sequence[Token]) -> Open:
    """The call with what its parentheses hold so far."""
    depth, index, argument, given = 0, 0, None, []
    for position, token in enumerate(inside):
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
        elif depth == 0 and token.text == ",":
            index += argument is None
            argument = None
        elif depth == 0 and token.text == "=" and position and inside[position - 1].kind == "name":
            argument = inside[position - 1].text
            given.append(argument)
    return replace(call, argument=argument, index=index, given=tuple(given))


def names_after(content: str, offset: int) -> tuple[str, ...]:
    """The settings that are given behind the cursor, up to the end of the innermost call."""
    depth, found, last = 0, [], ""
    for token in tokens(content, offset, min(len(content), offset + 2000)):
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
            if depth < 0:
                break
        elif depth == 0 and token.text == "=":
            found.append(last)
        last = token.text
    return tuple(found)


def _statement(head: Sequence[str], container: str) -> str:
    """What kind of statement begins with these tokens."""
    if not head:
        return "flow"
    known = {
        "file": ("import", "param", "variant", "default", "block", "net", "train"),
        "body": ("in", "out", "let", "weight", "default"),
        "train": ("data", "step"),
        "step": ("metric",),
    }.get(container, ())
    if head[0] in known:
        return head[0]
    if container in ("train", "step") and len(head) > 1 and head[1] == "=":
        return head[0]
    return "flow"
