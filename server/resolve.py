"""What the word at a place means: a name, something called, a setting, a word of the language."""

from __future__ import annotations

from dataclasses import dataclass

from ..spec.tree import Block, Import
from .callables import TABLES, Callee, Option
from .cursor import Cursor
from .definitions import Definition, callee_of, of_block
from .view import View
from .words import KEYWORDS, SETTINGS


@dataclass(frozen=True, slots=True)
class Meaning:
    """One of these is set, or `callee` and `option` together for a setting of a call."""

    definition: Definition | None = None
    callee: Callee | None = None
    option: Option | None = None
    keyword: str = ""
    imported: str = ""


CALLED = ("block", "net", "layer")


def resolve(view: View, cursor: Cursor) -> Meaning | None:
    """The meaning of the word at the cursor."""
    if cursor.inside == "text":
        return _import(view, cursor)
    if cursor.inside == "comment" or not cursor.word:
        return None
    if cursor.before == ".":
        return _attribute(view, cursor)
    if cursor.bracket == "(" and cursor.calls and cursor.after == "=":
        return _setting(view, cursor)
    definition = view.find(cursor, cursor.word)
    called = cursor.after == "(" or cursor.before == "->"
    if definition is not None and (not called or definition.kind in CALLED):
        block = view.callables.get(cursor.word) if definition.kind == "block" else None
        return Meaning(definition, block)
    kind = view.kind_at(cursor)
    callee = view.named(kind, cursor.word, cursor)
    if callee is None and kind == "operation":
        callee = _in_tables(cursor)
    if cursor.word in KEYWORDS and (callee is None or _as_keyword(cursor)):
        return Meaning(keyword=cursor.word)
    return Meaning(callee=callee) if callee is not None else None


def _as_keyword(cursor: Cursor) -> bool:
    return cursor.opening and cursor.after == "=" and cursor.word in SETTINGS


def _in_tables(cursor: Cursor) -> Callee | None:
    """A name that only the training section knows, wherever it stands."""
    from .callables import table

    for kind in TABLES:
        if cursor.word in table(kind) and (kind == "initialiser" or cursor.container != "body"):
            return table(kind)[cursor.word]
    return None


def _setting(view: View, cursor: Cursor) -> Meaning | None:
    """`name=` in a call: a parameter of what is called."""
    callee = view.callee(cursor, len(cursor.calls) - 1)
    option = callee.option(cursor.word) if callee is not None else None
    if option is None and callee is not None:
        return _weight_of(view, callee.name, cursor.word)
    return Meaning(callee=callee, option=option) if option is not None else None


def _attribute(view: View, cursor: Cursor) -> Meaning | None:
    """`layer.weight`: a weight of the block that the layer is made of."""
    if len(cursor.head) < 2:
        return None
    layer = view.find(cursor, cursor.head[-2])
    value = getattr(layer.node, "value", None) if layer is not None else None
    name = callee_of(value) if value is not None else None
    return _weight_of(view, name, cursor.word) if name is not None else None


def _weight_of(view: View, block: str, weight: str) -> Meaning | None:
    found = block_named(view, block)
    for each in of_block(found) if found is not None else []:
        if each.name == weight and each.kind == "weight":
            return Meaning(each)
    return None


def block_named(view: View, name: str) -> Block | None:
    """A block of the user or of the prelude."""
    from ..spec.prelude_index import prelude

    if name in view.blocks:
        return view.blocks[name]
    return prelude().get(name)


def _import(view: View, cursor: Cursor) -> Meaning | None:
    """The path of an import."""
    text = view.document.text
    line = text.position(cursor.offset).line + 1
    for each in view.document.file.imports:
        if isinstance(each, Import) and each.place.line == line:
            return Meaning(imported=each.path)
    return None
