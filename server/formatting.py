"""The canonical form of a document, as the smallest single edit."""

from __future__ import annotations

from lsprotocol import types as lsp

from ..spec.errors import WeftError
from ..spec.format import write_weft, write_yaml
from ..spec.load import read_text
from .documents import Document
from .texts import Text


def formatting(document: Document) -> list[lsp.TextEdit]:
    """The answer to `textDocument/formatting`; a text with errors stays as it is."""
    text = document.text
    try:
        tree = read_text(text.content, document.path)
    except WeftError:
        return []
    canonical = (write_yaml if document.yaml else write_weft)(tree)
    return [] if canonical == text.content else [edit(text, canonical)]


def edit(text: Text, wanted: str) -> lsp.TextEdit:
    """From one text to another without touching the lines that both begin and end with."""
    have, want = text.content.splitlines(True), wanted.splitlines(True)
    first = 0
    while first < min(len(have), len(want)) and have[first] == want[first]:
        first += 1
    last = 0
    while last < min(len(have), len(want)) - first and have[-1 - last] == want[-1 - last]:
        last += 1
    start = sum(map(len, have[:first]))
    end = len(text.content) - sum(map(len, have[len(have) - last :]))
    return lsp.TextEdit(text.range(start, end), "".join(want[first : len(want) - last]))
