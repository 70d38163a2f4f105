"""Findings as the protocol shows them: ranges, codes, hints, and the other places involved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from lsprotocol import types as lsp

from ..spec.errors import Diagnostic
from ..spec.place import Place
from .analysis import Analysis
from .texts import Text

UNUSED = "E204"
POINTER = re.compile(
    r"(?<![\w:])(?:(?P<file>[^\s:`]+\.(?:weft|ya?ml)):)?(?P<line>\d+):(?P<column>\d+)\b"
)

UriOf = Callable[[str], str | None]


def by_file(
    analysis: Analysis, path: str, encoding: str, uri_of: UriOf
) -> dict[str, list[lsp.Diagnostic]]:
    """The findings of an analysis under the paths of the files that they are in."""
    texts = {name: Text(text, encoding) for name, text in analysis.texts.items()}
    found: dict[str, list[lsp.Diagnostic]] = {path: []}
    for each in analysis.diagnostics:
        file = each.place.file if each.place is not None else path
        where = file if file in texts else path
        place = each.place if where == file else None
        shown = _diagnostic(each, texts[where], place, texts, uri_of)
        found.setdefault(where, []).append(shown)
    return found


def merged(lists: Iterable[list[lsp.Diagnostic]]) -> list[lsp.Diagnostic]:
    """What several specs say of one file, each finding once."""
    seen: dict[tuple[object, ...], lsp.Diagnostic] = {}
    for each in (each for found in lists for each in found):
        start = each.range.start
        seen.setdefault((start.line, start.character, each.code, each.message), each)
    return sorted(
        seen.values(), key=lambda each: (each.range.start.line, each.range.start.character)
    )


def _diagnostic(
    found: Diagnostic,
    text: Text,
    place: Place | None,
    texts: Mapping[str, Text],
    uri_of: UriOf,
) -> lsp.Diagnostic:
    hint = f"\nhint: {found.hint}" if found.hint else ""
    others = [*_notes(found, texts, uri_of), *_pointers(found, texts, uri_of)]
    return lsp.Diagnostic(
        range=text.of_place(place),
        message=f"{found.message}{hint}",
        severity=lsp.DiagnosticSeverity.Error,
        code=found.code,
        source="weft",
        tags=[lsp.DiagnosticTag.Unnecessary] if found.code == UNUSED else None,
        related_information=others or None,
        data={"hint": found.hint} if found.hint else None,
    )


def _notes(
    found: Diagnostic, texts: Mapping[str, Text], uri_of: UriOf
) -> list[lsp.DiagnosticRelatedInformation]:
    """The calls that led to the finding, and whatever else it names."""
    shown = []
    for place, said in found.notes:
        message = f"from here: {said}" if said.isidentifier() else said
        shown.append((place, message))
    return [each for place, said in shown if (each := _related(place, said, texts, uri_of))]


def _pointers(
    found: Diagnostic, texts: Mapping[str, Text], uri_of: UriOf
) -> list[lsp.DiagnosticRelatedInformation]:
    """The places that the hint mentions: ``axis 2: H//2 since max_pool at 3:27``."""
    if found.place is None or found.hint is None:
        return []
    result = []
    for pointer in POINTER.finditer(found.hint):
        file = pointer["file"] or found.place.file
        line, column = int(pointer["line"]), int(pointer["column"])
        text = texts.get(file)
        if text is None or not 1 <= line <= text.lines:
            continue
        width = re.compile(r"\w*").match(text.line(line - 1), column - 1)
        end = max(column + 1, width.end() + 1 if width else 0)
        said = found.hint[: pointer.end()].rpartition("; ")[2]
        one = _related(Place(file, line, column, end), said, texts, uri_of)
        result += [one] if one else []
    return result


def _related(
    place: Place, message: str, texts: Mapping[str, Text], uri_of: UriOf
) -> lsp.DiagnosticRelatedInformation | None:
    uri = uri_of(place.file)
    if uri is None or place.file not in texts:
        return None
    location = lsp.Location(uri, texts[place.file].of_place(place))
    return lsp.DiagnosticRelatedInformation(location, message)
