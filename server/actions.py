"""Quick fixes: a hint that says what was meant is offered as an edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lsprotocol import types as lsp

from .documents import Document

MEANT = re.compile(r"did you mean `([^`]+)`\?|(?:it |PyTorch's `\w+` )is called `([^`]+)` here")
QUOTED = re.compile(r"`([^`]+)`")


def actions(document: Document, found: Iterable[lsp.Diagnostic]) -> list[lsp.CodeAction]:
    """The answer to `textDocument/codeAction` for the diagnostics at the cursor."""
    return [action for each in found for action in _fixes(document, each)]


def _fixes(document: Document, found: lsp.Diagnostic) -> Iterator[lsp.CodeAction]:
    message, _, hint = found.message.partition("\nhint: ")
    meant = MEANT.search(hint)
    if meant is None:
        return
    word = meant[1] or meant[2]
    text = document.text
    start, end = text.offset(found.range.start), text.offset(found.range.end)
    for wrong in QUOTED.findall(message):
        place = re.compile(rf"(?<!\w){re.escape(wrong)}(?!\w)").search(text.content, start, end)
        if place is not None and wrong != word:
            edit = lsp.TextEdit(text.range(place.start(), place.end()), word)
            yield lsp.CodeAction(
                f"change `{wrong}` to `{word}`",
                kind=lsp.CodeActionKind.QuickFix,
                diagnostics=[found],
                is_preferred=True,
                edit=lsp.WorkspaceEdit(changes={document.uri: [edit]}),
            )
            return
