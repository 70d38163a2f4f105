"""Says what an unexpected token means and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import suggest
from .habits import OPERATORS, STRUCTURE_WORDS, habit
from .lexer import END, ENDS_VALUE, ITEMS, STARTS_VALUE, Token, words
from .source import Source


def explain(
    source: Source, stream: Sequence[Token], position: int, row: Mapping[str, int]
) -> tuple[str, str | None]:
    """The message and the hint for a token; `row` knows what could have stood there."""
    token = stream[position]
    shown = {END: "end of text", "_NL": "end of line"}.get(token.type, f"`{token.text}`")
    return f"unexpected {shown}", _hint(source, stream, position, row)


def _hint(
    source: Source, stream: Sequence[Token], position: int, row: Mapping[str, int]
) -> str | None:
    token = stream[position]
    previous = stream[position - 1] if position else None
    begun = _statement(stream, position)
    bracket = _open_bracket(stream, begun, position)
    if bracket is not None and token.type == "_ARROW":
        if _new_line(source, stream, position):
            return _unclosed(source, bracket)
        return (
            "close the bracket before `->`, or give the pipeline its own parentheses: `[(x -> g)]`"
        )
    if bracket is not None and (
        token.type in (END, "_NL", "RBRACE") or _starts_line(stream, position, token)
    ):
        split = "; inside a YAML [ ] or { } a comma splits the text: use block style"
        return _unclosed(source, bracket) + (split if _cut_by_comma(source, token) else "")
    known = habit(stream, begun, position, bracket)
    if known is not None:
        return known
    if token.type == "IF" and bracket is not None:
        return "between brackets a value is chosen by `a if condition else b`"
    if token.type == "_ARROW":
        if any(stream[i].type in OPERATORS for i in range(begun, position)):
            return "put parentheses round the expression before `->`: `(a + b) -> f`"
        return "a pipeline starts with a value and goes on with operations: `x -> f -> g(2)`"
    if token.type == END or (token.type in ITEMS and token.level == 0):
        brace = _open(stream, 0, position, ("LBRACE",), ("RBRACE",))
        if brace is not None:
            return _unclosed(source, brace)
    terminals = {name for name in row if name.lstrip("_$").isupper()}
    if terminals == {"NAME"} and token.text not in words():
        return "a name belongs here"
    joins = source.origin is not None and stream[-1].start > token.end
    hint = _about_word(token, previous, row) or _about_mark(token, previous, row, joins)
    if hint is not None:
        return hint
    return _about_neighbour(stream, begun, position) or _about_expected(row)


def _about_word(token: Token, previous: Token | None, row: Mapping[str, int]) -> str | None:
    if token.text not in words() or token.type == "NAME":
        return None
    before = previous.type if previous else ""
    if token.type in STRUCTURE_WORDS and before not in (
        "",
        "_ARROW",
        "EQUAL",
        "_NL",
        "LBRACE",
        "VBAR",
    ):
        return f"`{token.text}` stands only in pipelines: `x -> {token.text} …`"
    if token.type == "AS":
        return "`as` names a piece of a pipeline: `x -> f as h`; a lone expression is named `h = …`"
    return f"`{token.text}` is a reserved word"


def _about_mark(
    token: Token, previous: Token | None, row: Mapping[str, int], joins: bool
) -> str | None:
    """`joins`: the token stands in a YAML text of several lines, which is one expression."""
    before = previous.type if previous else ""
    if token.type == "_NL":
        if joins:
            return "join the lines of a pipeline with `->`"
        inside = "VBAR" in row and "RBRACE" in row
        return "join the lines of a pipeline with `->`" if inside else "the line ends too early"
    if token.type == "RBRACE":
        if before == "LBRACE":
            return "braces hold at least one line: a body needs a result, a structure a pipeline"
        return "something is missing before `}`" if token.level else "no `{` is open here"
    if token.type == "EQUAL" and before in ENDS_VALUE:
        return "`=` names a value or gives a setting; equality is `==`"
    if token.type == "COMPARE":
        return "comparisons do not chain: `a < b and b < c`"
    if token.type == "DOT":
        return "numbers need a digit before and after the point: `0.5`"
    if token.type == "LBRACE":
        return "braces belong to `block`, `net`, `train`, `step`, `variant` and the structures"
    if token.type == "LPAR" and before in STRUCTURE_WORDS:
        return f"structures take braces: `x -> {previous.text if previous else ''} … {{ … }}`"
    if token.type == "LPAR" and before in ("RPAR", "RSQB"):
        return "only names are called: `f(x)`; apply a layer with `->`"
    return None


def _about_neighbour(stream: Sequence[Token], begun: int, position: int) -> str | None:
    """Two values side by side: what is missing between them?"""
    token, previous = stream[position], stream[position - 1] if position else None
    if position == begun and token.level == 0 and token.type == "NAME":
        known = [word for word, terminal in words().items() if terminal in ITEMS]
        return suggest(token.text, known) or f"a file holds {', '.join(known[:-1])} and {known[-1]}"
    if previous is None or token.type not in STARTS_VALUE | {"LPAR", "LSQB"}:
        return None
    opener = stream[begun].type
    if opener == "NET" and position - begun == 2:
        return "nets have no parameters; `block name(…) { … }` has"
    if previous.type not in ENDS_VALUE:
        return None
    if _open_bracket(stream, begun, position) is not None or opener in (
        "PARAM",
        "DEFAULT",
        "IN",
        "DATA",
    ):
        return f"put `,` before `{token.text}`"
    if opener == "STEP" and token.text not in words():
        return suggest(token.text, ["updates"]) or "a step says what it trains: `updates net`"
    if previous.type == "NAME" and position - begun == 1:
        close = suggest(previous.text, words())
        if close is not None:
            return close
        if token.type in ("NUMBER", "STRING"):
            return f"values are given with `=`: `{previous.text} = {token.text}`"
    return f"put `->` or an operator before `{token.text}`"


def _about_expected(row: Mapping[str, int]) -> str | None:
    return "a value belongs here" if {"NAME", "NUMBER"} <= set(row) and "_NL" not in row else None


def _statement(stream: Sequence[Token], position: int) -> int:
    """Where the statement of a token begins."""
    level = stream[position].level
    begun = position
    while begun > 0:
        before = stream[begun - 1]
        if before.level <= level and before.type in ("_NL", "LBRACE", "RBRACE"):
            break
        begun -= 1
    return begun


def _open_bracket(stream: Sequence[Token], begun: int, position: int) -> Token | None:
    """The innermost bracket of the statement that is still open at a token."""
    return _open(stream, begun, position, ("LPAR", "LSQB"), ("RPAR", "RSQB"))


def _open(
    stream: Sequence[Token], begun: int, position: int, opens: Sequence[str], closes: Sequence[str]
) -> Token | None:
    opened: list[Token] = []
    for token in stream[begun:position]:
        if token.type in opens:
            opened.append(token)
        elif token.type in closes and opened:
            opened.pop()
    return opened[-1] if opened else None


def _unclosed(source: Source, token: Token) -> str:
    place = source.place(token.start, token.end)
    return f"the `{token.text}` at {place.line}:{place.column} is not closed"


def _new_line(source: Source, stream: Sequence[Token], position: int) -> bool:
    """Whether a token is the first one of its line."""
    return "\n" in source.text[stream[position - 1].end : stream[position].start]


def _cut_by_comma(source: Source, token: Token) -> bool:
    """Whether a YAML scalar ends before a comma that was meant to belong to it."""
    if source.origin is None or not source.text or token.type != END:
        return False
    after = source.whole[source.origin[-1] + 1 :][:80].lstrip()
    return after.startswith(",")


def _starts_line(stream: Sequence[Token], position: int, token: Token) -> bool:
    """Whether a word that starts statements stands where a bracket is still open."""
    return token.text in words() and position > 0 and stream[position - 1].end < token.start - 1
