"""Playing events back that were taken down: a step for each, with registers in place of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ...spec.place import Place
from ..ir.graph import Node
from ..ir.types import TensorType
from .recorder import (
    Enter,
    Event,
    Fresh,
    Insert,
    Leave,
    Range,
    Rename,
    Stream,
    Update,
    Weighed,
)

if TYPE_CHECKING:
    from .elaboration import Elaboration

NUMBERED = ("feed", "stream")  # attributes that tell two equal operations apart


class Unlike(Exception):
    """A block does not come out as it did before."""


class Unkeyed(Exception):
    """A call that cannot be told from others by a key, or refers to what lies outside of it."""


@dataclass(slots=True)
class Run:
    """One playing back: the values so far, and the calls that are open."""

    e: Elaboration
    path: str
    values: list[int]
    open: list[tuple[int, int]] = field(default_factory=list)
    streams: dict[int, int] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    called: list[tuple[int, int | None]] = field(default_factory=list)

    def keep(self, register: int, id: int) -> None:
        """Keep a value in its register.  Raises: Unlike."""
        if register == len(self.values):
            self.values.append(id)
        elif self.values[register] != id:
            raise Unlike


class Undo:
    """How things were before a call was played back."""

    def __init__(self, e: Elaboration) -> None:
        self.e = e
        self.lengths = [len(each) for each in self._growing()]
        self.nodes = len(e.b.nodes)
        self.rest = e.streams, dict(e.bounds), dict(e.updates), e.asked

    def _growing(self) -> tuple[Any, ...]:
        e = self.e
        return e.parameters, e.catalogue.declared, e.rows, e.b.tape or []

    def undo(self, run: Run) -> None:
        e = self.e
        e.b.cut(self.nodes)
        for each, length in zip(self._growing(), self.lengths, strict=True):
            while len(each) > length:
                each.pop() if isinstance(each, list) else each.popitem()
        e.streams, e.bounds, e.updates, e.asked = self.rest
        e.made.difference_update(run.made)
        for id, depth in reversed(run.called):
            if depth is None:
                e.called.pop(id, None)
            else:
                e.called[id] = depth


Step: TypeAlias = Callable[[Run], None]


def steps_of(events: Iterable[Event], registers: dict[int, int], path: str) -> list[Step]:
    """A step for each event; values that an event makes get registers.

    Raises: Unkeyed for an event that reads a value from outside, or is named elsewhere.
    """
    return [_step(event, registers, path) for event in events]


def _step(event: Event, registers: dict[int, int], path: str) -> Step:
    def register(id: int) -> int:
        if id not in registers:
            raise Unkeyed
        return registers[id]

    def below(name: str) -> str:
        if name != path and not name.startswith(f"{path}."):
            raise Unkeyed
        return name[len(path) :]

    match event:
        case Insert():
            operands = tuple(register(o) for o in event.operands)
            out = registers.setdefault(event.node.id, len(registers))
            return _insert(event, operands, out, below(event.scope), path)
        case Weighed():
            out = registers.setdefault(event.tensor.id, len(registers))
            return _weight(event, out, below(event.name), below(event.scope))
        case Rename(id, name, depth):
            return _rename(register(id), name, depth)
        case Stream(number):
            return lambda run: run.streams.__setitem__(number, run.e.stream())
        case Range(id, limit, ignore):
            return _range(register(id), limit, ignore)
        case Update(buffer, value, momentum):
            return _update(register(buffer), register(value), momentum)
        case Enter():
            return _enter
        case Fresh(id, fresh):
            return _fresh(register(id), fresh)
        case Leave(row):
            return _leave(row, below(row[0]) if row else "")


def _insert(event: Insert, operands: tuple[int, ...], out: int, below: str, path: str) -> Step:
    op, place = event.op, event.place
    stream = event.attributes.get("stream")
    wanted_op, wanted_type = event.node.op, event.node.type
    wanted = told(event.node)
    name, wanted_name = _renamed(event.name, path), _renamed(event.node.name, path)

    def step(run: Run) -> None:
        b, values = run.e.b, run.values
        b.place, b.scope = place, run.path + below
        attributes = event.attributes
        if stream is not None:
            attributes = {**attributes, "stream": run.streams[stream]}
        found = b.insert(op, [values[o] for o in operands], name(run.path), **attributes)
        node = b.nodes[found]
        if node.op != wanted_op or node.type != wanted_type or told(node) != wanted:
            raise Unlike
        if node.name != wanted_name(run.path):
            raise Unlike
        run.keep(out, found)

    return step


def _renamed(name: str, path: str) -> Callable[[str], str]:
    """The name of a value, which may be made of that of a parameter, under another path."""
    parts = name.split(f"{path}.")
    return (lambda _: name) if len(parts) == 1 else lambda other: f"{other}.".join(parts)


def _weight(event: Weighed, out: int, below: str, scope: str) -> Step:
    def step(run: Run) -> None:
        e, name = run.e, run.path + below
        if name in e.made and not event.shared:
            raise Unlike
        if name not in e.made:
            e.made.add(name)
            run.made.append(name)
        e.b.place, e.b.scope = event.place, run.path + scope
        if name not in e.parameters:
            known = e.catalogue.declared.get(name)
            if known is None and not e.declaring:
                raise Unlike
            if known is None:
                known = replace(event.declaration, name=name, node=name)
                e.catalogue.declared[name] = known
            if known.shape != event.declaration.shape:
                raise Unlike
            e.declare(replace(event.tensor, weight=name))
        elif e.parameters[name].type != event.tensor.type:
            raise Unlike
        e.weigh(name, event.shared)
        run.keep(out, e.parameters[name].id)

    return step


def _rename(register: int, name: str, depth: int) -> Step:
    def step(run: Run) -> None:
        run.e.depth = depth
        run.called += run.e.name(run.values[register], name)

    return step


def _range(register: int, below: Any, ignore: int | None) -> Step:
    return lambda run: run.e.bound(run.values[register], below, ignore)


def _update(buffer: int, value: int, momentum: float) -> Step:
    return lambda run: run.e.update(run.values[buffer], run.values[value], momentum)


def _enter(run: Run) -> None:
    run.open.append(run.e.enter())


def _fresh(register: int, fresh: bool) -> Step:
    def step(run: Run) -> None:
        if run.e.fresh(run.values[register], run.open[-1][0]) != fresh:
            raise Unlike

    return step


def _leave(row: tuple[str, str, tuple[TensorType, ...], Place] | None, below: str) -> Step:
    if row is None:
        return lambda run: run.e.leave(None, run.open.pop())
    op, outputs, place = row[1:]
    return lambda run: run.e.leave((run.path + below, op, outputs, place), run.open.pop())


def told(node: Node) -> tuple[tuple[str, Any], ...]:
    """The attributes of a node, without those that only number it."""
    if node.op in ("input", "random"):
        return tuple(pair for pair in node.attributes if pair[0] not in NUMBERED)
    return node.attributes
