"""Hints for what people bring along from other languages, and for slips of the hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .lexer import ENDS_VALUE, Token

STRUCTURE_WORDS = ("RESIDUAL", "BRANCH", "REPEAT", "FOR", "IF")
OPERATORS = frozenset(
    [
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
    ]
)
BODIES = ("NET", "BLOCK", "TRAIN", "STEP", "VARIANT")
CLOSES = {"LPAR": ")", "LSQB": "]"}
ELEMENT = re.compile(r"(b?f|float|i|int|u?int|bool)\d*")
WORDS = {
    "return": "`out h` names the result of a body",
    "elif": "conditions go on with `else if`",
    "def": "templates are blocks: `block name(c) { … }`",
    "class": "templates are blocks: `block name(c) { … }`",
    "from": 'files are imported by path: `import "blocks.weft"`',
    "lambda": "templates are blocks: `block name(c) { … }`",
}


@dataclass(frozen=True, slots=True)
class Slip:
    """An unexpected token with what stands round it.

    `opener` is the first token of its statement, `bracket` the innermost one that is open.
    """

    token: Token
    before: Token
    earlier: Token | None
    after: Token | None
    opener: Token
    bracket: Token | None
    statement: Sequence[Token]


def habit(stream: Sequence[Token], begun: int, position: int, bracket: Token | None) -> str | None:
    """What to write instead, if the mistake is a well-known one."""
    token = stream[position]
    if token.text in WORDS:
        return WORDS[token.text]
    if position == begun:
        return None
    slip = Slip(
        token,
        stream[position - 1],
        stream[position - 2] if position - begun > 1 else None,
        stream[position + 1] if position + 1 < len(stream) else None,
        stream[begun],
        bracket,
        stream[begun:position],
    )
    return next((hint for rule in RULES if (hint := rule(slip)) is not None), None)


def _names(slip: Slip) -> str | None:
    """`(a, b) = f(x)`."""
    if slip.token.type == "EQUAL" and slip.before.type == "RPAR" and slip.opener.type == "LPAR":
        return "names stand without parentheses: `a, b = f(x)`"
    return None


def _arrow(slip: Slip) -> str | None:
    """`- >`, `=>`, `>>`, `|>`."""
    after = slip.after
    glued = after is not None and after.text in (">", ">=")
    if glued and slip.token.text in ("-", "=", "|", ">"):
        return "an arrow is written `->`"
    return "an arrow is written `->`" if slip.token.text == ">" == slip.before.text[-1:] else None


def _colon(slip: Slip) -> str | None:
    """`net n:`, `param d: 8`, `h := x`, `f(a: 1)`."""
    if slip.token.type != "COLON":
        return None
    if slip.opener.type in BODIES and slip.bracket is None:
        return f"bodies stand in braces: `{slip.opener.text} … {{ … }}`"
    if slip.before.type != "NAME":
        return "`:` stands in types, slices and mappings"
    if slip.bracket is not None:
        return f"settings are given with `=`: `{slip.before.text}=…`"
    return f"values are given with `=`: `{slip.before.text} = …`"


def _type(slip: Slip) -> str | None:
    """`in x = f32[B]`, `in x f32[B]`, `in x: f32`."""
    if slip.opener.type not in ("IN", "DATA", "WEIGHT") or slip.bracket is not None:
        return None
    if slip.earlier is not None and slip.earlier.type == "COLON" and slip.before.type == "NAME":
        return "a type has its sizes in brackets: `f32[B, 64]`; `f32[]` is a single number"
    typed = slip.token.type in ("EQUAL", "LSQB") or ELEMENT.fullmatch(slip.token.text)
    if slip.opener.type in ("IN", "DATA") and slip.before.type == "NAME" and typed:
        return f"a type follows `:`: `{slip.before.text}: f32[B, 64]`"
    return None


def _path(slip: Slip) -> str | None:
    if slip.before.type == "IMPORT":
        return 'files are imported by their path in quotes: `import "blocks.weft"`'
    return None


def _bracket(slip: Slip) -> str | None:
    """`linear[8]`, `linear{8}`, `linear(8]`."""
    token, bracket = slip.token, slip.bracket
    if token.type in ("RPAR", "RSQB") and bracket is not None and bracket.type in CLOSES:
        if CLOSES[bracket.type] != token.text and slip.before.type in ENDS_VALUE:
            return f"`{bracket.text}` is closed by `{CLOSES[bracket.type]}`"
        return None
    staged = slip.earlier is not None and slip.earlier.type == "_ARROW"
    if token.type in ("LSQB", "LBRACE") and slip.before.type == "NAME" and staged:
        return f"settings stand in parentheses: `{slip.before.text}(…)`"
    return None


def _dot(slip: Slip) -> str | None:
    """`x -> nn.ReLU()`."""
    staged = slip.earlier is not None and slip.earlier.type == "_ARROW"
    if slip.token.type == "DOT" and slip.before.type == "NAME" and staged:
        return "operations have no dots in their names: `x -> relu`"
    return None


def _stage(slip: Slip) -> str | None:
    """`x -> 3`, `x -> f + y`."""
    if slip.before.type == "_ARROW" and slip.token.type in ("NUMBER", "STRING", "LSQB", "LPAR"):
        return "only operations, blocks, nets and layers can follow `->`"
    kinds = [each.type for each in slip.statement]
    last = len(kinds) - kinds[::-1].index("_ARROW") if "_ARROW" in kinds else None
    plain = last is not None and not {*STRUCTURE_WORDS, "AS"} & set(kinds[last:])
    if slip.token.type in OPERATORS and plain and slip.bracket is None:
        return f"give the pipeline its own parentheses: `(x -> f) {slip.token.text} y`"
    return None


def _arm(slip: Slip) -> str | None:
    """`if c relu`, `repeat 3 relu`."""
    if slip.before.type not in ENDS_VALUE or slip.token.type != "NAME" or slip.bracket is not None:
        return None
    words = [each for each in slip.statement if each.type in (*STRUCTURE_WORDS, "LBRACE")]
    if words and words[-1].type in ("REPEAT", "FOR", "IF"):
        return f"what `{words[-1].text}` holds stands in braces: `{words[-1].text} … {{ f }}`"
    return None


def _choice(slip: Slip) -> str | None:
    """`x if c { f }`, `x if c`."""
    kinds = [each.type for each in slip.statement]
    if "IF" not in kinds or "ELSE" in kinds or slip.token.type not in ("LBRACE", "_NL", "RPAR"):
        return None
    at = kinds.index("IF")
    if at and kinds[at - 1] in ENDS_VALUE:
        return "a value is chosen by `a if condition else b`, layers by `x -> if condition { f }`"
    return None


RULES: tuple[Callable[[Slip], str | None], ...] = (
    _names,
    _arrow,
    _path,
    _colon,
    _type,
    _bracket,
    _dot,
    _stage,
    _arm,
    _choice,
)
