"""Where the word at a place is defined: in this file, an imported one, or the prelude."""

from __future__ import annotations

from pathlib import Path

from lsprotocol import types as lsp
from pygls import uris

from ..spec.place import Place
from .resolve import resolve
from .view import View


def definition(view: View, offset: int) -> lsp.Location | None:
    """The answer to `textDocument/definition`."""
    meaning = resolve(view, view.document.cursor(offset))
    if meaning is None:
        return None
    if meaning.imported:
        return _file(view, meaning.imported)
    if meaning.option is not None:
        return _location(view, meaning.option.place)
    if meaning.definition is not None:
        return _location(view, meaning.definition.place)
    return _location(view, meaning.callee.place if meaning.callee is not None else None)


def _location(view: View, place: Place | None) -> lsp.Location | None:
    if place is None:
        return None
    uri, text = view.documents.uri_of(place.file), view.documents.text_of(place.file)
    if uri is None or text is None:
        return None
    return lsp.Location(uri, text.of_place(place))


def _file(view: View, path: str) -> lsp.Location | None:
    if view.document.folder is None:
        return None
    target = (view.document.folder / path).resolve()
    if not target.is_relative_to(view.document.folder.resolve()) or not target.is_file():
        return None
    start = lsp.Position(0, 0)
    uri = view.documents.uri_of(str(target)) or uris.from_fs_path(str(Path(target)))
    return lsp.Location(uri, lsp.Range(start, start)) if uri is not None else None
