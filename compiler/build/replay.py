"""Blocks that are used again are played back instead of elaborated again.

While a block is elaborated its events are taken down: what is inserted into the graph, named,
declared.  The next call at the same place with the same settings and operands of the same kind
plays them back with its own operands and paths.  Everything goes through the builder again, so
rules and equal values come out as they would have.

Where an event comes out otherwise than it was taken down (another operation, another type),
everything since the call began is taken back, and the call is elaborated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from ...spec.dims import Polynomial
from ...spec.place import Place
from ...spec.tree import Block
from ..ir.graph import Node
from ..ir.op import ShapeError
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
from .values import Origin, Start, Tensor, Value, Values

if TYPE_CHECKING:
    from .binding import Bound
    from .elaboration import Elaboration

Key: TypeAlias = tuple[Any, ...]
Since: TypeAlias = Origin | tuple[int, int]
MOST_FAILURES = 3  # of one call; then it is elaborated every time
NUMBERED = ("feed", "stream")  # attributes that tell two equal operations apart


class Unlike(Exception):
    """A block does not come out as it did before."""


class Unkeyed(Exception):
    """A call that cannot be told from others by a key, or refers to what lies outside of it."""


# ---- what was taken down ---------------------------------------------------------------------


@dataclass(slots=True)
class Recording:
    """One call of a block: its events, what went in and came out, and how many calls it made.

    `asked`: it depends on whether this is training.
    """

    key: Key
    path: str
    operands: tuple[Tensor, ...]
    tape: list[Event]
    span: tuple[int, int] = (0, 0)
    results: Values = ()
    calls: int = 0
    asked: bool = False
    registers: dict[int, int] = field(default_factory=dict)
    steps: list[Step] | None = None

    def play(self, e: Elaboration, operands: tuple[Tensor, ...], path: str) -> Values | None:
        """The results for other operands, under another path; None where it comes out otherwise."""
        assert self.steps is not None
        run = _Run(e, path, list(dict.fromkeys(t.id for t in operands)))
        before = e.b.place, e.b.scope, e.depth
        undo = _Undo(e)
        e.b.journal = []
        try:
            for step in self.steps:
                step(run)
        except (Unlike, ShapeError):
            undo.undo(run)
            return None
        finally:
            e.b.place, e.b.scope, e.depth = before
            e.b.journal = None
        e.asked = e.asked or self.asked
        return tuple(self._result(run, found, operands, path) for found in self.results)

    def _result(self, run: _Run, found: Value, operands: tuple[Tensor, ...], path: str) -> Value:
        if not isinstance(found, Tensor):
            return found
        id = run.values[self.registers[found.id]]
        weight = found.weight
        if weight.startswith(f"{self.path}."):
            weight = path + weight[len(self.path) :]
        given = self.operands
        origin = found.origin
        for theirs, ours in zip(given, operands, strict=True):
            if theirs.origin is origin:
                origin = ours.origin
                break
        since = tuple(_since(each, given, operands) for each in found.since)
        type = run.e.b[id].type
        return Tensor(id, type, origin, found.name, since, weight, found.given)


def _since(since: Origin, theirs: Sequence[Tensor], ours: Sequence[Tensor]) -> Origin:
    """Who made an axis: where that came with an operand, what came with the operand now."""
    for their, our in zip(theirs, ours, strict=True):
        for axis, each in enumerate(their.since):
            if each is since:
                return our.since[axis]
    return since


@dataclass(slots=True)
class _Run:
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


class _Undo:
    """How things were before a call was played back."""

    def __init__(self, e: Elaboration) -> None:
        self.e = e
        self.lengths = [len(each) for each in self._growing()]
        self.nodes = len(e.b.nodes)
        self.rest = e.streams, dict(e.bounds), dict(e.updates), e.asked

    def _growing(self) -> tuple[Any, ...]:
        e = self.e
        return e.parameters, e.catalogue.declared, e.rows, e.b.tape or []

    def undo(self, run: _Run) -> None:
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


Step: TypeAlias = Callable[[_Run], None]


def _steps(recording: Recording) -> list[Step]:
    """The events with registers in place of values.

    Raises: Unkeyed for one that reads a value from outside, or is named elsewhere.
    """
    registers = recording.registers
    for tensor in recording.operands:
        registers.setdefault(tensor.id, len(registers))
    steps: list[Step] = []
    for event in islice(recording.tape, *recording.span):
        steps.append(_step(event, registers, recording.path))
    missing = [r for r in recording.results if isinstance(r, Tensor) and r.id not in registers]
    if missing:
        raise Unkeyed
    return steps


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
    wanted = _told(event.node)
    name, wanted_name = _renamed(event.name, path), _renamed(event.node.name, path)

    def step(run: _Run) -> None:
        b, values = run.e.b, run.values
        b.place, b.scope = place, run.path + below
        attributes = event.attributes
        if stream is not None:
            attributes = {**attributes, "stream": run.streams[stream]}
        found = b.insert(op, [values[o] for o in operands], name(run.path), **attributes)
        node = b.nodes[found]
        if node.op != wanted_op or node.type != wanted_type or _told(node) != wanted:
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
    def step(run: _Run) -> None:
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
    def step(run: _Run) -> None:
        run.e.depth = depth
        run.called += run.e.name(run.values[register], name)

    return step


def _range(register: int, below: Any, ignore: int | None) -> Step:
    return lambda run: run.e.bound(run.values[register], below, ignore)


def _update(buffer: int, value: int, momentum: float) -> Step:
    return lambda run: run.e.update(run.values[buffer], run.values[value], momentum)


def _enter(run: _Run) -> None:
    run.open.append(run.e.enter())


def _fresh(register: int, fresh: bool) -> Step:
    def step(run: _Run) -> None:
        if run.e.fresh(run.values[register], run.open[-1][0]) != fresh:
            raise Unlike

    return step


def _leave(row: tuple[str, str, tuple[TensorType, ...], Place] | None, below: str) -> Step:
    if row is None:
        return lambda run: run.e.leave(None, run.open.pop())
    op, outputs, place = row[1:]
    return lambda run: run.e.leave((run.path + below, op, outputs, place), run.open.pop())


def _told(node: Node) -> tuple[tuple[str, Any], ...]:
    """The attributes of a node, without those that only number it."""
    if node.op in ("input", "random"):
        return tuple(pair for pair in node.attributes if pair[0] not in NUMBERED)
    return node.attributes


# ---- the memory of all calls -----------------------------------------------------------------


class Memory:
    """What was taken down of each call, from the second one on: most are made once."""

    def __init__(self) -> None:
        self._seen: set[Key] = set()
        self._known: dict[Key, Recording] = {}
        self._failures: Counter[Key] = Counter()

    def key(
        self,
        e: Elaboration,
        callee: Block,
        bound: Bound,
        place: Place,
        home: Place | None,
        shared: bool,
    ) -> tuple[Key, tuple[Tensor, ...]] | None:
        """What tells a call from others, and its operands; None where nothing does."""
        operands: list[Tensor] = []
        try:
            inputs = tuple(_kind(e, value, operands) for value in bound.inputs)
            given = [*bound.named.items(), *bound.settings.items()]
            named = tuple((name, _kind(e, g.value, operands)) for name, g in given)
            key = (id(callee), place, home, shared, e.depth, inputs, named)
            hash(key)
        except (Unkeyed, TypeError):
            return None
        return None if self._failures[key] > MOST_FAILURES else (key, tuple(operands))

    def play(
        self, e: Elaboration, key: Key, operands: tuple[Tensor, ...], place: Place, path: str
    ) -> Values | None:
        """The results of a call that was made before, if it comes out as it did then."""
        found = self._known.get((*key, None)) or self._known.get((*key, e.training))
        if found is None:
            return None
        try:
            found.steps = found.steps or _steps(found)
        except Unkeyed:
            self._failures[key] += MOST_FAILURES
        results = found.play(e, operands, path) if found.steps else None
        if results is None:
            self._failures[key] += 1
        else:
            e.count_call(place, found.calls)
        return results

    def again(self, key: Key) -> bool:
        """Was such a call made before?"""
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    @contextmanager
    def recording(
        self, e: Elaboration, key: Key, operands: tuple[Tensor, ...], path: str
    ) -> Iterator[Recording]:
        """Take down a call; what fails is not kept."""
        outermost, asked = e.b.tape is None, e.asked
        tape = e.b.tape if e.b.tape is not None else []
        recording = Recording(key, path, operands, tape)
        first, calls = len(tape), e.calls
        e.b.tape, e.asked = tape, False
        try:
            yield recording
            recording.span = (first, len(tape))
            recording.calls, recording.asked = e.calls - calls, e.asked
            self._known[(*key, e.training if e.asked else None)] = recording
        finally:
            e.asked = e.asked or asked
            if outermost:
                e.b.tape = None


def _kind(e: Elaboration, value: Value, operands: list[Tensor]) -> Key:
    """What tells a value from others, as far as a block can see it."""
    if isinstance(value, Tensor):
        node = e.b[value.id]
        operands.append(value)
        same = next(i for i, other in enumerate(operands) if other.id == value.id)
        told = (node.op, node.name, _told(node), value.type)
        return (*told, value.name, value.weight, value.given, len(value.since), same)
    if isinstance(value, tuple):
        return ("list", *(_kind(e, item, operands) for item in value))
    if isinstance(value, (bool, int, str, Polynomial, Start)):
        return (type(value), value)
    if isinstance(value, float):
        return (float, repr(value))
    raise Unkeyed
