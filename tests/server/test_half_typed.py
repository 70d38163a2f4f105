"""Texts as they are between two keystrokes: every question has an answer, and no exception."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from lsp_client import Client

from weft.server.analysis import analyse
from weft.server.completion import completion
from weft.server.definition import definition
from weft.server.documents import Document, Documents, Drift
from weft.server.formatting import formatting
from weft.server.hover import hover
from weft.server.signature_help import signature_help
from weft.server.symbols import symbols
from weft.server.view import View

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECS = [
    EXAMPLES / "digits" / "digits.weft",
    EXAMPLES / "digits" / "digits.yaml",
    EXAMPLES / "descent" / "descent.weft",
    EXAMPLES / "surfaces" / "sine.weft",
]
JUNK = ["", " ", "(", "->", "{", '"', "= ", "\n", "[", ".", ", ", "}", "#", ":", "- ", "é𝄞"]
CHANGES = 40


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_question_about_every_text(path: Path) -> None:
    chance = random.Random(path.name)
    text = path.read_text()
    documents = Documents()
    document = documents.put(path.as_uri(), path.suffix[1:], text, 1)
    assert document.ours
    document.take(analyse(documents.request(document)))
    assert document.good is not None
    for version in range(2, CHANGES + 2):
        cut, junk = chance.randrange(len(text)), chance.choice(JUNK)
        rest = chance.choice(["", text[cut:], text[cut + chance.randrange(30) :]])
        document.change(text[:cut] + junk + rest, version)
        ask_everything(documents, document, cut + len(junk))
        ask_everything(documents, document, chance.randrange(len(document.text.content) + 1))
        if version % 8 == 0:
            document.take(analyse(documents.request(document)))
    assert document.good.version == 1 or document.good.program is not None


def ask_everything(documents: Documents, document: Document, offset: int) -> None:
    view = View(document, documents)
    for ask in (hover, completion, definition, signature_help):
        ask(view, offset)
    symbols(document)
    formatting(document)


def test_the_server_survives_a_text_typed_letter_by_letter(editor: Client, folder: Path) -> None:
    text = SPECS[0].read_text()
    uri = editor.open(folder / "typed.weft", "")
    for end in range(0, len(text), 7):
        editor.change(uri, text[:end])
        lines = editor.texts[uri].split("\n")
        here = {"line": len(lines) - 1, "character": len(lines[-1])}
        for question in ("hover", "completion", "signatureHelp", "definition"):
            asked = {"textDocument": {"uri": uri}, "position": here}
            editor.request(f"textDocument/{question}", asked)
    editor.change(uri, text)
    assert editor.diagnostics(uri) == []


def test_lines_are_followed_through_changes() -> None:
    drift = Drift.between("a\nb\nc\nd\n", "a\nnew\nb\nc2\nd\n")
    assert [drift.now(line) for line in (1, 2, 3, 4)] == [1, 3, 4, 5]
    assert [drift.then(line) for line in (1, 2, 3, 4, 5)] == [1, None, 2, 3, 4]
    assert Drift.between("a", "a").now(7) == 7


def test_large_changes_keep_what_is_round_them() -> None:
    before = "\n".join(["head", *(f"a{i}" for i in range(2000)), "tail"])
    now = "\n".join(["head", *(f"b{i}" for i in range(3000)), "tail"])
    drift = Drift.between(before, now)
    assert (drift.now(1), drift.now(1000), drift.now(2002)) == (1, None, 3002)
