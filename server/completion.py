"""What can be written at the cursor: operations, settings, words, names, keywords, YAML keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lsprotocol import types as lsp

from ..compiler.build.values import Tensor, show
from . import yaml_cursor
from .callables import Callee, table
from .cursor import Cursor, names_after
from .definitions import Definition
from .view import View
from .words import DTYPES, KEYWORDS, OPENING, STATIC, STRUCTURES

Kind = lsp.CompletionItemKind
KINDS = {
    "param": Kind.Constant,
    "parameter": Kind.Constant,
    "size": Kind.Constant,
    "loop index": Kind.Constant,
    "layer": Kind.Function,
    "block": Kind.Class,
    "net": Kind.Module,
    "weight": Kind.Field,
    "data field": Kind.Field,
}
TRIGGERS = ("(", ",", "=", " ", ".", ">")
EXPRESSION_BEGINS = (
    "", "(", "[", ",", "=", "|", "{", "+", "-", "*", "/", "//", "%", "**", "and", "or", "not", ":",
    "==", "!=", "<", ">", "<=", ">=", "if", "repeat", "in",
)  # fmt: skip


def completion(view: View, offset: int) -> list[lsp.CompletionItem]:
    """The answer to `textDocument/completion`."""
    cursor = view.document.cursor(offset)
    if cursor.inside != "code":
        return []
    found = list(_yaml(view, cursor) if view.document.yaml else _weft(view, cursor))
    unique: dict[str, lsp.CompletionItem] = {}
    for item in found:
        unique.setdefault(item.label, item)
    return list(unique.values())


# ---- the two forms -----------------------------------------------------------------------------


def _weft(view: View, cursor: Cursor) -> Iterator[lsp.CompletionItem]:
    if cursor.opening:
        yield from _keywords(OPENING.get(cursor.container, ()))
        if cursor.container == "body":
            yield from _names(view, cursor)
            yield from _operations(view)
        elif cursor.container == "variant":
            yield from _params(view)
        return
    if cursor.container == "file" and cursor.statement != "param" and not cursor.calls:
        if cursor.statement == "default":
            yield from _operations(view)
        return
    if cursor.before == "updates" or ("updates" in cursor.head and cursor.before == ","):
        yield from _called(view, "net")
    elif (
        cursor.statement in ("in", "weight", "data") and cursor.before == ":" and not cursor.bracket
    ):
        yield from (_item(each, Kind.TypeParameter, "") for each in DTYPES)
    elif cursor.statement == "in" and cursor.bracket != "[":
        return
    else:
        yield from _expression(view, cursor)
        if cursor.head and cursor.head[-1] not in EXPRESSION_BEGINS and cursor.bracket != "(":
            yield from _keywords(("as",))


def _yaml(view: View, cursor: Cursor) -> Iterator[lsp.CompletionItem]:
    if not cursor.opening:
        if cursor.statement == "updates" or cursor.head[:1] == ("updates",):
            yield from _called(view, "net")
        elif cursor.statement == "in" and not cursor.bracket:
            yield from (_item(each, Kind.TypeParameter, "") for each in DTYPES)
        else:
            yield from _expression(view, cursor)
        return
    content = view.document.text.content
    path, beside = yaml_cursor.keys_at(content, cursor.start)
    keys = yaml_cursor.allowed(path, beside)
    if path[-1:] == ("type",):
        yield from (_item(each, Kind.TypeParameter, "") for each in DTYPES)
        return
    if path == ("train",):
        keys = OPENING["train"]
    if path == ("param",) or (path[:1] == ("variant",) and len(path) == 2):
        yield from _params(view)
    begin = content.rfind("\n", 0, cursor.start) + 1
    dashed = "-" in content[begin : cursor.start]
    if keys is not None:
        for key in STRUCTURES if dashed else keys:
            if key not in beside:
                yield _item(key, Kind.Property, KEYWORDS.get(key, ""), f"{key}: ")
    if dashed or (keys is not None and "residual" in keys):
        yield from _expression(view, cursor)


# ---- places in an expression -------------------------------------------------------------------


def _expression(view: View, cursor: Cursor) -> Iterator[lsp.CompletionItem]:
    if cursor.before == ".":
        yield from _weights(view, cursor)
        return
    kind = view.kind_at(cursor)
    if cursor.bracket == "(" and cursor.calls:
        call = cursor.calls[-1]
        callee = view.callee(cursor, len(cursor.calls) - 1)
        if cursor.before in ("(", ",") and callee is not None:
            yield from _settings(callee, (*call.given, *names_after(cursor_text(view), cursor.end)))
        words = list(_words(callee, call.argument)) if callee and call.argument else []
        if words:
            yield from words
            yield from _names(view, cursor)
            return
    if cursor.before == "->":
        yield from _operations(view)
        yield from (each for each in _names(view, cursor) if each.kind == Kind.Function)
        yield from _keywords(STRUCTURES)
    elif cursor.before in EXPRESSION_BEGINS:
        if kind != "operation":
            yield from _table(kind)
        yield from _names(view, cursor)
        if kind == "operation" and cursor.bracket != "[":
            yield from _operations(view)
        if kind == "operation":
            yield from (_item(n, Kind.Function, doc) for n, doc in STATIC.items())


def cursor_text(view: View) -> str:
    """The text of the document."""
    return view.document.text.content


def _settings(callee: Callee, given: Iterable[str]) -> Iterator[lsp.CompletionItem]:
    for order, option in enumerate(callee.options):
        if option.name not in given:
            detail = str(option) + (f": {option.doc}" if option.doc else "")
            item = _item(f"{option.name}=", Kind.Property, detail)
            item.sort_text = f"0{order:02}"
            item.filter_text = option.name
            yield item


def _words(callee: Callee, argument: str) -> Iterator[lsp.CompletionItem]:
    option = callee.option(argument)
    if option is None:
        return
    for order, word in enumerate(option.words):
        item = _item(word, Kind.EnumMember, f"{callee.name}: {option}")
        item.sort_text = f"0{order:02}"
        yield item


def _weights(view: View, cursor: Cursor) -> Iterator[lsp.CompletionItem]:
    """After `layer.`: the weights of the block that the layer is made of."""
    from .definitions import of_block
    from .resolve import block_named

    if len(cursor.head) < 2:
        return
    callee = view.named("operation", cursor.head[-2], cursor)
    block = block_named(view, callee.name) if callee is not None else None
    for each in of_block(block) if block is not None else ():
        if each.kind == "weight":
            yield _item(each.name, Kind.Field, f"weight of {block.name if block else ''}")


# ---- what can stand there ----------------------------------------------------------------------


def _operations(view: View) -> Iterator[lsp.CompletionItem]:
    for callee in view.callables.values():
        kind = {"block": Kind.Class, "net": Kind.Module}.get(callee.kind, Kind.Function)
        yield _called_item(callee, kind)


def _called(view: View, kind: str) -> Iterator[lsp.CompletionItem]:
    for callee in view.callables.values():
        if callee.kind == kind:
            yield _called_item(callee, KINDS.get(kind, Kind.Function))


def _table(kind: str) -> Iterator[lsp.CompletionItem]:
    for callee in table(kind).values():
        item = _called_item(callee, Kind.Function)
        item.sort_text = f"1{callee.name}"
        yield item


def _called_item(callee: Callee, kind: lsp.CompletionItemKind) -> lsp.CompletionItem:
    item = _item(callee.name, kind, callee.label)
    item.documentation = callee.doc or None
    item.sort_text = f"5{callee.name}"
    return item


def _names(view: View, cursor: Cursor) -> Iterator[lsp.CompletionItem]:
    for each in view.visible(cursor):
        if each.kind in ("block", "net", "step", "metric", "loss"):
            continue
        if each.place.line == view.document.text.position(cursor.offset).line + 1 and _being_made(
            view, each, cursor
        ):
            continue
        item = _item(each.name, KINDS.get(each.kind, Kind.Variable), _about(view, each))
        item.sort_text = f"2{each.name}"
        yield item


def _being_made(view: View, definition: Definition, cursor: Cursor) -> bool:
    """Is this the name of the statement in which the cursor stands?"""
    return definition.kind == "value" and cursor.head[:1] == (definition.name,)


def _about(view: View, definition: Definition) -> str:
    for each in view.bindings(definition):
        if isinstance(each.value, Tensor):
            return f"{definition.kind} {each.value.type}"
    if definition.kind == "param":
        value = view.constant(definition.name)
        return f"param = {show(value)}" if value is not None else "param"
    return definition.kind


def _params(view: View) -> Iterator[lsp.CompletionItem]:
    for each in view.definitions:
        if each.kind == "param":
            yield _item(each.name, Kind.Constant, _about(view, each))


def _keywords(words: Iterable[str]) -> Iterator[lsp.CompletionItem]:
    for word in words:
        item = _item(word, Kind.Keyword, KEYWORDS.get(word, ""))
        item.sort_text = f"4{word}"
        yield item


def _item(
    label: str, kind: lsp.CompletionItemKind, detail: str, insert: str | None = None
) -> lsp.CompletionItem:
    return lsp.CompletionItem(label, kind=kind, detail=detail or None, insert_text=insert)
