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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from ...spec.dims import Polynomial
from ...spec.place import Place
from ...spec.tree import Block
from ..ir.op import ShapeError
from .playback import Run, Step, Undo, Unkeyed, Unlike, steps_of, told
from .recorder import Event
from .values import Origin, Start, Tensor, Value, Values

if TYPE_CHECKING:
    from .binding import Bound
    from .elaboration import Elaboration

Key: TypeAlias = tuple[Any, ...]
MOST_FAILURES = 3  # of one call; then it is elaborated every time


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
        run = Run(e, path, list(dict.fromkeys(t.id for t in operands)))
        before = e.b.place, e.b.scope, e.depth
        undo = Undo(e)
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

    def learn(self) -> None:
        """Make the steps, once.  Raises: Unkeyed where a result or an event lies outside."""
        if self.steps is not None:
            return
        for tensor in self.operands:
            self.registers.setdefault(tensor.id, len(self.registers))
        steps = steps_of(islice(self.tape, *self.span), self.registers, self.path)
        if any(isinstance(r, Tensor) and r.id not in self.registers for r in self.results):
            raise Unkeyed
        self.steps = steps

    def _result(self, run: Run, found: Value, operands: tuple[Tensor, ...], path: str) -> Value:
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
            found.learn()
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
        about = (node.op, node.name, told(node), value.type)
        return (*about, value.name, value.weight, value.given, len(value.since), same)
    if isinstance(value, tuple):
        return ("list", *(_kind(e, item, operands) for item in value))
    if isinstance(value, (bool, int, str, Polynomial, Start)):
        return (type(value), value)
    if isinstance(value, float):
        return (float, repr(value))
    raise Unkeyed
