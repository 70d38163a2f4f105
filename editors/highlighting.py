"""Writes the files of highlighting from the tables of the language; `make snapshots` runs it.

Patterns are of the kind that Python's `re`, TextMate's Oniguruma and Vim can all express.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from weft.compiler.build.intrinsics import INTRINSICS
from weft.compiler.schema import DTYPES
from weft.spec.functions import FUNCTIONS
from weft.spec.initialisers import INITIALISERS
from weft.spec.lexer import words
from weft.spec.optimizers import OPTIMIZERS
from weft.spec.prelude_index import prelude
from weft.spec.schedules import SCHEDULES
from weft.spec.sources import SOURCES
from weft.spec.stopping import STOPPING

HERE = Path(__file__).parent
TEXTMATE = HERE / "vscode" / "syntaxes" / "weft.tmLanguage.json"
VIM = HERE / "vim" / "syntax" / "weft.vim"

CONTROL = ("residual", "branch", "repeat", "as", "for", "if", "else")
LOGIC = ("and", "or", "not")
CONSTANTS = ("true", "false")
NAMED = ("block", "net", "step", "variant")  # a name of the user's follows
AT_START = ("weight",)  # elsewhere it is an ordinary name
STATEMENTS = sorted(set(words()) - {*CONTROL, *LOGIC, *CONSTANTS, *AT_START})

OPERATIONS = sorted(
    {*INTRINSICS, *FUNCTIONS, *(name for name in prelude() if not name.startswith("_"))}
)
TRAINING = sorted({*SOURCES, *OPTIMIZERS, *SCHEDULES, *INITIALISERS, *STOPPING} - {*OPERATIONS})

NAME = "[A-Za-z_][A-Za-z0-9_]*"


def textmate() -> dict[str, Any]:
    """The grammar that Visual Studio Code and others read; the first pattern that fits wins."""
    return {
        "name": "weft",
        "scopeName": "source.weft",
        "fileTypes": ["weft"],
        "patterns": [
            {"name": "comment.line.number-sign.weft", "match": "#.*$"},
            {
                "name": "string.quoted.double.weft",
                "match": r'"(?:[^"\\]|\\.)*"',
            },
            {"name": "variable.parameter.weft", "match": rf"\b{NAME}(?=\s*=(?!=))"},
            {"name": "variable.other.member.weft", "match": rf"(?<=[A-Za-z0-9_)\]]\.){NAME}"},
            {
                "match": rf"\b({_either(NAMED)})\s+({NAME})",
                "captures": {
                    "1": {"name": "keyword.declaration.weft"},
                    "2": {"name": "entity.name.function.weft"},
                },
            },
            _words("keyword.declaration.weft", STATEMENTS),
            {
                "name": "keyword.declaration.weft",
                "match": rf"\b(?:{_either(AT_START)})(?=\s+{NAME}\s*:)",
            },
            _words("keyword.control.weft", CONTROL),
            _words("keyword.operator.logical.weft", LOGIC),
            _words("constant.language.weft", CONSTANTS),
            _words("storage.type.weft", DTYPES),
            {
                "name": "constant.numeric.weft",
                "match": r"\b[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\b",
            },
            _words("support.function.weft", OPERATIONS),
            _words("support.class.weft", TRAINING),
            {"name": "entity.name.function.weft", "match": rf"\b{NAME}(?=\()"},
            {"name": "variable.other.weft", "match": rf"\b{NAME}"},
            {"name": "keyword.operator.arrow.weft", "match": "->"},
            {"name": "keyword.operator.weft", "match": r"\*\*|//|==|!=|<=|>=|[-+*/%<>=|]"},
        ],
    }


def vim() -> str:
    """The syntax file of Vim and Neovim; of two rules that begin together the later one wins."""
    return "\n".join(
        [
            '" Written by editors/highlighting.py',
            'if exists("b:current_syntax") | finish | endif',
            "",
            r"syntax match weftCall /\<\h\w*\ze(/",
            *_vim_words("weftOperation", OPERATIONS),
            *_vim_words("weftTraining", TRAINING),
            *_vim_words("weftType", DTYPES),
            *_vim_words("weftStatement", STATEMENTS),
            rf"syntax match weftStatement /\<\%({'|'.join(AT_START)}\)\ze\s\+\h\w*\s*:/",
            *_vim_words("weftControl", CONTROL),
            *_vim_words("weftLogic", LOGIC),
            *_vim_words("weftConstant", CONSTANTS),
            r"syntax match weftMember /\w\@<=\.\zs\h\w*/",
            r"syntax match weftSetting /\<\h\w*\ze\s*==\@!/",
            r"syntax match weftNumber /\<\d\+\%(\.\d\+\)\?\%([eE][+-]\?\d\+\)\?\>/",
            r"syntax match weftArrow /->/",
            r'syntax region weftString start=/"/ skip=/\\./ end=/"/ oneline',
            "syntax match weftComment /#.*$/ contains=weftTodo,@Spell",
            "syntax keyword weftTodo TODO FIXME contained",
            "",
            *(f"highlight default link weft{group} {to}" for group, to in LINKS.items()),
            "",
            'let b:current_syntax = "weft"',
            "",
        ]
    )


LINKS = {
    "Call": "Function",
    "Operation": "Function",
    "Training": "Identifier",
    "Type": "Type",
    "Statement": "Statement",
    "Control": "Conditional",
    "Logic": "Operator",
    "Constant": "Boolean",
    "Member": "Identifier",
    "Setting": "Identifier",
    "Number": "Number",
    "Arrow": "Operator",
    "String": "String",
    "Comment": "Comment",
    "Todo": "Todo",
}


def _either(names: object) -> str:
    assert isinstance(names, (list, tuple))
    return "|".join(map(re.escape, names))


def _words(scope: str, names: object) -> dict[str, str]:
    return {"name": scope, "match": rf"\b(?:{_either(names)})\b"}


def _vim_words(group: str, names: object) -> list[str]:
    r"""Matches and not keywords, which nothing could overrule: `conv(in=3)` names a setting."""
    assert isinstance(names, (list, tuple))
    return [rf"syntax match {group} /\<\%({chr(92) + '|'}\)\>/".replace(r"\|", r"\|".join(names))]


def main() -> None:
    """Write both."""
    TEXTMATE.write_text(json.dumps(textmate(), indent=2) + "\n", encoding="utf-8")
    VIM.write_text(vim(), encoding="utf-8")


if __name__ == "__main__":
    main()
