"""Data lines: what a source gives, under which names and types, without opening it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm, prod
from typing import Any

from ...spec.dims import Dim, multiples, symbol
from ...spec.errors import suggest
from ...spec.expressions import Call, Name
from ...spec.place import Place
from ...spec.sources import SOURCES, Field, Source, mismatch
from ...spec.tree import Data, Train
from ..ir.types import Shape, TensorType, held
from .elaboration import Elaboration
from .faults import Fault, Faults, fault
from .scope import Scope
from .starts import bind_table, problem
from .types import declared_type

GUESS = 64
"""The size that is assumed for planning where nothing says how long an axis is."""


@dataclass(frozen=True, slots=True)
class DataLine:
    """One `data` line.  `entries`: how many different tokens a field has, where the line says it."""

    names: tuple[str, ...]
    places: tuple[Place, ...]
    types: tuple[TensorType, ...]
    source: str
    settings: Mapping[str, Any]
    place: Place
    entries: Mapping[str, int]

    def recipe(self, bounds: Mapping[str, tuple[int, int, int | None]]) -> dict[str, Any]:
        """The entry that the runtime reads."""
        types = [
            [held(t).dtype, [d if isinstance(d, int) else str(d) for d in t.shape]]
            for t in self.types
        ]
        ranges = {
            name: [low, high] if ignore is None else [low, high, ignore]
            for name, (low, high, ignore) in bounds.items()
            if name in self.names
        }
        found: dict[str, Any] = {"names": list(self.names), "types": types, "source": self.source}
        found |= {"settings": dict(self.settings), "place": str(self.place)}
        return found | ({"ranges": ranges} if ranges else {})


def data_lines(
    e: Elaboration, train: Train, scope: Scope, faults: list[Fault]
) -> tuple[list[DataLine], bool]:
    """All data lines, and whether every one could be read.  Sizes become names of the scope."""
    lines = []
    for text in train.data:
        try:
            lines.append(_line(e, text, scope))
        except Faults as found:
            faults += found.faults
    if not train.data:
        hint = "for instance `data x: f32[B, 64], label: i32[B] = digits()`"
        faults.append(Fault("E208", "`train` has no `data`", train.place, hint))
    return lines, len(lines) == len(train.data)


def unknown_tokens(
    lines: Sequence[DataLine], bounds: Mapping[str, tuple[int, int, int | None]]
) -> list[Fault]:
    """Fields with more different tokens than what they go to tells apart."""
    faults = []
    for line in lines:
        for name, place in zip(line.names, line.places, strict=True):
            entries, known = line.entries.get(name), bounds.get(name)
            if entries is not None and known is not None and known[1] < entries:
                text = f"`{name}` has {entries:,} different tokens, what it goes to knows {known[1]:,}"
                hint = f"give the embedding or the outputs {entries} entries"
                faults.append(Fault("E420", text, place, hint))
                break
    return faults


def nominal_sizes(lines: Sequence[DataLine]) -> dict[str, int]:
    """A likely value of every size that the data lines name, for planning."""
    sizes: dict[str, int] = {}
    for line in lines:
        batch = _samples(line)
        for type in line.types:
            for axis, dim in enumerate(type.shape):
                for name, multiple in likely((dim,)):
                    guess = batch if axis == 0 else GUESS
                    sizes.setdefault(name, multiple * -(-guess // multiple))
    return sizes


def likely(shape: Shape) -> list[tuple[str, int]]:
    """The symbols of a shape by name, and what each is a multiple of."""
    found: dict[str, int] = {}
    for dim in shape:
        for name, multiple in multiples(dim).items():
            found[name] = lcm(found.get(name, 1), multiple)
    return sorted(found.items())


def _line(e: Elaboration, text: Data, scope: Scope) -> DataLine:
    source, settings = _source(e, text, scope)
    fields = source.fields(settings)
    name = source.signature.name
    if fields is not None and len(fields) < len(text.names):
        given = ", ".join(f.name for f in fields)
        raise fault(
            "E309",
            f"`{name}` gives {len(fields)} field{'s' * (len(fields) > 1)}: {given}; "
            f"this line names {len(text.names)}",
            text.places[len(fields)],
        )
    faults: list[Fault] = []
    types = []
    for index in range(len(text.names)):
        try:
            types.append(_type(e, text, index, fields, name, scope))
        except Faults as found:
            faults += found.faults
    if faults:
        raise Faults(faults)
    entries = {
        bound: field.entries
        for bound, field in zip(text.names, fields or (), strict=False)
        if field.entries is not None
    }
    return DataLine(text.names, text.places, tuple(types), name, settings, text.place, entries)


def _source(e: Elaboration, text: Data, scope: Scope) -> tuple[Source, dict[str, Any]]:
    expr = text.source
    if not isinstance(expr, (Call, Name)):
        hint = f"there are {', '.join(SOURCES)}"
        raise fault("E311", "a data source is needed here", expr.place, hint)
    name = expr.id if isinstance(expr, Name) else expr.name
    if name not in SOURCES:
        hint = suggest(name, SOURCES) or f"there are {', '.join(SOURCES)}"
        raise fault("E302", f"unknown data source `{name}`", expr.place.first(len(name)), hint)
    source = SOURCES[name]
    settings = bind_table(e, source.signature, expr, scope)
    problems = source.problems(settings)
    if problems:
        raise Faults(f for p in problems for f in problem(source.signature, p, expr).faults)
    return source, settings


def _example(name: str, field: Field | None) -> str:
    """A field with its type, `…` for what only the file knows."""
    dims = field.dims if field and field.dims else ("B", None)
    listed = ", ".join("…" if dim is None else str(dim) for dim in dims)
    dtype = (field and field.dtype) or ("i32" if dims == ("B",) else "f32")
    return f"{name}: {dtype}[{listed}]"


def _type(
    e: Elaboration,
    text: Data,
    index: int,
    fields: tuple[Field, ...] | None,
    source: str,
    scope: Scope,
) -> TensorType:
    """The declared type of a field, or what the source says of it."""
    field = fields[index] if fields else None
    name, place = text.names[index], text.places[index]
    if text.types is None:
        if field is None or not field.known:
            typed = ", ".join(map(_example, text.names, fields or [None] * len(text.names)))
            hint = f"types go with all names: `data {typed} = {source}(…)`"
            raise fault(
                "E318", f"only the file knows the type of `{name}`: declare it", place, hint
            )
        assert field.dtype is not None and field.dims is not None
        return TensorType(field.dtype, tuple(_size(scope, d, place) for d in field.dims))
    type = declared_type(e, text.types[index], scope, place)
    if not type.shape:
        raise fault(
            "E402", f"`{name}` needs an axis for the samples", place, f"write `{name}: f32[B]`"
        )
    wrong = mismatch(field, type.dtype, type.shape) if field else None
    if wrong and field:
        message = (
            f"`{name}` is declared as {type}, but it is the {field.name} of `{source}`: {wrong}"
        )
        hint = "declare what the source gives, or reshape it in the step"
        raise fault("E403", message, text.types[index].place, hint)
    return type


def _size(scope: Scope, dim: int | str | None, place: Place) -> Dim:
    if isinstance(dim, int):
        return dim
    assert dim is not None
    size = symbol(dim)
    scope.define(dim, size, place, "dim")
    return size


def _samples(line: DataLine) -> int:
    """The samples of a batch; of all the data, as far as the line says how many there are."""
    settings = line.settings
    if isinstance(settings["batch"], int):
        return int(settings["batch"])
    count = settings.get("limit") or settings.get("samples")
    grid = settings.get("grid")
    if count is None and grid is not None:
        variables = len(settings["variables"])
        count = prod(grid) if isinstance(grid, list) else grid**variables
    size = settings.get("size")
    if count is None and line.source == "image" and size is not None:
        count = prod(size) if isinstance(size, list) else size * size
    if count is None and line.source == "digits":
        count = 1797
    if count is None:
        return 1024
    split, fold = settings.get("split"), settings.get("fold")
    if fold is not None:
        split = 1 - 1 / fold[1]
    part = split[0] if isinstance(split, list) else split
    return max(1, round(count * part)) if part and settings.get("limit") is None else int(count)
