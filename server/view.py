"""One document as a request sees it: its names and calls now, its types as last known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..compiler.build import Program
from ..compiler.build.trace import Binding, Use
from ..spec.place import Place
from ..spec.tree import Block, Let, Net
from .analysis import Analysis, closed, readable
from .callables import Callee, callables, table
from .cursor import Cursor
from .definitions import Definition, callee_of, definitions, nearest, of_block, visible
from .documents import LARGEST_AT_ONCE, Document, Documents


@dataclass(frozen=True, slots=True)
class Seen:
    """A call as the elaboration saw it, once or more, and the program that it is part of."""

    uses: tuple[Use, ...]
    places: frozenset[Place]
    program: Program | None


@dataclass(frozen=True)
class View:
    """A document among the others; made anew for each request."""

    document: Document
    documents: Documents

    # ---- names -----------------------------------------------------------------------------

    @cached_property
    def definitions(self) -> list[Definition]:
        """The names of the document as it is now, and those that cannot be read at the moment."""
        now = definitions(self.document.file)
        known = {(each.name, each.owner) for each in now}
        good = self.document.good
        if good is None or good.content == self.document.text.content:
            return now
        drift = self.document.drift(good)
        for each in definitions(good.file):
            line = drift.now(each.place.line)
            if (each.name, each.owner) not in known and line is not None:
                now.append(_moved(each, line))
        return now

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """The blocks of the document and of what it imports."""
        found: dict[str, Block] = {}
        for analysis, _ in reversed(list(self.document.known())):
            if analysis.spec is not None:
                found |= analysis.spec.blocks.own
        return found | {block.name: block for block in self.document.file.blocks}

    @cached_property
    def callables(self) -> Mapping[str, Callee]:
        """Everything that can be called, by name."""
        texts = {self.document.path: self.document.text.content}
        for analysis, _ in self.document.known():
            texts = {**analysis.texts, **texts}
        nets: dict[str, Net] = {}
        if self.document.good is not None:
            nets = {net.name: net for net in self.document.good.file.nets}
        nets |= {net.name: net for net in self.document.file.nets}
        return callables(iter(self.blocks.values()), iter(nets.values()), texts)

    def visible(self, cursor: Cursor) -> list[Definition]:
        """The names that the text at the cursor can use."""
        found = self.definitions
        if cursor.owner and all(each.owner != cursor.owner for each in found):
            found = [*found, *self._unfinished(cursor)]
        return visible(found, cursor.owner, cursor.container)

    def _unfinished(self, cursor: Cursor) -> list[Definition]:
        """The names of a block, net or step that is open at the cursor and never closed."""
        if self.document.yaml or len(self.document.text.content) > LARGEST_AT_ONCE:
            return []
        mended = closed(self.document.text.content, cursor.offset)
        return definitions(readable(mended, self.document.path)[0])

    def find(self, cursor: Cursor, name: str) -> Definition | None:
        """What a name at the cursor means, if the document defines it or imports it."""
        line = self.document.text.position(cursor.offset).line + 1
        found = nearest(self.visible(cursor), name, line)
        if found is None and name in self.blocks:
            return of_block(self.blocks[name])[0]
        return found

    # ---- calls -----------------------------------------------------------------------------

    def kind_at(self, cursor: Cursor, depth: int | None = None) -> str:
        """What can be called at the cursor: `operation`, or the name of a table.

        `depth`: inside so many of the open calls.
        """
        calls = cursor.calls if depth is None else cursor.calls[:depth]
        if not calls:
            return _of_statement(cursor)
        outer = self.callee(cursor, len(calls) - 1)
        argument = calls[-1].argument
        if outer is None or argument is None:
            return "operation"
        option = outer.option(argument)
        if option is not None and option.starts:
            return "initialiser"
        return "schedule" if outer.kind == "optimizer" and argument == "lr" else "operation"

    def callee(self, cursor: Cursor, index: int) -> Callee | None:
        """What one of the open calls calls."""
        return self.named(self.kind_at(cursor, index), cursor.calls[index].name, cursor)

    def named(self, kind: str, name: str, cursor: Cursor) -> Callee | None:
        """What a name calls where such a kind stands; a layer calls what it is made of."""
        if kind != "operation":
            return table(kind).get(name)
        layer = self.find(cursor, name)
        if layer is not None and layer.kind == "layer":
            made = callee_of(layer.node.value) if isinstance(layer.node, Let) else None
            return self.callables.get(made) if made is not None else None
        return self.callables.get(name)

    # ---- what the elaboration saw ----------------------------------------------------------

    def seen(self, offset: int) -> Seen | None:
        """The call whose name begins at an offset."""
        line, column = self._spot(offset)
        for analysis, there in self._known(line):
            found: dict[str, Use] = {}
            places = []
            for place, uses in analysis.trace.calls.items():
                if (place.line, place.column) == (there, column) and self._mine(place):
                    found |= uses
                    places.append(place)
            if found:
                return Seen(tuple(found.values()), frozenset(places), analysis.program)
        return None

    def bindings(self, definition: Definition) -> list[Binding]:
        """What a defined name stood for, each time its text ran."""
        if definition.kind == "loop index":
            return self._turns(definition.name)
        for analysis, there in self._known(definition.place.line, definition.place.file):
            wanted = (there, definition.place.column, definition.place.file)
            for place, bound in analysis.trace.names.items():
                if (place.line, place.column, place.file) == wanted:
                    found = [each for each in bound.values() if each.name == definition.name]
                    if found:
                        return found
        return []

    def _turns(self, name: str) -> list[Binding]:
        """What the index of a loop was."""
        for analysis, _ in self._known(1):
            bound = [each for found in analysis.trace.names.values() for each in found.values()]
            turns = [each for each in bound if each.kind == "index" and each.name == name]
            if turns:
                return turns
        return []

    def arguments(self, block: str, name: str) -> list[object]:
        """The values that a parameter of a block has in its uses."""
        for analysis, _ in self._known(1):
            trace = analysis.trace
            uses = [use for found in trace.calls.values() for use in found.values()]
            paths = {use.path for use in uses if use.name == block}
            bound = [each for found in trace.names.values() for each in found.values()]
            values: list[object] = [
                each.value
                for each in bound
                if each.kind == "setting" and each.name == name and each.path in paths
            ]
            if values:
                return values
        return []

    def constant(self, name: str) -> object | None:
        """The value of a param."""
        for analysis, _ in self.document.known():
            if analysis.spec is not None and name in analysis.spec.constants:
                return analysis.spec.constants[name]
        return None

    def _known(self, line: int, file: str | None = None) -> Iterator[tuple[Analysis, int]]:
        """The analyses that may know this line, with the line it had in each."""
        if file is None or file == self.document.path:
            for analysis, drift in self.document.known():
                then = drift.then(line)
                if then is not None:
                    yield analysis, then
        path = file or self.document.path
        for other in self.documents.open.values():
            if other is not self.document or path != self.document.path:
                for its in (other.latest, other.good):
                    if its is not None and path in its.texts:
                        yield its, line

    def _mine(self, place: Place) -> bool:
        return place.file == self.document.path

    def _spot(self, offset: int) -> tuple[int, int]:
        """The line and column of an offset, counted from 1."""
        text = self.document.text
        line = text.position(offset).line
        return line + 1, offset - text.starts[line] + 1


def _of_statement(cursor: Cursor) -> str:
    """What is called directly in a statement."""
    begun = cursor.container in ("train", "step")
    if begun and cursor.statement == "optimizer":
        return "optimizer"
    if begun and cursor.statement == "early_stop":
        return "stopping rule"
    if begun and cursor.statement == "data":
        return "data source"
    if cursor.statement == "weight" and "=" in cursor.head:
        return "initialiser"
    return "operation"


def _moved(definition: Definition, line: int) -> Definition:
    place = definition.place
    moved = Place(place.file, line, place.column, place.end_column)
    return Definition(definition.name, definition.kind, moved, definition.owner, definition.node)
