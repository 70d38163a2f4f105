"""The outline of a document: params, blocks, nets and the training, with the names in them."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types as lsp

from ..spec.place import Place
from ..spec.spell import expression, header, type_text
from ..spec.tree import Body, Step, Train
from .documents import Document
from .texts import Text

Kind = lsp.SymbolKind


def symbols(document: Document) -> list[lsp.DocumentSymbol]:
    """The answer to `textDocument/documentSymbol`."""
    file, text = document.file, document.text
    found = [
        _symbol(text, each.name, Kind.Constant, each.place, expression(each.value))
        for each in file.params
    ]
    for variant in file.variants:
        inner = [
            _symbol(text, each.name, Kind.Constant, each.place, expression(each.value))
            for each in variant.settings
        ]
        found.append(_symbol(text, variant.name, Kind.Enum, variant.place, "variant", inner))
    for block in file.blocks:
        said = header("", block.parameters)
        found.append(
            _symbol(text, block.name, Kind.Class, block.place, said, _body(text, block.body))
        )
    for net in file.nets:
        found.append(_symbol(text, net.name, Kind.Module, net.place, "net", _body(text, net.body)))
    if file.train is not None:
        found.append(_train(text, file.train))
    return extended(text, found, text.lines - 1)


def extended(text: Text, found: list[lsp.DocumentSymbol], last: int) -> list[lsp.DocumentSymbol]:
    """Each symbol reaches to the line before the next one; empty lines between belong to none."""
    found.sort(key=lambda each: (each.range.start.line, each.range.start.character))
    for index, symbol in enumerate(found):
        end = last
        if index + 1 < len(found):
            end = max(found[index + 1].range.start.line - 1, symbol.range.start.line)
        while end > symbol.range.start.line and _blank(text.line(end)):
            end -= 1
        if index + 1 == len(found) or found[index + 1].range.start.line > symbol.range.start.line:
            stop = text.position(text.starts[end] + len(text.line(end)))
            symbol.range = lsp.Range(symbol.range.start, stop)
        if symbol.children:
            inner = end - 1 if text.line(end).strip() == "}" else end
            symbol.children = extended(text, list(symbol.children), inner)
    return found


def _blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _body(text: Text, body: Body) -> list[lsp.DocumentSymbol]:
    found = [
        _symbol(text, each.name, Kind.Interface, each.place, type_text(each.type))
        for each in body.inputs
    ]
    found += [
        _symbol(text, each.name, Kind.Function, each.place, expression(each.value))
        for each in body.lets
    ]
    found += [
        _symbol(text, each.name, Kind.Field, each.place, type_text(each.type))
        for each in body.weights
    ]
    for assign in body.values:
        found += _named(text, assign.names, assign.places or (assign.place,))
    return found


def _train(text: Text, train: Train) -> lsp.DocumentSymbol:
    inner = [
        _symbol(text, each.name, Kind.Property, each.place, expression(each.value))
        for each in train.settings
    ]
    for data in train.data:
        inner += _named(text, data.names, data.places, expression(data.source))
    inner += [_step(text, step) for step in train.steps]
    return _symbol(text, "train", Kind.Namespace, train.place, "", inner)


def _step(text: Text, step: Step) -> lsp.DocumentSymbol:
    inner = [
        _symbol(text, each.name, Kind.Property, each.place, expression(each.value))
        for each in step.settings
    ]
    for assign in step.values:
        inner += _named(text, assign.names, assign.places or (assign.place,))
    inner += [
        _symbol(text, each.name, Kind.Property, each.place, "metric") for each in step.metrics
    ]
    detail = f"updates {', '.join(step.updates)}"
    return _symbol(text, step.name, Kind.Method, step.place, detail, inner)


def _named(
    text: Text, names: Iterable[str], places: Iterable[Place], detail: str = ""
) -> list[lsp.DocumentSymbol]:
    return [
        _symbol(text, name, Kind.Variable, place, detail)
        for name, place in zip(names, places, strict=False)
    ]


def _symbol(
    text: Text,
    name: str,
    kind: lsp.SymbolKind,
    place: Place,
    detail: str = "",
    children: list[lsp.DocumentSymbol] | None = None,
) -> lsp.DocumentSymbol:
    where = text.of_place(place)
    begin = where.start
    if children is not None:  # the keyword is part of it
        line = text.line(place.line - 1)
        begin = lsp.Position(begin.line, len(line) - len(line.lstrip()))
    return lsp.DocumentSymbol(
        name, kind, lsp.Range(begin, where.end), where, detail or None, children=children or None
    )
