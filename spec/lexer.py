"""Text to tokens: newlines that end no statement are dropped, some reserved words are names.

A newline ends a statement, except inside `()` and `[]`, after an operator, `,`, `:`, `=`, `|`, `{`
or `->`, and before `->`, `|`, `}` or `else`. A reserved word is a name after `.` and before `=`
inside parentheses; `weight` is reserved only where it starts a statement, and any word after it is
a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .source import Findings, Source

DEEPEST = 64  # brackets and braces inside each other
END = "$END"
WRONG = "$WRONG"  # a token that has its finding already
CONTINUES_AFTER = frozenset(
    [
        "LBRACE",
        "_ARROW",
        "VBAR",
        "EQUAL",
        "COMMA",
        "PLUS",
        "MINUS",
        "STAR",
        "SLASH",
        "_FLOORDIV",
        "_POWER",
        "PERCENT",
        "COMPARE",
        "AND",
        "OR",
        "NOT",
        "COLON",
    ]
)
ENDS_VALUE = frozenset(("NAME", "NUMBER", "STRING", "TRUE", "FALSE", "RPAR", "RSQB"))
STARTS_VALUE = frozenset(("NAME", "NUMBER", "STRING", "TRUE", "FALSE"))
CONTINUES_BEFORE = frozenset(("_ARROW", "VBAR", "RBRACE", "ELSE", "AS"))
ITEMS = frozenset(("BLOCK", "NET", "TRAIN", "IMPORT", "PARAM", "VARIANT", "DEFAULT"))
STATEMENTS = ITEMS | {"IN", "OUT", "LET", "DATA", "STEP", "METRIC"}  # never inside an expression
HOLDS_STATEMENTS = frozenset(("BLOCK", "NET", "TRAIN", "STEP", "VARIANT"))
INSTEAD = {
    "'": 'strings take double quotes: "…"',
    "`": 'strings take double quotes: "…"',
    '"': 'close the string on its line; escapes are \\" \\\\ \\n \\t',
    ";": "a new line ends a statement",
    "@": "matrix products are calls: `matmul(a, b)`",
    "^": "powers are written `a**b`",
    "&": "conditions take `and`",
    "!": "conditions take `not` and `!=`",
    "\u2192": "pipelines take `->`",
    "\u201c": 'strings take straight double quotes: "…"',
    "\u201d": 'strings take straight double quotes: "…"',
    "\\": "a line that ends in an operator, `,` or `->` goes on by itself",
}


class Token(NamedTuple):
    """One terminal; `level` counts the braces it stands in."""

    type: str
    text: str
    start: int
    end: int
    level: int


@cache
def tables() -> dict[str, Any]:
    """The parse tables of the grammar (see `tables.py` in this folder)."""
    loaded = json.loads(Path(__file__).with_name("grammar.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@cache
def words() -> dict[str, str]:
    """The reserved words and their terminals."""
    return dict(tables()["words"])


@cache
def _scanner() -> re.Pattern[str]:
    known = tables()
    kinds = [(name or "skip", pattern) for name, pattern in known["patterns"]]
    skipped = "|".join(f"(?:{pattern})" for name, pattern in kinds if name == "skip")
    named = [f"(?P<{name}>{pattern})" for name, pattern in kinds if name != "skip"]
    marks = "|".join(re.escape(mark) for mark in known["marks"])
    return re.compile("|".join([f"(?P<skip>{skipped})", *named, f"(?P<mark>{marks})"]))


def tokens(source: Source, findings: Findings) -> list[Token]:
    """The tokens of a source and one END; what cannot be read is a finding and WRONG."""
    raw = list(_raw(source, findings))
    return _Filter(source, findings, raw).run()


def _raw(source: Source, findings: Findings) -> Iterator[Token]:
    text, position = source.text, 0
    scan, marks, reserved = _scanner().match, tables()["marks"], words()
    while position < len(text) and not findings.full:
        found = scan(text, position)
        if found is None:
            end = _wrong_end(text, position)
            hint = INSTEAD.get(text[position])
            shown = text[position] if text[position].isprintable() else repr(text[position])[1:-1]
            findings.add(
                "E101",
                f"unexpected character `{shown}`",
                source.place(position, position + 1),
                hint,
            )
            yield Token(WRONG, text[position:end], position, end, 0)
            position = end
            continue
        kind, start, position = str(found.lastgroup), position, found.end()
        value = found.group()
        if kind == "mark":
            yield Token(marks[value], value, start, position, 0)
        elif kind == "NAME":
            yield Token(reserved.get(value, "NAME"), value, start, position, 0)
        elif kind == "NUMBER" and _glued(text, position):
            position = _word_end(text, position)
            value = text[start:position]
            findings.add(
                "E106",
                f"`{value}` is not a number",
                source.place(start, position),
                "numbers are written `12`, `0.5` or `3e-4`; names start with a letter",
            )
            yield Token(WRONG, value, start, position, 0)
        elif kind != "skip":
            yield Token(kind, value, start, position, 0)


def _wrong_end(text: str, position: int) -> int:
    """Where to go on after a character that starts no token: a broken string ends with its line."""
    if text[position] in "\"'`":
        stop = text.find("\n", position)
        stop = len(text) if stop < 0 else stop
        again = text.find(text[position], position + 1, stop)
        return stop if again < 0 else again + 1
    position += 1
    while position < len(text) and text[position] == text[position - 1]:
        position += 1
    return position


def _glued(text: str, position: int) -> bool:
    return position < len(text) and (text[position].isalnum() or text[position] == "_")


def _word_end(text: str, position: int) -> int:
    while _glued(text, position):
        position += 1
    return position


NAMED_AFTER = ("LET", "AS", "_ARROW")
"""After these `out` is an ordinary name: the last layer of attention is called so everywhere."""


def _closed(raw: list[Token]) -> set[int]:
    """The brackets that are closed before the statement must have ended."""
    found: set[int] = set()
    opened: list[int] = []
    before = ""
    for index, token in enumerate(raw):
        kind = token.type
        if kind in ("LBRACE", "RBRACE") or (before == "_NL" and kind in STATEMENTS):
            opened.clear()
        elif kind in ("LPAR", "LSQB"):
            opened.append(index)
        elif kind in ("RPAR", "RSQB") and opened:
            found.add(opened.pop())
        before = kind
    return found


class _Filter:
    """One walk over the raw tokens."""

    def __init__(self, source: Source, findings: Findings, raw: list[Token]) -> None:
        self.source, self.findings, self.raw = source, findings, raw
        self.out: list[Token] = []
        self.brackets = 0  # open ( and [ since the last brace
        self.braces: list[bool] = []  # open braces; True: statements stand inside
        self.outer: list[int] = []  # open brackets outside each brace
        self.opener = ""  # the first token of the statement at hand
        self.newline: Token | None = None
        self.too_deep = False
        self.opened = [-1]  # where the open brackets stand among the raw tokens
        self.closed = _closed(raw)

    def run(self) -> list[Token]:
        for index, token in enumerate(self.raw):
            if token.type == "_NL":
                self.newline = self.newline or token
                continue
            self.step(index, token)
            if self.too_deep:
                break
        end = len(self.source.text)
        self.out.append(Token(END, "", end, end, len(self.braces)))
        return self.out

    def step(self, index: int, token: Token) -> None:
        kind = self.kind(index, token)
        previous = self.out[-1].type if self.out else ""
        self.mend(kind, token)
        if self.newline is not None and not self.brackets:
            ends = previous not in CONTINUES_AFTER and kind not in CONTINUES_BEFORE
            cut = kind in STATEMENTS and previous != "LBRACE"  # the line before was not finished
            if previous and (ends or cut):
                self.put(self.newline, "_NL")
        self.newline = None
        if self.at_statement():
            self.opener = kind
        if kind == "RBRACE":
            self.put(token, kind)
            self.close()
            return
        self.put(token, kind)
        if kind in ("LPAR", "LSQB"):
            del self.opened[1 + self.brackets :]
            self.opened.append(index)
            self.brackets += 1
            self.deep(token)
        elif kind in ("RPAR", "RSQB"):
            self.brackets = max(0, self.brackets - 1)
            del self.opened[1 + self.brackets :]
        elif kind == "LBRACE":
            self.outer.append(self.brackets)
            self.braces.append(self.opener in HOLDS_STATEMENTS)
            self.brackets = 0
            self.deep(token)

    def kind(self, index: int, token: Token) -> str:
        """The terminal of a word, by where it stands."""
        if token.text not in words():
            return token.type
        previous = self.out[-1] if self.out else None
        following = self.following(index)
        if previous is not None and previous.type in ("DOT", "WEIGHT") and self.newline is None:
            return "NAME"
        if self.brackets and following.type == "EQUAL":
            return "NAME"
        if token.type == "WEIGHT":
            declares = self.starts_statement() and (
                following.type == "NAME"
                or (following.text in words() and self.following(index + 1).type == "COLON")
            )
            return "WEIGHT" if declares else "NAME"
        if token.type == "OUT" and previous is not None and self.newline is None:
            return "NAME" if previous.type in NAMED_AFTER else "OUT"
        return token.type

    def following(self, index: int) -> Token:
        for token in self.raw[index + 1 : index + 2]:
            return token
        return Token(END, "", 0, 0, 0)

    def starts_statement(self) -> bool:
        """Whether the token at hand starts a statement of a body, a step or a file."""
        if not self.out:
            return True
        previous = self.out[-1].type
        inside = not self.braces or self.braces[-1]
        if previous == "LBRACE":
            return inside
        ends = self.newline is not None and not self.brackets and previous not in CONTINUES_AFTER
        return inside and ends

    def at_statement(self) -> bool:
        """The same, after the newline before the token has been put."""
        if not self.out:
            return True
        inside = not self.braces or self.braces[-1]
        return inside and self.out[-1].type in ("_NL", "LBRACE")

    def mend(self, kind: str, token: Token) -> None:
        """A bracket left open must not swallow the rest of the file."""
        if kind == "RBRACE":
            self.brackets = 0
        elif self.brackets and self.newline is not None and kind in STARTS_VALUE:
            if self.out[-1].type in ENDS_VALUE and self.opened[-1] not in self.closed:
                self.brackets = 0  # two values side by side, and no bracket that would end them
        elif self.newline is not None and token.text in words() and kind != "NAME":
            if self.brackets and kind not in (
                "TRUE",
                "FALSE",
                "NOT",
                "AND",
                "OR",
                "IN",
                "AS",
                "ELSE",
            ):
                self.brackets = 0
            at_margin = token.start == 0 or self.source.text[token.start - 1] == "\n"
            if at_margin and kind in ITEMS:
                self.braces.clear()
                self.outer.clear()

    def close(self) -> None:
        if self.braces:
            self.braces.pop()
            self.brackets = self.outer.pop()

    def deep(self, token: Token) -> None:
        if len(self.braces) + self.brackets + sum(self.outer) > DEEPEST and not self.too_deep:
            self.too_deep = True
            self.findings.add(
                "E105",
                f"more than {DEEPEST} brackets inside each other",
                self.source.place(token.start, token.end),
                "give the inner parts names, or make them blocks",
            )

    def put(self, token: Token, kind: str) -> None:
        self.out.append(Token(kind, token.text, token.start, token.end, len(self.braces)))
