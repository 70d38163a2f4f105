"""The names that are visible at one place of a body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ...spec.place import Place
from ...spec.tree import Default
from .trace import Trace
from .values import Value, Values

MUST_BE_USED = ("value", "input", "let", "weight")


@dataclass(slots=True)
class Entry:
    """A name, what it stands for, and whether anybody asked for it.

    `kind`: value, input, let, weight (these must be used), or setting, dim, index, tap, data, loss.
    """

    value: Value
    place: Place | None
    kind: str
    used: bool = False


class Scope:
    """Names, settings and the input of a body, or of an arm inside braces.

    A scope sees its `parent`: inside braces that is the body, round a body the file with its params
    and defaults.  `library`: the text belongs to the prelude, where only the prelude is visible.
    `shared`: the body runs again for a layer whose weights exist already.
    """

    def __init__(
        self,
        path: str,
        parent: Scope | None,
        *,
        library: bool = False,
        shared: bool = False,
        inputs: Values | None = None,
    ) -> None:
        self.path = path
        self.parent = parent
        self.library = library
        self.shared = shared
        self.inputs = inputs
        self.entries: dict[str, Entry] = {}
        self.defaults: tuple[Default, ...] = ()
        self.counts: dict[str, int] = {}
        self.trace: Trace | None = parent.trace if parent else None

    @staticmethod
    def of_file(
        constants: Mapping[str, Value], defaults: tuple[Default, ...], library: bool
    ) -> Scope:
        """The scope round the bodies of one file."""
        scope = Scope("", None, library=library)
        scope.defaults = defaults
        for name, value in constants.items():
            scope.define(name, value, None, "param")
        return scope

    def arm(self, inputs: Values | None) -> Scope:
        """A scope for a pair of braces that adds nothing to the path."""
        inner = self.turn(self.path, inputs)
        inner.counts = self.counts
        return inner

    def turn(self, path: str, inputs: Values | None) -> Scope:
        """A scope for one turn of a loop, with a path of its own."""
        return Scope(path, self, library=self.library, shared=self.shared, inputs=inputs)

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def entry(self, name: str) -> Entry | None:
        """The entry of a name, in this scope or around it."""
        for scope in self.chain():
            if name in scope.entries:
                return scope.entries[name]
        return None

    def has(self, name: str) -> bool:
        """Is there a value of this name?"""
        return self.entry(name) is not None

    def get(self, name: str) -> Value:
        """The value of a name, which counts as used.  Raises: KeyError."""
        found = self.entry(name)
        if found is None:
            raise KeyError(name)
        found.used = True
        return found.value

    def define(self, name: str, value: Value, place: Place | None, kind: str) -> None:
        """Bind a name here."""
        self.entries[name] = Entry(value, place, kind)
        if self.trace is not None and place is not None and not self.library:
            self.trace.name(place, self.path, name, kind, value)

    def take_inputs(self) -> Values | None:
        """The input of the body or arm; the name it came by counts as used."""
        if self.inputs is not None:
            for entry in self.entries.values():
                entry.used = entry.used or entry.kind == "input"
        return self.inputs

    def settings(self, operation: str) -> Iterator[tuple[Default, Scope]]:
        """The `default` lines that hold for an operation called here, innermost first."""
        for scope in self.chain():
            for default in reversed(scope.defaults):
                if default.operation == operation:
                    yield default, scope

    def segment(self, name: str) -> str:
        """The next segment of a path for an operation without a name of its own."""
        self.counts[name] = self.counts.get(name, 0) + 1
        return name if self.counts[name] == 1 else f"{name}_{self.counts[name]}"

    def below(self, segment: str) -> str:
        """The path of something in this scope."""
        return f"{self.path}.{segment}" if self.path else segment

    def visible(self) -> list[str]:
        """All names, for suggestions."""
        return list(dict.fromkeys(name for scope in self.chain() for name in scope.entries))

    def mark(self, names: Iterable[str]) -> None:
        """Count some names as used: they stand in text that is not elaborated."""
        for name in names:
            found = self.entry(name)
            if found is not None:
                found.used = True

    def unused(self) -> Iterator[tuple[str, Entry]]:
        """The names that must be used and are not."""
        for name, entry in self.entries.items():
            if entry.kind in MUST_BE_USED and not entry.used and not name.startswith("_"):
                yield name, entry
