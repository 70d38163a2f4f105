"""What PyYAML says is wrong with a text, in words for whoever wrote it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of the YAML scanner: what, where (an offset in the text), and a way out."""

    message: str
    offset: int
    hint: str | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A problem whose text matches; `at_context`: it is told where the broken thing begins."""

    problem: str
    message: str
    hint: str
    context: str = ""
    at_context: bool = False


RULES = (
    _Rule(r"'\\t'", "a tab where YAML wants blanks", "indent with blanks, not with tabs"),
    _Rule(
        "end of stream|stream end",
        "the quote is not closed",
        "a quoted text ends with the quote it began with",
        "quoted scalar",
        at_context=True,
    ),
    _Rule(
        "stream end",
        "the bracket is not closed",
        "close it, or use block style: one `key: value` or `- entry` a line",
        "flow",
        at_context=True,
    ),
    _Rule(
        r"expected ',' or",
        "inside { } and [ ] this text is cut short",
        "use block style, one `key: value` or `- entry` a line: texts may hold `[`, `{`, `,` there",
    ),
    _Rule(
        "mapping values are not allowed",
        "a second `: ` on this line",
        "one key a line; a text that holds `: ` goes on a line of its own below `|-`",
    ),
    _Rule(
        "sequence entries are not allowed",
        "a list cannot begin here",
        "begin it on the next line, with one `- ` an entry",
    ),
    _Rule(
        "expected ':'",
        "this line is neither `key: value` nor part of the text above it",
        "a key needs `: `, an entry of a list `- ` with a blank; indent a text that goes on",
        at_context=True,
    ),
    _Rule(
        "found '<block (mapping|sequence) start>'",
        "this line is indented further than its neighbours",
        "keys and entries that belong together begin in the same column",
    ),
    _Rule(
        "expected <block end>",
        "this does not fit the lines above",
        "keys and entries that belong together begin in the same column",
    ),
    _Rule(
        "expected alphabetic or numeric character",
        "a text cannot begin with `*` or `&`",
        "put parentheses round it, or write it below `|-`",
        at_context=True,
    ),
    _Rule(
        "cannot start any token",
        "a text cannot begin with this character",
        "write the text on a line of its own below `|-`",
    ),
    _Rule(
        "unknown escape|escape sequence",
        "an unknown escape in a quoted text",
        'escapes are \\" \\\\ \\n \\t; a text in single quotes has none',
    ),
    _Rule("tag", "YAML tags are not allowed", "quote a value to make it a text"),
)


def problem_of(error: Any) -> Problem:
    """The finding in a `yaml.MarkedYAMLError`."""
    said, context = error.problem or "not YAML", error.context or ""
    mark, begin = error.problem_mark, error.context_mark
    for rule in RULES:
        if re.search(rule.problem, said) and rule.context in context:
            chosen = (begin if rule.at_context else None) or mark or begin
            return Problem(rule.message, chosen.index if chosen else 0, rule.hint)
    chosen = mark or begin
    return Problem(said, chosen.index if chosen else 0, context or None)
